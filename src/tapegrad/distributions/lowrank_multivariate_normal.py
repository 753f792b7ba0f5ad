"""The multivariate normal distribution with a covariance of low rank and a diagonal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tapegrad.core.tensor import Size, Tensor

from . import constraints
from . import operations as tg
from .distribution import Distribution
from .matrices import log_det, mahalanobis
from .utils import lazy_property, standard_normal

__all__ = ["LowRankMultivariateNormal"]


class LowRankMultivariateNormal(Distribution):
    """Vectors with mean ``loc`` (..., n) and covariance W W^T + diag(D), W = ``cov_factor``
    (..., n, m) and D = ``cov_diag`` (..., n) > 0.

    Determinant and inverse are those of the m x m capacitance C = I + W^T inverse(D) W: by the
    matrix determinant lemma, det(covariance) = det(C) det(D), and by Woodbury's identity the
    inverse is inverse(D) - inverse(D) W inverse(C) W^T inverse(D). Raises ValueError for shapes
    that do not fit.
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "cov_factor": constraints.independent(constraints.real, 2),
        "cov_diag": constraints.independent(constraints.positive, 1),
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self, loc: Tensor, cov_factor: Tensor, cov_diag: Tensor, validate_args: bool | None = None
    ) -> None:
        op = "LowRankMultivariateNormal"
        if loc.ndim < 1:
            raise ValueError(f"[{op}] loc must be a vector, got a 0-d tensor")
        n = loc.shape[-1]
        if cov_factor.ndim < 2 or cov_factor.shape[-2] != n:
            raise ValueError(
                f"[{op}] cov_factor must be (..., {n}, m) for loc of shape {tuple(loc.shape)}, got "
                f"shape {tuple(cov_factor.shape)}"
            )
        if cov_diag.ndim < 1 or cov_diag.shape[-1] != n:
            raise ValueError(
                f"[{op}] cov_diag must be (..., {n}) for loc of shape {tuple(loc.shape)}, got "
                f"shape {tuple(cov_diag.shape)}"
            )
        shapes = (loc.shape[:-1], cov_factor.shape[:-2], cov_diag.shape[:-1])
        batch = tg.broadcast_shapes(*map(tuple, shapes))
        self.loc, self.cov_diag = loc.expand((*batch, n)), cov_diag.expand((*batch, n))
        self.cov_factor = cov_factor.expand((*batch, *cov_factor.shape[-2:]))
        super().__init__(batch, (n,), validate_args=validate_args)
        self._unbroadcasted_cov_factor, self._unbroadcasted_cov_diag = cov_factor, cov_diag
        scaled = cov_factor.mT / cov_diag.unsqueeze(-2)
        capacitance = scaled @ cov_factor
        identity = tg.eye(capacitance.shape[-1], dtype=loc.dtype, device=loc.device)
        self._capacitance_tril = tg.linalg.cholesky(capacitance + identity)

    def _square(self, matrix: Tensor) -> Tensor:
        return matrix.expand((*self._batch_shape, *self._event_shape, *self._event_shape))

    @property
    def mean(self) -> Tensor:
        """loc."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """loc."""
        return self.loc

    @lazy_property
    def variance(self) -> Tensor:  # type: ignore[override]
        """The diagonal of the covariance."""
        variance = self._unbroadcasted_cov_factor.square().sum(-1) + self._unbroadcasted_cov_diag
        return variance.expand((*self._batch_shape, *self._event_shape))

    @lazy_property
    def scale_tril(self) -> Tensor:
        """The lower Cholesky factor of the covariance: sqrt(D) times that of
        I + D^(-1/2) W W^T D^(-1/2), whose eigenvalues are at least 1."""
        root = self._unbroadcasted_cov_diag.sqrt().unsqueeze(-1)
        scaled = self._unbroadcasted_cov_factor / root
        identity = tg.eye(scaled.shape[-2], dtype=scaled.dtype, device=scaled.device)
        return self._square(root * tg.linalg.cholesky(scaled @ scaled.mT + identity))

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        """W W^T + diag(D)."""
        factor = self._unbroadcasted_cov_factor
        return self._square(factor @ factor.mT + self._unbroadcasted_cov_diag.diag_embed())

    @lazy_property
    def precision_matrix(self) -> Tensor:
        """The inverse of the covariance, by Woodbury's identity."""
        diagonal = self._unbroadcasted_cov_diag
        scaled = self._unbroadcasted_cov_factor.mT / diagonal.unsqueeze(-2)
        solved = tg.linalg.solve_triangular(self._capacitance_tril, scaled, upper=False)
        return self._square(diagonal.reciprocal().diag_embed() - solved.mT @ solved)

    def rsample(self, sample_shape: Sequence[int] = Size()) -> Tensor:
        """loc + W z + sqrt(D) e, z and e standard normal."""
        shape = self._extended_shape(sample_shape)
        z = standard_normal((*shape[:-1], self.cov_factor.shape[-1]), self.loc)
        e = standard_normal(shape, self.loc)
        low = (self._unbroadcasted_cov_factor @ z.unsqueeze(-1)).squeeze(-1)
        return self.loc + low + self._unbroadcasted_cov_diag.sqrt() * e

    def _log_det(self) -> Tensor:
        return 2 * log_det(self._capacitance_tril) + self._unbroadcasted_cov_diag.log().sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """-(n log(2 pi) + log det(covariance) + d^T inverse(covariance) d) / 2, d = value - loc."""
        difference = self._fit(value) - self.loc
        square = lowrank_mahalanobis(self, difference)
        constant = self.event_shape[0] * math.log(2 * math.pi)
        return -0.5 * (constant + self._log_det() + square)

    def entropy(self) -> Tensor:
        """(n (1 + log(2 pi)) + log det(covariance)) / 2."""
        constant = self.event_shape[0] * (1 + math.log(2 * math.pi))
        return (0.5 * (constant + self._log_det())).expand(self._batch_shape)


def lowrank_mahalanobis(p: LowRankMultivariateNormal, difference: Tensor) -> Tensor:
    """d^T inverse(covariance) d of differences (..., n), by Woodbury's identity."""
    scaled = difference / p._unbroadcasted_cov_diag
    projected = (p._unbroadcasted_cov_factor.mT @ scaled.unsqueeze(-1)).squeeze(-1)
    return (difference * scaled).sum(-1) - mahalanobis(p._capacitance_tril, projected)
