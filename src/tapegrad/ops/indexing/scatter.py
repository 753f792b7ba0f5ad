"""Writing, adding and reducing along a dimension, at positions that an index tensor names."""

from __future__ import annotations

import builtins
from typing import Any

from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import same_device, same_dtype
from tapegrad.ops.common.index import getitem, index_add_at, index_put
from tapegrad.ops.common.scalars import fit_number
from tapegrad.ops.creation.create import full
from tapegrad.ops.movement.shape import clone, reshape

from .gather import along
from .segment_reduce import reduced_at


def _source(op: str, x: Tensor, index: Tensor, src: Any) -> Any:
    """The part of the source that the index covers; a number as it is."""
    if not isinstance(src, Tensor):
        return fit_number(op, src, x.dtype)
    same_dtype(op, x, src, ("the tensor", "the source"))
    same_device(op, x, src, "source")
    shape = tuple(index.shape) or (1,)
    have = tuple(src.shape) or (1,)
    if len(have) != len(shape) or builtins.any(n > m for n, m in zip(shape, have, strict=True)):
        raise RuntimeError(
            f"[{op}] the index of shape {tuple(index.shape)} is larger than the source of shape "
            f"{tuple(src.shape)}"
        )
    part = src if have == shape else getitem(src, index=tuple(slice(0, n) for n in shape))
    return part if part.shape == index.shape else reshape(part, tuple(index.shape))


def _changed(op: str, x: Tensor, dim: int, index: Tensor, src: Any, change: Any) -> Tensor:
    """``change(x, part of the source, index)``; a 0-d tensor is changed as a vector of one."""
    positions = along(op, x, dim, index, source=src)
    if max(index.ndim, 1) != max(x.ndim, 1):  # an empty index of another shape
        return clone(x)
    values = _source(op, x, index, src)
    if x.ndim:
        return change(x, values, index=positions)
    return reshape(change(reshape(x, 1), values, index=positions), ())


def scatter(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Any = None,
    *,
    value: Any = None,
    reduce: str | None = None,
) -> Tensor:
    """A copy of ``input`` with ``src[i][j][k]`` (or a number) at ``[index[i][j][k]][j][k]`` for dim
    0, and so on; for a position that occurs twice, the last of its values. With reduce "add" or
    "multiply"
    they are combined with what is there. Raises RuntimeError for a src smaller than the index or of
    another dtype or device, for any other reduce, and what ``gather`` does."""
    if src is None:
        src = value.item() if isinstance(value, Tensor) and value.ndim == 0 else value
    if src is None:
        raise TypeError("[scatter] missing argument: src, a tensor, or value, a number")
    if reduce is None:
        return _changed("scatter", input, dim, index, src, index_put)
    if not isinstance(src, Tensor):
        src = fit_number("scatter", src, input.dtype)
        src = full(tuple(index.shape), src, dtype=input.dtype, device=input._device)
    if reduce == "add":
        return _changed("scatter", input, dim, index, src, index_add_at)
    if reduce == "multiply":
        return _changed("scatter", input, dim, index, src, reduced_at("prod", True))
    raise RuntimeError(f"[scatter] reduce must be 'add' or 'multiply', got {reduce!r}")


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """``scatter`` that adds the values of ``src``, in a fixed order; raises what that does, and
    TypeError for a src that is not a tensor."""
    _require_source("scatter_add", src)
    return _changed("scatter_add", input, dim, index, src, index_add_at)


def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """A copy of ``input`` in which each element that ``index`` names along ``dim`` is the "sum",
    "prod", "mean", "amax" or "amin" of the values of ``src`` that go there, and (``include_self``)
    of what it was. Raises RuntimeError for any other ``reduce``, and what ``scatter_add`` does."""
    op = "scatter_reduce"
    _require_source(op, src)
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        raise RuntimeError(
            f"[{op}] reduce must be 'sum', 'prod', 'mean', 'amax' or 'amin', got {reduce!r}"
        )
    return _changed(op, input, dim, index, src, reduced_at(reduce, include_self))


def _require_source(op: str, src: Any) -> None:
    if not isinstance(src, Tensor):
        raise TypeError(f"[{op}] src must be a Tensor, got {type(src).__name__}")
