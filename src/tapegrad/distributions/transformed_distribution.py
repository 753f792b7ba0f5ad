"""Distributions of transformed random variables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tapegrad.core.tensor import Size, Tensor

from . import constraints
from . import operations as tg
from .distribution import Distribution
from .independent import Independent
from .transforms import ComposeTransform, Transform
from .utils import sum_rightmost

__all__ = ["TransformedDistribution"]


class TransformedDistribution(Distribution):
    """The distribution of t(x), x drawn from ``base_distribution``, for a transform or a list of
    them, the first one applied first. Its density is the base's at the inverse, less the log
    determinant (Papamakarios et al. 2021, *Normalizing flows for probabilistic modeling*).

    Raises ValueError for what is no transform, and for a base with fewer dimensions than the
    transforms take.
    """

    arg_constraints: Any = {}

    def __init__(
        self, base_distribution: Distribution, transforms: Any, validate_args: bool | None = None
    ) -> None:
        name = type(self).__name__
        if isinstance(transforms, Transform):
            transforms = [transforms]
        if not isinstance(transforms, list) or not all(
            isinstance(t, Transform) for t in transforms
        ):
            raise ValueError(
                f"[{name}] transforms is a Transform or a list of them, got {transforms!r}"
            )
        self.transforms = transforms
        event_dim = len(base_distribution.event_shape)
        shape = Size((*base_distribution.batch_shape, *base_distribution.event_shape))
        transform = ComposeTransform(transforms)
        if len(shape) < transform.domain.event_dim:
            raise ValueError(
                f"[{name}] base_distribution has shape {tuple(shape)}, the transforms take at "
                f"least {transform.domain.event_dim} dimensions"
            )
        result = transform.forward_shape(shape)
        expanded = transform.inverse_shape(result)
        if tuple(shape) != tuple(expanded):
            base_distribution = base_distribution.expand(expanded[: len(expanded) - event_dim])
        taken = transform.domain.event_dim - event_dim
        if taken > 0:
            base_distribution = Independent(base_distribution, taken)
        self.base_dist = base_distribution
        change = transform.codomain.event_dim - transform.domain.event_dim
        event_dim = max(transform.codomain.event_dim, event_dim + change)
        cut = len(result) - event_dim
        super().__init__(result[:cut], result[cut:], validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        """As ``Distribution.expand``."""
        new = super().expand(batch_shape, _instance)
        shape = ComposeTransform(self.transforms).inverse_shape((*batch_shape, *self.event_shape))
        new.base_dist = self.base_dist.expand(shape[: len(shape) - len(self.base_dist.event_shape)])
        return new

    @constraints.dependent_property(is_discrete=False)
    def support(self) -> Any:
        """The last transform's codomain."""
        if not self.transforms:
            return self.base_dist.support
        support = self.transforms[-1].codomain
        more = len(self.event_shape) - support.event_dim
        return constraints.independent(support, more) if more > 0 else support

    @property
    def has_rsample(self) -> bool:
        """Whether the base distribution has gradients."""
        return self.base_dist.has_rsample

    def sample(self, sample_shape: Sequence[int] = Size()) -> Tensor:
        """The base's draws, transformed, without a gradient."""
        with tg.no_grad():
            return self._transformed(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape: Sequence[int] = Size()) -> Tensor:
        """The base's draws, transformed."""
        return self._transformed(self.base_dist.rsample(sample_shape))

    def _transformed(self, x: Tensor) -> Tensor:
        for transform in self.transforms:
            x = transform(x)
        return x

    def log_prob(self, value: Tensor) -> Tensor:
        """The base's at the inverse, less the transforms' log determinants."""
        y = self._fit(value)
        event_dim = len(self.event_shape)
        total: Any = 0
        for transform in reversed(self.transforms):
            x = transform.inv(y)
            event_dim += transform.domain.event_dim - transform.codomain.event_dim
            term = transform.log_abs_det_jacobian(x, y)
            total = total + sum_rightmost(term, event_dim - transform.domain.event_dim)
            y = x
        term = self.base_dist.log_prob(y)
        return sum_rightmost(term, event_dim - len(self.base_dist.event_shape)) - total

    def _rising(self, value: Tensor) -> Tensor:
        """Probabilities, those of falling transforms exchanged with 1 - p."""
        sign: Any = 1
        for transform in self.transforms:
            sign = sign * transform.sign
        return sign * (value - 0.5) + 0.5 if isinstance(sign, Tensor) or sign != 1 else value

    def cdf(self, value: Tensor) -> Tensor:
        """The base's at the inverse. Raises NotImplementedError for transforms that do not rise or
        fall."""
        value = self._fit(value)
        for transform in reversed(self.transforms):
            value = transform.inv(value)
        return self._rising(self.base_dist.cdf(value))

    def icdf(self, value: Tensor) -> Tensor:
        """The base's, transformed. Raises NotImplementedError for transforms that do not rise or
        fall."""
        return self._transformed(self.base_dist.icdf(self._rising(value)))
