"""Several tensors as one: joined along a dimension, or as blocks."""

from __future__ import annotations

import builtins
from itertools import accumulate
from typing import Any

from tapegrad.core.dtypes import promote_types
from tapegrad.core.memory import Array
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import axis, require_tensor
from tapegrad.ops.creation.create import zeros
from tapegrad.ops.pointwise.elementwise import as_dtype

from .axes import atleast_1d, atleast_2d, atleast_3d
from .shape import reshape
from .split import slice_along


def _concatenate_rule(xp: Any, g: Array, needs: Any, axis: int, sizes: tuple[int, ...]) -> list:
    return [
        xp.getitem(g, index=slice_along(axis, end - size, end)) if need else None
        for need, end, size in zip(needs, accumulate(sizes), sizes, strict=True)
    ]


@primitive("concatenate", vjp_all=_concatenate_rule)
def _concatenate(xp: Any, *arrays: Array, axis: int, sizes: tuple[int, ...]) -> Array:
    return xp.library.concatenate(arrays, axis=axis)


def _stack_rule(xp: Any, g: Array, needs: Any, axis: int) -> list:
    before = (slice(None),) * axis
    return [xp.getitem(g, index=(*before, i)) if need else None for i, need in enumerate(needs)]


@primitive("stack", vjp_all=_stack_rule)
def _stack(xp: Any, *arrays: Array, axis: int) -> Array:
    return xp.library.stack(arrays, axis=axis)


def _several(op: str, tensors: Any) -> list[Tensor]:
    """A list of at least one tensor."""
    if isinstance(tensors, Tensor) or not isinstance(tensors, (tuple, list)):
        raise TypeError(
            f"[{op}] expects a list of tensors, got {type(tensors).__name__}: put them in brackets"
        )
    if not tensors:
        kind = ValueError if op == "cat" else RuntimeError  # PyTorch's
        raise kind(f"[{op}] expects at least one tensor")
    for x in tensors:
        require_tensor(op, x)
    return list(tensors)


def _shapes(tensors: list[Tensor]) -> str:
    return ", ".join(str(tuple(x.shape)) for x in tensors)


def cat(tensors: Any, dim: Any = 0) -> Tensor:  # Any: a second tensor gets its own message
    """Tensors joined along dimension ``dim``, the only one in which their shapes may differ (but an
    empty vector joins anything); dtypes are promoted. Raises TypeError for anything but a list of
    tensors, ValueError for an empty one, and RuntimeError for 0-d tensors and shapes that
    differ."""
    return _joined("cat", _several("cat", tensors), dim)


def _joined(op: str, tensors: list[Tensor], dim: int) -> Tensor:
    shapes = {x._array.shape for x in tensors}
    if () in shapes:
        raise RuntimeError(f"[{op}] 0-d tensors have no dimension to join along: use stack")
    first = next((x for x in tensors if x._array.shape != (0,)), tensors[0])
    d = axis(op, dim, first.ndim)
    if len(shapes) > 1:
        if first.ndim > 1:  # an empty vector joins anything, as in PyTorch
            empty = tuple(0 if i == d else n for i, n in enumerate(first.shape))
            tensors = [reshape(x, empty) if x._array.shape == (0,) else x for x in tensors]
        rest = {x._array.shape[:d] + x._array.shape[d + 1 :] for x in tensors}
        if len(rest) > 1 or builtins.any(x.ndim != first.ndim for x in tensors):
            raise RuntimeError(
                f"[{op}] all sizes but dim {dim} must agree, got shapes {_shapes(tensors)}"
            )
    sizes = tuple([x._array.shape[d] for x in tensors])
    return _concatenate(*_of_one_dtype(tensors), axis=d, sizes=sizes)


def _of_one_dtype(tensors: list[Tensor]) -> list[Tensor]:
    common = tensors[0]._array.dtype
    if all([x._array.dtype is common for x in tensors]):
        return tensors
    for x in tensors:
        common = promote_types(common, x.dtype)
    return [as_dtype(x, common) for x in tensors]


def stack(tensors: Any, dim: int = 0) -> Tensor:
    """Tensors of one shape joined along a new dimension ``dim``: two of (n) give (2, n). Raises
    RuntimeError for shapes that differ and for an empty list."""
    tensors = _several("stack", tensors)
    if len({x._array.shape for x in tensors}) > 1:
        raise RuntimeError(f"[stack] all shapes must be equal, got {_shapes(tensors)}")
    d = axis("stack", dim, tensors[0].ndim + 1)
    return _stack(*_of_one_dtype(tensors), axis=d)


def hstack(tensors: Any) -> Tensor:
    """Tensors side by side: joined along dim 1, vectors and numbers along dim 0. Raises what
    ``cat`` does."""
    parts = list(atleast_1d(_several("hstack", tensors)))
    return _joined("hstack", parts, 0 if parts[0].ndim == 1 else 1)


def vstack(tensors: Any) -> Tensor:
    """Tensors below each other: joined along dim 0, vectors and numbers as rows. Raises what
    ``cat`` does."""
    return _joined("vstack", list(atleast_2d(_several("vstack", tensors))), 0)


def dstack(tensors: Any) -> Tensor:
    """Tensors behind each other: joined along dim 2, after ``atleast_3d``. Raises what ``cat``
    does."""
    return _joined("dstack", list(atleast_3d(_several("dstack", tensors))), 2)


def column_stack(tensors: Any) -> Tensor:
    """Tensors side by side: joined along dim 1, vectors and numbers as columns. Raises what ``cat``
    does."""
    parts = [
        reshape(x, x.numel(), 1) if x.ndim < 2 else x for x in _several("column_stack", tensors)
    ]
    return _joined("column_stack", parts, 1)


def block_diag(*tensors: Any) -> Tensor:
    """Matrices (a vector is a row, a number a 1x1 matrix) along the diagonal of a matrix of zeros;
    dtypes are promoted. Without any, (1, 0). Raises RuntimeError for more than 2 dimensions."""
    for x in tensors:
        require_tensor("block_diag", x)
        if x.ndim > 2:
            raise RuntimeError(f"[block_diag] needs matrices, got {x.ndim} dimensions")
    if not tensors:
        return zeros(1, 0)
    blocks = [atleast_2d(x) for x in tensors]
    width = sum(x.shape[1] for x in blocks)
    rows, before = [], 0
    for x in blocks:
        n, m = x.shape
        left, right = (
            zeros(n, columns, dtype=x.dtype, device=x.device)
            for columns in (before, width - before - m)
        )
        rows.append(_joined("block_diag", [left, x, right], 1))
        before += m
    return _joined("block_diag", rows, 0)
