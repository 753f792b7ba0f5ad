"""Student's t distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tapegrad.core.tensor import Size, Tensor
from tapegrad.ops.sampling.gamma import standard_gamma

from . import constraints
from .distribution import Distribution
from .utils import broadcast_all, standard_normal

__all__ = ["StudentT"]


class StudentT(Distribution):
    """loc + scale z / sqrt(w / df), with z standard normal and w chi-squared of ``df`` degrees of
    freedom."""

    arg_constraints = {
        "df": constraints.positive,
        "loc": constraints.real,
        "scale": constraints.positive,
    }
    support = constraints.real
    has_rsample = True

    def __init__(
        self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: bool | None = None
    ) -> None:
        self.df, self.loc, self.scale = broadcast_all(df, loc, scale)
        super().__init__(self.df.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """loc; nan for df <= 1."""
        return self.loc.masked_fill(self.df <= 1, float("nan"))

    @property
    def mode(self) -> Tensor:
        """loc."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """scale^2 df / (df - 2); inf for df <= 2, nan for df <= 1."""
        variance = self.scale.square() * self.df / (self.df - 2)
        variance = variance.masked_fill(self.df <= 2, float("inf"))
        return variance.masked_fill(self.df <= 1, float("nan"))

    def rsample(self, sample_shape: Sequence[int] = Size()) -> Tensor:
        """Normal draws over the root of gamma ones, with both gradients."""
        shape = self._extended_shape(sample_shape)
        half = (0.5 * self.df).expand(shape)
        z = standard_normal(shape, self.df)
        return self.loc + self.scale * z * (standard_gamma(half) / half).rsqrt()

    def log_prob(self, value: Tensor) -> Tensor:
        """-(df + 1) / 2 log(1 + z^2 / df) - log(scale sqrt(df) B(df / 2, 1 / 2)),
        z = (value - loc) / scale."""
        z = (self._fit(value) - self.loc) / self.scale
        kernel = 0.5 * (self.df + 1) * (z.square() / self.df).log1p()
        return -kernel - self.scale.log() - 0.5 * self.df.log() - self._log_beta()

    def _log_beta(self) -> Tensor:
        """log B(df / 2, 1 / 2)."""
        half = 0.5 * self.df
        return 0.5 * math.log(math.pi) + half.lgamma() - (half + 0.5).lgamma()

    def entropy(self) -> Tensor:
        """(df + 1) / 2 (digamma((df + 1) / 2) - digamma(df / 2)) + log(scale sqrt(df) B)."""
        half = 0.5 * self.df
        spread = (half + 0.5) * ((half + 0.5).digamma() - half.digamma())
        return self.scale.log() + spread + 0.5 * self.df.log() + self._log_beta()
