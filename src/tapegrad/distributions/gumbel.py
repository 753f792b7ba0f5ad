"""The Gumbel distribution."""

from __future__ import annotations

import math
from typing import Any

from tapegrad.core.tensor import Tensor

from . import constraints
from . import operations as tg
from .transformed_distribution import TransformedDistribution
from .transforms import AffineTransform, ExpTransform
from .uniform import Uniform
from .utils import broadcast_all, euler_constant

__all__ = ["Gumbel"]


class Gumbel(TransformedDistribution):
    """loc - scale log(-log u), u uniform: the largest of many numbers."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        info = tg.finfo(self.loc.dtype)
        base = Uniform(
            tg.full_like(self.loc.detach(), info.tiny),
            tg.full_like(self.loc.detach(), 1 - info.eps),
            validate_args=validate_args,
        )
        log = ExpTransform().inv
        last = AffineTransform(self.loc, -self.scale)
        transforms = [log, AffineTransform(0, -1.0), log, last]
        super().__init__(base, transforms, validate_args=validate_args)

    def log_prob(self, value: Tensor) -> Tensor:
        """-z - exp(-z) - log scale, z = (value - loc) / scale."""
        z = (self._fit(value) - self.loc) / self.scale
        return -z - (-z).exp() - self.scale.log()

    @property
    def mean(self) -> Tensor:
        """loc + scale times Euler's constant."""
        return self.loc + self.scale * euler_constant

    @property
    def mode(self) -> Tensor:
        """loc."""
        return self.loc

    @property
    def stddev(self) -> Tensor:
        """pi / sqrt(6) scale."""
        return math.pi / math.sqrt(6) * self.scale

    @property
    def variance(self) -> Tensor:
        """pi^2 / 6 scale^2."""
        return self.stddev.square()

    def entropy(self) -> Tensor:
        """log scale + 1 and Euler's constant."""
        return self.scale.log() + (1 + euler_constant)
