"""Sorting along a dimension, and what is found by sorting.

Equal elements keep their order, so results are the same on every device. nan is larger than all.
"""

from __future__ import annotations

from typing import Any

from ..dtypes import float32, is_low_precision
from ..tensor import Tensor
from .index import getitem
from .pick import Picked, indices_of, pick, require_extent, take_along, with_dimension
from .shape import reshape


def keys(x: Any) -> Any:
    """Numbers in the order of the array's, of a dtype that every library compares."""
    if x.dtype.kind == "b":
        return x.astype("uint8")
    return x.astype(float32) if is_low_precision(x.dtype) else x


def order(xp: Any, x: Any, axis: int, descending: bool) -> Any:
    """The indices that sort an array along ``axis``."""
    if not descending:
        return keys(x).argsort(axis=axis, kind="stable")
    # Read backwards, equal elements are in reverse order twice: in their own.
    backwards = xp.library.flip(x, axis)
    places = keys(backwards).argsort(axis=axis, kind="stable")
    return x.shape[axis] - 1 - xp.library.flip(places, axis)


def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Picked:
    """(values, indices) in ascending or descending order along ``dim``; always stable."""
    x, d = with_dimension("sort", input, dim)
    indices = indices_of(order, x, d, descending)
    found = Picked(take_along(x, indices, axis=d), indices)
    return found if input.ndim else Picked(*(reshape(t, ()) for t in found))


def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """The indices that sort the tensor along ``dim``; always stable."""
    x, d = with_dimension("argsort", input, dim)
    indices = indices_of(order, x, d, descending)
    return indices if input.ndim else reshape(indices, ())


def msort(input: Tensor) -> Tensor:
    """The tensor sorted along its first dimension."""
    return sort(input, 0).values


def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Picked:
    """(values, indices) of the k largest (or smallest) elements along ``dim``, in that order."""
    x, d = with_dimension("topk", input, dim)
    n = x.shape[d]
    if not 0 <= k <= n:
        raise RuntimeError(f"[topk] k must be 0 to {n}, the size of dim {d}, got {k}")
    indices = indices_of(order, x, d, largest)
    indices = getitem(indices, index=(slice(None),) * d + (slice(0, k),))
    found = Picked(take_along(x, indices, axis=d), indices)
    return found if input.ndim or k == 0 else Picked(*(reshape(t, ()) for t in found))


def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Picked:
    """(values, indices) of the k-th smallest elements along ``dim``, counted from 1."""
    x, d = with_dimension("kthvalue", input, dim)
    n = x.shape[d]
    require_extent("kthvalue", x, d)
    if not 1 <= k <= n:
        raise RuntimeError(f"[kthvalue] k must be 1 to {n}, the size of dim {d}, got {k}")
    indices = indices_of(order, x, d, False)
    found = pick(x, getitem(indices, index=(slice(None),) * d + (slice(k - 1, k),)), d, keepdim)
    return found if input.ndim else Picked(*(reshape(t, ()) for t in found))
