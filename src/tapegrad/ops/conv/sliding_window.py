"""Windows that slide over the last dimensions, one, two or three of them: what convolution,
pooling and ``unfold`` share."""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat
from typing import Any, NamedTuple

from tapegrad.core.memory import Array
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_tensor

Sizes = tuple[int, ...]

# What docstrings call an input of so many dimensions, and its sizes.
_WORDS = {
    1: {"images": "sequences", "size": "w", "kernel": "kw", "out": "ow"},
    2: {"images": "images", "size": "h, w", "kernel": "kh, kw", "out": "oh, ow"},
    3: {"images": "volumes", "size": "d, h, w", "kernel": "kd, kh, kw", "out": "od, oh, ow"},
}


def for_dimensions(make: Callable[[str, int], Callable], *dims: int) -> list[Callable]:
    """``make(op, n)`` for each number n of dimensions, named by it (``conv`` makes ``conv2d``); in
    its docstring, what stands in braces becomes the words for so many dimensions."""
    functions = []
    for n in dims:
        op = f"{make.__name__}{n}d"
        function = make(op, n)
        function.__name__ = function.__qualname__ = op
        function.__doc__ = (function.__doc__ or "").format(**_WORDS[n])
        functions.append(function)
    return functions


def with_batch(op: str, dims: int, x: Tensor) -> tuple[Tensor, Callable]:
    """``x`` as (batch, channels, ...), with ``dims`` further dimensions, and a function that takes
    the batch off the results again if ``x`` came without. Raises TypeError for anything but a
    Tensor, RuntimeError for any other number of dimensions."""
    require_tensor(op, x)
    if x.ndim == dims + 2:
        return x, _unchanged
    if x.ndim == dims + 1:
        return x.unsqueeze(0), _without_batch
    raise RuntimeError(
        f"[{op}] expects (batch, channels, ...) or (channels, ...) with {dims} further "
        f"dimension{'s' if dims > 1 else ''}, got an input of shape {tuple(x.shape)}"
    )


def _without_batch(y: Any) -> Any:
    return tuple(map(_without_batch, y)) if isinstance(y, tuple) else y.squeeze(0)


def _unchanged(y: Any) -> Any:
    return y


class Geometry(NamedTuple):
    """How windows lie, along each dimension, and in how many groups channels are convolved."""

    stride: Sizes
    padding: Sizes
    dilation: Sizes
    groups: int = 1


class Windows(NamedTuple):
    """Windows along one dimension: how many, and where."""

    out: int
    kernel: int
    stride: int
    padding: int = 0
    dilation: int = 1

    @property
    def reach(self) -> int:
        """From the border's first element to behind the last window: with ceil_mode, this may be
        beyond the border."""
        return (self.out - 1) * self.stride + self.dilation * (self.kernel - 1) + 1


def outputs(size: Any, kernel: Sizes, geometry: Geometry, ceil_mode: bool = False) -> Sizes:
    """How many windows there are along each dimension."""
    return tuple(map(_count, size, kernel, *geometry[:3], repeat(ceil_mode)))


def _count(n: int, k: int, s: int, p: int, d: int, ceil_mode: bool) -> int:
    """The number of windows along one dimension; with ceil_mode the last may run over the end, if
    it starts inside the input or its left padding."""
    span = n + 2 * p - d * (k - 1) - 1
    out = (-(-span // s) if ceil_mode else span // s) + 1
    return out - 1 if ceil_mode and (out - 1) * s >= n + p else out


def bordered(xp: Any, x: Array, padding: Sizes) -> Any:
    """``x`` (batch, channels, ...) with a border of zeros."""
    if not any(padding):
        return x
    full = tuple(n + 2 * p for n, p in zip(x.shape[2:], padding, strict=True))
    result = xp.zeros((*x.shape[:2], *full), dtype=x.dtype)
    result[inside(x.shape[2:], padding)] = x
    return result


def inside(size: Any, padding: Sizes) -> tuple:
    """Where the input lies within its border."""
    return (..., *(slice(p, p + n) for n, p in zip(size, padding, strict=True)))


def window(position: Sizes, out: Sizes, geometry: Geometry) -> tuple:
    """Where one kernel position of every window lies in the bordered input."""
    return (..., *map(step, position, out, geometry.stride, geometry.dilation))


def step(k: int, out: int, stride: int, dilation: int) -> slice:
    """The k-th elements of the windows along one dimension."""
    return slice(k * dilation, k * dilation + stride * (out - 1) + 1, stride)


def ints(op: str, name: str, value: Any, dims: int, least: int = 1) -> Sizes:
    """One int, or one a dimension. Raises RuntimeError for others and for those below ``least``,
    TypeError for anything but ints."""
    if value.__class__ is int and value >= least:
        return (value,) * dims
    given = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    try:
        given = tuple(v.__index__() for v in given)
    except (AttributeError, TypeError):
        raise TypeError(f"[{op}] {name} must be ints, got {value!r}") from None
    if len(given) == 1:
        given *= dims
    if len(given) != dims or any(v < least for v in given):
        number = f"one int or {dims}" if dims > 1 else "one int"
        raise RuntimeError(f"[{op}] {name} must be {number}, at least {least}, got {value!r}")
    return given


# ---------------------------------------------------------------------- for pooling


def border(
    xp: Any, like: Array, axis: int, n: int, windows: Windows, value: Any = 0
) -> tuple[Array, Array]:
    """An array with n elements along one dimension and a border of ``value`` that the windows stay
    within, otherwise shaped like ``like``; and the part inside the border, a view."""
    length = max(n + 2 * windows.padding, windows.reach)
    shape = (*like.shape[:axis], length, *like.shape[axis + 1 :])
    whole = xp.full(shape, value, dtype=like.dtype) if value else xp.zeros(shape, dtype=like.dtype)
    return whole, whole[_along(axis, slice(windows.padding, windows.padding + n))]


def bordered_along(xp: Any, x: Array, axis: int, windows: Windows, value: Any) -> Any:
    """One dimension with a border that the windows stay within."""
    if not windows.padding and windows.reach <= x.shape[axis]:
        return x
    whole, inner = border(xp, x, axis, x.shape[axis], windows, value)
    inner[...] = x
    return whole


def _along(axis: int, part: slice) -> tuple:
    return (*(slice(None),) * axis, part)


def members(x: Any, axis: int, windows: Windows) -> list[Any]:
    """For each kernel position, the elements of all windows: views of ``x`` with its border."""
    out, kernel, stride, _, dilation = windows
    return [x[_along(axis, step(k, out, stride, dilation))] for k in range(kernel)]


def kernel_and_stride(op: str, dims: int, kernel: Any, stride: Any) -> tuple[Sizes, Sizes]:
    """Both as one int a dimension; the stride is the kernel's size by default."""
    kernel = ints(op, "kernel_size", kernel, dims)
    missing = stride is None or (isinstance(stride, (tuple, list)) and not stride)
    return kernel, kernel if missing else ints(op, "stride", stride, dims)


def windows_of(
    op: str,
    dims: int,
    x: Tensor,
    kernel: Any,
    stride: Any,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> tuple[Windows, ...]:
    """The windows along each dimension; raises for those that do not fit."""
    kernel, stride = kernel_and_stride(op, dims, kernel, stride)
    padding, dilation = ints(op, "padding", padding, dims, 0), ints(op, "dilation", dilation, dims)
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise RuntimeError(
            f"[{op}] padding {padding} must be at most half the kernel size {kernel}"
        )
    out = outputs(x.shape[-dims:], kernel, Geometry(stride, padding, dilation), ceil_mode)
    if min(out) < 1 or 0 in x.shape[-dims - 1 :]:
        raise RuntimeError(
            f"[{op}] the kernel {kernel} does not fit the input of shape {tuple(x.shape)} with "
            f"padding {padding} and dilation {dilation}"
        )
    return tuple(map(Windows, out, kernel, stride, padding, dilation))
