"""Writing and adding along a dimension, at positions that an index tensor names."""

from __future__ import annotations

import builtins
from typing import Any

from ..tensor import Tensor
from .gather import along
from .index import getitem, index_add_at, index_put
from .shape import clone


def scatter(x: Tensor, dim: int, index: Tensor, src: Any) -> Tensor:
    """A copy of ``x`` with the values of ``src`` (a tensor at least as large as ``index``, or a
    number) written to the positions ``index`` along ``dim``; for an index that occurs twice, one
    of its values."""
    place = along("scatter", x, dim, index)
    if index.ndim != x.ndim:  # an empty index of another shape
        return clone(x)
    return index_put(x, _source("scatter", x, index, src), index=place)


def scatter_add(x: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """A copy of ``x`` with the values of ``src`` added at the positions ``index`` along ``dim``,
    in a fixed order."""
    place = along("scatter_add", x, dim, index)
    if index.ndim != x.ndim:  # an empty index of another shape
        return clone(x)
    return index_add_at(x, _source("scatter_add", x, index, src), index=place)


def _source(op: str, x: Tensor, index: Tensor, src: Any) -> Any:
    if not isinstance(src, Tensor):
        return src
    if src.dtype != x.dtype:
        raise RuntimeError(
            f"[{op}] the tensor is {x.dtype.name}, the source {src.dtype.name}: convert one"
        )
    if src.ndim != index.ndim or builtins.any(
        n > m for n, m in zip(index.shape, src.shape, strict=True)
    ):
        raise RuntimeError(
            f"[{op}] the index of shape {tuple(index.shape)} is larger than the source of shape "
            f"{tuple(src.shape)}"
        )
    if src.shape == index.shape:
        return src
    return getitem(src, index=tuple(slice(0, n) for n in index.shape))
