"""The half-Cauchy distribution."""

from __future__ import annotations

import math
from typing import Any

from tapegrad.core.tensor import Tensor

from . import constraints
from . import operations as tg
from .cauchy import Cauchy
from .half import Half
from .transforms import AbsTransform

__all__ = ["HalfCauchy"]


class HalfCauchy(Half):
    """|x|, x of the Cauchy distribution around 0 with half width ``scale``."""

    arg_constraints = {"scale": constraints.positive}
    base_dist: Cauchy

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        base = Cauchy(0, scale, validate_args=False)
        super().__init__(base, AbsTransform(), validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """inf."""
        return tg.full_like(self.scale, math.inf)

    @property
    def mode(self) -> Tensor:
        """0."""
        return tg.zeros_like(self.scale)

    @property
    def variance(self) -> Tensor:
        """inf."""
        return self.base_dist.variance
