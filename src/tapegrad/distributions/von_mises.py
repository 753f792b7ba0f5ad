"""The von Mises distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tapegrad.core.tensor import Size, Tensor

from . import constraints
from . import operations as tg
from .distribution import Distribution
from .utils import broadcast_all

__all__ = ["VonMises"]


class VonMises(Distribution):
    """Angles in [-pi, pi) with density proportional to exp(concentration cos(x - loc)), loc in
    radians. Densities need the extra ``special``, for Bessel's functions."""

    arg_constraints = {"loc": constraints.real, "concentration": constraints.positive}
    support = constraints.real
    has_rsample = False

    def __init__(self, loc: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.loc, self.concentration = broadcast_all(loc, concentration)
        super().__init__(self.loc.shape, validate_args=validate_args)

    def log_prob(self, value: Tensor) -> Tensor:
        """k cos(value - loc) - log(2 pi I_0(k))."""
        k = self.concentration
        angle = (self._fit(value) - self.loc).cos()
        # i0e(k) = exp(-k) I_0(k)
        return k * (angle - 1) - math.log(2 * math.pi) - tg.special.i0e(k).log()

    def sample(self, sample_shape: Sequence[int] = Size()) -> Tensor:
        """Draws by rejection from a wrapped Cauchy distribution, in float64 (Best & Fisher 1979,
        *Efficient simulation of the von Mises distribution*)."""
        shape = self._extended_shape(sample_shape)
        with tg.no_grad():
            k = self.concentration.double().expand(shape)
            # r as Best & Fisher give it, where that has digits left; its limits elsewhere.
            tau = 1 + (1 + 4 * k.square()).sqrt()
            rho = (tau - (2 * tau).sqrt()) / (2 * k)
            r = tg.where(k < 1e-5, 1 / k + k, (1 + rho.square()) / (2 * rho))
            angle, waiting = tg.zeros_like(k), tg.ones_like(k, dtype=tg.bool)
            while bool(waiting.any()):
                u1, u2, u3 = tg.rand(3, *shape, dtype=k.dtype, device=k.device)
                z = (math.pi * u1).cos()
                f = (1 + r * z) / (r + z)
                c = k * (r - f)
                accepted = (c * (2 - c) > u2) | ((c / u2).log() + 1 >= c)
                drawn = (u3 - 0.5).sign() * f.clamp(min=-1, max=1).acos()
                angle = tg.where(waiting & accepted, drawn, angle)
                waiting = waiting & ~accepted
            angle = angle + self.loc.double()
            return ((angle + math.pi) % (2 * math.pi) - math.pi).to(self.loc.dtype)

    @property
    def mean(self) -> Tensor:
        """loc, the mean direction."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """loc."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """1 - I_1(k) / I_0(k), the circular variance."""
        k = self.concentration
        return 1 - tg.special.i1e(k) / tg.special.i0e(k)
