"""Reading at positions that an index tensor names, along a dimension or in the flat tensor."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import axis, require_tensor, same_device
from tapegrad.ops.common.index import getitem, in_range, snapshot_index
from tapegrad.ops.movement.shape import clone, expand, reshape


def check_index(op: str, x: Tensor, index: Any, *kinds: str) -> None:
    """Raise for anything but an integer tensor (of one of the dtypes, if given) on x's device."""
    if not isinstance(index, Tensor):
        raise TypeError(f"[{op}] the index must be an integer tensor, got {type(index).__name__}")
    if index.dtype.kind not in "iu" or (kinds and index.dtype.name not in kinds):
        wanted = " or ".join(kinds) or "an integer"
        raise RuntimeError(f"[{op}] the index must be {wanted} tensor, got {index.dtype.name}")
    same_device(op, x, index, "index")


def along(
    op: str, x: Tensor, dim: int, index: Tensor, wrapping: bool = False, source: Any = None
) -> tuple:
    """The index that picks, at each position of ``index``, its value along ``dim``. wrapping:
    negative ones count from the end. source: a tensor with values for these positions."""
    require_tensor(op, x)
    d = axis(op, dim, x.ndim)
    check_index(op, x, index)
    if max(index.ndim, 1) != max(x.ndim, 1) and index.numel():
        raise RuntimeError(
            f"[{op}] the index has {index.ndim} dimensions, the tensor {x.ndim}: "
            f"shapes {tuple(index.shape)} and {tuple(x.shape)}"
        )
    pairs = enumerate(zip(index.shape, x.shape, strict=False))
    too_long = [i for i, (n, m) in pairs if i != d and n > m]
    if too_long and index.numel():
        raise RuntimeError(
            f"[{op}] the index of shape {tuple(index.shape)} is longer than the tensor of shape "
            f"{tuple(x.shape)} in dim {too_long[0]}"
        )
    n = x.shape[d] if x.ndim else 1
    in_range(op, index._array, -n if wrapping else 0, n, d)
    return _grids(x, d, index, source)


def _grids(x: Tensor, d: int, index: Tensor, source: Any = None) -> tuple:
    positions = snapshot_index(x._device, index._array, x, source)
    xp = x._device.xp
    grids = []
    for i, n in enumerate(index.shape):
        grid = xp.arange(n).reshape((1,) * i + (n,) + (1,) * (index.ndim - i - 1))
        grids.append(positions if i == d else grid)
    return tuple(grids) if grids else (positions,)


def slices(op: str, x: Tensor, dim: int, index: Any, *kinds: str, wrapping: bool = False) -> tuple:
    """The tensor with at least one dimension, and the index of its slices that the vector ``index``
    names along ``dim``."""
    require_tensor(op, x)
    d = axis(op, dim, x.ndim)
    check_index(op, x, index, *kinds)
    if index.ndim > 1:
        raise IndexError(f"[{op}] the index must be 1-d, got {tuple(index.shape)}")
    whole = x if x.ndim else reshape(x, 1)
    n = whole.shape[d]
    in_range(op, index._array, -n if wrapping else 0, n, d)
    positions = snapshot_index(x._device, index._array).reshape(-1)
    return whole, (slice(None),) * d + (positions,)


def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """``result[i][j][k] = input[index[i][j][k]][j][k]`` for dim 0, and so on: the result has the
    index's shape, which in other dimensions may be smaller than the input's. Raises RuntimeError
    for an index that is larger, has another number of dimensions, or is not an integer tensor, and
    IndexError for positions out of range."""
    return _gathered("gather", input, dim, index)


def gather_found(x: Tensor, d: int, index: Tensor) -> Tensor:
    """``gather`` of places that were found in x, which is not 0-d: nothing is to be checked."""
    return getitem(x, index=_grids(x, d, index))


def _gathered(op: str, x: Tensor, dim: int, index: Tensor, wrapping: bool = False) -> Tensor:
    positions = along(op, x, dim, index, wrapping)
    if not index.numel():
        empty = getitem(reshape(x, x.numel()), index=(slice(0, 0),))
        return clone(reshape(empty, tuple(index.shape)))
    return getitem(x if x.ndim else reshape(x, 1), index=positions)


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """A copy of the slices of ``input`` along ``dim`` that the 1-d ``index`` (int64 or int32)
    names. Raises IndexError for positions out of range and an index of more dimensions."""
    op = "index_select"
    x, positions = slices(op, input, dim, index, "int64", "int32")
    if input.ndim == 0 and index.numel() != 1:
        raise IndexError(f"[{op}] a 0-d tensor takes one index, got {index.numel()}")
    return getitem(x, index=positions) if input.ndim else clone(input)


def take(input: Tensor, index: Tensor) -> Tensor:
    """The elements at int64 positions in the flattened tensor (negative ones count from the end),
    in the index's shape. Raises IndexError for positions out of range."""
    require_tensor("take", input)
    check_index("take", input, index, "int64")
    n = input.numel()
    in_range("take", index._array, -n, n, 0)
    return getitem(reshape(input, n), index=(snapshot_index(input._device, index._array),))


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """``gather`` with int64 indices (negative ones count from the end) and tensor broadcast against
    each other outside ``dim``; over the flattened tensor if no ``dim`` is given. Raises
    RuntimeError where they do not broadcast or differ in the number of dimensions, IndexError for
    positions out of range."""
    op = "take_along_dim"
    require_tensor(op, input)
    check_index(op, input, indices, "int64")
    if dim is None:
        flat = reshape(input, input.numel())
        return _gathered(op, flat, 0, reshape(indices, indices.numel()), wrapping=True)
    d = axis(op, dim, input.ndim)
    if input.ndim != indices.ndim:
        raise RuntimeError(f"[{op}] {input.ndim} and {indices.ndim} dimensions: they must be equal")
    a, b = (list(x.shape) for x in (input, indices))
    if a:
        a[d] = b[d] = 1
    try:
        common = list(np.broadcast_shapes(tuple(a), tuple(b)))
    except ValueError:
        raise RuntimeError(
            f"[{op}] shapes {tuple(input.shape)} and {tuple(indices.shape)} do not broadcast "
            f"outside dim {d}"
        ) from None
    if common:
        common[d] = -1  # each keeps its own size
    return _gathered(op, expand(input, common), d, expand(indices, common), wrapping=True)
