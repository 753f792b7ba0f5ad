"""The exponential of matrices."""

from __future__ import annotations

import math
from typing import Any

from tapegrad.core.memory import Array
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor

from .matmul import transposed
from .matrices import require_square

# The diagonal Pade approximant of degree 13, and the norm up to which it is exact to 2^-53.
_PADE = [math.factorial(26 - j) / (math.factorial(j) * math.factorial(13 - j)) for j in range(14)]
_REACH = 5.371920351148152


def _rule(xp: Any, g: Array, a: Array) -> Any:
    """The upper right block of exp([[A^T, G], [0, A^T]]) (Al-Mohy & Higham, Computing the Frechet
    derivative of the matrix exponential, 2009)."""
    n, rows, columns = a.shape[-1], a.ndim - 2, a.ndim - 1
    at = transposed(xp, a)
    upper = xp.concatenate(at, g, axis=columns, sizes=(n, n))
    lower = xp.concatenate(at * 0, at, axis=columns, sizes=(n, n))
    whole = xp.matrix_exp(xp.concatenate(upper, lower, axis=rows, sizes=(n, n)))
    return xp.getitem(whole, index=(..., slice(0, n), slice(n, 2 * n)))


@primitive("matrix_exp", vjp=(_rule,))
def _matrix_exp(xp: Any, a: Array) -> Array:
    """Scaling and squaring (Higham, The Scaling and Squaring Method for the Matrix Exponential
    Revisited, 2005). Each matrix of a batch is halved as often as it needs."""
    if not a.size:
        return a.copy()
    norm = xp.library.abs(a).sum(axis=-2).max(axis=-1)
    ratio = xp.library.maximum(norm / _REACH, 1.0)
    squarings = xp.library.ceil(xp.library.log2(xp.library.where(norm < math.inf, ratio, 1.0)))
    x = a / (2.0 ** squarings[..., None, None]).astype(a.dtype)
    eye = xp.eye(a.shape[-1], dtype=a.dtype)
    mm = xp.library.matmul
    x2 = mm(x, x)
    x4 = mm(x2, x2)
    x6 = mm(x4, x2)
    c = _PADE
    u = mm(x6, c[13] * x6 + c[11] * x4 + c[9] * x2)
    u = mm(x, u + c[7] * x6 + c[5] * x4 + c[3] * x2 + c[1] * eye)
    v = mm(x6, c[12] * x6 + c[10] * x4 + c[8] * x2)
    v = v + c[6] * x6 + c[4] * x4 + c[2] * x2 + c[0] * eye
    y = xp.library.linalg.solve(v - u, v + u)
    for i in range(int(squarings.max())):
        again = (squarings > i)[..., None, None]
        y = xp.library.where(again, mm(y, y), y)
    return y


def matrix_exp(input: Tensor) -> Tensor:
    """The exponential of (..., n, n) matrices: the sum of A^k / k! over all k from 0 on."""
    require_square("matrix_exp", input)
    return _matrix_exp(input)
