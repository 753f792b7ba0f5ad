"""Writing at positions: in the flattened tensor, or where several index tensors say."""

from __future__ import annotations

from typing import Any

from tapegrad.core.tensor import Tensor
from tapegrad.ops.common import index as positions
from tapegrad.ops.common.arguments import require_tensor, same_dtype
from tapegrad.ops.common.index import in_range, index_add_at, snapshot_index
from tapegrad.ops.movement.shape import reshape

from . import subscript
from .gather import check_index


def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """A copy of ``input`` with ``source`` written (or added) at int64 positions in the flattened
    tensor; negative ones count from the end. Raises RuntimeError for a source of another dtype or
    number of elements than the index, IndexError for positions out of range."""
    require_tensor("put", input)
    check_index("put", input, index, "int64")
    same_dtype("put", input, source)
    if source.numel() != index.numel():
        raise RuntimeError(
            f"[put] the source has {source.numel()} elements, the index {index.numel()}"
        )
    n = input.numel()
    in_range("put", index._array, -n, n, 0)
    flat = (snapshot_index(input._device, index._array).reshape(-1),)
    values = reshape(source, source.numel())
    change = index_add_at if accumulate else positions.index_put
    return reshape(change(reshape(input, n), values, index=flat), tuple(input.shape))


def index_put(input: Tensor, indices: Any, values: Tensor, accumulate: bool = False) -> Tensor:
    """A copy of ``input`` with ``input[indices] = values``, or ``+= values``: a tuple of integer or
    bool tensors (None: the whole dimension). Raises RuntimeError for values of another dtype or a
    shape that does not fit, IndexError for positions out of range and too many indices."""
    require_tensor("index_put", input)
    if not isinstance(indices, (tuple, list)):
        raise TypeError(f"[index_put] indices must be a tuple, got {type(indices).__name__}")
    same_dtype("index_put", input, values)
    if len(indices) > input.ndim:
        raise IndexError(
            f"[index_put] {len(indices)} indices for a tensor of {input.ndim} dimensions"
        )
    change = subscript.add_at_copy if accumulate else subscript.setitem_copy
    return change(input, tuple(slice(None) if i is None else i for i in indices), values)
