"""The gamma distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tapegrad.core.tensor import Size, Tensor
from tapegrad.ops.sampling.gamma import standard_gamma

from . import constraints
from . import operations as tg
from .exp_family import ExponentialFamily
from .utils import broadcast_all

__all__ = ["Gamma"]


class Gamma(ExponentialFamily):
    """Positive numbers with density proportional to x^(concentration - 1) exp(-rate x)."""

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        self.concentration, self.rate = broadcast_all(concentration, rate)
        super().__init__(self.concentration.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """concentration / rate."""
        return self.concentration / self.rate

    @property
    def mode(self) -> Tensor:
        """(concentration - 1) / rate, at least 0."""
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self) -> Tensor:
        """concentration / rate^2."""
        return self.concentration / self.rate.square()

    def rsample(self, sample_shape: Sequence[int] = Size()) -> Tensor:
        """Draws whose gradients are by implicit reparameterization (Figurnov et al. 2018)."""
        shape = self._extended_shape(sample_shape)
        value = standard_gamma(self.concentration.expand(shape)) / self.rate.expand(shape)
        return _at_least(value, tg.finfo(value.dtype).tiny)

    def log_prob(self, value: Tensor) -> Tensor:
        """a log b + (a - 1) log value - b value - log gamma(a)."""
        value, a, b = self._fit(value), self.concentration, self.rate
        return tg.xlogy(a, b) + tg.xlogy(a - 1, value) - b * value - a.lgamma()

    def entropy(self) -> Tensor:
        """a - log b + log gamma(a) + (1 - a) digamma(a)."""
        a = self.concentration
        return a - self.rate.log() + a.lgamma() + (1 - a) * a.digamma()

    def cdf(self, value: Tensor) -> Tensor:
        """The regularised incomplete gamma function P(a, b value), without a gradient with respect
        to a; it needs the extra ``special``."""
        value = self._fit(value)
        return tg.special.gammainc(self.concentration, self.rate * value)

    @property
    def _natural_params(self) -> tuple[Tensor, Tensor]:
        return self.concentration - 1, -self.rate

    def _log_normalizer(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        return (x + 1).lgamma() + (x + 1) * (-y.reciprocal()).log()


def _at_least(value: Tensor, least: float) -> Tensor:
    """What underflowed becomes the smallest normal number; its gradient passes."""
    return value + (value.clamp(min=least) - value).detach()
