"""The Dirichlet distribution."""

from __future__ import annotations

from collections.abc import Sequence

from tapegrad.core.tensor import Size, Tensor
from tapegrad.ops.sampling.gamma import dirichlet

from . import constraints
from . import operations as tg
from .exp_family import ExponentialFamily

__all__ = ["Dirichlet"]


class Dirichlet(ExponentialFamily):
    """Vectors (..., k) of positive coordinates that sum to 1, with density proportional to the
    product of x_i^(concentration_i - 1)."""

    arg_constraints = {"concentration": constraints.independent(constraints.positive, 1)}
    support = constraints.simplex
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(self, concentration: Tensor, validate_args: bool | None = None) -> None:
        if not isinstance(concentration, Tensor):
            raise TypeError(
                f"[Dirichlet] concentration must be a Tensor, got {type(concentration).__name__}"
            )
        if concentration.ndim < 1:
            raise ValueError(
                "[Dirichlet] concentration must have the coordinates as its last dimension, got a "
                "0-d tensor"
            )
        self.concentration = concentration
        shape = concentration.shape
        super().__init__(shape[:-1], shape[-1:], validate_args=validate_args)

    @property
    def _total(self) -> Tensor:
        return self.concentration.sum(-1, keepdim=True)

    @property
    def mean(self) -> Tensor:
        """concentration / its sum."""
        return self.concentration / self._total

    @property
    def mode(self) -> Tensor:
        """(concentration - 1) / its sum, with nothing below 0; the first corner, one of k, where
        all concentrations are below 1."""
        above = (self.concentration - 1).clamp(min=0)
        mode = above / above.sum(-1, keepdim=True)
        corner = tg.arange(self.event_shape[0], device=mode.device) == 0
        outside = (self.concentration < 1).all(-1, keepdim=True)
        return tg.where(outside, corner.to(mode.dtype), mode)

    @property
    def variance(self) -> Tensor:
        """m (1 - m) / (sum + 1), m the mean."""
        return self.mean * (1 - self.mean) / (self._total + 1)

    def rsample(self, sample_shape: Sequence[int] = Size()) -> Tensor:
        """Draws whose gradients are by implicit reparameterization (Figurnov et al. 2018)."""
        return dirichlet(self.concentration.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        """sum of (a - 1) log value + log gamma(sum of a) - sum of log gamma(a)."""
        value, a = self._fit(value), self.concentration
        return tg.xlogy(a - 1, value).sum(-1) + a.sum(-1).lgamma() - a.lgamma().sum(-1)

    def entropy(self) -> Tensor:
        """log B(a) + (sum of a - k) digamma(sum of a) - sum of (a - 1) digamma(a)."""
        a, total, k = self.concentration, self.concentration.sum(-1), self.event_shape[0]
        spread = (k - total) * total.digamma() + ((a - 1) * a.digamma()).sum(-1)
        return a.lgamma().sum(-1) - total.lgamma() - spread

    @property
    def _natural_params(self) -> tuple[Tensor]:
        return (self.concentration - 1,)

    def _log_normalizer(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return (x + 1).lgamma().sum(-1) - (x + 1).sum(-1).lgamma()
