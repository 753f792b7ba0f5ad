"""The categorical distribution on one-hot vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tapegrad.core.tensor import Size, Tensor

from . import constraints
from . import operations as tg
from .categorical import Categorical
from .distribution import Distribution

__all__ = ["OneHotCategorical", "OneHotCategoricalStraightThrough"]


class OneHotCategorical(Distribution):
    """Vectors of a 1 at the class drawn and zeros, (..., k), with ``probs`` or ``logits`` as
    ``Categorical`` takes them."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.one_hot
    has_enumerate_support = True

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        self._categorical = Categorical(probs, logits)
        shape = self._categorical.param_shape
        super().__init__(self._categorical.batch_shape, shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        """As ``Distribution.expand``."""
        new = super().expand(batch_shape, _instance)
        new._categorical = self._categorical.expand(batch_shape)
        return new

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
        """probs."""
        return self.probs

    @property
    def mode(self) -> Tensor:
        """The vector of the most probable class."""
        return self._vector(self.probs.argmax(-1))

    @property
    def variance(self) -> Tensor:
        """p (1 - p)."""
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Sequence[int] = Size()) -> Tensor:
        """One-hot vectors in the parameter's dtype."""
        with tg.no_grad():
            return self._vector(self._categorical.sample(sample_shape))

    def _vector(self, index: Tensor) -> Tensor:
        classes = tg.arange(self.event_shape[0], device=index.device)
        return (index.unsqueeze(-1) == classes).to(self._categorical._param.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        """The log probability of each class."""
        return self._categorical.log_prob(self._fit(value).argmax(-1))

    def entropy(self) -> Tensor:
        """-sum of p log p."""
        return self._categorical.entropy()

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """The unit vectors."""
        n = self.event_shape[0]
        like = self._categorical._param
        values = tg.eye(n, dtype=like.dtype, device=like.device)
        values = values.reshape(n, *(1 for _ in self.batch_shape), n)
        return values.expand(n, *self.batch_shape, n) if expand else values


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """``OneHotCategorical`` whose draws have the gradient of ``probs`` (Bengio, Leonard & Courville
    2013, *Estimating or propagating gradients through stochastic neurons*)."""

    has_rsample = True

    def rsample(self, sample_shape: Sequence[int] = Size()) -> Tensor:
        """One-hot vectors, with the gradient of ``probs``."""
        return self.sample(sample_shape) + (self.probs - self.probs.detach())
