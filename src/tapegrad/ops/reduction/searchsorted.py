"""Where numbers belong in a sorted sequence."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.core.dtypes import float64, int64
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common.arguments import require_tensor, same_device
from tapegrad.ops.creation.create import as_tensor

from .sort import keys


def searchsorted(
    sorted_sequence: Tensor,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """The first position in the (last dimension of the) sorted sequence before which each number
    can be inserted, as int64; right, or side "right": the last such position. A vector serves all
    numbers; else the dimensions before the last must agree. sorter: the int64 indices that sort a
    sequence that is not. Raises RuntimeError for other shapes, dtypes and devices, IndexError for a
    sorter out of range."""
    if side not in (None, "left", "right"):
        raise RuntimeError(f"[searchsorted] side must be 'left' or 'right', got {side!r}")
    if side == "left" and right:
        raise RuntimeError("[searchsorted] side='left' and right=True contradict each other")
    right = right or side == "right"
    return _search("searchsorted", sorted_sequence, input, out_int32, right, sorter)


def bucketize(
    input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False
) -> Tensor:
    """The number of the bucket between sorted boundaries, a vector, that each number falls into, as
    int64: i for boundaries[i - 1] < number <= boundaries[i]; right: for boundaries[i - 1] <= number
    < boundaries[i]. Raises what ``searchsorted`` does."""
    require_tensor("bucketize", boundaries)
    if boundaries.ndim != 1:
        raise RuntimeError(
            f"[bucketize] boundaries must be a vector, got shape {tuple(boundaries.shape)}"
        )
    return _search("bucketize", boundaries, input, out_int32, right, None)


def _search(
    op: str, sequence: Tensor, input: Any, out_int32: bool, right: bool, sorter: Any
) -> Tensor:
    require_tensor(op, sequence)
    values = input
    if not isinstance(values, Tensor):  # a number is compared as the sequence's dtype
        own = sequence.dtype
        if isinstance(values, (float, np.floating)) and not sequence.is_floating_point():
            sequence, own = sequence.double(), float64  # or 3.7 would be a 3
        elif own.kind in "iu" and isinstance(values, (int, np.integer)):
            sequence, own = sequence.long(), int64  # or 300 would not be a uint8
        values = as_tensor(values, dtype=own, device=sequence.device)
    _check(op, sequence, values, sorter)
    device = sequence._device
    s, v = keys(sequence._array), keys(values._array)
    if sorter is not None:
        s = device.library.take_along_axis(s, sorter._array, -1)
    kind = np.int32 if out_int32 else np.int64
    if s.ndim == 1:
        side = "right" if right else "left"
        found = device.library.searchsorted(s, v.reshape(-1), side=side).reshape(v.shape)
    else:
        found = _bisect(device.library, s, v, right)
    return wrap(device.asarray(found).astype(kind, copy=False), device)


def _bisect(library: Any, s: Any, v: Any, right: bool) -> Any:
    """Rows of numbers in rows of sorted numbers, all halved at once."""
    low = library.zeros(v.shape, dtype=np.int64)
    high = library.full(v.shape, s.shape[-1], dtype=np.int64)
    for _ in range(s.shape[-1].bit_length()):
        middle = (low + high) // 2
        # Where low == high nothing changes, whatever is read at the last position.
        at = library.take_along_axis(s, library.minimum(middle, s.shape[-1] - 1), -1)
        beyond = (low < high) & ~(at > v if right else at >= v)
        high = library.where(beyond, high, middle)
        low = library.where(beyond, middle + 1, low)
    return low


def _check(op: str, sequence: Tensor, values: Tensor, sorter: Any) -> None:
    if sequence.ndim == 0:
        raise RuntimeError(f"[{op}] the sorted sequence must have at least 1 dimension")
    shape, wanted = tuple(sequence.shape), tuple(values.shape)
    if sequence.ndim > 1 and (len(shape) != len(wanted) or shape[:-1] != wanted[:-1]):
        raise RuntimeError(
            f"[{op}] sequences of shape {shape} and numbers of shape {wanted}: the sequence must "
            "be a vector, or all dimensions before the last must agree"
        )
    if sequence.dtype != values.dtype:
        raise RuntimeError(
            f"[{op}] the sequence is {sequence.dtype.name}, the numbers are {values.dtype.name}: "
            "convert one with .to()"
        )
    same_device(op, sequence, values, "numbers")
    if sorter is None:
        return
    require_tensor(op, sorter)
    if sorter.dtype != np.int64 or sorter.shape != sequence.shape:
        raise RuntimeError(
            f"[{op}] the sorter must hold int64 indices in the sequence's shape {shape}, got "
            f"{sorter.dtype.name} {tuple(sorter.shape)}"
        )
    a = sorter._array
    if a.size and (int(a.min()) < 0 or int(a.max()) >= shape[-1]):
        raise IndexError(f"[{op}] the sorter's indices must be 0 to {shape[-1] - 1}")
