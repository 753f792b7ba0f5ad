"""Fisher's and Snedecor's F distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tapegrad.core.tensor import Size, Tensor
from tapegrad.ops.sampling.gamma import standard_gamma

from . import constraints
from .distribution import Distribution
from .utils import broadcast_all

__all__ = ["FisherSnedecor"]

_NAN = float("nan")


class FisherSnedecor(Distribution):
    """The quotient of chi-squared numbers, each over its degrees of freedom (``df1``, ``df2``)."""

    arg_constraints = {"df1": constraints.positive, "df2": constraints.positive}
    support = constraints.positive
    has_rsample = True

    def __init__(self, df1: Any, df2: Any, validate_args: bool | None = None) -> None:
        self.df1, self.df2 = broadcast_all(df1, df2)
        super().__init__(self.df1.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """df2 / (df2 - 2); nan for df2 <= 2."""
        df2 = self.df2.masked_fill(self.df2 <= 2, _NAN)
        return df2 / (df2 - 2)

    @property
    def mode(self) -> Tensor:
        """(df1 - 2) / df1 df2 / (df2 + 2); nan for df1 <= 2."""
        mode = (self.df1 - 2) / self.df1 * self.df2 / (self.df2 + 2)
        return mode.masked_fill(self.df1 <= 2, _NAN)

    @property
    def variance(self) -> Tensor:
        """2 df2^2 (df1 + df2 - 2) / (df1 (df2 - 2)^2 (df2 - 4)); nan for df2 <= 4."""
        df1, df2 = self.df1, self.df2.masked_fill(self.df2 <= 4, _NAN)
        return 2 * df2.square() * (df1 + df2 - 2) / (df1 * (df2 - 2).square() * (df2 - 4))

    def rsample(self, sample_shape: Sequence[int] = Size()) -> Tensor:
        """Quotients of gamma draws, with both gradients."""
        shape = self._extended_shape(sample_shape)
        first, second = (
            standard_gamma((0.5 * df).expand(shape)) / (0.5 * df) for df in (self.df1, self.df2)
        )
        return first / second

    def log_prob(self, value: Tensor) -> Tensor:
        """With a = df1 / 2, b = df2 / 2, r = a / b: a log r + (a - 1) log value
        - (a + b) log(1 + r value) - log B(a, b)."""
        value, a, b = self._fit(value), 0.5 * self.df1, 0.5 * self.df2
        ratio = self.df1 / self.df2
        beta = a.lgamma() + b.lgamma() - (a + b).lgamma()
        kernel = a * ratio.log() + (a - 1) * value.log() - (a + b) * (ratio * value).log1p()
        return kernel - beta
