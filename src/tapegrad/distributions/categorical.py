"""The categorical distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tapegrad.core.tensor import Size, Tensor

from . import constraints
from . import operations as tg
from .probs_or_logits import ProbsOrLogits, classes_of
from .utils import values_first

__all__ = ["Categorical"]


class Categorical(ProbsOrLogits):
    """Indices 0, 1, ..., k - 1 (int64) of classes along the last dimension of ``probs``, which need
    not sum to 1, or of ``logits``, log probabilities that need not be normalised: (..., k)."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    has_enumerate_support = True
    _binary = False

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        given = self._one_of(probs, logits)
        self.__dict__[self._given] = classes_of(type(self).__name__, self._given, given)
        self._num_events = self._param.shape[-1]
        super().__init__(self._param.shape[:-1], validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        """0, 1, ..., k - 1."""
        return constraints.integer_interval(0, self._num_events - 1)

    @property
    def mean(self) -> Tensor:
        """nan: classes have no mean."""
        return tg.full_like(self.probs[..., 0], float("nan"))

    @property
    def mode(self) -> Tensor:
        """The most probable class."""
        return self.probs.argmax(-1)

    @property
    def variance(self) -> Tensor:
        """nan: classes have no variance."""
        return tg.full_like(self.probs[..., 0], float("nan"))

    def sample(self, sample_shape: Sequence[int] = Size()) -> Tensor:
        """Indices of classes, int64."""
        shape = self._extended_shape(sample_shape)
        count = Size(sample_shape).numel()
        with tg.no_grad():
            rows = self.probs.reshape(-1, self._num_events)
            if not count or not len(rows):
                return tg.zeros(shape, dtype=tg.int64, device=rows.device)
            return tg.multinomial(rows, count, replacement=True).T.reshape(shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """The log probability of each class."""
        value = self._fit(value).long().unsqueeze(-1)
        value, logits = tg.broadcast_tensors(value, self.logits)
        return logits.gather(-1, value[..., :1]).squeeze(-1)

    def entropy(self) -> Tensor:
        """-sum of p log p; classes of probability 0 add nothing."""
        least = tg.finfo(self.logits.dtype).min
        return -(self.logits.clamp(min=least) * self.probs).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """0, 1, ..., k - 1, int64."""
        index = tg.zeros(0, dtype=tg.int64, device=self._param.device)
        return values_first(self._num_events, index, self.batch_shape, expand)
