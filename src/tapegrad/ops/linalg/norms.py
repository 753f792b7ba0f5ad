"""Norms of vectors and matrices."""

from __future__ import annotations

import math
from typing import Any

from tapegrad.core import dtypes
from tapegrad.core.dtypes import is_floating
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import axis, require_tensor
from tapegrad.ops.movement.axes import movedim
from tapegrad.ops.movement.shape import reshape, squeeze
from tapegrad.ops.pointwise.elementwise import absolute, cast
from tapegrad.ops.reduction.reduce import sum

from . import vector_norms
from .eigh_svd import svdvals


def vector_norm(
    x: Tensor, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """(sum |x|^ord)^(1/ord) over ``dim`` (all of it by default); the largest and smallest |x| for
    ord inf and -inf, the number of elements that are not 0 for ord 0."""
    return _norm_of_vectors("linalg.vector_norm", x, ord, dim, keepdim, dtype)


def _norm_of_vectors(
    op: str, x: Tensor, ord: Any, dim: Any, keepdim: bool, dtype: Any = None
) -> Tensor:
    x = _converted(op, x, dtype)
    if isinstance(ord, bool) or not isinstance(ord, (int, float)):
        raise RuntimeError(f"[{op}] ord must be a number, got {ord!r}")
    return vector_norms.vector_norm(op, x, ord, dim, keepdim, None)


def _converted(op: str, x: Tensor, dtype: Any) -> Tensor:
    """In the floating-point dtype that is asked for, which may not be narrower."""
    require_tensor(op, x)
    if not x.is_floating_point():
        raise RuntimeError(
            f"[{op}] needs a floating-point tensor, got {x.dtype.name}: convert with .float()"
        )
    if dtype is None:
        return x
    wanted = dtypes.dtype(dtype)
    if not is_floating(wanted) or dtypes.promote_types(x.dtype, wanted) != wanted:
        raise RuntimeError(
            f"[{op}] cannot compute {x.dtype.name} in {wanted.name}: dtype must be floating-point "
            "and no narrower"
        )
    return x if wanted == x.dtype else cast(x, dtype=wanted)


def matrix_norm(
    A: Tensor, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """Norms of the matrices in dimensions ``dim``: "fro" (root of the sum of squares), "nuc" (sum
    of the singular values), 2 and -2 (their extremes), 1 and -1 (extremes of the sums of columns),
    inf and -inf (of rows)."""
    return _norm_of_matrices("linalg.matrix_norm", A, ord, dim, keepdim, dtype)


def _norm_of_matrices(op: str, A: Tensor, ord: Any, dim: Any, keepdim: bool, dtype: Any) -> Tensor:
    A = _converted(op, A, dtype)
    if A.ndim < 2:
        raise RuntimeError(f"[{op}] expects a matrix, got shape {tuple(A.shape)}")
    if not isinstance(dim, (tuple, list)) or len(dim) != 2:
        raise RuntimeError(f"[{op}] dim must be a pair of dimensions, got {dim!r}")
    row, column = (axis(op, d, A.ndim) for d in dim)
    if row == column:
        raise RuntimeError(f"[{op}] dim {tuple(dim)} names a dimension twice")
    if ord == "fro":
        return _norm_of_vectors(op, A, 2, (row, column), keepdim)
    if ord == "nuc" or ord in (2, -2):
        x = svdvals(movedim(A, (row, column), (-2, -1)))
        y = sum(x, -1, keepdim=True) if ord == "nuc" else _extreme(op, x, -1, ord)
        shape = [1 if i in (row, column) else n for i, n in enumerate(A.shape)]
        return reshape(y, shape) if keepdim else squeeze(y, -1)
    if isinstance(ord, str) or abs(ord) not in (1, math.inf):
        raise RuntimeError(
            f"[{op}] ord must be 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, got {ord!r}"
        )
    first, second = (row, column) if abs(ord) == 1 else (column, row)
    y = _extreme(op, sum(absolute(A), first, keepdim=True), second, ord)
    return y if keepdim else squeeze(y, (row, column))


def _extreme(op: str, x: Tensor, dim: int, ord: float) -> Tensor:
    """The largest along ``dim`` for positive orders, 0 of nothing; the smallest for negative."""
    if x.shape[dim] == 0:
        if ord < 0:
            raise IndexError(f"[{op}] nothing has no norm of order {ord}")
        return sum(x, dim, keepdim=True)
    return x.amax(dim, keepdim=True) if ord > 0 else x.amin(dim, keepdim=True)


def norm(
    A: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """A matrix norm where ``dim`` is a pair, or where ``ord`` is given and A is a matrix; else the
    norm of vectors, of the whole tensor if no ``dim`` is given."""
    op = "linalg.norm"
    require_tensor(op, A)
    pair = isinstance(dim, (tuple, list)) and len(dim) == 2
    if ord is None:
        return _norm_of_vectors(op, A, 2, dim, keepdim, dtype)
    if dim is not None:
        if isinstance(dim, (tuple, list)) and len(dim) not in (1, 2):
            raise RuntimeError(f"[{op}] with ord, dim must be one or two dimensions, got {dim!r}")
        if pair:
            return _norm_of_matrices(op, A, ord, dim, keepdim, dtype)
    elif A.ndim == 2:
        return _norm_of_matrices(op, A, ord, (0, 1), keepdim, dtype)
    elif A.ndim > 2:
        raise RuntimeError(
            f"[{op}] with ord and without dim, A must have 1 or 2 dimensions, got {tuple(A.shape)}"
        )
    if isinstance(ord, str):
        raise RuntimeError(f"[{op}] ord {ord!r} is of matrices, and there is one dimension")
    return _norm_of_vectors(op, A, ord, dim, keepdim, dtype)
