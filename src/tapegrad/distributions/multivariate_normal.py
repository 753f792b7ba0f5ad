"""The multivariate normal distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tapegrad.core.tensor import Size, Tensor

from . import constraints
from . import operations as tg
from .distribution import Distribution
from .matrices import covariance_given, log_det, mahalanobis, precision_to_scale_tril
from .utils import lazy_property, standard_normal

__all__ = ["MultivariateNormal"]


class MultivariateNormal(Distribution):
    """Vectors with mean ``loc`` (..., n) and exactly one of ``covariance_matrix``,
    ``precision_matrix`` (its inverse) and ``scale_tril`` (its lower Cholesky factor, the cheapest),
    (..., n, n). Raises ValueError for none and several."""

    arg_constraints = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        loc: Tensor,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if loc.ndim < 1:
            raise ValueError("[MultivariateNormal] loc must be a vector, got a 0-d tensor")
        matrices = {
            "covariance_matrix": covariance_matrix,
            "scale_tril": scale_tril,
            "precision_matrix": precision_matrix,
        }
        given = covariance_given("MultivariateNormal", **matrices)
        matrix: Any = matrices[given]
        batch = tg.broadcast_shapes(tuple(matrix.shape[:-2]), tuple(loc.shape[:-1]))
        n = loc.shape[-1]
        if tuple(matrix.shape[-2:]) not in ((n, n), (1, 1)) and n != 1:
            raise ValueError(
                f"[MultivariateNormal] {given} must be (..., {n}, {n}) for loc of shape "
                f"{tuple(loc.shape)}, got shape {tuple(matrix.shape)}"
            )
        self.__dict__[given] = matrix.expand((*batch, *matrix.shape[-2:]))
        self.loc = loc.expand((*batch, matrix.shape[-1]))
        super().__init__(batch, self.loc.shape[-1:], validate_args=validate_args)
        if given == "scale_tril":
            self._unbroadcasted_scale_tril = matrix
        elif given == "covariance_matrix":
            self._unbroadcasted_scale_tril = tg.linalg.cholesky(matrix)
        else:
            self._unbroadcasted_scale_tril = precision_to_scale_tril(matrix)

    def _square(self, matrix: Tensor) -> Tensor:
        return matrix.expand((*self._batch_shape, *self._event_shape, *self._event_shape))

    @lazy_property
    def scale_tril(self) -> Tensor:
        """The lower Cholesky factor L of the covariance."""
        return self._square(self._unbroadcasted_scale_tril)

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        """L L^T."""
        factor = self._unbroadcasted_scale_tril
        return self._square(factor @ factor.mT)

    @lazy_property
    def precision_matrix(self) -> Tensor:
        """The inverse of the covariance."""
        return self._square(tg.cholesky_inverse(self._unbroadcasted_scale_tril))

    @property
    def mean(self) -> Tensor:
        """loc."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """loc."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The diagonal of the covariance."""
        variance = self._unbroadcasted_scale_tril.square().sum(-1)
        return variance.expand((*self._batch_shape, *self._event_shape))

    def rsample(self, sample_shape: Sequence[int] = Size()) -> Tensor:
        """loc + L z, z standard normal."""
        z = standard_normal(self._extended_shape(sample_shape), self.loc)
        return self.loc + (self._unbroadcasted_scale_tril @ z.unsqueeze(-1)).squeeze(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """-(n log(2 pi) + d^T inverse(covariance) d) / 2 - log det L, d = value - loc."""
        factor = self._unbroadcasted_scale_tril
        square = mahalanobis(factor, self._fit(value) - self.loc)
        constant = self.event_shape[0] * math.log(2 * math.pi)
        return -0.5 * (constant + square) - log_det(factor)

    def entropy(self) -> Tensor:
        """n (1 + log(2 pi)) / 2 + log det L."""
        constant = 0.5 * self.event_shape[0] * (1 + math.log(2 * math.pi))
        return (constant + log_det(self._unbroadcasted_scale_tril)).expand(self._batch_shape)
