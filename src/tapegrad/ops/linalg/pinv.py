"""What singular values decide: pseudoinverses, ranks, condition numbers, least squares."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from tapegrad.core.memory import Array
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common.arguments import require_tensor
from tapegrad.ops.movement.shape import broadcast_to, clone, reshape, squeeze, unsqueeze
from tapegrad.ops.pointwise.elementwise import absolute, where
from tapegrad.ops.reduction.reduce import sum

from .eigh_svd import eigvalsh, svdvals
from .matmul import matmul, transposed
from .matrices import product, require_batches, require_matrices, require_square
from .norms import matrix_norm
from .solve import inverse

# ---------------------------------------------------------------------- pseudoinverse


def _rule(xp: Any, g: Array, y: Array, a: Array) -> Any:
    """Golub & Pereyra, The Differentiation of Pseudo-Inverses (1973):
    dP = -P dA P + P P^T dA^T (I - A P) + (I - P A) dA^T P^T P."""
    p, gt = transposed(xp, y), transposed(xp, g)
    result = -product(xp, p, g, p)
    outer = product(xp, gt, y, p)
    result = result + outer - xp.matmul(a, xp.matmul(y, outer))
    inner = product(xp, p, y, gt)
    return result + inner - xp.matmul(xp.matmul(inner, y), a)


@primitive(vjp=(_rule, None, None))
def pseudoinverse(xp: Any, a: Array, atol: Any, rtol: Any, *, hermitian: bool) -> Array:
    """Singular values up to max(atol, rtol * the largest) count as 0."""
    if not a.size:
        return xp.zeros((*a.shape[:-2], a.shape[-1], a.shape[-2]), dtype=a.dtype)
    if hermitian:
        s, v = xp.eigh(a, triangle="L")
        u, vh = v, transposed(xp, v)
    else:
        u, s, vh = xp.svd(a, full_matrices=False)
    size = xp.library.abs(s)
    kept = size > xp.library.maximum(size.max(axis=-1) * rtol, atol)[..., None]
    inverted = xp.library.where(kept, 1 / xp.library.where(kept, s, 1), 0).astype(a.dtype)
    return xp.library.matmul(transposed(xp, vh) * inverted[..., None, :], transposed(xp, u))


def _tolerances(op: str, A: Tensor, atol: Any, rtol: Any, hermitian: bool) -> tuple[Any, Any]:
    """Numbers, or Tensors with one for each matrix; by default the rounding errors of an SVD."""
    (require_square if hermitian else require_matrices)(op, A)
    for name, value in (("atol", atol), ("rtol", rtol)):
        if isinstance(value, Tensor):
            try:
                np.broadcast_shapes(tuple(A.shape[:-2]), tuple(value.shape))
            except ValueError:
                raise RuntimeError(
                    f"[{op}] {name} of shape {tuple(value.shape)} does not broadcast with the "
                    f"leading dimensions of {tuple(A.shape)}"
                ) from None
    default = max(A.shape[-2:]) * float(np.finfo(A.dtype).eps)
    if rtol is None:
        if isinstance(atol, Tensor):
            rtol = where(atol > 0, 0.0, wrap(A._device.asarray(default, A.dtype), A._device))
        else:
            rtol = 0.0 if atol else default
    return (0.0 if atol is None else atol), rtol


def pinv(
    A: Tensor, *, atol: Any = None, rtol: Any = None, hermitian: bool = False, rcond: Any = None
) -> Tensor:
    """The Moore-Penrose inverses of (..., m, n) matrices, (..., n, m). Singular values (hermitian:
    eigenvalues of the lower triangle) up to max(atol, rtol * the largest) count as 0, with numbers
    or Tensors for atol and rtol (rcond is an older name); rtol is max(m, n) * eps unless there is
    an atol. Raises RuntimeError where these do not broadcast with the leading dimensions."""
    return _pinv("linalg.pinv", A, atol, rtol if rcond is None else rcond, hermitian)


def _pinv(op: str, A: Tensor, atol: Any, rtol: Any, hermitian: bool) -> Tensor:
    atol, rtol = _tolerances(op, A, atol, rtol, hermitian)
    return pseudoinverse(A, atol, rtol, hermitian=hermitian)


def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """``linalg.pinv`` under its older name: the Moore-Penrose inverses of (..., m, n) matrices.
    Singular values up to rcond times the largest count as 0."""
    return _pinv("pinverse", input, None, rcond, False)


def matrix_rank(
    A: Tensor, *, atol: Any = None, rtol: Any = None, hermitian: bool = False, tol: Any = None
) -> Tensor:
    """The ranks of (..., m, n) matrices, (...) of int64: the number of singular values (hermitian:
    of eigenvalues' sizes) above max(atol, rtol * the largest), by default as in ``linalg.pinv``;
    tol is an atol with rtol 0. Raises RuntimeError where these do not broadcast."""
    if tol is not None:
        atol, rtol = tol, 0.0
    atol, rtol = _tolerances("linalg.matrix_rank", A, atol, rtol, hermitian)
    A = A.detach()
    size = absolute(eigvalsh(A)) if hermitian else svdvals(A)
    if size.shape[-1] == 0:
        return sum(size, -1).long()
    atol, rtol = (t._array if isinstance(t, Tensor) else t for t in (atol, rtol))
    values = size._array
    limit = A._device.library.maximum(values.max(axis=-1) * rtol, atol)
    return wrap(A._device.asarray((values > limit[..., None]).sum(axis=-1)), A._device)


def cond(A: Tensor, p: Any = None) -> Tensor:
    """The condition numbers of (..., m, n) matrices, (...): the largest singular value divided by
    the smallest (p None or 2), its inverse (p -2), or (p "fro", "nuc", 1, -1, inf, -inf; square
    matrices) ``linalg.matrix_norm`` of A times that of its inverse, inf where A is singular. Raises
    RuntimeError for another p."""
    op = "linalg.cond"
    require_matrices(op, A)
    if p is None or p in (2, -2):
        s = svdvals(A)
        if s.shape[-1] == 0:
            return sum(s, -1)
        largest, smallest = s[..., 0], s[..., -1]
        return smallest / largest if p == -2 else largest / smallest
    if p not in ("fro", "nuc", 1, -1, math.inf, -math.inf):
        raise RuntimeError(
            f"[{op}] p must be None, 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, got {p!r}"
        )
    require_square(op, A)
    if A.numel() == 0:
        return A.new_zeros(tuple(A.shape[:-2]))
    inverted, info = inverse(A)
    value = matrix_norm(A, p) * matrix_norm(inverted, p)
    return where(info != 0, math.inf, value) if bool((info._array != 0).any()) else value


# ---------------------------------------------------------------------- least squares


class LeastSquares(NamedTuple):
    """The solutions; sums of squared residuals where m > n and the rank is full; ranks; singular
    values. What a driver does not compute is empty."""

    solution: Tensor
    residuals: Tensor
    rank: Tensor
    singular_values: Tensor


_DRIVERS = ("gels", "gelsy", "gelsd", "gelss")


def lstsq(
    A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None
) -> LeastSquares:
    """The X of least size among those that minimise |A X - B|, (..., m, n) and (..., m, k) ->
    (..., n, k), or vectors (..., m) -> (..., n), by singular values. Drivers are LAPACK's names,
    and say what else is returned: "gelsy" (default) the ranks, "gels" the residuals, "gelsd" and
    "gelss" both and the singular values. Singular values up to rcond (eps * max(m, n)) times the
    largest count as 0. Raises RuntimeError for another driver, or where shapes do not fit."""
    op = "linalg.lstsq"
    require_matrices(op, A)
    require_tensor(op, B)
    if driver is not None and driver not in _DRIVERS:
        raise RuntimeError(f"[{op}] driver must be one of {', '.join(_DRIVERS)}, got {driver!r}")
    driver = driver or "gelsy"
    (m, n), is_vector = A.shape[-2:], B.ndim == A.ndim - 1 and B.shape == A.shape[:-1]
    b = unsqueeze(B, -1) if is_vector else B
    require_matrices(op, A, b)
    if b.shape[-2] != m:
        raise RuntimeError(
            f"[{op}] shapes {tuple(A.shape)} and {tuple(B.shape)} do not fit: expected "
            "(..., m, n) and (..., m, k)"
        )
    lead = require_batches(op, A, b)
    A, b = (broadcast_to(x, (*lead, *x.shape[-2:])) for x in (A, b))
    x = matmul(_pinv(op, A, None, rcond, False), b)
    empty = A.new_zeros((0,))
    rank, residuals = matrix_rank(A, rtol=rcond), clone(reshape(x, (x.numel(),))[:0])
    full = driver != "gelsy" and bool((rank._array == n).all())
    if m > n and (full or driver == "gels"):
        difference = matmul(A, x) - b
        residuals = sum(difference * difference, -2)
    return LeastSquares(
        squeeze(x, -1) if is_vector else x,
        residuals,
        empty.long() if driver == "gels" else rank,
        svdvals(A.detach()) if driver in ("gelsd", "gelss") else empty,
    )
