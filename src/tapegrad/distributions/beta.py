"""The beta distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tapegrad.core.tensor import Size, Tensor
from tapegrad.ops.sampling.gamma import dirichlet

from . import constraints
from . import operations as tg
from .exp_family import ExponentialFamily
from .utils import broadcast_all

__all__ = ["Beta"]


class Beta(ExponentialFamily):
    """Numbers in 0..1 with density proportional to
    x^(concentration1 - 1) (1 - x)^(concentration0 - 1)."""

    arg_constraints = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
    }
    support = constraints.unit_interval
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(
        self, concentration1: Any, concentration0: Any, validate_args: bool | None = None
    ) -> None:
        self.concentration1, self.concentration0 = broadcast_all(concentration1, concentration0)
        super().__init__(self.concentration1.shape, validate_args=validate_args)

    @property
    def _total(self) -> Tensor:
        return self.concentration1 + self.concentration0

    @property
    def mean(self) -> Tensor:
        """a / (a + b)."""
        return self.concentration1 / self._total

    @property
    def mode(self) -> Tensor:
        """(a - 1) / (a + b - 2), with nothing below 0; 1, one of two ends, for a, b < 1."""
        a, b = self.concentration1, self.concentration0
        above, below = (a - 1).clamp(min=0), (b - 1).clamp(min=0)
        return (above / (above + below)).masked_fill((a < 1) & (b < 1), 1.0)

    @property
    def variance(self) -> Tensor:
        """a b / ((a + b)^2 (a + b + 1))."""
        total = self._total
        return self.concentration1 * self.concentration0 / (total.square() * (total + 1))

    def rsample(self, sample_shape: Sequence[int] = Size()) -> Tensor:
        """The first coordinates of Dirichlet draws, with their gradients."""
        both = tg.stack([self.concentration1, self.concentration0], -1)
        return dirichlet(both.expand(*self._extended_shape(sample_shape), 2))[..., 0]

    def log_prob(self, value: Tensor) -> Tensor:
        """(a - 1) log value + (b - 1) log(1 - value) - log B(a, b)."""
        value, a, b = self._fit(value), self.concentration1, self.concentration0
        kernel = tg.xlogy(a - 1, value) + tg.special.xlog1py(b - 1, -value)
        return kernel + (a + b).lgamma() - a.lgamma() - b.lgamma()

    def entropy(self) -> Tensor:
        """log B(a, b) - (a - 1) digamma(a) - (b - 1) digamma(b) + (a + b - 2) digamma(a + b)."""
        a, b, total = self.concentration1, self.concentration0, self._total
        slopes = (a - 1) * a.digamma() + (b - 1) * b.digamma() - (total - 2) * total.digamma()
        return a.lgamma() + b.lgamma() - total.lgamma() - slopes

    @property
    def _natural_params(self) -> tuple[Tensor, Tensor]:
        return self.concentration1 - 1, self.concentration0 - 1

    def _log_normalizer(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        return (x + 1).lgamma() + (y + 1).lgamma() - (x + y + 2).lgamma()
