"""Cholesky's factorisation A = L L^T of positive definite matrices."""

from __future__ import annotations

from typing import Any, NamedTuple

from tapegrad.core.devices import failures_raise
from tapegrad.core.memory import Array
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.movement.shape import mT

from .matmul import transposed
from .matrices import (
    check_info,
    flat_batch,
    over_transposed,
    product,
    require_square,
    require_system,
)


def _rule(xp: Any, g: Array, y: Array) -> tuple:
    """gA = L^-T S L^-1, S the symmetric matrix with half of L^T gL's lower triangle (Murray,
    Differentiation of the Cholesky Decomposition, 2016)."""
    factor = y[0]
    whole = xp.matmul(transposed(xp, factor), g[0])
    half = (xp.tril(whole, diagonal=0) + xp.tril(whole, diagonal=-1)) * 0.5
    inner = (half + transposed(xp, half)) * 0.5
    upper = transposed(xp, factor)
    left = xp.solve_triangular(upper, inner, lower=False, unit=False)
    return (over_transposed(xp, left, upper),)


@primitive("cholesky", vjp_all=_rule, results=2)
def factored(xp: Any, a: Array) -> tuple[Any, Any]:
    """L of the lower triangles, and the order of the first leading minor that is not positive
    definite (0: all are)."""
    info = xp.zeros(a.shape[:-2], dtype="int32")
    if a.size == 0:
        return a.copy(), info
    try:
        with failures_raise(xp.library):
            factor = xp.library.linalg.cholesky(a)
    except xp.library.linalg.LinAlgError:
        return _column_by_column(xp, a)
    if bool(xp.library.isfinite(factor).all()):
        return factor, info
    return _column_by_column(xp, a)  # LAPACK takes nan for positive


def _column_by_column(xp: Any, a: Array) -> tuple[Any, Any]:
    """The same for batches in which some matrices fail: those continue with a pivot of 1."""
    factor = flat_batch(xp.library.tril(a))
    info = xp.zeros(len(factor), dtype="int32")
    for j in range(a.shape[-1]):
        row = factor[:, j, None, :j]
        factor[:, j:, j] -= (factor[:, j:, :j] * row).sum(axis=-1)
        pivot = factor[:, j, j]
        fails = ~(pivot > 0)
        info = xp.library.where((info == 0) & fails, j + 1, info).astype("int32")
        factor[:, j:, j] /= xp.library.sqrt(xp.library.where(fails, 1, pivot))[:, None]
    return factor.reshape(a.shape), info.reshape(a.shape[:-2])


# ---------------------------------------------------------------------- from the factor
# As in PyTorch the gradient of a factor is that of L in L L^T, zeros above its diagonal included.


def _of_factor(xp: Any, ga: Any, factor: Any, upper: bool) -> Any:
    """A = L L^T:  gL = (gA + gA^T) L."""
    both = ga + transposed(xp, ga)
    return xp.matmul(factor, both) if upper else xp.matmul(both, factor)


def _solve_rule(xp: Any, g: Array, y: Array, factor: Any, needs: Any, upper: bool) -> tuple:
    db = xp.cholesky_solve(g, factor, upper=upper)
    if not needs[1]:
        return db, None
    return db, _of_factor(xp, -xp.matmul(db, transposed(xp, y)), factor, upper)


@primitive("cholesky_solve", vjp_all=_solve_rule)
def _solve_from_factor(xp: Any, b: Array, factor: Any, *, upper: bool) -> Array:
    lower = transposed(xp, factor) if upper else factor
    x = xp.solve_triangular(lower, b, lower=True, unit=False)
    return xp.solve_triangular(transposed(xp, lower), x, lower=False, unit=False)


def _inverse_rule(xp: Any, g: Array, y: Array, factor: Any, upper: bool) -> Any:
    return _of_factor(xp, -product(xp, y, g, y), factor, upper)


@primitive("cholesky_inverse", vjp=(_inverse_rule,))
def _inverse_from_factor(xp: Any, factor: Any, *, upper: bool) -> Array:
    eye = xp.eye(factor.shape[-1], dtype=factor.dtype)
    lower = transposed(xp, factor) if upper else factor
    root = xp.solve_triangular(lower, eye, lower=True, unit=False)
    return xp.matmul(transposed(xp, root), root)


# ---------------------------------------------------------------------- PyTorch's signatures


class CholeskyInfo(NamedTuple):
    """The factors; for each matrix, the order of the first leading minor that is not positive
    definite (0: all are)."""

    L: Tensor
    info: Tensor


_INDEFINITE = "the matrix is not positive definite: its leading minor of order {} is not"


def cholesky_ex(A: Tensor, *, upper: bool = False, check_errors: bool = False) -> CholeskyInfo:
    """(L, info) of symmetric (..., n, n) matrices, as by ``linalg.cholesky``; ``info``, (...) of
    int32, is 0 where L exists. Raises LinAlgError where it does not only if ``check_errors``."""
    return _factored("linalg.cholesky_ex", A, upper, check_errors)


def _factored(op: str, A: Tensor, upper: bool, check: bool = True) -> CholeskyInfo:
    require_square(op, A)
    factor, info = factored(mT(A) if upper else A)
    if check:
        check_info(op, info, _INDEFINITE)
    return CholeskyInfo(mT(factor) if upper else factor, info)


def cholesky(A: Tensor, *, upper: bool = False) -> Tensor:
    """The lower triangular L with A = L L^T (upper: its transpose) of symmetric positive definite
    (..., n, n) matrices, of which only the lower (upper) triangle is read. Raises LinAlgError if
    one is not positive definite."""
    return _factored("linalg.cholesky", A, upper).L


def torch_cholesky(input: Tensor, upper: bool = False) -> Tensor:
    """``linalg.cholesky`` under its older name: L of (..., n, n) matrices. Raises LinAlgError if
    one is not positive definite."""
    return _factored("cholesky", input, upper).L


def cholesky_inverse(L: Tensor, upper: bool = False) -> Tensor:
    """The inverse of A = L L^T (upper: L^T L) from its factor, (..., n, n) -> (..., n, n)."""
    require_square("cholesky_inverse", L)
    return _inverse_from_factor(L, upper=upper)


def cholesky_solve(B: Tensor, L: Tensor, upper: bool = False) -> Tensor:
    """The solution X of A X = B from the factor of A = L L^T (upper: L^T L): B (..., n, k), L
    (..., n, n) -> (..., n, k). Raises RuntimeError where shapes do not fit."""
    require_system("cholesky_solve", L, B)
    return _solve_from_factor(B, L, upper=upper)
