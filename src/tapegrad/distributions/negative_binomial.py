"""The negative binomial distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tapegrad.core.tensor import Size, Tensor
from tapegrad.ops.activation.gated import logsigmoid
from tapegrad.ops.sampling.gamma import standard_gamma

from . import constraints
from . import operations as tg
from .probs_or_logits import ProbsOrLogits
from .utils import broadcast_all

__all__ = ["NegativeBinomial"]


class NegativeBinomial(ProbsOrLogits):
    """The number of successes before ``total_count`` failures (any number >= 0), of trials that
    succeed with probability ``probs`` < 1 (or with log odds ``logits``)."""

    arg_constraints = {
        "total_count": constraints.greater_than_eq(0),
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }
    support = constraints.nonnegative_integer

    def __init__(
        self,
        total_count: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        given = self._one_of(probs, logits)
        if not isinstance(given, Tensor):
            (given,) = broadcast_all(given)
        if isinstance(total_count, Tensor):
            total_count = total_count.to(given.dtype)
        given, self.total_count = broadcast_all(given, total_count)
        self.__dict__[self._given] = given
        super().__init__(given.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """r p / (1 - p)."""
        return self.total_count * self.logits.exp()

    @property
    def mode(self) -> Tensor:
        """The whole part of (r - 1) p / (1 - p), at least 0."""
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0)

    @property
    def variance(self) -> Tensor:
        """r p / (1 - p)^2."""
        return self.mean / (-self.logits).sigmoid()

    def sample(self, sample_shape: Sequence[int] = Size()) -> Tensor:
        """Poisson draws whose rates are gamma draws, in the parameter's dtype."""
        shape = self._extended_shape(sample_shape)
        with tg.no_grad():
            rate = standard_gamma(self.total_count.expand(shape)) * self.logits.exp()
            return tg.poisson(rate)

    def log_prob(self, value: Tensor) -> Tensor:
        """log(value + r - 1 over value) + r log(1 - p) + value log p; 0 for no failure and no
        success."""
        value, r = self._fit(value), self.total_count
        unnormalized = r * logsigmoid(-self.logits) + value * logsigmoid(self.logits)
        ways = (r + value).lgamma() - (1 + value).lgamma() - r.lgamma()
        return unnormalized + ways.masked_fill(r + value == 0, 0.0)
