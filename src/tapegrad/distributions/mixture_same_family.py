"""Mixtures of distributions of one family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tapegrad.core.tensor import Size, Tensor

from . import constraints
from . import operations as tg
from .categorical import Categorical
from .distribution import Distribution

__all__ = ["MixtureSameFamily"]


class MixtureSameFamily(Distribution):
    """A draw of one of k components, which are the last batch dimension of
    ``component_distribution``, chosen by the ``Categorical`` ``mixture_distribution`` of k classes.
    Raises ValueError for other mixtures, and for batches that do not fit."""

    arg_constraints: Any = {}

    def __init__(
        self,
        mixture_distribution: Categorical,
        component_distribution: Distribution,
        validate_args: bool | None = None,
    ) -> None:
        op = "MixtureSameFamily"
        if not isinstance(mixture_distribution, Categorical):
            raise ValueError(
                f"[{op}] mixture_distribution is a Categorical, got "
                f"{type(mixture_distribution).__name__}"
            )
        if not isinstance(component_distribution, Distribution):
            raise ValueError(
                f"[{op}] component_distribution is a Distribution, got "
                f"{type(component_distribution).__name__}"
            )
        batch = component_distribution.batch_shape
        count = mixture_distribution.param_shape[-1]
        if not batch or batch[-1] != count:
            raise ValueError(
                f"[{op}] the components are the last batch dimension: mixture_distribution has "
                f"{count}, component_distribution batch_shape {tuple(batch)}"
            )
        for size, own in zip(
            reversed(mixture_distribution.batch_shape), reversed(batch[:-1]), strict=False
        ):
            if size != 1 and own != 1 and size != own:
                raise ValueError(
                    f"[{op}] mixture_distribution's batch_shape "
                    f"{tuple(mixture_distribution.batch_shape)} does not broadcast with "
                    f"component_distribution's, {tuple(batch[:-1])} without the components"
                )
        self._mixture_distribution = mixture_distribution
        self._component_distribution = component_distribution
        self._num_component = count
        event = component_distribution.event_shape
        super().__init__(batch[:-1], event, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        """As ``Distribution.expand``."""
        new = super().expand(batch_shape, _instance)
        new._mixture_distribution = self._mixture_distribution.expand(batch_shape)
        new._component_distribution = self._component_distribution.expand(
            (*batch_shape, self._num_component)
        )
        return new

    @constraints.dependent_property
    def support(self) -> Any:
        """What all components' supports hold."""
        return constraints.MixtureSameFamilyConstraint(self._component_distribution.support)

    @property
    def mixture_distribution(self) -> Categorical:
        """The distribution of the components."""
        return self._mixture_distribution

    @property
    def component_distribution(self) -> Distribution:
        """The components."""
        return self._component_distribution

    @property
    def _component_dim(self) -> int:
        return -1 - len(self._event_shape)

    def _weighted(self, values: Tensor) -> Tensor:
        """The components' values, summed by their probabilities."""
        probs = self._mixture_distribution.probs
        probs = probs.reshape((*probs.shape, *(1 for _ in self._event_shape)))
        return (probs * values).sum(self._component_dim)

    @property
    def mean(self) -> Tensor:
        """The mean of the components' means."""
        return self._weighted(self._component_distribution.mean)

    @property
    def variance(self) -> Tensor:
        """The mean of the components' variances, and the variance of their means (Eve's law)."""
        means = self._component_distribution.mean
        spread = means - self.mean.unsqueeze(self._component_dim)
        return self._weighted(self._component_distribution.variance + spread.square())

    def _beside(self, value: Tensor) -> Tensor:
        """A value for each component."""
        return self._fit(value).unsqueeze(self._component_dim)

    def cdf(self, value: Tensor) -> Tensor:
        """The mean of the components'."""
        return (
            self._component_distribution.cdf(self._beside(value)) * self._mixture_distribution.probs
        ).sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """log of the sum of the components' densities times their probabilities."""
        each = self._component_distribution.log_prob(self._beside(value))
        return (each + self._mixture_distribution.logits.log_softmax(-1)).logsumexp(-1)

    def sample(self, sample_shape: Sequence[int] = Size()) -> Tensor:
        """Draws of the components drawn."""
        event = self._event_shape
        with tg.no_grad():
            drawn = self._component_distribution.sample(sample_shape)
            chosen = self._mixture_distribution.expand(self._batch_shape).sample(sample_shape)
            at = chosen.reshape((*chosen.shape, 1, *(1 for _ in event)))
            at = at.expand((*chosen.shape, 1, *event))
            dim = drawn.ndim + self._component_dim
            return drawn.gather(dim, at).squeeze(dim)

    def __repr__(self) -> str:
        return (
            f"MixtureSameFamily(\n  {self._mixture_distribution!r},\n"
            f"  {self._component_distribution!r})"
        )
