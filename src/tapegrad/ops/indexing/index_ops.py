"""Slices along a dimension, named by a vector of positions: added to, written, reduced."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common.arguments import same_device, same_dtype
from tapegrad.ops.common.index import index_add_at, index_put
from tapegrad.ops.movement.shape import reshape
from tapegrad.ops.pointwise.elementwise import where

from .gather import slices
from .segment_reduce import reduced_at
from .where import number_like


def _source(op: str, x: Tensor, d: int, index: Tensor, source: Any) -> Tensor:
    """The slices to store, checked: as many as the index names, in the tensor's dtype."""
    same_dtype(op, x, source, ("the tensor", "the source"))
    same_device(op, x, source, "source")
    if source.ndim == 0 and x.ndim < 2 and index.numel() == 1:
        return reshape(source, 1)
    if source.ndim == 0 or source.ndim != max(x.ndim, 1):
        raise RuntimeError(
            f"[{op}] shapes {tuple(x.shape)} and {tuple(source.shape)} of tensor and source differ "
            "in the number of dimensions"
        )
    wanted = (*x.shape[:d], index.numel(), *x.shape[d + 1 :])
    if tuple(source.shape) != wanted:
        raise RuntimeError(
            f"[{op}] the source has shape {tuple(source.shape)}: {index.numel()} slices along dim "
            f"{d} of a tensor of shape {tuple(x.shape)} need {wanted}"
        )
    return source


def _changed(
    op: str, input: Tensor, dim: int, index: Tensor, source: Tensor, change: Any, *kinds: str
) -> Tensor:
    """``change(input, source, index=...)`` of slices, named by an index of one of those dtypes."""
    x, positions = slices(op, input, dim, index, *kinds)
    source = _source(op, x, len(positions) - 1, index, source)
    return reshape(change(x, source, index=positions), tuple(input.shape))


def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> Tensor:
    """A copy of ``input`` with alpha * source[i] added to slice index[i] along ``dim``, in order.
    Raises RuntimeError for a source of another dtype, device or shape than the slices that the 1-d
    ``index`` (int64 or int32) names, IndexError for positions out of range."""
    op = "index_add"

    def add(x: Tensor, values: Tensor, index: tuple) -> Tensor:
        if alpha != 1:
            if isinstance(alpha, float) and not input.is_floating_point():
                raise RuntimeError(f"[{op}] alpha {alpha} does not fit {input.dtype.name}")
            values = values * alpha
        return index_add_at(x, values, index=index)

    return _changed(op, input, dim, index, source, add, "int64", "int32")


def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """A copy of ``input`` with slice index[i] along ``dim`` replaced by source[i]; ``index`` is 1-d
    and int64. Raises what ``index_add`` does."""
    return _changed("index_copy", input, dim, index, source, index_put, "int64")


def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """A copy of ``input`` with the slices that the 1-d int64 ``index`` names along ``dim``
    (negative ones count from the end) filled with a number or a 0-d tensor. Raises IndexError for
    positions out of range, RuntimeError for a value of more dimensions."""
    x, positions = slices("index_fill", input, dim, index, "int64", wrapping=True)
    d = len(positions) - 1
    named = x._device.ops["zeros"](x.shape[d], dtype=np.bool_)
    named[positions[d]] = True
    mask = wrap(named.reshape((-1,) + (1,) * (x.ndim - d - 1)), x._device)
    result = where(mask, number_like("index_fill", x, value), x)
    return reshape(result, tuple(input.shape))


def index_reduce(
    input: Tensor,
    dim: int,
    index: Tensor,
    source: Tensor,
    reduce: str,
    *,
    include_self: bool = True,
) -> Tensor:
    """A copy of ``input`` in which each slice that ``index`` names along ``dim`` is the "prod",
    "mean", "amax" or "amin" of the slices of ``source`` that go there, and (``include_self``) of
    what it was. Raises RuntimeError for any other ``reduce``, and what ``index_add`` does."""
    op = "index_reduce"
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(
            f"[{op}] reduce must be 'prod', 'mean', 'amax' or 'amin', got {reduce!r}"
        )
    change = reduced_at(reduce, include_self)
    return _changed(op, input, dim, index, source, change, "int64", "int32")
