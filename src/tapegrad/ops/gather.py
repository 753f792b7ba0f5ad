"""Reading along a dimension, at positions that an index tensor names."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..tensor import Tensor
from .arguments import axis, require_tensor
from .index import getitem, in_range, kept, subscript
from .shape import clone


def check_index(op: str, x: Tensor, index: Any) -> None:
    if not isinstance(index, Tensor) or index.dtype.kind not in "iu":
        kind = index.dtype.name if isinstance(index, Tensor) else type(index).__name__
        raise TypeError(f"[{op}] the index must be an integer tensor, got {kind}")
    if index._device is not x._device:
        raise RuntimeError(f"[{op}] the tensor is on {x._device}, the index on {index._device}")


def along(op: str, x: Tensor, dim: int, index: Tensor) -> tuple:
    """The index that picks, at each position of ``index``, its value along ``dim``."""
    require_tensor(op, x)
    d = axis(op, dim, x.ndim)
    check_index(op, x, index)
    if index.ndim != x.ndim and index.numel():
        raise RuntimeError(
            f"[{op}] the index has {index.ndim} dimensions, the tensor {x.ndim}: "
            f"shapes {tuple(index.shape)} and {tuple(x.shape)}"
        )
    too_long = [i for i in range(x.ndim) if i != d and index.shape[i] > x.shape[i]]
    if too_long and index.numel():
        raise RuntimeError(
            f"[{op}] the index of shape {tuple(index.shape)} is longer than the tensor of shape "
            f"{tuple(x.shape)} in dim {too_long[0]}"
        )
    in_range(op, index._array, 0, x.shape[d] if x.ndim else 1, d)
    if x.ndim == 0:
        return (x._device.ops["zeros"](index.shape, dtype=np.int64),) if index.ndim else ()
    xp = x._device.xp
    grids = []
    for i, n in enumerate(index.shape):
        grid = xp.arange(n).reshape((1,) * i + (n,) + (1,) * (index.ndim - i - 1))
        grids.append(kept(x._device, index._array) if i == d else grid)
    return tuple(grids)


def gather(x: Tensor, dim: int, index: Tensor) -> Tensor:
    """result[i][j][k] = x[index[i][j][k]][j][k] for dim 0, and so on."""
    place = along("gather", x, dim, index)
    if not index.numel():
        return subscript(x.flatten(), slice(0, 0)).reshape(tuple(index.shape))
    return getitem(x, index=place)


def index_select(x: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices of ``x`` along ``dim`` that the 1-d ``index`` names."""
    require_tensor("index_select", x)
    d = axis("index_select", dim, x.ndim)
    check_index("index_select", x, index)
    if index.ndim > 1:
        raise IndexError(f"[index_select] the index must be 1-d, got {tuple(index.shape)}")
    in_range("index_select", index._array, 0, x.shape[d] if x.ndim else 1, d)
    if x.ndim == 0:
        return clone(x)
    place = kept(x._device, index._array).reshape(-1)
    return getitem(x, index=(slice(None),) * d + (place,))


def take_along_dim(x: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """``gather`` with indices and tensor broadcast against each other outside ``dim``; over the
    flattened tensor if no ``dim`` is given."""
    require_tensor("take_along_dim", x)
    require_tensor("take_along_dim", indices)
    if dim is None:
        return gather(x.reshape(-1), 0, indices.reshape(-1))
    d = axis("take_along_dim", dim, x.ndim)
    if x.ndim != indices.ndim:
        raise RuntimeError(
            f"[take_along_dim] {x.ndim} and {indices.ndim} dimensions: they must be equal"
        )
    common = list(np.broadcast_shapes(*(
        tuple(1 if i == d else n for i, n in enumerate(s.shape)) for s in (x, indices)
    )))  # fmt: skip
    shapes = [
        tuple(s.shape[d] if i == d else n for i, n in enumerate(common)) for s in (x, indices)
    ]
    return gather(x.expand(shapes[0]), d, indices.expand(shapes[1]))
