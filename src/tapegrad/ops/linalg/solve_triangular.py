"""Systems with triangular matrices: substitution, blocked so that most of it is matrix products."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tapegrad.core.memory import Array
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.movement.shape import mT

from .matmul import transposed
from .matrices import require_system

_SMALL = 16  # below this size, row by row


def substitute(xp: Any, a: Array, x: Array, lower: bool, unit: bool) -> None:
    """Replace x by the solution y of a y = x, reading one triangle of a (unit: and ones on its
    diagonal). Halves are solved one after the other; what the first says about the second is a
    matrix product."""
    n = a.shape[-1]
    if n > _SMALL:
        parts = [slice(0, n // 2), slice(n // 2, n)]
        first, second = parts if lower else parts[::-1]
        substitute(xp, a[..., first, first], x[..., first, :], lower, unit)
        x[..., second, :] -= xp.library.matmul(a[..., second, first], x[..., first, :])
        substitute(xp, a[..., second, second], x[..., second, :], lower, unit)
        return
    for i in range(n) if lower else range(n - 1, -1, -1):
        done = slice(0, i) if lower else slice(i + 1, n)
        row = x[..., i : i + 1, :]
        if done.start < done.stop:
            row -= xp.library.matmul(a[..., i : i + 1, done], x[..., done, :])
        if not unit:
            row /= a[..., i : i + 1, i : i + 1]


def _rule(xp: Any, g: Array, y: Array, a: Array, needs: Any, lower: bool, unit: bool) -> tuple:
    """a y = b:  db = a^-T g,  da = -db y^T in the triangle that was read."""
    db = xp.solve_triangular(transposed(xp, a), g, lower=not lower, unit=unit)
    da = None
    if needs[0]:
        whole = -xp.matmul(db, transposed(xp, y))
        k = int(unit)
        da = xp.tril(whole, diagonal=-k) if lower else xp.triu(whole, diagonal=k)
    return da, db


@primitive("solve_triangular", vjp_all=_rule)
def triangular(xp: Any, a: Array, b: Array, *, lower: bool, unit: bool) -> Array:
    """(..., n, n) and (..., n, k) -> (..., n, k); leading dimensions broadcast."""
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    x = xp.library.array(xp.library.broadcast_to(b, lead + b.shape[-2:]), order="C")
    if x.size:
        substitute(xp, a, x, lower, unit)
    return x


def solve_triangular(
    input: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """The solution X of A X = B, or of X A = B (left=False), with triangular A: (..., n, n) and
    (..., n, k) or (..., k, n) -> the shape of B; leading dimensions broadcast. Only the upper or
    lower triangle of A is read; unitriangular: and 1 for its diagonal. A zero on the diagonal gives
    inf or nan. Raises RuntimeError where shapes do not fit."""
    require_system("linalg.solve_triangular", input, B, left)
    if left:
        return triangular(input, B, lower=not upper, unit=unitriangular)
    return mT(triangular(mT(input), mT(B), lower=upper, unit=unitriangular))


class TriangularSolution(NamedTuple):
    """What ``triangular_solve`` returns: the solution, and a copy of A."""

    solution: Tensor
    cloned_coefficient: Tensor


def triangular_solve(
    b: Tensor, A: Tensor, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> TriangularSolution:
    """(solution, A) of A x = b, or of A^T x = b (transpose), for b (..., n, k) and triangular A
    (..., n, n), of which one triangle is read: ``linalg.solve_triangular`` under its older name.
    Raises RuntimeError where shapes do not fit."""
    require_system("triangular_solve", A, b)
    matrix = mT(A) if transpose else A
    x = triangular(matrix, b, lower=upper == transpose, unit=unitriangular)
    return TriangularSolution(x, A.expand(*x.shape[:-2], *A.shape[-2:]).clone())
