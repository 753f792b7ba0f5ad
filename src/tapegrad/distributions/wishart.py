"""The Wishart distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tapegrad.core.tensor import Size, Tensor
from tapegrad.ops.sampling.gamma import standard_gamma

from . import constraints
from . import operations as tg
from .exp_family import ExponentialFamily
from .matrices import covariance_given, log_det, precision_to_scale_tril
from .utils import is_number, lazy_property, standard_normal

__all__ = ["Wishart"]


class Wishart(ExponentialFamily):
    """Positive definite (..., n, n) matrices: the sum of ``df`` > n - 1 outer products x x^T of
    normal vectors with mean 0 and covariance V, given as exactly one of ``covariance_matrix``,
    ``precision_matrix`` (its inverse) and ``scale_tril`` (its lower Cholesky factor). df need not
    be whole. Raises ValueError for a df that is too small."""

    support = constraints.positive_definite
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(
        self,
        df: Any,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        matrices = {
            "covariance_matrix": covariance_matrix,
            "scale_tril": scale_tril,
            "precision_matrix": precision_matrix,
        }
        given = covariance_given("Wishart", **matrices)
        matrix: Any = matrices[given]
        event = matrix.shape[-2:]
        if is_number(df):
            df = tg.tensor(df, dtype=matrix.dtype, device=matrix.device)
        batch = tg.broadcast_shapes(tuple(df.shape), tuple(matrix.shape[:-2]))
        if not bool((df > event[-1] - 1).all()):
            raise ValueError(
                f"[Wishart] df must be greater than n - 1 = {event[-1] - 1} for {given} of shape "
                f"{tuple(matrix.shape)}, got {df.tolist()}"
            )
        self.df = df.expand(batch)
        self.__dict__[given] = matrix.expand((*batch, *event))
        super().__init__(batch, event, validate_args=validate_args)
        if given == "scale_tril":
            self._unbroadcasted_scale_tril = matrix
        elif given == "covariance_matrix":
            self._unbroadcasted_scale_tril = tg.linalg.cholesky(matrix)
        else:
            self._unbroadcasted_scale_tril = precision_to_scale_tril(matrix)

    @property
    def arg_constraints(self) -> dict[str, constraints.Constraint]:
        """Those of the matrices, and df > n - 1."""
        return {
            "covariance_matrix": constraints.positive_definite,
            "precision_matrix": constraints.positive_definite,
            "scale_tril": constraints.lower_cholesky,
            "df": constraints.greater_than(self.event_shape[-1] - 1),
        }

    def _square(self, matrix: Tensor) -> Tensor:
        return matrix.expand((*self._batch_shape, *self._event_shape))

    @lazy_property
    def scale_tril(self) -> Tensor:
        """The lower Cholesky factor L of V."""
        return self._square(self._unbroadcasted_scale_tril)

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        """V = L L^T."""
        factor = self._unbroadcasted_scale_tril
        return self._square(factor @ factor.mT)

    @lazy_property
    def precision_matrix(self) -> Tensor:
        """The inverse of V."""
        return self._square(tg.cholesky_inverse(self._unbroadcasted_scale_tril))

    def _each(self, value: Tensor) -> Tensor:
        """Numbers of the batch beside matrices."""
        return value.reshape((*value.shape, 1, 1))

    @property
    def mean(self) -> Tensor:
        """df V."""
        return self._each(self.df) * self.covariance_matrix

    @property
    def mode(self) -> Tensor:
        """(df - n - 1) V; nan where that is not positive."""
        factor = self.df - self.event_shape[-1] - 1
        return self._each(factor.masked_fill(factor <= 0, float("nan"))) * self.covariance_matrix

    @property
    def variance(self) -> Tensor:
        """df (V_ij^2 + V_ii V_jj)."""
        V = self.covariance_matrix
        diagonal = V.diagonal(0, -2, -1)
        products = diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2)
        return self._each(self.df) * (V.square() + products)

    def rsample(self, sample_shape: Sequence[int] = Size()) -> Tensor:
        """L A (L A)^T, with A lower triangular: standard normal numbers below the diagonal, and on
        it the roots of chi-squared ones of df, df - 1, ... degrees of freedom (Bartlett 1933)."""
        shape = self._extended_shape(sample_shape)
        n = self.event_shape[-1]
        steps = tg.arange(n, dtype=self.df.dtype, device=self.df.device)
        half = (0.5 * (self.df.unsqueeze(-1) - steps)).expand(shape[:-1])
        chi = (2 * standard_gamma(half)).sqrt()
        factor = standard_normal(shape, self.df).tril(-1) + chi.diag_embed()
        factor = self._unbroadcasted_scale_tril @ factor
        return factor @ factor.mT

    def log_prob(self, value: Tensor) -> Tensor:
        """((df - n - 1) log det X - tr(inverse(V) X) - df n log 2) / 2 - df log det L
        - log gamma_n(df / 2), X the value."""
        value = self._fit(value)
        n, df, factor = self.event_shape[-1], self.df, self._unbroadcasted_scale_tril
        inner = tg.linalg.solve_triangular(
            factor, tg.linalg.cholesky(value), upper=False
        )  # tr(inverse(V) X) is the square of its norm
        logdet = 2 * log_det(tg.linalg.cholesky(value))
        return (
            0.5 * (df - n - 1) * logdet
            - 0.5 * inner.square().sum((-2, -1))
            - df * (0.5 * n * math.log(2) + log_det(factor))
            - tg.mvlgamma(0.5 * df, n)
        )

    def entropy(self) -> Tensor:
        """df log det L + log gamma_n(df / 2) + df n (1 + log 2) / 2 - (df - n - 1) / 2 E log det X,
        E log det X = digamma_n(df / 2) + n log 2 + 2 log det L."""
        n, df = self.event_shape[-1], self.df
        logdet = log_det(self._unbroadcasted_scale_tril)
        steps = tg.arange(n, dtype=df.dtype, device=df.device)
        digammas = (0.5 * (df.unsqueeze(-1) - steps)).digamma().sum(-1)
        expected = digammas + n * math.log(2) + 2 * logdet
        normalizer = df * logdet + tg.mvlgamma(0.5 * df, n) + 0.5 * df * n * math.log(2)
        return normalizer + 0.5 * df * n - 0.5 * (df - n - 1) * expected

    @property
    def _natural_params(self) -> tuple[Tensor, Tensor]:
        return -0.5 * self.precision_matrix, 0.5 * (self.df - self.event_shape[-1] - 1)

    def _log_normalizer(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        n = self.event_shape[-1]
        half = y + 0.5 * (n + 1)
        return tg.mvlgamma(half, n) - half * tg.linalg.slogdet(-x).logabsdet
