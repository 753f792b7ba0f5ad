"""Where tensors are not zero, and the elements that masks choose."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.core.memory import Array
from tapegrad.core.tape import array_function
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common.arguments import require_tensor, same_device, same_dtype
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
    """The int64 indices of the elements that are not 0 (nan is not), in row-major order: (n, ndim),
    one row each, or with ``as_tuple`` a tensor (n) for each dimension, at least one."""
    require_tensor("nonzero", input)
    if not as_tuple:
        return wrap(input._device.ops["nonzero_rows"](input._array), input._device)
    found = input._array.reshape(tuple(input.shape) or 1).nonzero()
    return tuple(wrap(a, input._device) for a in found)


def argwhere(input: Tensor) -> Tensor:
    """``nonzero`` under NumPy's name: (n, ndim)."""
    require_tensor("argwhere", input)
    return nonzero(input)


def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1) -> Tensor:
    """``nonzero`` in exactly ``size`` rows: the first ones, then rows of ``fill_value``. Raises
    RuntimeError for a negative size."""
    if size < 0:
        raise RuntimeError(f"[nonzero_static] size must not be negative, got {size}")
    found = nonzero(input)._array[:size]
    result = input._device.ops["full"]((size, input.ndim), fill_value, dtype=np.int64)
    result[: len(found)] = found
    return wrap(result, input._device)


def _chosen(op: str, input: Tensor, mask: Tensor) -> tuple[Tensor, Any]:
    """The tensor and the mask as an index, both of their common shape."""
    check_mask(op, input, mask)
    shape = np.broadcast_shapes(tuple(input.shape), tuple(mask.shape))
    return expand(input, shape), snapshot_index(mask._device, expand(mask, shape)._array)


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where the bool ``mask`` is True, both broadcast to one shape, in row-major
    order: (n). Raises RuntimeError for anything but a bool mask on the tensor's device, and shapes
    that do not broadcast."""
    x, chosen = _chosen("masked_select", input, mask)
    return getitem(x, index=(chosen,))


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """A copy of ``input`` with the elements of ``source``, in row-major order, where the bool
    ``mask`` is True, both broadcast to one shape. Raises RuntimeError for a source of another dtype
    or device or with too few elements, and what ``masked_select`` does."""
    op = "masked_scatter"
    x, chosen = _chosen(op, input, mask)
    same_dtype(op, input, source, ("the tensor", "the source"))
    same_device(op, input, source, "source")
    count = int(chosen.sum()) if chosen.size else 0
    if source.numel() < count:
        raise RuntimeError(
            f"[{op}] the mask has {count} True elements, the source only {source.numel()} elements"
        )
    values = getitem(reshape(source, source.numel()), index=(slice(0, count),))
    return index_put(x, values, index=(chosen,))
