"""The multinomial distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tapegrad.core.tensor import Size, Tensor

from . import constraints
from . import operations as tg
from .binomial import Binomial
from .categorical import Categorical
from .distribution import Distribution

__all__ = ["Multinomial"]


class Multinomial(Distribution):
    """The numbers of draws of each class, (..., k), among ``total_count`` (one int for the batch)
    of a ``Categorical`` with these ``probs`` or ``logits``."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    total_count: int

    def __init__(
        self,
        total_count: int = 1,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        if isinstance(total_count, Tensor) or int(total_count) != total_count:
            raise NotImplementedError(
                f"[Multinomial] total_count is one int for the whole batch, got {total_count}"
            )
        if total_count < 0:
            raise ValueError(f"[Multinomial] total_count must not be negative, got {total_count}")
        self.total_count = int(total_count)
        self._categorical = Categorical(probs, logits)
        shape = self._categorical.param_shape
        super().__init__(self._categorical.batch_shape, shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        """As ``Distribution.expand``."""
        new = super().expand(batch_shape, _instance)
        new._categorical = self._categorical.expand(batch_shape)
        return new

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> Any:
        """Vectors of counts that sum to at most total_count."""
        return constraints.multinomial(self.total_count)

    @property
    def probs(self) -> Tensor:
        """The probabilities of the classes."""
        return self._categorical.probs

    @property
    def logits(self) -> Tensor:
        """Their logarithms."""
        return self._categorical.logits

    @property
    def param_shape(self) -> Size:
        """The shape of ``probs`` and ``logits``."""
        return self._categorical.param_shape

    @property
    def mean(self) -> Tensor:
        """n p."""
        return self.probs * self.total_count

    @property
    def variance(self) -> Tensor:
        """n p (1 - p)."""
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Sequence[int] = Size()) -> Tensor:
        """Counts, in the parameter's dtype."""
        with tg.no_grad():
            drawn = self._categorical.sample((self.total_count, *sample_shape))
            counts = self._categorical._param.new_zeros(self._extended_shape(sample_shape))
            drawn = drawn.movedim(0, -1)
            return counts.scatter_add(-1, drawn, tg.ones_like(drawn, dtype=counts.dtype))

    def log_prob(self, value: Tensor) -> Tensor:
        """log n! + sum of (value log p - log value!), with n the sum of the value."""
        value = self._fit(value)
        logits, value = tg.broadcast_tensors(self.logits, value)
        logits = logits.masked_fill((value == 0) & (logits == -float("inf")), 0.0)
        ways = (value.sum(-1) + 1).lgamma() - (value + 1).lgamma().sum(-1)
        return ways + (logits * value).sum(-1)

    def entropy(self) -> Tensor:
        """n times a draw's entropy, less log n!, and the expectation of the sum of log count!,
        which is one of binomial counts."""
        n = self.total_count
        counts = Binomial(n, probs=self.probs)
        values = counts.enumerate_support(expand=False)[1:]
        expected = (counts.log_prob(values).exp() * (values + 1).lgamma()).sum((0, -1))
        ways = (self.probs.new_tensor(n) + 1).lgamma()
        return n * self._categorical.entropy() - ways + expected
