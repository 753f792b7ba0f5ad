"""The generalized Pareto distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tapegrad.core.tensor import Size, Tensor

from . import constraints
from . import operations as tg
from .distribution import Distribution
from .utils import broadcast_all, open_uniform

__all__ = ["GeneralizedPareto"]


class GeneralizedPareto(Distribution):
    """What exceeds a high threshold ``loc``: with z = (x - loc) / scale >= 0 and c the
    ``concentration``, P(X > x) = (1 + c z)^(-1/c), and exp(-z) for c = 0. For c < 0 it ends at
    loc - scale / c (Pickands 1975)."""

    arg_constraints = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "concentration": constraints.real,
    }
    has_rsample = True

    def __init__(
        self, loc: Any, scale: Any, concentration: Any, validate_args: bool | None = None
    ) -> None:
        self.loc, self.scale, self.concentration = broadcast_all(loc, scale, concentration)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        """From loc on; for c < 0 to loc - scale / c."""
        c = self.concentration
        end = self.loc - self.scale / tg.where(c < 0, c, -1.0)
        return constraints.interval(self.loc, tg.where(c < 0, end, float("inf")))

    def _split(self) -> tuple[Tensor, Tensor]:
        """Where c is 0, and c with 1 in its place."""
        c = self.concentration
        exponential = c.abs() < tg.finfo(c.dtype).eps
        return exponential, c.masked_fill(exponential, 1.0)

    def rsample(self, sample_shape: Sequence[int] = Size()) -> Tensor:
        """The quantiles of uniform numbers."""
        return self.icdf(open_uniform(self._extended_shape(sample_shape), self.loc))

    def log_prob(self, value: Tensor) -> Tensor:
        """-(1 + 1 / c) log(1 + c z) - log scale."""
        z = (self._fit(value) - self.loc) / self.scale
        exponential, c = self._split()
        return tg.where(exponential, -z, -(1 + 1 / c) * (c * z).log1p()) - self.scale.log()

    def log_survival_function(self, value: Tensor) -> Tensor:
        """The logarithm of the probability of a draw above ``value``: -log(1 + c z) / c."""
        z = (self._fit(value) - self.loc) / self.scale
        exponential, c = self._split()
        return tg.where(exponential, -z, -(c * z).log1p() / c)

    def log_cdf(self, value: Tensor) -> Tensor:
        """The logarithm of ``cdf``."""
        return (-self.log_survival_function(value).exp()).log1p()

    def cdf(self, value: Tensor) -> Tensor:
        """1 - (1 + c z)^(-1/c)."""
        return -self.log_survival_function(value).expm1()

    def icdf(self, value: Tensor) -> Tensor:
        """loc + scale ((1 - value)^-c - 1) / c."""
        exponential, c = self._split()
        log_above = (-value).log1p()
        z = tg.where(exponential, -log_above, (-c * log_above).expm1() / c)
        return self.loc + self.scale * z

    @property
    def mean(self) -> Tensor:
        """loc + scale / (1 - c); nan for c >= 1."""
        c = self.concentration
        return (self.loc + self.scale / (1 - c)).masked_fill(c >= 1, float("nan"))

    @property
    def variance(self) -> Tensor:
        """scale^2 / ((1 - c)^2 (1 - 2 c)); nan for c >= 1/2."""
        c = self.concentration
        variance = self.scale.square() / ((1 - c).square() * (1 - 2 * c))
        return variance.masked_fill(c >= 0.5, float("nan"))

    @property
    def mode(self) -> Tensor:
        """loc."""
        return self.loc

    def entropy(self) -> Tensor:
        """log scale + c + 1."""
        return self.scale.log() + self.concentration + 1
