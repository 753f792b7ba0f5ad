"""Rules of functions that settle at infinities."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tapegrad.core.memory import Array


def fading(rule: Callable, inside: float = 0.0) -> Callable:
    """A rule ``(xp, g, x)`` of which slope and curvature are 0 at infinities, where the formula
    would multiply what is 0 by what is infinite; ``inside`` is any number of the domain."""

    def bounded(xp: Any, g: Array, x: Array) -> Any:
        far = xp.isinf(x)
        return xp.where(far, 0.0, rule(xp, g, xp.where(far, inside, x)))

    return bounded
