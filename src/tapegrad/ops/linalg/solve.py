"""Linear systems and inverses: the array library factorises, the rules are Giles's (An extended
collection of matrix derivative results for forward and reverse mode AD, 2008)."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from tapegrad.core.devices import failures_raise
from tapegrad.core.memory import Array
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_tensor
from tapegrad.ops.movement.shape import clone, mT, permute, reshape, squeeze, unsqueeze
from tapegrad.ops.pointwise.elementwise import where

from .lu import factor, order_of_rows
from .matmul import matmul, transposed
from .matrices import check_info, identity, product, require_square, require_system
from .solve_triangular import substitute

# ---------------------------------------------------------------------- primitives


@primitive(
    "inv",
    vjp_all=lambda xp, g, y: (-product(xp, transposed(xp, y[0]), g[0], transposed(xp, y[0])),),
    results=2,
)
def inverse(xp: Any, a: Array) -> tuple[Any, Any]:
    """The inverses and, for each matrix, the first column whose pivot is 0 (0: none)."""
    info = xp.zeros(a.shape[:-2], dtype="int32")
    if a.size == 0:
        return a.copy(), info
    try:
        with failures_raise(xp.library):
            return xp.library.linalg.inv(a), info
    except xp.library.linalg.LinAlgError:
        eye = xp.library.broadcast_to(xp.eye(a.shape[-1], dtype=a.dtype), a.shape)
        return _eliminated(xp, a, eye)


def _solve_rule(xp: Any, g: Array, y: Array, a: Array, needs: Any) -> tuple:
    """A Y = B:  gB = A^-T g,  gA = -gB Y^T."""
    db = xp.solve(transposed(xp, a), g[0])[0]
    da = -xp.matmul(db, transposed(xp, y[0])) if needs[0] else None
    return da, db


@primitive("solve", vjp_all=_solve_rule, results=2)
def _solve(xp: Any, a: Array, b: Array) -> tuple[Any, Any]:
    """(..., n, n) and (..., n, k) -> (..., n, k), and ``info`` as of ``inverse``."""
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    info = xp.zeros(a.shape[:-2], dtype="int32")
    wide = xp.library.broadcast_to(a, lead + a.shape[-2:])
    b = xp.library.broadcast_to(b, lead + b.shape[-2:])
    if b.size == 0:
        return b.copy(), info
    try:
        with failures_raise(xp.library):
            return xp.library.linalg.solve(wide, b), info
    except xp.library.linalg.LinAlgError:
        return _eliminated(xp, a, b)


def _eliminated(xp: Any, a: Array, b: Array) -> tuple[Any, Any]:
    """By this package's own elimination, which continues where a pivot is 0: for the other matrices
    of the batch, and for the inf and nan of this one."""
    lu, pivots, info = factor(xp, a)
    order = order_of_rows(xp, pivots.reshape(info.size, -1).astype("int64") - 1, a.shape[-1])
    order = xp.library.broadcast_to(order.reshape(*info.shape, -1, 1), b.shape)
    x = xp.library.take_along_axis(b, order, axis=-2)
    substitute(xp, lu, x, lower=True, unit=True)
    substitute(xp, lu, x, lower=False, unit=False)
    return x, info


# ---------------------------------------------------------------------- PyTorch's signatures


class Inverse(NamedTuple):
    """The inverses; for each matrix, the first column whose pivot is 0 (0: none)."""

    inverse: Tensor
    info: Tensor


class Solution(NamedTuple):
    """The solutions; for each matrix, the first column whose pivot is 0 (0: none)."""

    result: Tensor
    info: Tensor


_SINGULAR = (
    "the matrix is singular: the pivot in column {} (counted from 1) is zero; see linalg.pinv and "
    "linalg.lstsq for what exists then"
)


def inv_ex(A: Tensor, *, check_errors: bool = False) -> Inverse:
    """(inverse, info) of (..., n, n) matrices; ``info``, (...) of int32, is 0 where the inverse
    exists. Others have inf or nan in theirs; check_errors: raises LinAlgError instead."""
    return _inverted("linalg.inv_ex", A, check_errors)


def inv(A: Tensor) -> Tensor:
    """The inverses of (..., n, n) matrices. Raises LinAlgError if one is singular."""
    return _inverted("linalg.inv", A).inverse


def _inverted(op: str, A: Tensor, check: bool = True) -> Inverse:
    require_square(op, A)
    result = Inverse(*inverse(A))
    if check:
        check_info(op, result.info, _SINGULAR)
    return result


def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False) -> Solution:
    """(solution, info) of A X = B, as by ``linalg.solve``; ``info``, A's leading dimensions of
    int32, is 0 where A is regular. For others the solution has inf or nan; check_errors: raises
    LinAlgError instead."""
    return _solved("linalg.solve_ex", A, B, left, check_errors)


def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """The solution X of A X = B, or of X A = B (left=False).

    A: (..., n, n); B: (..., n, k), or vectors (n,) or (..., n) with A's leading dimensions; for
    left=False (..., k, n). Raises LinAlgError if A is singular, RuntimeError where shapes do not
    fit.
    """
    return _solved("linalg.solve", A, B, left).result


def _solved(op: str, A: Tensor, B: Tensor, left: bool, check: bool = True) -> Solution:
    require_square(op, A)
    require_tensor(op, B)
    is_vector = B.ndim == 1 or (A.ndim - 1 == B.ndim and B.shape == A.shape[:-1])
    if is_vector and not left:
        raise RuntimeError(f"[{op}] left=False needs matrices, got B of shape {tuple(B.shape)}")
    b = unsqueeze(B, -1) if is_vector else B
    require_system(op, A, b, left)
    x, info = _solve(A, b) if left else _solve(mT(A), mT(b))
    if check:
        check_info(op, info, _SINGULAR)
    x = x if left else mT(x)
    return Solution(squeeze(x, -1) if is_vector else x, info)


def matrix_power(A: Tensor, n: int) -> Tensor:
    """The product of n times the (..., n, n) matrix A; for negative n, of its inverse; for 0 the
    identity. Raises LinAlgError for a negative n if A is singular."""
    op = "linalg.matrix_power"
    require_square(op, A)
    if n < 0:
        A, n = _inverted(op, A).inverse, -n
    if n == 0:
        return where(np.False_, A, identity(A, *A.shape[-2:]).expand(*A.shape))  # of gradient 0
    power, result = A, None
    while n:
        if n % 2:
            result = power if result is None else matmul(result, power)
        n //= 2
        power = matmul(power, power) if n else power
    return clone(result) if result is A else result  # type: ignore[return-value,arg-type]


def tensorinv(A: Tensor, ind: int = 2) -> Tensor:
    """The inverse of A as a map from its last dimensions to its first ``ind``: of shape
    A.shape[ind:] + A.shape[:ind]. Raises RuntimeError unless both have as many elements,
    LinAlgError if A is singular."""
    op = "linalg.tensorinv"
    require_tensor(op, A)
    if ind <= 0:
        raise RuntimeError(f"[{op}] ind must be positive, got {ind}")
    first, last = tuple(A.shape[:ind]), tuple(A.shape[ind:])
    if math.prod(first) != math.prod(last):
        raise RuntimeError(
            f"[{op}] the sizes {first} and {last} of shape {tuple(A.shape)} must have the same "
            "product"
        )
    n = math.prod(first)
    return reshape(_inverted(op, reshape(A, (n, n))).inverse, last + first)


def tensorsolve(A: Tensor, B: Tensor, dims: Any = None) -> Tensor:
    """The X with tensordot(A, X, X.ndim) = B, after the dimensions ``dims`` of A are moved to its
    end: A of shape B.shape + X.shape. Raises RuntimeError unless B and X have as many elements,
    LinAlgError if A is singular."""
    op = "linalg.tensorsolve"
    require_tensor(op, A)
    require_tensor(op, B)
    if dims is not None:
        moved = [d % A.ndim for d in dims]
        A = permute(A, [i for i in range(A.ndim) if i not in moved] + moved)
    n = B.numel()
    unknown = tuple(A.shape[B.ndim :])
    if math.prod(unknown) != n:
        raise RuntimeError(
            f"[{op}] shapes {tuple(A.shape)} and {tuple(B.shape)} do not fit: the product of A's "
            f"last sizes {unknown} must be B's {n} elements"
        )
    x = solve(reshape(A, (n, n)), reshape(B, (n,)))
    return reshape(x, unknown)
