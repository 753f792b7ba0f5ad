"""Slices along a dimension, named by a vector of positions: added to, written, reduced."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common import arguments
from tapegrad.ops.common.arguments import axis, require_tensor
from tapegrad.ops.common.index import in_range, index_add_at, index_put, snapshot_index
from tapegrad.ops.movement.shape import reshape
from tapegrad.ops.pointwise.elementwise import where

from .gather import check_index
from .segment_reduce import reduced_at
from .where import number_like


def _rows(op: str, x: Tensor, dim: int, index: Any, *kinds: str, wrapping: bool = False) -> tuple:
    """The tensor with at least one dimension, and the index of its slices."""
    require_tensor(op, x)
    d = axis(op, dim, x.ndim)
    check_index(op, x, index, *kinds)
    if index.ndim > 1:
        raise IndexError(f"[{op}] the index must be 1-d, got {tuple(index.shape)}")
    whole = x if x.ndim else reshape(x, 1)
    n = whole.shape[d]
    in_range(op, index._array, -n if wrapping else 0, n, d)
    place = snapshot_index(x._device, index._array).reshape(-1)
    return whole, (slice(None),) * d + (place,)


def _source(op: str, x: Tensor, d: int, index: Tensor, source: Any) -> Tensor:
    """The slices to store, checked: as many as the index names, in the tensor's dtype."""
    if not isinstance(source, Tensor):
        raise TypeError(f"[{op}] the source must be a Tensor, got {type(source).__name__}")
    arguments.same_dtype(op, x, source)
    if source._device is not x._device:
        raise RuntimeError(f"[{op}] the tensor is on {x._device}, the source on {source._device}")
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


def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> Tensor:
    """A copy of ``input`` with alpha * source[i] added to slice index[i] along ``dim``, in
    order."""
    x, place = _rows("index_add", input, dim, index, "int64", "int32")
    values = _source("index_add", x, len(place) - 1, index, source)
    if alpha != 1:
        if isinstance(alpha, float) and not input.is_floating_point():
            raise RuntimeError(f"[index_add] alpha {alpha} is no number of {input.dtype.name}")
        values = values * alpha
    return reshape(index_add_at(x, values, index=place), tuple(input.shape))


def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """A copy of ``input`` with slice index[i] along ``dim`` replaced by source[i]."""
    x, place = _rows("index_copy", input, dim, index, "int64")
    values = _source("index_copy", x, len(place) - 1, index, source)
    return reshape(index_put(x, values, index=place), tuple(input.shape))


def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """A copy of ``input`` with the slices that ``index`` names (negative ones from the end) filled
    with a number or a 0-d tensor."""
    x, place = _rows("index_fill", input, dim, index, "int64", wrapping=True)
    d = len(place) - 1
    named = x._device.ops["zeros"](x.shape[d], dtype=np.bool_)
    named[place[d]] = True
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
    what it was."""
    op = "index_reduce"
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(
            f"[{op}] reduce must be 'prod', 'mean', 'amax' or 'amin', got {reduce!r}"
        )
    x, place = _rows(op, input, dim, index, "int64", "int32")
    values = _source(op, x, len(place) - 1, index, source)
    change = reduced_at(reduce, include_self)
    return reshape(change(x, values, index=place), tuple(input.shape))
