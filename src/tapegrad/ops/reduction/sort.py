"""Sorting along a dimension, and what is found by sorting.

Equal elements keep their order, so results are the same on every device. nan is larger than all.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.core.dtypes import float32, is_low_precision
from tapegrad.core.memory import Array
from tapegrad.core.tape import array_function
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.indexing.take_along import Picked, pick, with_dimension
from tapegrad.ops.movement.shape import reshape
from tapegrad.ops.movement.split import part, slice_along


def keys(x: Any) -> Any:
    """Numbers in the order of the array's, of a dtype that every library compares."""
    if x.dtype.kind == "b":
        return x.astype("uint8")
    return x.astype(float32) if is_low_precision(x.dtype) else x


@array_function
def order(xp: Any, x: Array, *, axis: int, descending: bool) -> Any:
    """The indices that sort an array along ``axis``."""
    if not descending:
        return keys(x).argsort(axis=axis, kind="stable")
    # Read backwards, equal elements are in reverse order twice: in their own.
    backwards = xp.library.flip(x, axis)
    indices = keys(backwards).argsort(axis=axis, kind="stable")
    return x.shape[axis] - 1 - xp.library.flip(indices, axis)


def _order_of(x: Tensor, axis: int, descending: bool) -> Tensor:
    device = x._device
    order = device.ops["order"](x._array, axis=axis, descending=bool(descending))
    return wrap(order, device)


@array_function
def top(xp: Any, x: Array, *, axis: int, k: int, largest: bool) -> Any:
    """The indices of the k largest (or smallest) along ``axis``, sorted."""
    if isinstance(x, np.ndarray) and 0 < 8 * k <= x.shape[axis]:
        found = _partitioned(xp, x, axis, k, largest)
        if found is not None:
            return found
    return xp.order(x, axis=axis, descending=largest)[slice_along(axis, 0, k)].copy()


def _partitioned(xp: Any, x: Array, axis: int, k: int, largest: bool) -> Any:
    """``top`` without sorting what is not wanted; None where elements beyond the k equal the last
    of them, for then a partition may pick any of them."""
    values, n = keys(x), x.shape[axis]
    start = n - k if largest else 0
    last = start if largest else k - 1
    indices = np.argpartition(values, last, axis)
    bound = np.take_along_axis(values, indices[slice_along(axis, last, last + 1)], axis)
    indices = np.sort(indices[slice_along(axis, start, start + k)], axis)
    chosen = np.take_along_axis(values, indices, axis)
    equal, taken = ((v == bound).sum(axis=axis) for v in (values, chosen))
    if (equal != taken).any() or (bound != bound).any():
        return None
    return np.take_along_axis(indices, xp.order(chosen, axis=axis, descending=largest), axis)


def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Picked:
    """(values, indices) in ascending or descending order along ``dim``, indices in int64. Equal
    elements keep their order, ``stable`` or not; nan is larger than all."""
    x, d = with_dimension("sort", input, dim)
    return pick(input, _order_of(x, d, descending), d)


def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """The int64 indices that sort the tensor along ``dim``, as ``sort`` does."""
    x, d = with_dimension("argsort", input, dim)
    indices = _order_of(x, d, descending)
    return indices if input.ndim else reshape(indices, ())


def msort(input: Tensor) -> Tensor:
    """The values of ``sort`` along the first dimension."""
    return sort(input, 0).values


def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Picked:
    """(values, indices) of the k largest (or smallest) elements along ``dim``, whose size becomes
    k, largest (smallest) first, ``sorted`` or not; of equal ones the first. nan is larger than all.
    Raises RuntimeError for a k beyond the size."""
    x, d = with_dimension("topk", input, dim)
    n = x.shape[d]
    if not 0 <= k <= n:
        raise RuntimeError(f"[topk] k must be 0 to {n}, the size of dim {d}, got {k}")
    device = x._device
    indices = device.ops["top"](x._array, axis=d, k=k, largest=bool(largest))
    return pick(input, wrap(indices, device), d)


def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Picked:
    """(values, indices) of the k-th smallest elements along ``dim``, counted from 1; nan is larger
    than all. Raises RuntimeError for a k beyond the size, IndexError for a size of 0."""
    x, d = with_dimension("kthvalue", input, dim, filled=True)
    n = x.shape[d]
    if not 1 <= k <= n:
        raise RuntimeError(f"[kthvalue] k must be 1 to {n}, the size of dim {d}, got {k}")
    return pick(input, part(_order_of(x, d, False), d, k - 1, k), d, keepdim)
