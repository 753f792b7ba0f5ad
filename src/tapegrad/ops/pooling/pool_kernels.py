"""Pooling by the package's own kernels (kernels/pooling.cu), all dimensions at once, wherever
images lie: results lie as what they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tapegrad.core.devices import Device
from tapegrad.core.dtypes import int64, is_floating
from tapegrad.core.kernels import kernel, launch
from tapegrad.core.memory import Array, lies_channels_last
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.image_memory import empty_images, five_strides, three
from tapegrad.ops.conv.sliding_window import Sizes, Windows


def has_kernel(x: Tensor) -> bool:
    """Whether maxima of its windows are found by a kernel, and not along one dimension after the
    other."""
    return x._device.type != "cpu" and is_floating(x.dtype)


def _numbers(size: Sizes, windows: Sequence[Windows]) -> tuple[int, ...]:
    out, kernel, stride, padding, dilation = zip(*windows, strict=True)
    return (
        *three(size), *three(kernel), *three(out),
        *three(stride), *three(padding, 0), *three(dilation),
    )  # fmt: skip


def _outputs(windows: Sequence[Windows]) -> Sizes:
    return tuple(along.out for along in windows)


@kernel("max_pool", contiguous="")
def _max_pool_kernel(device: Device, x: Array, *, windows: Sequence[Windows]) -> Any:
    last, shape = lies_channels_last(x), (*x.shape[:2], *_outputs(windows))
    y, where = (empty_images(device, shape, kind, last) for kind in (x.dtype, int64))
    launch(
        device, "max_pool", x.dtype, y, where, x, *x.shape[:2], *_numbers(x.shape[2:], windows),
        *five_strides(x), *five_strides(y),
    )  # fmt: skip
    return y, where


@kernel("max_pool_backward", floats="grad", contiguous="")
def _max_pool_backward_kernel(
    device: Device, grad: Array, where: Array, *, size: Sizes, windows: Sequence[Windows]
) -> Any:
    if five_strides(grad) != five_strides(where):
        copy = empty_images(device, grad.shape, grad.dtype, lies_channels_last(where))
        copy[...] = grad
        grad = copy
    if five_strides(grad) != five_strides(where):
        return NotImplemented
    dx = empty_images(device, (*grad.shape[:2], *size), grad.dtype, lies_channels_last(where))
    launch(
        device, "max_pool_backward", grad.dtype, dx, grad, where, *grad.shape[:2],
        *_numbers(size, windows), *five_strides(dx), *five_strides(grad),
    )  # fmt: skip
    return dx


def _divisor(divisor: Any) -> tuple[int, bool]:
    """As the kernel takes it: a number, or 0 and whether elements in the border count."""
    return (divisor, True) if isinstance(divisor, int) else (0, divisor.include_pad)


@kernel("avg_pool", contiguous="")
def _avg_pool_kernel(device: Device, x: Array, *, windows: Sequence[Windows], divisor: Any) -> Any:
    shape = (*x.shape[:2], *_outputs(windows))
    y = empty_images(device, shape, x.dtype, lies_channels_last(x))
    launch(
        device, "avg_pool", x.dtype, y, x, *x.shape[:2], *_numbers(x.shape[2:], windows),
        *_divisor(divisor), *five_strides(x), *five_strides(y),
    )  # fmt: skip
    return y


@kernel("avg_pool_backward", contiguous="")
def _avg_pool_backward_kernel(
    device: Device, grad: Array, *, size: Sizes, windows: Sequence[Windows], divisor: Any
) -> Any:
    dx = empty_images(device, (*grad.shape[:2], *size), grad.dtype, lies_channels_last(grad))
    launch(
        device, "avg_pool_backward", grad.dtype, dx, grad, *grad.shape[:2],
        *_numbers(size, windows), *_divisor(divisor), *five_strides(dx), *five_strides(grad),
    )  # fmt: skip
    return dx
