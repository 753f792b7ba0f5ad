"""Means and norms over windows of one, two or three dimensions.

A window is a product of intervals, so its sum is the sum of its rows' sums: one dimension is pooled
after the other.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.core.dtypes import float32, is_floating, is_low_precision
from tapegrad.core.memory import Array
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_tensor
from tapegrad.ops.common.precision import in_float32
from tapegrad.ops.conv.sliding_window import (
    Sizes,
    Windows,
    bordered_along,
    ints,
    members,
    part,
    unbatched,
    windows_of,
)


def _divided(xp: Any, x: Array, divisor: Any) -> Any:
    """Integers are divided as integers, towards 0."""
    if is_floating(x.dtype):
        return x / xp.asarray(divisor, dtype=x.dtype)
    divisor = xp.asarray(divisor)
    return (xp.sign(x) * (abs(x) // abs(divisor)) * xp.sign(divisor)).astype(x.dtype)


@primitive(
    "avg_pool",
    vjp=(
        lambda xp, g, input_shape, windows, divisor: xp.avg_pool_backward(
            g, size=tuple(input_shape[2:]), windows=windows, divisor=divisor
        ),
    ),
)
@in_float32
def _avg_pool(xp: Any, x: Array, *, windows: Sequence[Windows], divisor: Any) -> Array:
    for i, along in reversed(list(enumerate(windows))):
        first, *others = members(bordered_along(xp, x, i + 2, along, 0), i + 2, along)
        x = first.copy()
        for other in others:
            x += other
    return _divided(xp, x, divisor)


@primitive(vjp="avg_pool")
@in_float32
def avg_pool_backward(
    xp: Any, grad: Array, *, size: Sizes, windows: Sequence[Windows], divisor: Any
) -> Array:
    """Each window's gradient, divided evenly among its elements."""
    grad = _divided(xp, grad, divisor)
    for i, along in enumerate(windows):
        n, p, axis = size[i], along.padding, i + 2
        length = max(n + 2 * p, along.reach)
        x = xp.zeros((*grad.shape[:axis], length, *grad.shape[axis + 1 :]), dtype=grad.dtype)
        for place in members(x, axis, along):
            place += grad
        grad = x[part(axis, slice(p, p + n))]
    return grad


def _divisor(size: Any, windows: Sequence[Windows], include_pad: bool) -> Any:
    """How many elements of each window count: one number if all are whole, else an array."""
    if all(
        along.reach <= n + 2 * along.padding and (include_pad or not along.padding)
        for n, along in zip(size, windows, strict=True)
    ):
        return math.prod(along.kernel for along in windows)
    counts = []
    for n, along in zip(size, windows, strict=True):
        start = np.arange(along.out) * along.stride - along.padding
        end = np.minimum(start + along.kernel, n + along.padding)
        inside = np.minimum(end, n) - np.maximum(start, 0)
        counts.append(end - start if include_pad else inside)
    return functools.reduce(np.multiply.outer, counts)


# ---------------------------------------------------------------------- PyTorch's signatures


def _pool(
    op: str,
    dims: int,
    x: Tensor,
    kernel: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: Any,
) -> Tensor:
    require_tensor(op, x)
    if divisor == 0:
        raise RuntimeError(f"[{op}] divisor_override must not be 0")
    if unbatched(op, x, dims):
        y = _pool(
            op, dims, x.unsqueeze(0), kernel, stride, padding, ceil_mode, count_include_pad, divisor
        )
        return y.squeeze(0)
    windows = windows_of(op, dims, x, kernel, stride, padding, 1, ceil_mode)
    if divisor is None:
        divisor = _divisor(x.shape[2:], windows, count_include_pad)
    return _avg_pool(x, windows=windows, divisor=divisor)


def avg_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of every window of a sequence: ``avg_pool2d`` with one dimension less.
    input: (n, c, w) or (c, w)."""
    return _pool(
        "avg_pool1d", 1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None
    )


def avg_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of every window. input: (n, c, h, w) or (c, h, w); stride: kernel_size by default.
    count_include_pad: whether padding counts in the mean; divisor_override: divide by this."""
    return _pool(
        "avg_pool2d",
        2,
        input,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
    )


def avg_pool3d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of every window of a volume: ``avg_pool2d`` with one dimension more.
    input: (n, c, d, h, w) or (c, d, h, w)."""
    return _pool(
        "avg_pool3d",
        3,
        input,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
    )


def _lp_pool(
    op: str, dims: int, x: Tensor, norm_type: float, kernel: Any, stride: Any, ceil_mode: bool
) -> Tensor:
    require_tensor(op, x)
    kernel = ints(op, "kernel_size", kernel, dims)
    if is_low_precision(x.dtype):
        y = _lp_pool(op, dims, x.to(float32), norm_type, kernel, stride, ceil_mode)
        return y.to(x.dtype)
    mean = _pool(op, dims, x.pow(norm_type), kernel, stride, 0, ceil_mode, True, None)
    # The mean itself, but with slope 0 at 0, where the root's is infinite.
    mean = mean.detach().sign() * mean.abs().relu()
    return (mean * math.prod(kernel)).pow(1.0 / norm_type)


def lp_pool1d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """``lp_pool2d`` of sequences, (n, c, w) or (c, w)."""
    return _lp_pool("lp_pool1d", 1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """The norm of every window, (sum of x ** p) ** (1 / p) with p = norm_type.
    input: (n, c, h, w) or (c, h, w)."""
    return _lp_pool("lp_pool2d", 2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: Tensor, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """``lp_pool2d`` of volumes, (n, c, d, h, w) or (c, d, h, w)."""
    return _lp_pool("lp_pool3d", 3, input, norm_type, kernel_size, stride, ceil_mode)
