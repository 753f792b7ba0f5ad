"""LU factorisation with partial pivoting, P A = L U, and what is computed from it.

NumPy has none to call, so it is written in array operations, for whole batches: the recursion over
columns of Toledo (Locality of Reference in LU Decomposition with Partial Pivoting, 1997), which is
matrix products for the most part. Factors and pivots are stored as in LAPACK's getrf: L below the
diagonal of one matrix (its ones are not stored), U above, and ``pivots[i]`` is the row, counted
from 1, that step i exchanged with row i.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tapegrad.core.dtypes import int64
from tapegrad.core.memory import Array
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_tensor
from tapegrad.ops.movement.shape import mT
from tapegrad.ops.movement.tril_triu import tril, triu

from .matmul import transposed
from .matrices import (
    check_info,
    flat_batch,
    identity,
    over_transposed,
    require_matrices,
    require_system,
)
from .solve_triangular import substitute, triangular

_FEW = 8  # columns that are eliminated one by one

# ---------------------------------------------------------------------- factorisation


def _eliminate(xp: Any, a: Array, pivots: Array, start: int, stop: int) -> None:
    """Factor columns start to stop of a, (batch, m, n), in place, from row ``start`` on: rows are
    exchanged whole. ``pivots``, (batch, min(m, n)), counts from 0."""
    if stop - start <= _FEW:
        _column_by_column(xp, a, pivots, start, stop)
        return
    middle = (start + stop) // 2
    done, rest = slice(start, middle), slice(middle, stop)
    _eliminate(xp, a, pivots, start, middle)
    substitute(xp, a[:, done, done], a[:, done, rest], lower=True, unit=True)
    a[:, middle:, rest] -= xp.library.matmul(a[:, middle:, done], a[:, done, rest])
    _eliminate(xp, a, pivots, middle, stop)


def _column_by_column(xp: Any, a: Array, pivots: Array, start: int, stop: int) -> None:
    each = xp.arange(len(a))
    for j in range(start, stop):
        row = xp.library.abs(a[:, j:, j]).argmax(axis=1) + j
        pivots[:, j] = row
        largest = a[each, row]
        a[each, row] = a[:, j]
        a[:, j] = largest
        pivot, rest = a[:, j, j], slice(j + 1, stop)
        a[:, j + 1 :, j] /= xp.library.where(pivot == 0, 1, pivot)[:, None]
        a[:, j + 1 :, rest] -= a[:, j + 1 :, j, None] * a[:, j, None, rest]


def order_of_rows(xp: Any, pivots: Array, m: int) -> Any:
    """(batch, k) pivots from 0 -> (batch, m): row i of P A is row order[i] of A."""
    batch, k = pivots.shape
    each = xp.arange(batch)
    order = xp.zeros((batch, m), dtype=int64) + xp.arange(m)
    for i in range(k):
        row = pivots[:, i]
        other = order[each, row]
        order[each, row] = order[:, i]
        order[:, i] = other
    return order


def factor(xp: Any, a: Array) -> tuple[Any, Any, Any]:
    """(LU, pivots, info) of arrays: info is the first column, counted from 1, whose pivot is 0."""
    lead, (m, n) = a.shape[:-2], a.shape[-2:]
    lu = flat_batch(xp.library.array(a, order="C"))
    k = min(m, n)
    pivots, info = xp.zeros((len(lu), k), dtype=int64), xp.zeros(len(lu), dtype="int32")
    if lu.size:
        _eliminate(xp, lu, pivots, 0, k)
        if n > k:
            substitute(xp, lu[:, :, :k], lu[:, :, k:], lower=True, unit=True)
        zero = lu.diagonal(0, -2, -1) == 0
        info = xp.library.where(zero.any(axis=-1), zero.argmax(axis=-1) + 1, 0).astype("int32")
    pivots = (pivots + 1).astype("int32").reshape(*lead, k)
    return lu.reshape(a.shape), pivots, info.reshape(lead)


def _lu_rule(xp: Any, g: Array, y: Array) -> tuple:
    """With M = tril(L^T gL, -1) + triu(gU U^T) for square matrices, gA = P^T L^-T M U^-T; what is
    left of L below, or of U to the right, follows from its defining equation."""
    lu, pivots, _ = y
    gradient = g[0]
    m, n = lu.shape[-2:]
    k = min(m, n)
    first, rest = slice(0, k), slice(k, None)

    def block(x: Array, rows: slice, columns: slice) -> Any:
        return xp.getitem(x, index=(..., rows, columns))

    square, corner = block(lu, first, first), block(gradient, first, first)
    gl, gu = xp.tril(corner, diagonal=-1), xp.triu(corner, diagonal=0)
    strict = transposed(xp, xp.tril(square, diagonal=-1))
    lower = xp.matmul(strict, gl) + gl
    upper = xp.matmul(gu, transposed(xp, xp.triu(square, diagonal=0)))
    if m > k:
        g_below = block(gradient, rest, first)
        upper = upper - xp.matmul(transposed(xp, block(lu, rest, first)), g_below)
    if n > k:
        g_right = block(gradient, first, rest)
        lower = lower - xp.matmul(g_right, transposed(xp, block(lu, first, rest)))
    inner = xp.tril(lower, diagonal=-1) + xp.triu(upper, diagonal=0)

    def over_l(x: Any) -> Any:  # L^-T x
        return xp.solve_triangular(transposed(xp, square), x, lower=False, unit=True)

    result = over_l(over_transposed(xp, inner, square))
    if m > k:
        below = over_transposed(xp, g_below, square)
        result = xp.concatenate(result, below, axis=lu.ndim - 2, sizes=(k, m - k))
    if n > k:
        result = xp.concatenate(result, over_l(g_right), axis=lu.ndim - 1, sizes=(k, n - k))
    return (xp.rows_exchanged(result, pivots, back=True),)


@primitive("lu_factor", vjp_all=_lu_rule, results=3)
def _lu_factor(xp: Any, a: Array) -> tuple:
    return factor(xp, a)


@primitive(vjp=(lambda xp, g, pivots, back: xp.rows_exchanged(g, pivots, back=not back), None))
def rows_exchanged(xp: Any, x: Array, pivots: Array, *, back: bool) -> Array:
    """The rows of x, (..., m, n), exchanged as ``pivots`` say: P x, or P^T x (back)."""
    lead, m = x.shape[:-2], x.shape[-2]
    lead = np.broadcast_shapes(lead, pivots.shape[:-1])
    x = flat_batch(xp.library.broadcast_to(x, lead + x.shape[-2:]))
    pivots = xp.library.broadcast_to(pivots, lead + pivots.shape[-1:])
    order = order_of_rows(xp, pivots.reshape(len(x), pivots.shape[-1]).astype(int64) - 1, m)
    each = xp.arange(len(x))[:, None]
    if back:
        y = xp.library.zeros_like(x)
        y[each, order] = x
    else:
        y = x[each, order]
    return y.reshape(*lead, *x.shape[-2:])


# ---------------------------------------------------------------------- PyTorch's signatures


class Factors(NamedTuple):
    """L and U in one matrix, and the row exchanges."""

    LU: Tensor
    pivots: Tensor


class FactorsInfo(NamedTuple):
    """``Factors``, and the first column of each matrix whose pivot is 0 (0: none)."""

    LU: Tensor
    pivots: Tensor
    info: Tensor


class PLU(NamedTuple):
    """A = P L U."""

    P: Tensor
    L: Tensor
    U: Tensor


def lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False) -> FactorsInfo:
    """(LU, pivots, info) of (..., m, n) matrices, as by ``linalg.lu_factor``; ``info``, (...) of
    int32, is 0 where no pivot is 0. Raises LinAlgError for the others only if ``check_errors``,
    RuntimeError for pivot=False."""
    return _factored("linalg.lu_factor_ex", A, pivot, check_errors)


_SINGULAR = "the matrix is singular: the pivot in column {} (counted from 1) is zero"


def _factored(op: str, A: Tensor, pivot: bool, check: bool) -> FactorsInfo:
    require_matrices(op, A)
    if not pivot:
        raise RuntimeError(f"[{op}] pivot=False is not available: rows must be exchanged")
    result = FactorsInfo(*_lu_factor(A))
    if check:
        check_info(op, result.info, _SINGULAR)
    return result


def lu_factor(A: Tensor, *, pivot: bool = True) -> Factors:
    """(LU, pivots) of (..., m, n) matrices: L below the diagonal (without its ones) and U above in
    one (..., m, n) matrix; pivots (..., min(m, n)) of int32: the row, counted from 1, that was
    exchanged with row i. Raises LinAlgError if a matrix is singular, RuntimeError for pivot=False.
    """
    return Factors(*_factored("linalg.lu_factor", A, pivot, check=True)[:2])


def lu(A: Tensor, *, pivot: bool = True) -> PLU:
    """(P, L, U) of (..., m, n) matrices, A = P L U: P (..., m, m) permutes rows, L (..., m, k) is
    lower triangular with ones on its diagonal, U (..., k, n) upper triangular, k = min(m, n).
    Raises RuntimeError for pivot=False."""
    return lu_unpack(*_factored("linalg.lu", A, pivot, check=False)[:2])


def torch_lu(input: Tensor, pivot: bool = True, get_infos: bool = False) -> Any:
    """(LU, pivots) as by ``linalg.lu_factor``, which raises LinAlgError if a matrix is singular;
    get_infos: (LU, pivots, info) as by ``linalg.lu_factor_ex``, which does not."""
    result = _factored("lu", input, pivot, check=not get_infos)
    return result if get_infos else Factors(*result[:2])


def lu_unpack(
    LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True
) -> PLU:
    """(P, L, U), as by ``linalg.lu``, of what ``linalg.lu_factor`` returned; empty tensors for what
    is not asked for. Raises RuntimeError for pivots of another shape or dtype, or out of range."""
    require_matrices("lu_unpack", LU_data)
    m, n = LU_data.shape[-2:]
    k = min(m, n)
    _require_pivots("lu_unpack", LU_data, LU_pivots)
    P = L = U = LU_data.new_empty((0,))
    if unpack_pivots:
        eye = identity(LU_data, m, m).expand(*LU_data.shape[:-2], m, m)
        P = rows_exchanged(eye, LU_pivots, back=True)
    if unpack_data:
        L = tril(LU_data[..., :, :k], -1) + identity(LU_data, m, k)
        U = triu(LU_data[..., :k, :], 0)
    return PLU(P, L, U)


def _require_pivots(op: str, LU: Tensor, pivots: Any) -> None:
    require_tensor(op, pivots)
    if pivots.dtype.name != "int32":
        raise RuntimeError(f"[{op}] pivots must be a tensor of int32, got {pivots.dtype.name}")
    wanted = (*LU.shape[:-2], min(LU.shape[-2:]))
    if tuple(pivots.shape) != wanted:
        raise RuntimeError(
            f"[{op}] factors of shape {tuple(LU.shape)} have pivots of shape {wanted}, got "
            f"{tuple(pivots.shape)}"
        )
    array = pivots._array
    if array.size and bool((array.min() < 1) | (array.max() > LU.shape[-2])):
        raise RuntimeError(f"[{op}] pivots are rows from 1 to {LU.shape[-2]}: one is out of range")


def lu_solve(
    LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False
) -> Tensor:
    """The solution X of A X = B from ``linalg.lu_factor(A)``, or of X A = B (left=False), with A^T
    for A (adjoint): LU (..., n, n), pivots (..., n), B (..., n, k) or (..., k, n). Raises
    RuntimeError where shapes do not fit, or for pivots out of range or of another dtype."""
    op = "linalg.lu_solve"
    require_system(op, LU, B, left)
    _require_pivots(op, LU, pivots)
    if not left:  # the transposed system
        return mT(lu_solve(LU, pivots, mT(B), adjoint=not adjoint))
    if adjoint:
        x = triangular(mT(LU), B, lower=True, unit=False)
        x = triangular(mT(LU), x, lower=False, unit=True)
        return rows_exchanged(x, pivots, back=True)
    x = rows_exchanged(B, pivots, back=False)
    x = triangular(LU, x, lower=True, unit=True)
    return triangular(LU, x, lower=False, unit=False)


def torch_lu_solve(b: Tensor, LU_data: Tensor, LU_pivots: Tensor) -> Tensor:
    """The solution of A x = b from ``lu(A)``: ``linalg.lu_solve`` under its older name."""
    return lu_solve(LU_data, LU_pivots, b)
