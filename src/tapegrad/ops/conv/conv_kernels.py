"""Convolutions by the package's own kernels: on tensor cores, of 16-bit floats and of float32, and
without an array of patches (kernels/conv.cu); in groups of few channels by one thread a result
(kernels/conv_direct.cu). Others, such as float64's, are products of matrices of patches."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from tapegrad.core.devices import Device
from tapegrad.core.kernels import has_tensor_cores, kernel, launch, scratch
from tapegrad.core.memory import Array, address, channels_moved_last, lies_channels_last
from tapegrad.ops.common.image_memory import (
    DIMENSIONS,
    empty_images,
    five_strides,
    one_distance,
    three,
)

from .sliding_window import Geometry, Sizes

PACK = 16  # bytes: what is copied at once
FEW = 32  # channels of a group, up to which one thread makes a result
_FAR = 1 << 28  # what places in images stay below, border included


def _is_for(size: Sizes, geometry: Geometry, *arrays: Array) -> bool:
    """Whether there is something to compute, and kernels can count places. size: the result's."""
    places = [n * s + p for n, s, p in zip(size, geometry.stride, geometry.padding, strict=True)]
    empty = 0 in size or any(0 in x.shape for x in arrays)
    return not empty and len(size) <= DIMENSIONS and max(places) < _FAR


def _by_tensor_cores(device: Device, x: Array, groups: int, *channels: int) -> bool:
    """channels: of a group, in factors that have several groups of them beside each other; each has
    to begin at a multiple of 16 bytes."""
    packed = groups == 1 or not any(n * x.itemsize % PACK for n in channels)
    return packed and x.itemsize <= 4 and has_tensor_cores(device)


def _numbers(image: Sizes, kernel: Sizes, windows: Sizes, geometry: Geometry) -> tuple[int, ...]:
    stride, padding, dilation, _ = geometry
    return (
        *three(image), *three(kernel), *three(windows),
        *three(stride), *three(padding, 0), *three(dilation),
    )  # fmt: skip


# ---------------------------------------------------------------------- how images lie


class Images(NamedTuple):
    """Images whose channels lie beside each other, at multiples of 16 bytes."""

    array: Any  # (n, *size, channels or more)

    @property
    def strides(self) -> tuple[int, ...]:
        """From image to image, and along three dimensions, in elements."""
        x = self.array
        image, *rest = (0 if n == 1 else s // x.itemsize
                        for s, n in zip(x.strides[:-1], x.shape[:-1], strict=True))  # fmt: skip
        return (image, *three(tuple(rest), 0))


def _images(device: Device, x: Array, *, in_a_row: bool = False) -> Images:
    """Copied only where they lie otherwise. in_a_row: pixels follow each other at one distance."""
    y = channels_moved_last(x)
    tight = x.shape[1] == 1 or y.strides[-1] == x.itemsize
    starts = [s for s, n in zip(y.strides[:-1], y.shape[:-1], strict=True) if n > 1]
    packed = tight and not any(start % PACK for start in (address(x), *starts))
    if packed and (not in_a_row or one_distance(y, 0, y.ndim - 1) is not None):
        return Images(y)
    return Images(packed_rows(device, x))


def packed_rows(device: Device, x: Array) -> Any:
    """(n, c, *size) -> (n, *size, c or more), of which more is 0: rows of whole packs."""
    n, channels, *size = x.shape
    x, pack = device.ops["contiguous"](x), PACK // x.itemsize
    stride, pixels = -(-channels // pack) * pack, math.prod(size)
    y = device.ops["empty"]((n, *size, stride), x.dtype)
    launch(device, "channels_last", x.dtype, y, x, n, channels, pixels, stride)
    return y


# ---------------------------------------------------------------------- images made of images


def _convolved(
    device: Device, x: Array, weight: Any, bias: Any, shape: tuple, kernel: Sizes,
    geometry: Geometry, *, last: bool, transposed: bool, relu: bool,
) -> Any:  # fmt: skip
    """Images of this shape by tensor cores, of a weight (groups, filters, kernel, channels)."""
    groups, size = geometry.groups, shape[2:]
    images = _images(device, x)
    channels, filters = x.shape[1] // groups, shape[1] // groups
    y = empty_images(device, shape, x.dtype, last)
    pixels = math.prod(size)
    steps = (shape[1] * pixels, *((shape[1], 1) if last else (1, pixels)))
    sizes = (shape[0], groups, channels, filters, *_numbers(x.shape[2:], kernel, size, geometry))
    workspace = scratch(device, "convolution_workspace", x.dtype, *sizes, transposed)
    launch(
        device, "convolution", x.dtype, y, images.array, weight, bias, workspace, *sizes,
        *images.strides, *steps, transposed, relu,
    )  # fmt: skip
    return y


def _directly(
    device: Device, x: Array, weight: Array, bias: Any, shape: tuple, geometry: Geometry, *,
    last: bool, transposed: bool, relu: bool,
) -> Any:  # fmt: skip
    """The same by a thread for each result, of x wherever it lies; weight as it is."""
    groups, kernel = geometry.groups, weight.shape[2:]
    channels, filters = x.shape[1] // groups, shape[1] // groups
    if groups == 1 or channels > FEW:
        return NotImplemented
    y = empty_images(device, shape, x.dtype, last)
    launch(
        device, "convolution_direct", x.dtype, y, x, device.ops["contiguous"](weight), bias,
        shape[0], groups, channels, filters, *_numbers(x.shape[2:], kernel, shape[2:], geometry),
        *five_strides(x), *five_strides(y), transposed, relu,
    )  # fmt: skip
    return y


def _forward(
    device: Device, x: Array, weight: Array, bias: Array, out: Sizes, geometry: Geometry, relu: bool
) -> Any:
    if not _is_for(out, geometry, x, weight):
        return NotImplemented
    last = lies_channels_last(x) or lies_channels_last(weight)
    shape = (len(x), len(weight), *out)
    if not _by_tensor_cores(device, x, geometry.groups, weight.shape[1]):
        return _directly(device, x, weight, bias, shape, geometry,
                         last=last, transposed=False, relu=relu)  # fmt: skip
    rows = packed_rows(device, weight)
    return _convolved(device, x, rows, bias, shape, weight.shape[2:], geometry,
                      last=last, transposed=False, relu=relu)  # fmt: skip


@kernel("convolution", contiguous="bias")
def _convolution_kernel(
    device: Device, x: Array, weight: Array, bias: Array, *, out: Sizes, geometry: Geometry
) -> Any:
    return _forward(device, x, weight, bias, out, geometry, relu=False)


@kernel("convolution_relu", contiguous="bias")
def _convolution_relu_kernel(
    device: Device, x: Array, weight: Array, bias: Array, *, out: Sizes, geometry: Geometry
) -> Any:
    return _forward(device, x, weight, bias, out, geometry, relu=True)


@kernel("convolution_input", contiguous="")
def _convolution_input_kernel(
    device: Device, y_grad: Array, weight: Array, *, size: Sizes, geometry: Geometry
) -> Any:
    if not _is_for(size, geometry, y_grad, weight):
        return NotImplemented
    groups, kernel = geometry.groups, weight.shape[2:]
    filters, channels = len(weight) // groups, weight.shape[1]
    last = lies_channels_last(y_grad) or lies_channels_last(weight)
    shape = (len(y_grad), channels * groups, *size)
    if not _by_tensor_cores(device, y_grad, groups, filters):
        return _directly(device, y_grad, weight, None, shape, geometry,
                         last=last, transposed=True, relu=False)  # fmt: skip
    by_filter = weight.reshape(groups, filters, channels * math.prod(kernel))
    rows = packed_rows(device, by_filter)  # (groups, channels * elements, filters)
    return _convolved(device, y_grad, rows, None, shape, kernel, geometry,
                      last=last, transposed=True, relu=False)  # fmt: skip


# ---------------------------------------------------------------------- the gradient of the weight


@kernel("convolution_weight", contiguous="")
def _convolution_weight_kernel(
    device: Device, x: Array, y_grad: Array, *, kernel: Sizes, geometry: Geometry
) -> Any:
    groups, out = geometry.groups, y_grad.shape[2:]
    if not _is_for(out, geometry, x, y_grad):
        return NotImplemented
    channels, filters = x.shape[1] // groups, y_grad.shape[1] // groups
    weight = device.ops["empty"]((groups * filters, channels, *kernel), x.dtype)
    numbers = _numbers(x.shape[2:], kernel, out, geometry)
    sizes = (len(x), groups, channels, filters)
    if not _by_tensor_cores(device, x, groups, channels, filters):
        if groups == 1 or channels > FEW:
            return NotImplemented
        launch(
            device, "convolution_weight_direct", x.dtype, weight, x, y_grad, *sizes, *numbers,
            *five_strides(x), *five_strides(y_grad),
        )  # fmt: skip
        return weight
    images, gradients = _images(device, x), _images(device, y_grad, in_a_row=True)
    workspace = scratch(device, "convolution_weight_workspace", x.dtype, *sizes, *numbers)
    arrays = (weight, images.array, gradients.array, workspace)
    launch(
        device, "convolution_weight", x.dtype, *arrays, *sizes, *numbers, *images.strides,
        one_distance(gradients.array, 0, y_grad.ndim - 1),
    )  # fmt: skip
    return weight
