"""Approximations of low rank, from random samples of a matrix's columns (Halko, Martinsson & Tropp,
Finding structure with randomness, 2011, algorithms 4.4 and 5.1)."""

from __future__ import annotations

from typing import Any

from tapegrad.core.tensor import Tensor
from tapegrad.ops.movement.shape import mT
from tapegrad.ops.sampling.draws import randn

from .eigh_svd import SVDTransposed, svd
from .matmul import matmul
from .matrices import require_matrices
from .qr import qr


def svd_lowrank(
    A: Tensor, q: int | None = 6, niter: int | None = 2, M: Tensor | None = None
) -> SVDTransposed:
    """(U, S, V) with A (or A - M) about U diag(S) V^T: A, M (..., m, n), U (..., m, q), S (..., q),
    descending, V (..., n, q). ``niter`` multiplications with A A^T sharpen the random sample.
    Raises ValueError for q beyond min(m, n) or a negative niter."""
    if M is not None:
        require_matrices("svd_lowrank", A, M)
        A = A - M
    return _approximate("svd_lowrank", A, 6 if q is None else q, niter or 0)


def _approximate(op: str, A: Tensor, q: int, niter: int) -> SVDTransposed:
    require_matrices(op, A)
    m, n = A.shape[-2:]
    if not 0 <= q <= min(m, n):
        raise ValueError(f"[{op}] q must be from 0 to {min(m, n)} for shape {tuple(A.shape)}: {q}")
    if not 0 <= niter <= 1000:  # (each of them squares how far apart the singular values are)
        raise ValueError(f"[{op}] niter must be from 0 to 1000, got {niter}")
    if m < n:  # the smaller side is sampled
        U, S, V = _approximate(op, mT(A), q, niter)
        return SVDTransposed(V, S, U)
    Q = _range(A, q, niter)
    U, S, Vh = svd(matmul(mT(Q), A), full_matrices=False)
    return SVDTransposed(matmul(Q, U), S, mT(Vh))


def _range(A: Tensor, q: int, niter: int) -> Tensor:
    """An orthonormal basis of about the range of A. The sample itself has no gradient."""
    draw: Any = randn(A.shape[-1], q, dtype=A.dtype, device=A._device)
    Q = qr(matmul(A, draw)).Q
    for _ in range(niter):
        Q = qr(matmul(mT(A), Q)).Q
        Q = qr(matmul(A, Q)).Q
    return Q


def pca_lowrank(A: Tensor, q: int | None = None, center: bool = True, niter: int = 2) -> Any:
    """``svd_lowrank`` of A, (..., m, n), with the mean of its rows subtracted (center): V's columns
    are the principal directions. q is min(6, m, n) by default. Raises ValueError for q beyond
    min(m, n) or a negative niter."""
    op = "pca_lowrank"
    require_matrices(op, A)
    if q is None:
        q = min(6, *A.shape[-2:])
    if center:
        A = A - A.mean(-2, keepdim=True)
    return _approximate(op, A, q, niter)
