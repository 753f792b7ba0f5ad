"""Where tensors are not zero, and the elements that masks choose."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.core.memory import Array
from tapegrad.core.tape import array_function
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common.arguments import require_tensor
from tapegrad.ops.common.index import getitem, index_put, snapshot_index
from tapegrad.ops.movement.shape import expand, reshape

from .where import check_mask


@array_function
def nonzero_rows(xp: Any, x: Array) -> Array:
    """The coordinates of what is not zero, a row each."""
    columns = x.reshape(x.shape or 1).nonzero()
    rows = xp.library.stack(columns, axis=1)
    return rows if x.ndim else rows[:, :0]


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The indices of the non-zero elements: one row each, or one tensor a dimension."""
    require_tensor("nonzero", input)
    if not as_tuple:
        return wrap(input._device.ops["nonzero_rows"](input._array), input._device)
    found = input._array.reshape(tuple(input.shape) or 1).nonzero()
    return tuple(wrap(a, input._device) for a in found)


def argwhere(input: Tensor) -> Tensor:
    """The indices of the non-zero elements, one row each."""
    require_tensor("argwhere", input)
    return nonzero(input)


def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1) -> Tensor:
    """``nonzero`` in exactly ``size`` rows: the first ones, and rows of ``fill_value``."""
    if size < 0:
        raise RuntimeError(f"[nonzero_static] size must not be negative, got {size}")
    found = nonzero(input)._array[:size]
    result = input._device.ops["full"]((size, input.ndim), fill_value, dtype=np.int64)
    result[: len(found)] = found
    return wrap(result, input._device)


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where the bool ``mask`` is True (both broadcast), in one dimension."""
    check_mask("masked_select", input, mask)
    shape = np.broadcast_shapes(tuple(input.shape), tuple(mask.shape))
    place = snapshot_index(mask._device, expand(mask, shape)._array)
    return getitem(expand(input, shape), index=(place,))


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """``input`` with the elements of ``source``, in order, where the (broadcast) bool ``mask`` is
    True."""
    op = "masked_scatter"
    check_mask(op, input, mask)
    require_tensor(op, source)
    if source.dtype != input.dtype:
        raise RuntimeError(
            f"[{op}] the tensor is {input.dtype.name}, the source {source.dtype.name}: convert one"
        )
    if source._device is not input._device:
        raise RuntimeError(
            f"[{op}] the tensor is on {input._device}, the source on {source._device}"
        )
    shape = np.broadcast_shapes(tuple(input.shape), tuple(mask.shape))
    place = snapshot_index(mask._device, expand(mask, shape)._array)
    count = int(place.sum()) if math.prod(shape) else 0
    if source.numel() < count:
        raise RuntimeError(
            f"[{op}] the mask has {count} True elements, the source only {source.numel()} elements"
        )
    values = getitem(reshape(source, source.numel()), index=(slice(0, count),))
    return index_put(expand(input, shape), values, index=(place,))
