"""Cholesky factors and what is made of them, for the distributions with a covariance."""

from __future__ import annotations

from tapegrad.core.tensor import Tensor

from . import operations as tg


def precision_to_scale_tril(precision: Tensor) -> Tensor:
    """The Cholesky factor of the inverse of a precision matrix, from that of the matrix itself with
    rows and columns reversed: for P = U U^T with U upper triangular, inverse(P) =
    inverse(U)^T inverse(U), and inverse(U)^T is lower triangular."""
    upper = tg.linalg.cholesky(precision.flip((-2, -1))).flip((-2, -1))
    identity = tg.eye(upper.shape[-1], dtype=upper.dtype, device=upper.device)
    return tg.linalg.solve_triangular(upper, identity.expand(upper.shape), upper=True).mT


def covariance_given(op: str, **given: Tensor | None) -> str:
    """Which one was given of a covariance, precision matrix or Cholesky factor. Raises ValueError
    unless it is one, of at least two dimensions."""
    names = [name for name, value in given.items() if value is not None]
    if len(names) != 1:
        raise ValueError(
            f"[{op}] takes exactly one of {', '.join(given)}, got {', '.join(names) or 'none'}"
        )
    matrix = given[names[0]]
    if not isinstance(matrix, Tensor) or matrix.ndim < 2:
        found = tuple(matrix.shape) if isinstance(matrix, Tensor) else type(matrix).__name__
        raise ValueError(f"[{op}] {names[0]} must be a matrix or a batch of them, got {found}")
    return names[0]


def log_det(factor: Tensor) -> Tensor:
    """log of the product of the diagonal of a Cholesky factor: half the log determinant."""
    return factor.diagonal(0, -2, -1).log().sum(-1)


def mahalanobis(factor: Tensor, difference: Tensor) -> Tensor:
    """d^T inverse(L L^T) d of differences (..., n), of factors L (..., n, n) that broadcast with
    them. Differences of one distribution are solved for at once."""
    batch = factor.shape[:-2]
    if all(size == 1 for size in batch):
        flat = difference.reshape(-1, difference.shape[-1])
        matrix = factor.reshape(factor.shape[-2:])
        solved = tg.linalg.solve_triangular(matrix, flat.mT, upper=False)
        return solved.square().sum(0).reshape(difference.shape[:-1])
    return (
        tg.linalg.solve_triangular(factor, difference.unsqueeze(-1), upper=False)
        .square()
        .sum((-2, -1))
    )
