"""What half a symmetric distribution is: that of |x|."""

from __future__ import annotations

import math
from typing import Any

from tapegrad.core.tensor import Tensor

from . import constraints
from .transformed_distribution import TransformedDistribution


class Half(TransformedDistribution):
    """|x|, x of ``base_dist``, which is symmetric around 0 and has a ``scale``."""

    base_dist: Any
    support = constraints.nonnegative
    has_rsample = True

    @property
    def scale(self) -> Tensor:
        """That of x: its standard deviation, or its half width."""
        return self.base_dist.scale

    def log_prob(self, value: Tensor) -> Tensor:
        """That of x, and log 2; -inf below 0."""
        value = self._fit(value)
        return (self.base_dist.log_prob(value) + math.log(2)).masked_fill(value < 0, -math.inf)

    def cdf(self, value: Tensor) -> Tensor:
        """2 F(value) - 1, with the F of x."""
        return 2 * self.base_dist.cdf(self._fit(value)) - 1

    def icdf(self, value: Tensor) -> Tensor:
        """The quantile of probability ``value``."""
        return self.base_dist.icdf((value + 1) / 2)

    def entropy(self) -> Tensor:
        """That of x less log 2."""
        return self.base_dist.entropy() - math.log(2)
