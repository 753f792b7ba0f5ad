"""Means and norms over windows of one, two or three dimensions.

A window is a product of intervals, so its sum is the sum of its rows' sums: one dimension is pooled
after the other.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tapegrad.core.dtypes import is_floating
from tapegrad.core.memory import Array
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_tensor
from tapegrad.ops.common.precision import compute_in_float32, in_float32
from tapegrad.ops.conv.sliding_window import (
    Sizes,
    Windows,
    border,
    bordered_along,
    for_dimensions,
    ints,
    members,
    windows_of,
    with_batch,
)

from . import pool_kernels  # noqa: F401  registers how GPUs compute the primitives below


class Counts(NamedTuple):
    """Stands for the number of elements of each window, those in the border included or not."""

    include_pad: bool


def _divided(xp: Any, x: Array, divisor: Any, size: Any, windows: Sequence[Windows]) -> Any:
    """Integers are divided as integers, towards 0."""
    if isinstance(divisor, Counts):
        divisor = _counts(size, windows, divisor.include_pad)
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
    size = x.shape[2:]
    for i, along in reversed(list(enumerate(windows))):
        first, *others = members(bordered_along(xp, x, i + 2, along, 0), i + 2, along)
        x = first.copy()
        for other in others:
            x += other
    return _divided(xp, x, divisor, size, windows)


@primitive(vjp="avg_pool")
@in_float32
def avg_pool_backward(
    xp: Any, grad: Array, *, size: Sizes, windows: Sequence[Windows], divisor: Any
) -> Array:
    """Each window's gradient, divided evenly among its elements."""
    grad = _divided(xp, grad, divisor, size, windows)
    for i, along in enumerate(windows):
        whole, inner = border(xp, grad, i + 2, size[i], along)
        for elements in members(whole, i + 2, along):
            elements += grad
        grad = inner
    return grad


def _divisor(size: Any, windows: Sequence[Windows], include_pad: bool) -> int | Counts:
    """One number, if all windows have as many elements that count."""
    if all(
        along.reach <= n + 2 * along.padding and (include_pad or not along.padding)
        for n, along in zip(size, windows, strict=True)
    ):
        return math.prod(along.kernel for along in windows)
    return Counts(include_pad)


def _counts(size: Any, windows: Sequence[Windows], include_pad: bool) -> np.ndarray:
    counts = []
    for n, along in zip(size, windows, strict=True):
        start = np.arange(along.out) * along.stride - along.padding
        end = np.minimum(start + along.kernel, n + along.padding)
        inside = np.minimum(end, n) - np.maximum(start, 0)
        counts.append(end - start if include_pad else inside)
    return functools.reduce(np.multiply.outer, counts)


# ---------------------------------------------------------------------- PyTorch's signatures


def avg_pool(op: str, dims: int) -> Callable:
    def avg_pool(
        input: Tensor,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> Tensor:
        """The mean of every window of {images}. input: (n, c, {size}) or (c, {size}); stride:
        kernel_size by default; ceil_mode: a last window may run over the end. Means of integers are
        rounded towards 0.

        count_include_pad: whether padding counts in the mean; divisor_override: divide by this.
        Raises RuntimeError for windows that do not fit, and for a divisor_override of 0.
        """
        x, restore = with_batch(op, dims, input)
        if divisor_override == 0:
            raise RuntimeError(f"[{op}] divisor_override must not be 0")
        windows = windows_of(op, dims, x, kernel_size, stride, padding, 1, ceil_mode)
        divisor: int | Counts | None = divisor_override
        if divisor is None:
            divisor = _divisor(x.shape[2:], windows, count_include_pad)
        return restore(_avg_pool(x, windows=windows, divisor=divisor))

    return avg_pool


_avg_pool1d, avg_pool2d, avg_pool3d = for_dimensions(avg_pool, 1, 2, 3)


def avg_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of every window of sequences. input: (n, c, w) or (c, w); the rest is that of
    ``avg_pool2d``."""
    return _avg_pool1d(input, kernel_size, stride, padding, ceil_mode, count_include_pad)


def lp_pool(op: str, dims: int) -> Callable:
    average = avg_pool(op, dims)

    @compute_in_float32
    def lp_pool(
        input: Tensor,
        norm_type: float,
        kernel_size: Any,
        stride: Any = None,
        ceil_mode: bool = False,
    ) -> Tensor:
        """The norm of every window of {images}: (sum of x ** p) ** (1 / p) with p = norm_type.
        input: (n, c, {size}) or (c, {size}); stride: kernel_size by default. Raises RuntimeError
        for windows that do not fit, ValueError for p = 0."""
        require_tensor(op, input)
        if norm_type == 0:
            raise ValueError(f"[{op}] norm_type must not be 0: there is no such norm")
        kernel = ints(op, "kernel_size", kernel_size, dims)
        mean = average(input.pow(norm_type), kernel, stride, ceil_mode=ceil_mode)
        # The mean itself, but with slope 0 at 0, where the root's is infinite.
        mean = mean.detach().sign() * mean.abs().relu()
        return (mean * math.prod(kernel)).pow(1.0 / norm_type)

    return lp_pool


lp_pool1d, lp_pool2d, lp_pool3d = for_dimensions(lp_pool, 1, 2, 3)
