"""The geometric distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tapegrad.core.tensor import Size, Tensor

from . import constraints
from . import operations as tg
from .probs_or_logits import ProbsOrLogits
from .utils import binary_log_prob, broadcast_all, open_uniform

__all__ = ["Geometric"]


class Geometric(ProbsOrLogits):
    """The number of failures before the first success, 0, 1, ..., of trials that succeed with
    probability ``probs`` (or with log odds ``logits``)."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.nonnegative_integer

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        given = self._one_of(probs, logits)
        (self.__dict__[self._given],) = broadcast_all(given)
        super().__init__(self._param.shape, validate_args=validate_args)
        if self._validate_args and self._given == "probs":
            self._require("parameter probs", self.probs, constraints.positive)

    @property
    def mean(self) -> Tensor:
        """1 / p - 1."""
        return 1 / self.probs - 1

    @property
    def mode(self) -> Tensor:
        """0."""
        return tg.zeros_like(self.probs)

    @property
    def variance(self) -> Tensor:
        """(1 / p - 1) / p."""
        return (1 / self.probs - 1) / self.probs

    def sample(self, sample_shape: Sequence[int] = Size()) -> Tensor:
        """The whole part of log u / log(1 - p), u uniform, in the parameter's dtype."""
        with tg.no_grad():
            u = open_uniform(self._extended_shape(sample_shape), self.probs)
            return (u.log() / (-self.probs).log1p()).floor()

    def log_prob(self, value: Tensor) -> Tensor:
        """value log(1 - p) + log p; a first trial that must succeed has log probability 0."""
        return tg.special.xlog1py(self._fit(value), -self.probs) + self.probs.log()

    def entropy(self) -> Tensor:
        """That of one trial, over p."""
        return -binary_log_prob(self.logits, self.probs) / self.probs
