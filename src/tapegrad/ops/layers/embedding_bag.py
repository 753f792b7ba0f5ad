"""Bags of embeddings: sums, means and maxima of rows looked up, without the rows in between."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.core.dtypes import is_low_precision
from tapegrad.core.memory import Array
from tapegrad.core.tape import array_function
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.indexing.gather import gather
from tapegrad.ops.pointwise.elementwise import as_dtype, where

from .embedding import (
    add_rows,
    check_table,
    embedding_backward,
    padding_row,
    rarity,
    renormalize,
    scale_gradient,
    wide_rows,
)

_MODES = ("sum", "mean", "max")


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """The sum, mean or maximum of the rows of ``weight`` in each bag: (bags, columns).

    input: (bags, n), or (n,) with ``offsets`` at which bags start (and, with include_last_offset,
    where the last one ends). per_sample_weights: factors of the rows of a sum. Rows
    ``padding_idx`` do not count; empty bags are 0. The other arguments are ``embedding``'s. Raises
    ValueError for arguments that do not go together, NotImplementedError for weights of anything
    but a sum, RuntimeError for offsets that decrease or exceed the input.
    """
    op = "embedding_bag"
    _check(op, input, weight, offsets, mode, per_sample_weights, scale_grad_by_freq, sparse)
    skip = padding_row(op, padding_idx, weight.shape[0])
    device, xp = weight._device, weight._device.xp
    indices, bag_of, bags = _bags(op, xp, input, offsets, include_last_offset)
    if max_norm is not None:
        renormalize(op, weight, input, max_norm, norm_type)
    factors = per_sample_weights
    if factors is not None:
        factors = factors.reshape(-1)[: len(indices)]
    frequency = rarity(weight, wrap(indices, device)) if scale_grad_by_freq else None
    if skip is not None:
        kept = indices != skip
        indices, bag_of = indices[kept], bag_of[kept]
        factors = factors if factors is None else factors[wrap(kept, device)]
        frequency = frequency if frequency is None else frequency[wrap(kept, device)]
    if mode == "max" and len(indices):
        return _maxima(weight, indices, bag_of, bags)
    if frequency is None and factors is None and not is_low_precision(weight.dtype):
        sums = add_rows(weight, wrap(indices, device), wrap(bag_of, device), rows=bags)
    else:
        rows = wide_rows(weight, wrap(indices, device))
        if frequency is not None:
            rows = scale_gradient(rows, frequency)
        if factors is not None:
            rows = rows * factors.unsqueeze(1)
        sums = embedding_backward(rows, wrap(bag_of, device), rows=bags, skip=None)
    if mode == "mean":
        counts = xp.maximum(xp.library.bincount(bag_of, minlength=bags), 1) if bags else bag_of
        sums = sums / wrap(counts[:, None].astype(sums.dtype), device)
    return as_dtype(sums, weight.dtype)


def _check(
    op: str,
    input: Tensor,
    weight: Tensor,
    offsets: Any,
    mode: str,
    factors: Any,
    scaled: bool,
    sparse: bool,
) -> None:
    check_table(op, input, weight)
    if mode not in _MODES:
        raise ValueError(f"[{op}] mode must be one of {_MODES}, got {mode!r}")
    if mode == "max" and (scaled or sparse):
        raise ValueError(f"[{op}] mode 'max' has neither scale_grad_by_freq nor sparse gradients")
    if factors is not None and factors.shape != input.shape:
        raise ValueError(
            f"[{op}] per_sample_weights must have the input's shape {tuple(input.shape)}, got "
            f"{tuple(factors.shape)}"
        )
    if factors is not None and mode != "sum":
        raise NotImplementedError(f"[{op}] per_sample_weights need mode 'sum', got {mode!r}")
    if factors is not None and factors.dtype != weight.dtype:
        raise RuntimeError(
            f"[{op}] weight is {weight.dtype.name}, per_sample_weights {factors.dtype.name}"
        )
    if input.ndim == 2 and offsets is not None:
        raise ValueError(f"[{op}] an input (bags, n) takes no offsets")
    if input.ndim == 1 and (not isinstance(offsets, Tensor) or offsets.ndim != 1):
        raise ValueError(f"[{op}] an input (n,) takes a 1-d tensor of offsets")
    if input.ndim not in (1, 2):
        raise ValueError(f"[{op}] input must be (bags, n) or (n,), got {tuple(input.shape)}")


def _bags(
    op: str, xp: Any, input: Tensor, offsets: Tensor | None, include_last: bool
) -> tuple[Any, Any, int]:
    """The indices in bags, one after the other, the bag of each, and how many bags there are."""
    indices = input._array.reshape(-1).astype(np.int64)  # a copy: the caller may change theirs
    if offsets is None:
        bags, n = input.shape
        return indices, xp.library.repeat(xp.arange(bags), n), bags
    starts = offsets._array.astype(np.int64)
    if include_last:
        if not len(starts):
            raise RuntimeError(f"[{op}] include_last_offset needs at least one offset")
        starts, ends = starts[:-1], starts[1:]
    else:
        ends = xp.library.concatenate((starts[1:], xp.asarray([len(indices)])))
    if not len(starts):
        return indices[:0], starts, 0
    if int(starts[0]) != 0 or bool((ends < starts).any()) or int(ends[-1]) > len(indices):
        raise RuntimeError(
            f"[{op}] offsets must start at 0 and not decrease, up to the {len(indices)} indices "
            f"at most; got {offsets.tolist()}"
        )
    indices = indices[: int(ends[-1])]
    bag_of = xp.library.searchsorted(starts, xp.arange(len(indices)), side="right") - 1
    return indices, bag_of, len(starts)


def _maxima(weight: Tensor, indices: Any, bag_of: Any, bags: int) -> Tensor:
    """Of each bag and column the largest entry; the first of equals."""
    device = weight._device
    rows, filled = device.ops["bag_maxima"](weight._array, indices, bag_of, rows=bags)
    return where(wrap(filled[:, None], device), gather(weight, 0, wrap(rows, device)), 0.0)


@array_function
def bag_maxima(xp: Any, source: Array, taken: Array, put: Array, *, rows: int) -> tuple:
    """The rows of (rows, columns) ``source`` at which the largest entry of each bag and column is,
    and which bags have any, for row taken[i] in bag put[i]; ``put`` does not decrease.

    In rounds of doubling reach, each row's best position becomes the better of its own and that of
    the row 1, 2, 4, ... further on in its bag."""
    values = xp.embedding(source, taken, skip=None)
    n = len(taken)
    where_best = xp.broadcast_to(xp.arange(n)[:, None], shape=values.shape).copy()
    best, longest, reach = values.copy(), int(xp.library.bincount(put).max()), 1
    while reach < longest:
        same = (put[reach:] == put[:-reach])[:, None]
        better = same & ((best[reach:] > best[:-reach]) | xp.isnan(best[reach:]))
        where_best[:-reach] = xp.where(better, where_best[reach:], where_best[:-reach])
        best[:-reach] = xp.where(better, best[reach:], best[:-reach])
        reach *= 2
    first = xp.library.searchsorted(put, xp.arange(rows))
    filled = first < n
    filled[filled] = put[first[filled]] == xp.arange(rows)[filled]
    return taken[where_best[xp.where(filled, first, 0)]].astype(np.int64), filled
