"""Repeating: whole tensors side by side, or each element."""

from __future__ import annotations

from typing import Any

from tapegrad.core.memory import Array, shares
from tapegrad.core.tape import array_function
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common import arguments
from tapegrad.ops.common.arguments import axis, require_tensor, same_device
from tapegrad.ops.common.index import getitem

from .shape import _broadcast_to, copy, reshape


def _tiled(op: str, x: Tensor, times: tuple[int, ...]) -> Tensor:
    lead = len(times) - x.ndim
    if lead < 0 or min(times, default=0) < 0:
        raise RuntimeError(
            f"[{op}] needs a non-negative count for each of {x.ndim} dimensions, got {times}"
        )
    shape = (1,) * lead + tuple(x.shape)
    apart = reshape(x, tuple(v for n in shape for v in (1, n)))
    tiled = tuple(v for pair in zip(times, shape, strict=True) for v in pair)
    result = reshape(
        _broadcast_to(apart, shape=tiled), tuple(n * s for n, s in zip(times, shape, strict=True))
    )
    return copy(result) if shares(result._array, x._array) else result


def repeat(input: Tensor, *counts: Any, repeats: Any = None) -> Tensor:
    """The tensor laid side by side, counts[i] times along dimension i: a copy. More counts than
    dimensions add some at the front. Raises RuntimeError for fewer counts, and negative ones."""
    require_tensor("repeat", input)
    times = arguments.sizes("repeat", counts if repeats is None else (repeats,))
    return _tiled("repeat", input, times)


def tile(input: Tensor, *counts: Any, dims: Any = None) -> Tensor:
    """``repeat``, with counts of 1 for the first dimensions where there are too few. Raises
    RuntimeError for negative counts."""
    require_tensor("tile", input)
    times = arguments.sizes("tile", counts if dims is None else (dims,))
    return _tiled("tile", input, (1,) * (input.ndim - len(times)) + times)


def repeat_interleave(
    input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Each slice along ``dim`` (each element, without one) repeated: a number of times, or
    repeats[i] times for the i-th, integers. Of counts alone: 0 counts[0] times, 1 counts[1] times,
    ... Raises RuntimeError for counts that are negative, not one for each slice, or do not add up
    to ``output_size``, where it is given."""
    op = "repeat_interleave"
    require_tensor(op, input)
    if repeats is None:
        _check_counts(op, input)
        if input.ndim != 1:
            raise RuntimeError(f"[{op}] counts must be a vector, got shape {tuple(input.shape)}")
        return wrap(_numbers(op, input, output_size), input._device)
    if dim is None:
        input, dim = reshape(input, input.numel()), 0
    d = axis(op, dim, input.ndim)
    x = reshape(input, 1) if input.ndim == 0 else input
    n = x.shape[d]
    if isinstance(repeats, Tensor):
        _check_counts(op, repeats)
        if repeats.ndim > 1 or (repeats.numel() not in (1, n)):
            raise RuntimeError(
                f"[{op}] repeats must be a number or one count for each of {n} slices, got shape "
                f"{tuple(repeats.shape)}"
            )
        if repeats.numel() != 1 or n == 1:
            same_device(op, x, repeats, "repeats")
            rows = _numbers(op, reshape(repeats, repeats.numel()), output_size)
            return getitem(x, index=(slice(None),) * d + (rows,))
        repeats = repeats.item()
    (count,) = arguments.sizes(op, (repeats,))
    if count < 0:
        raise RuntimeError(f"[{op}] repeats must not be negative, got {count}")
    before, after = tuple(x.shape[:d]), tuple(x.shape[d + 1 :])
    apart = reshape(x, (*before, n, 1, *after))
    wide = _broadcast_to(apart, shape=(*before, n, count, *after))
    result = reshape(wide, (*before, n * count, *after))
    return copy(result) if shares(result._array, x._array) else result


def _check_counts(op: str, counts: Tensor) -> None:
    if counts.dtype.kind not in "iu" or counts.dtype.itemsize < 4:
        raise RuntimeError(f"[{op}] repeats must be int64 or int32, got {counts.dtype.name}")
    if counts.numel() and int(counts._array.min()) < 0:
        raise RuntimeError(f"[{op}] repeats must not be negative")


@array_function
def numbered(xp: Any, counts: Any) -> Array:
    """0 counts[0] times, 1 counts[1] times, and so on. (CuPy's ``repeat`` takes no array.)"""
    ends = xp.library.cumsum(counts, dtype=xp.library.int64)
    total = int(ends[-1]) if ends.size else 0
    numbers = xp.library.searchsorted(ends, xp.library.arange(total), side="right")
    return numbers.astype(counts.dtype)


def _numbers(op: str, counts: Tensor, size: int | None) -> Any:
    result = counts._device.ops["numbered"](counts._array)
    if size is not None and size != result.size:
        raise RuntimeError(f"[{op}] output_size is {size}, the repeats add up to {result.size}")
    return result
