"""The Weibull distribution."""

from __future__ import annotations

from typing import Any

from tapegrad.core.tensor import Tensor

from . import constraints
from . import operations as tg
from .exponential import Exponential
from .transformed_distribution import TransformedDistribution
from .transforms import AffineTransform, PowerTransform
from .utils import broadcast_all, euler_constant

__all__ = ["Weibull"]


class Weibull(TransformedDistribution):
    """Lifetimes with P(X > x) = exp(-(x / scale)^concentration)."""

    arg_constraints = {"scale": constraints.positive, "concentration": constraints.positive}
    support = constraints.positive

    def __init__(self, scale: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.scale, self.concentration = broadcast_all(scale, concentration)
        base = Exponential(tg.ones_like(self.scale.detach()), validate_args=validate_args)
        self.concentration_reciprocal = self.concentration.reciprocal()
        power = PowerTransform(self.concentration_reciprocal)
        super().__init__(base, [power, AffineTransform(0, self.scale)], validate_args=validate_args)

    def _moment(self, n: int) -> Tensor:
        """gamma(1 + n / concentration), the mean of (x / scale)^n."""
        return (1 + n / self.concentration).lgamma().exp()

    @property
    def mean(self) -> Tensor:
        """scale gamma(1 + 1 / concentration)."""
        return self.scale * self._moment(1)

    @property
    def mode(self) -> Tensor:
        """scale ((c - 1) / c)^(1/c), c the concentration."""
        c = self.concentration
        return self.scale * ((c - 1) / c) ** c.reciprocal()

    @property
    def variance(self) -> Tensor:
        """That of the first two moments."""
        return self.scale.square() * (self._moment(2) - self._moment(1).square())

    def entropy(self) -> Tensor:
        """(1 - 1 / c) times Euler's constant, + log(scale / c) + 1."""
        c = self.concentration
        return euler_constant * (1 - c.reciprocal()) + (self.scale / c).log() + 1
