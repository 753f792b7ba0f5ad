"""QR factorisations, and products of Householder reflections."""

from __future__ import annotations

from typing import Any, NamedTuple

from tapegrad.core.memory import Array
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.movement.diagonal import diag_embed
from tapegrad.ops.movement.shape import mT
from tapegrad.ops.movement.tril_triu import tril, triu

from .matmul import matmul, transposed
from .matrices import (
    identity,
    over_transposed,
    plus,
    require_alike,
    require_matrices,
    require_numbers,
)
from .solve_triangular import triangular

# ---------------------------------------------------------------------- QR


def _qr_rule(xp: Any, g: Array, y: Array, mode: str) -> tuple:
    """Walter & Lehmann, Algorithmic Differentiation of Linear Algebra Functions with Application in
    Optimum Experimental Design (2012); for wide matrices A = [X Y], of X = Q U and V = Q^T Y."""
    (gq, gr), (q, r) = g, y
    if mode == "r":
        raise RuntimeError("[linalg.qr] mode='r' has no gradient: it needs Q; use mode='reduced'")
    m, n, axis = q.shape[-2], r.shape[-1], r.ndim - 1
    if mode == "complete" and m > n:
        raise RuntimeError(
            f"[linalg.qr] mode='complete' has no gradient for shape {(*r.shape[:-2], m, n)}: Q's "
            "last columns are arbitrary; use mode='reduced'"
        )
    if m >= n:
        return (_tall_rule(xp, gq, gr, q, r),)
    square = xp.getitem(r, index=(..., slice(0, m)))
    right = xp.matmul(q, xp.getitem(r, index=(..., slice(m, n))))  # Y
    gv = None
    if gr is not None:
        gv = xp.getitem(gr, index=(..., slice(m, n)))
        gr = xp.getitem(gr, index=(..., slice(0, m)))
        gq = plus(gq, xp.matmul(right, transposed(xp, gv)))
    gx = _tall_rule(xp, gq, gr, q, square)
    gy = xp.matmul(q, gv) if gv is not None else right * 0
    return (xp.concatenate(gx, gy, axis=axis, sizes=(m, n - m)),)


def _tall_rule(xp: Any, gq: Any, gr: Any, q: Array, r: Array) -> Any:
    """(gQ + Q S) R^-T, S the symmetric matrix with the upper triangle of gR R^T - Q^T gQ."""
    inner = None
    if gr is not None:
        inner = xp.matmul(gr, transposed(xp, r))
    if gq is not None:
        inner = plus(inner, -xp.matmul(transposed(xp, q), gq))
    triangle = xp.triu(inner, diagonal=0)
    symmetric = triangle + transposed(xp, xp.triu(inner, diagonal=1))
    return over_transposed(xp, plus(xp.matmul(q, symmetric), gq), r)


@primitive("qr", vjp_all=_qr_rule, results=2)
def _qr(xp: Any, a: Array, *, mode: str) -> tuple[Any, Any]:
    if mode == "r":
        return xp.zeros((0,), dtype=a.dtype), xp.library.linalg.qr(a, "r")
    return tuple(xp.library.linalg.qr(a, mode))


class QR(NamedTuple):
    """A = Q R."""

    Q: Tensor
    R: Tensor


def qr(A: Tensor, mode: str = "reduced") -> QR:
    """(Q, R) of (..., m, n) matrices, A = Q R, Q orthogonal, R upper triangular: (..., m, k) and
    (..., k, n) with k = min(m, n); "complete": (..., m, m) and (..., m, n); "r": Q is empty. Raises
    RuntimeError for another mode; the gradient does for "r", and for "complete" where m > n."""
    require_matrices("linalg.qr", A)
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(f"[linalg.qr] mode must be 'reduced', 'complete' or 'r', got {mode!r}")
    Q, R = _qr(A, mode=mode)
    return QR(Q.detach(), R) if mode == "r" else QR(Q, R)


def torch_qr(input: Tensor, some: bool = True) -> QR:
    """``linalg.qr`` under its older name: mode "reduced", or "complete" (some=False)."""
    require_matrices("qr", input)
    return QR(*_qr(input, mode="reduced" if some else "complete"))


# ---------------------------------------------------------------------- reflections


class Reflections(NamedTuple):
    """R above, the reflections' vectors below the diagonal; and their factors."""

    a: Tensor
    tau: Tensor


def geqrf(input: Tensor) -> Reflections:
    """(a, tau): LAPACK's form of the QR factorisation of (..., m, n) matrices. R is the upper
    triangle of a, (..., m, n); Q the product of the reflections below it, with tau,
    (..., min(m, n)), as ``linalg.householder_product`` multiplies them. Not differentiable."""
    require_matrices("geqrf", input)
    device = input._device
    h, tau = device.library.linalg.qr(input._array, "raw")
    h = device.ops["contiguous"](h.swapaxes(-1, -2))
    return Reflections(wrap(h, device), wrap(tau, device))


def _compact(A: Tensor, tau: Tensor) -> tuple[Tensor, Tensor]:
    """V and T with H_1 ... H_k = I - V T V^T, H_i = I - tau_i v_i v_i^T. T is (I + D S)^-1 D with
    D = diag(tau) and S the strict upper triangle of V^T V (Joffrain et al., Accumulating
    Householder Transformations, Revisited, 2006): nothing is divided by tau."""
    m, k = A.shape[-2], tau.shape[-1]
    V = tril(A[..., :, :k], -1) + identity(A, m, k)
    D = diag_embed(tau)
    S = triu(matmul(mT(V), V), 1)
    return V, triangular(matmul(D, S), D, lower=False, unit=True)


def householder_product(A: Tensor, tau: Tensor) -> Tensor:
    """The first n columns of H_1 ... H_k, where reflection i is I - tau_i v_i v_i^T and v_i is
    column i of A, (..., m, n), below the diagonal, after a 1. tau: (..., k), k <= n <= m; raises
    RuntimeError for other shapes."""
    op = "linalg.householder_product"
    _check_reflections(op, A, tau)
    m, n = A.shape[-2:]
    if m < n:
        raise RuntimeError(f"[{op}] needs at least as many rows as columns, got {tuple(A.shape)}")
    if tau.shape[-1] > n:
        raise RuntimeError(f"[{op}] {tau.shape[-1]} reflections in {n} columns")
    V, T = _compact(A, tau)
    return identity(A, m, n) - matmul(matmul(V, T), mT(V[..., :n, :]))


def ormqr(
    input: Tensor, tau: Tensor, other: Tensor, left: bool = True, transpose: bool = False
) -> Tensor:
    """Q other, Q^T other (transpose), other Q or other Q^T (left=False), where Q is the (..., m, m)
    product of the reflections in ``input``, (..., m, k), and ``tau``, (..., at most k). Raises
    RuntimeError where shapes do not fit."""
    op = "ormqr"
    _check_reflections(op, input, tau)
    require_matrices(op, input, other)
    m = other.shape[-2 if left else -1]
    fits = input.shape[-2] == m and tau.shape[-1] <= input.shape[-1]
    if not fits or other.shape[:-2] != input.shape[:-2]:
        raise RuntimeError(
            f"[{op}] shapes {tuple(input.shape)}, {tuple(tau.shape)} and {tuple(other.shape)} do "
            "not fit: expected (..., m, k), (..., k) and "
            + ("(..., m, n)" if left else "(..., n, m)")
        )
    V, T = _compact(input, tau)
    T = mT(T) if transpose else T
    if left:
        return other - matmul(V, matmul(T, matmul(mT(V), other)))
    return other - matmul(matmul(matmul(other, V), T), mT(V))


def _check_reflections(op: str, A: Tensor, tau: Tensor) -> None:
    require_matrices(op, A)
    require_numbers(op, tau)
    require_alike(op, A, tau)
    if tau.ndim != A.ndim - 1 or tau.shape[:-1] != A.shape[:-2]:
        raise RuntimeError(
            f"[{op}] tau of shape {tuple(tau.shape)} does not fit {tuple(A.shape)}: expected "
            "(..., k) for (..., m, n), with the same leading dimensions"
        )
