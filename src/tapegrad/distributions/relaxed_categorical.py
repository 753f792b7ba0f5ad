"""Categorical draws made soft, so that gradients flow through them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tapegrad.core.tensor import Size, Tensor

from . import constraints
from . import operations as tg
from .categorical import Categorical
from .distribution import Distribution
from .transformed_distribution import TransformedDistribution
from .transforms import ExpTransform
from .utils import broadcast_all, open_uniform

__all__ = ["ExpRelaxedCategorical", "RelaxedOneHotCategorical"]


class ExpRelaxedCategorical(Distribution):
    """The logarithms of ``RelaxedOneHotCategorical``: log softmax((logits + g) / temperature), g
    Gumbel numbers."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.real_vector  # more exactly, where exp of the values sums to 1
    has_rsample = True

    def __init__(
        self,
        temperature: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        self._categorical = Categorical(probs, logits)
        self.temperature = temperature
        shape = self._categorical.param_shape
        super().__init__(self._categorical.batch_shape, shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        """As ``Distribution.expand``."""
        new = super().expand(batch_shape, _instance)
        new._categorical = self._categorical.expand(batch_shape)
        return new

    @property
    def param_shape(self) -> Size:
        """The shape of ``probs`` and ``logits``."""
        return self._categorical.param_shape

    @property
    def logits(self) -> Tensor:
        """The log probabilities of the classes."""
        return self._categorical.logits

    @property
    def probs(self) -> Tensor:
        """The probabilities of the classes."""
        return self._categorical.probs

    def rsample(self, sample_shape: Sequence[int] = Size()) -> Tensor:
        """Log softmax of the logits with Gumbel noise."""
        u = open_uniform(self._extended_shape(sample_shape), self.logits.detach())
        gumbels = -(-u.log()).log()
        return ((self.logits + gumbels) / self.temperature).log_softmax(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """log (k - 1)! + (k - 1) log t + sum of log softmax(logits - t value), t the
        temperature."""
        logits, value = tg.broadcast_tensors(self.logits, self._fit(value))
        (temperature,) = broadcast_all(self.temperature)
        k = logits.new_tensor(self.event_shape[0])
        score = (logits - value * self.temperature).log_softmax(-1).sum(-1)
        return score + k.lgamma() + (k - 1) * temperature.log()


class RelaxedOneHotCategorical(TransformedDistribution):
    """Probabilities (..., k), near one-hot for a low ``temperature`` (a Tensor or number > 0):
    ``OneHotCategorical`` draws with gradients (Maddison, Mnih & Teh 2017; Jang, Gu & Poole
    2017)."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.simplex
    has_rsample = True
    base_dist: ExpRelaxedCategorical

    def __init__(
        self,
        temperature: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        base = ExpRelaxedCategorical(temperature, probs, logits, validate_args=validate_args)
        super().__init__(base, ExpTransform(), validate_args=validate_args)

    @property
    def temperature(self) -> Any:
        """As it was given."""
        return self.base_dist.temperature

    @property
    def logits(self) -> Tensor:
        """The log probabilities of the classes."""
        return self.base_dist.logits

    @property
    def probs(self) -> Tensor:
        """The probabilities of the classes."""
        return self.base_dist.probs
