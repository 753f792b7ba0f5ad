"""The Cauchy distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tapegrad.core.tensor import Size, Tensor

from . import constraints
from . import operations as tg
from .distribution import Distribution
from .utils import broadcast_all, open_uniform

__all__ = ["Cauchy"]


class Cauchy(Distribution):
    """The quotient of two normal numbers: median ``loc``, half width at half maximum ``scale``. It
    has no mean: that is nan, and the variance inf."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """nan."""
        return tg.full_like(self.loc, float("nan"))

    @property
    def mode(self) -> Tensor:
        """loc."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """inf."""
        return tg.full_like(self.loc, float("inf"))

    def rsample(self, sample_shape: Sequence[int] = Size()) -> Tensor:
        """The quantiles of uniform numbers."""
        return self._quantile(open_uniform(self._extended_shape(sample_shape), self.loc))

    def log_prob(self, value: Tensor) -> Tensor:
        """-log(pi scale (1 + z^2)), z = (value - loc) / scale."""
        z = (self._fit(value) - self.loc) / self.scale
        return -math.log(math.pi) - self.scale.log() - z.square().log1p()

    def cdf(self, value: Tensor) -> Tensor:
        """1/2 + atan(z) / pi."""
        z = (self._fit(value) - self.loc) / self.scale
        return z.atan() / math.pi + 0.5

    def icdf(self, value: Tensor) -> Tensor:
        """loc + scale tan(pi (value - 1/2))."""
        return self._quantile(value)

    def _quantile(self, value: Tensor) -> Tensor:
        return self.loc + self.scale * (math.pi * (value - 0.5)).tan()

    def entropy(self) -> Tensor:
        """log(4 pi scale)."""
        return math.log(4 * math.pi) + self.scale.log()
