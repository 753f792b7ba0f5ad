"""Maxima over windows of one, two or three dimensions.

A window is a product of intervals, so its maximum is the maximum of its rows' maxima: one dimension
is pooled after the other, the last one first. (Among equals that finds the first in row-major
order, as if all had been compared.) GPUs compare all at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad.core.dtypes import is_floating
from tapegrad.core.memory import Array, has_values
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common.precision import in_float32
from tapegrad.ops.conv.sliding_window import (
    Sizes,
    Windows,
    border,
    bordered_along,
    for_dimensions,
    members,
    windows_of,
    with_batch,
)

from .flat_pixels import read_positions
from .pool_kernels import has_kernel


def largest(xp: Any, parts: Sequence[Any], first: Any = None) -> tuple[Any, Any]:
    """The elementwise maxima of several arrays, and which of them each came from: the first among
    equals, the last nan. ``first``: where it comes from if nothing is larger than the first part.
    """
    if not has_values(parts[0]):
        return _largest(xp, parts, first, True)
    best, which = _largest(xp, parts, first, False)
    if best.size and best.dtype.kind in "fV" and np.isnan(best.min()):
        return _largest(xp, parts, first, True)
    return best, which


def _largest(xp: Any, parts: Sequence[Any], first: Any, with_nan: bool) -> tuple[Any, Any]:
    """Looking for nan takes two more passes over everything, mostly for nothing."""
    best, *others = parts
    kind = "uint8" if len(parts) <= 256 else "int32"
    which = None
    for k, x in enumerate(others, 1):
        better = x > best
        if with_nan:
            better |= x != x
        best = xp.library.maximum(best, x)
        if which is None and first is None and kind == "uint8":
            which = better.view(kind)
            continue
        if which is None:
            which = xp.zeros(best.shape, dtype=kind)
            which[...] = 0 if first is None else first
        xp.library.maximum(which, better * which.dtype.type(k), out=which)
    if which is None:
        which = xp.zeros(best.shape, dtype=kind)
    return best if others else best.copy(), which


def _lowest(dtype: Any) -> Any:
    return -math.inf if is_floating(dtype) else int(np.iinfo(dtype).min)


def _max_along_rule(
    xp: Any, g: Array, which: Any, input_shape: tuple, axis: int, windows: Windows
) -> Array:
    return xp.max_along_backward(g, which, size=input_shape[axis], axis=axis, windows=windows)


@primitive(vjp=(_max_along_rule,), extras=("which",))
def max_along(xp: Any, x: Array, *, axis: int, windows: Windows) -> Array:
    """The maxima along one dimension, and which kernel position each came from."""
    first: Any = None
    if windows.padding:  # a window of -inf finds its first element, not the border
        starts = np.arange(windows.out) * windows.stride - windows.padding
        first = -(starts // windows.dilation).clip(max=0)
        first = xp.asarray(first).reshape(-1, *(1,) * (x.ndim - axis - 1))
    x = bordered_along(xp, x, axis, windows, _lowest(x.dtype))
    return largest(xp, members(x, axis, windows), first)


@primitive(vjp=(_max_along_rule, None))
def max_along_pick(xp: Any, x: Array, which: Any, *, axis: int, windows: Windows) -> Array:
    """The elements of ``x`` at the positions of another input's maxima."""
    first, *others = members(bordered_along(xp, x, axis, windows, 0), axis, windows)
    result = xp.where(which == 0, first, 0)
    for k, other in enumerate(others, 1):
        result += xp.where(which == k, other, 0)
    return result


@primitive(vjp=("max_along_pick", None))
@in_float32
def max_along_backward(
    xp: Any, grad: Array, which: Any, *, size: int, axis: int, windows: Windows
) -> Array:
    """Each gradient goes to the position its maximum came from."""
    whole, inner = border(xp, grad, axis, size, windows)
    apart = windows.stride > windows.dilation * (windows.kernel - 1)
    for k, elements in enumerate(members(whole, axis, windows)):
        share = xp.where(which == k, grad, 0)
        if apart:
            elements[...] = share
        else:
            elements += share
    return inner


@primitive()
def largest_at(xp: Any, x: Array, *, elements: Sequence[Any]) -> Array:
    """Where the maxima of windows are, as indices into the flattened last dimensions.

    elements: for each of these dimensions, the indices of the elements of its windows, (elements,
    batch or 1, channels or 1, windows).
    """
    take = xp.library.take_along_axis
    position: Any = None
    scale = 1
    for i, indices in reversed(list(enumerate(elements))):
        axis, length = i + 2, x.shape[i + 2]
        indices = xp.asarray(indices)
        shape = [1] * x.ndim
        shape[:2], shape[axis] = indices.shape[1:3], indices.shape[3]
        indices = indices.reshape(len(indices), *shape)
        x, which = largest(xp, [take(x, index, axis) for index in indices])
        here = take(indices, which[None].astype("int64"), 0)[0]
        position = here * scale if position is None else take(position, here, axis) + here * scale
        scale *= length
    return position


def at(x: Tensor, position: Tensor) -> Tensor:
    """The elements of ``x`` at indices into its flattened dimensions behind the second."""
    return read_positions(x.flatten(2), position.flatten(2)).reshape(tuple(position.shape))


def _clipped(n: int, windows: Windows) -> tuple[np.ndarray, np.ndarray]:
    """The indices of the windows' elements among n, border left out: (elements, 1, 1, windows); and
    which windows have none, as dilated ones can lie in the border alone."""
    starts = np.arange(windows.out) * windows.stride - windows.padding
    first = -(starts // windows.dilation).clip(max=0)
    last = np.minimum((n - 1 - starts) // windows.dilation, windows.kernel - 1)
    positions = np.arange(windows.kernel)[:, None].clip(first, np.maximum(last, first))
    return (starts + positions * windows.dilation).clip(0, n - 1)[:, None, None], last < first


def _largest_and_where(x: Tensor, windows: Sequence[Windows]) -> tuple[Tensor, Tensor]:
    elements, without = zip(*map(_clipped, x.shape[2:], windows), strict=True)
    position = largest_at(x, elements=list(elements))
    best = at(x, position)
    for axis, none in enumerate(without, 2):
        if none.any():
            mask = x._device.xp.asarray(none).reshape(-1, *(1,) * (x.ndim - axis - 1))
            best = best.masked_fill(wrap(mask, x._device), _lowest(x.dtype))
    return best, position


# ---------------------------------------------------------------------- all dimensions at once


def _of_windows(xp: Any, like: Any, without: Sequence[np.ndarray], value: Any) -> Any:
    """The array, with ``value`` for windows that lie in the border alone."""
    for axis, none in enumerate(without, 2):
        if none.any():
            mask = xp.asarray(none).reshape(-1, *(1,) * (like.ndim - axis - 1))
            like = xp.where(mask, value, like)
    return like


def _read(xp: Any, x: Any, where: Any) -> Any:
    return xp.read_positions(_flat(x), _flat(where)).reshape(where.shape)


def _flat(images: Any) -> Any:
    return images.reshape(*images.shape[:2], math.prod(images.shape[2:]))


@primitive(
    "max_pool",
    vjp=(
        lambda xp, g, where, input_shape, windows: xp.max_pool_backward(
            g, where, size=tuple(input_shape[2:]), windows=windows
        ),
    ),
    extras=("where",),
)
def _max_pool(xp: Any, x: Array, *, windows: Sequence[Windows]) -> tuple:
    """The maxima, and where each is in its flattened image."""
    elements, without = zip(*map(_clipped, x.shape[2:], windows), strict=True)
    where = xp.largest_at(x, elements=list(elements))
    return _of_windows(xp, _read(xp, x, where), without, _lowest(x.dtype)), where


@primitive(
    vjp=(
        lambda xp, g, where, input_shape, windows: xp.max_pool_backward(
            g, where, size=tuple(input_shape[2:]), windows=windows
        ),
        None,
    )
)
def max_pool_pick(xp: Any, x: Array, where: Any, *, windows: Sequence[Windows]) -> Array:
    """The elements of ``x`` where another input's maxima are."""
    without = [_clipped(n, along)[1] for n, along in zip(x.shape[2:], windows, strict=True)]
    return _of_windows(xp, _read(xp, x, where), without, 0)


@primitive(
    vjp=(
        lambda xp, g, where, input_shape, size, windows: xp.max_pool_pick(
            g, where, windows=windows
        ),
        None,
    )
)
def max_pool_backward(
    xp: Any, grad: Array, where: Any, *, size: Sizes, windows: Sequence[Windows]
) -> Array:
    """Each gradient goes where its maximum came from."""
    without = [_clipped(n, along)[1] for n, along in zip(size, windows, strict=True)]
    grad = _of_windows(xp, grad, without, 0)
    dx = xp.add_positions(_flat(grad), _flat(where), size=math.prod(size))
    return dx.reshape(*grad.shape[:2], *size)


# ---------------------------------------------------------------------- PyTorch's signatures


def max_pool(op: str, dims: int) -> Callable:
    def max_pool(
        input: Tensor,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Any:
        """The largest element of every window of {images}. input: (n, c, {size}) or (c, {size});
        stride: kernel_size by default; ceil_mode: a last window may run over the end. The gradient
        goes to the first maximum of each window; nan counts as largest.

        return_indices: (maxima, where they are in each flattened input, int64) instead, for
        ``max_unpool``. Raises RuntimeError for windows that do not fit.
        """
        x, restore = with_batch(op, dims, input)
        windows = windows_of(op, dims, x, kernel_size, stride, padding, dilation, ceil_mode)
        if return_indices:
            return restore(_largest_and_where(x, windows))
        if has_kernel(x):
            return restore(_max_pool(x, windows=windows))
        for i in reversed(range(dims)):
            x = max_along(x, axis=i + 2, windows=windows[i])
        return restore(x)

    return max_pool


max_pool1d, max_pool2d, max_pool3d = for_dimensions(max_pool, 1, 2, 3)
