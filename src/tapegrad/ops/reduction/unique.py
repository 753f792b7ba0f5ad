"""The different elements of a tensor, or slices of it."""

from __future__ import annotations

import math
from typing import Any

from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common.arguments import axis, require_tensor

from .sort import keys


def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The different elements (with ``dim``, the different slices along it), ``sorted`` or not in
    ascending order; on request also the index at which each element went, and how often each
    occurs, both int64. nan differs from nan. Has no gradient. Raises RuntimeError for slices
    without elements, IndexError for a dim of a 0-d tensor."""
    return _unique("unique", input, dim, return_inverse, return_counts, ordered=True)


def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The elements (with ``dim``, the slices along it) without those that equal the one before; on
    request also the index at which each element went, and the lengths of the runs, both int64. Has
    no gradient. Raises what ``unique`` does."""
    return _unique("unique_consecutive", input, dim, return_inverse, return_counts, ordered=False)


def _unique(
    op: str, input: Tensor, dim: int | None, inverse: bool, counts: bool, ordered: bool
) -> Any:
    require_tensor(op, input)
    device = input._device
    xp, x = device.xp, input._array
    if dim is not None and not x.ndim:
        raise IndexError(f"[{op}] a 0-d tensor has no dim {dim}")
    d = 0 if dim is None else axis(op, dim, input.ndim)
    slices = x.reshape(-1) if dim is None else x
    n, width = slices.shape[d], math.prod(slices.shape[:d] + slices.shape[d + 1 :])
    if n and not width:
        raise RuntimeError(
            f"[{op}] shape {tuple(input.shape)} has a dimension of size 0 other than dim {d}: its "
            "slices are empty"
        )
    rows = keys(xp.library.moveaxis(slices, d, 0).reshape(n, width))
    order = None
    if ordered:
        # By the first column, among equals by the second, ...
        columns = xp.contiguous(rows.T[::-1])
        order = columns[0].argsort(kind="stable") if width == 1 else xp.library.lexsort(columns)
        rows = rows[order]
    new = xp.zeros(n, dtype=bool)
    new[:1] = True
    new[1:] = (rows[1:] != rows[:-1]).any(axis=1)
    first = new.nonzero()[0]
    chosen = first if order is None else order[first]
    results = [slices[(slice(None),) * d + (chosen,)]]
    if inverse:
        group = new.cumsum(axis=0) - 1
        where = group
        if order is not None:
            where = xp.empty(n, dtype=group.dtype)
            where[order] = group
        results.append(where.reshape(x.shape) if dim is None else where)
    if counts:
        ends = xp.empty(len(first), dtype=first.dtype)
        ends[:-1], ends[-1:] = first[1:], n
        results.append(ends - first)
    found = tuple(wrap(device.asarray(a), device) for a in results)
    return found[0] if len(found) == 1 else found
