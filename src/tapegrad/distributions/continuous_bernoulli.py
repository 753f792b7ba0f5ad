"""The continuous Bernoulli distribution."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tapegrad.core.tensor import Size, Tensor

from . import constraints
from . import operations as tg
from .exp_family import ExponentialFamily
from .probs_or_logits import ProbsOrLogits
from .utils import binary_log_prob, broadcast_all, clamp_probs, open_uniform

__all__ = ["ContinuousBernoulli"]


class ContinuousBernoulli(ProbsOrLogits, ExponentialFamily):
    """Numbers in 0..1 with density proportional to p^x (1 - p)^(1 - x), p given as ``probs`` or by
    log odds ``logits`` (Loaiza-Ganem & Cunningham 2019, *The continuous Bernoulli: fixing a
    pervasive error in variational autoencoders*).

    ``lims``: between them, around p = 1/2 where the formulas are 0 / 0, their Taylor series serve.
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(
        self,
        probs: Any = None,
        logits: Any = None,
        lims: tuple[float, float] = (0.499, 0.501),
        validate_args: bool | None = None,
    ) -> None:
        (given,) = broadcast_all(self._one_of(probs, logits))
        self._lims = lims
        if self._given == "probs":
            self.__dict__["probs"] = given
            super().__init__(given.shape, validate_args=validate_args)
            self.__dict__["probs"] = clamp_probs(given)
        else:
            self.__dict__["logits"] = given
            super().__init__(given.shape, validate_args=validate_args)

    def _around_half(self, formula: Callable, series: Callable) -> Tensor:
        """``formula`` of p, and between the limits ``series`` of p - 1/2."""
        low, high = self._lims
        near = (self.probs > low) & (self.probs <= high)
        # Each gets numbers that it can use, as its gradient is asked for where it is not taken.
        far = tg.where(near, low, self.probs)
        return tg.where(near, series(tg.where(near, self.probs, 0.5) - 0.5), formula(far))

    def _log_norm(self) -> Tensor:
        """log C(p), C = 2 atanh(1 - 2 p) / (1 - 2 p)."""

        def formula(p: Tensor) -> Tensor:
            return (((-p).log1p() - p.log()) / (1 - 2 * p)).log()

        def series(d: Tensor) -> Tensor:
            square = d.square()
            return math.log(2) + (4 / 3 + 104 / 45 * square) * square

        return self._around_half(formula, series)

    @property
    def mean(self) -> Tensor:
        """p / (2 p - 1) + 1 / (2 atanh(1 - 2 p))."""
        return self._around_half(
            lambda p: p / (2 * p - 1) + 1 / ((-p).log1p() - p.log()),
            lambda d: 0.5 + (1 / 3 + 16 / 45 * d.square()) * d,
        )

    @property
    def variance(self) -> Tensor:
        """p (p - 1) / (1 - 2 p)^2 + 1 / (2 atanh(1 - 2 p))^2."""
        return self._around_half(
            lambda p: p * (p - 1) / (1 - 2 * p).square() + ((-p).log1p() - p.log()).square() ** -1,
            lambda d: 1 / 12 - (1 / 15 - 128 / 945 * d.square()) * d.square(),
        )

    def rsample(self, sample_shape: Sequence[int] = Size()) -> Tensor:
        """The quantiles of uniform numbers."""
        return self.icdf(open_uniform(self._extended_shape(sample_shape), self.probs))

    def log_prob(self, value: Tensor) -> Tensor:
        """value log p + (1 - value) log(1 - p) + log C(p)."""
        return binary_log_prob(self.logits, self._fit(value)) + self._log_norm()

    def cdf(self, value: Tensor) -> Tensor:
        """(p^x (1 - p)^(1 - x) + p - 1) / (2 p - 1), x the value, within 0..1."""
        x = self._fit(value)
        rising = self._around_half(
            lambda p: (p**x * (1 - p) ** (1 - x) + p - 1) / (2 * p - 1), lambda d: x + 0 * d
        )
        return tg.where(x <= 0, 0.0, tg.where(x >= 1, 1.0, rising))

    def icdf(self, value: Tensor) -> Tensor:
        """(log(1 - p + u (2 p - 1)) - log(1 - p)) / (log p - log(1 - p)), u the value."""
        return self._around_half(
            lambda p: ((value * (2 * p - 1) - p).log1p() - (-p).log1p()) / (p.log() - (-p).log1p()),
            lambda d: value + 0 * d,
        )

    def entropy(self) -> Tensor:
        """-m log(p / (1 - p)) - log(1 - p) - log C(p), m the mean."""
        return -self.mean * self.logits - (-self.probs).log1p() - self._log_norm()

    @property
    def _natural_params(self) -> tuple[Tensor]:
        return (self.logits,)

    def _log_normalizer(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """log((exp(x) - 1) / x), 0 for x = 0."""
        low, high = (math.log(p / (1 - p)) for p in self._lims)
        near = (x > low) & (x <= high)
        far = tg.where(near, 1.0, x)
        series = 0.5 * x + x.square() / 24 - x**4 / 2880
        return tg.where(near, series, (far.exp() - 1).abs().log() - far.abs().log())
