"""The half-Cauchy distribution."""

from __future__ import annotations

import math
from typing import Any

from tapegrad.core.tensor import Tensor

from . import constraints
from . import operations as tg
from .cauchy import Cauchy
from .transformed_distribution import TransformedDistribution
from .transforms import AbsTransform

__all__ = ["HalfCauchy"]


class HalfCauchy(TransformedDistribution):
    """|x|, x of the Cauchy distribution around 0 with half width ``scale``."""

    arg_constraints = {"scale": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    base_dist: Cauchy

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        base = Cauchy(0, scale, validate_args=False)
        super().__init__(base, AbsTransform(), validate_args=validate_args)

    @property
    def scale(self) -> Tensor:
        """The half width of x, the median of |x|."""
        return self.base_dist.scale

    @property
    def mean(self) -> Tensor:
        """inf."""
        return tg.full_like(self.scale, math.inf)

    @property
    def mode(self) -> Tensor:
        """0."""
        return tg.zeros_like(self.scale)

    @property
    def variance(self) -> Tensor:
        """inf."""
        return self.base_dist.variance

    def log_prob(self, value: Tensor) -> Tensor:
        """The Cauchy one's, and log 2; -inf below 0."""
        value = self._fit(value)
        return (self.base_dist.log_prob(value) + math.log(2)).masked_fill(value < 0, -math.inf)

    def cdf(self, value: Tensor) -> Tensor:
        """2 atan(value / scale) / pi."""
        return 2 * self.base_dist.cdf(self._fit(value)) - 1

    def icdf(self, value: Tensor) -> Tensor:
        """scale tan(pi value / 2)."""
        return self.base_dist.icdf((value + 1) / 2)

    def entropy(self) -> Tensor:
        """log(2 pi scale)."""
        return self.base_dist.entropy() - math.log(2)
