"""The binomial distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tapegrad.core.tensor import Size, Tensor
from tapegrad.ops.activation.gated import logsigmoid
from tapegrad.ops.sampling.binomial import binomial

from . import constraints
from . import operations as tg
from .probs_or_logits import ProbsOrLogits
from .utils import broadcast_all, values_first

__all__ = ["Binomial"]


class Binomial(ProbsOrLogits):
    """The number of successes in ``total_count`` trials that succeed with probability ``probs`` (or
    with log odds ``logits``)."""

    arg_constraints = {
        "total_count": constraints.nonnegative_integer,
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }
    has_enumerate_support = True

    def __init__(
        self,
        total_count: Any = 1,
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

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        """0, 1, ..., total_count."""
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self) -> Tensor:
        """n p."""
        return self.total_count * self.probs

    @property
    def mode(self) -> Tensor:
        """The whole part of (n + 1) p, at most n."""
        return tg.minimum(((self.total_count + 1) * self.probs).floor(), self.total_count)

    @property
    def variance(self) -> Tensor:
        """n p (1 - p)."""
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Sequence[int] = Size()) -> Tensor:
        """Numbers of successes, in the parameter's dtype."""
        shape = self._extended_shape(sample_shape)
        with tg.no_grad():
            return binomial(self.total_count.expand(shape), self.probs.expand(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """log(n over value) + value logits - n log(1 + exp(logits))."""
        value, n = self._fit(value), self.total_count
        ways = (n + 1).lgamma() - (value + 1).lgamma() - (n - value + 1).lgamma()
        return value * self.logits + ways + n * logsigmoid(-self.logits)

    def entropy(self) -> Tensor:
        """The sum over all values. Raises NotImplementedError for total_counts that differ."""
        log_prob = self.log_prob(self.enumerate_support(expand=False))
        return -(log_prob.exp() * log_prob).sum(0)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """0, 1, ..., total_count. Raises NotImplementedError for total_counts that differ."""
        return values_first(self._one_count() + 1, self._param, self.batch_shape, expand)

    def _one_count(self) -> int:
        most = int(self.total_count.max()) if self.total_count.numel() else 0
        if not bool((self.total_count == most).all()):
            raise NotImplementedError(
                "[Binomial] values are listed for one total_count, got several up to "
                f"{most}: make a distribution for each"
            )
        return most
