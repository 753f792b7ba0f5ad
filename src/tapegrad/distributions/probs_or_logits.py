"""Distributions of which either the probabilities or their logits are given, and the other made."""

from __future__ import annotations

from typing import Any, ClassVar

from tapegrad.core.tensor import Size, Tensor

from .distribution import Distribution
from .utils import lazy_property, logits_to_probs, probs_to_logits


class ProbsOrLogits(Distribution):
    """What Bernoulli's and the categorical distributions share: ``probs`` and ``logits``, of which
    one was given. The logits of a binary one are log odds, else log probabilities."""

    _binary: ClassVar[bool] = True
    _given: str

    def _one_of(self, probs: Any, logits: Any) -> Any:
        """The one that was given. Raises ValueError for both and for neither."""
        if (probs is None) == (logits is None):
            raise ValueError(
                f"[{type(self).__name__}] takes either probs or logits, got "
                f"{'neither' if probs is None else 'both'}"
            )
        self._given = "logits" if probs is None else "probs"
        return logits if probs is None else probs

    @lazy_property
    def logits(self) -> Tensor:
        """The log odds of success, or log probabilities of the classes."""
        return probs_to_logits(self.probs, self._binary)

    @lazy_property
    def probs(self) -> Tensor:
        """The probability of success, or those of the classes."""
        return logits_to_probs(self.logits, self._binary)

    @property
    def _param(self) -> Tensor:
        return getattr(self, self._given)

    @property
    def param_shape(self) -> Size:
        """The shape of ``probs`` and ``logits``."""
        return self._param.shape


def classes_of(op: str, name: str, parameter: Any) -> Tensor:
    """Probabilities of classes along the last dimension, normalised, or normalised log
    probabilities. Raises TypeError for what is no Tensor, ValueError for a 0-d one."""
    if not isinstance(parameter, Tensor):
        raise TypeError(f"[{op}] {name} must be a Tensor, got {type(parameter).__name__}")
    if parameter.ndim < 1:
        raise ValueError(
            f"[{op}] {name} must have the classes as its last dimension, got a 0-d tensor"
        )
    if name == "probs":
        return parameter / parameter.sum(-1, keepdim=True)
    return parameter - parameter.logsumexp(-1, keepdim=True)
