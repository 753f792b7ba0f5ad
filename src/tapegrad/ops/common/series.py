"""How the special functions that are our own are summed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def horner(coefficients: Sequence[float], x: Any) -> Any:
    """The polynomial's value, highest power first; in place after the first step."""
    value = coefficients[0] * x + coefficients[1]
    for c in coefficients[2:]:
        value *= x
        value += c
    return value


def polynomial(coefficients: Sequence[float], x: Any) -> Any:
    """The polynomial's value as ``horner``'s, but of Tensors too: in the rules of gradients."""
    value = coefficients[0] * x + coefficients[1]
    for c in coefficients[2:]:
        value = value * x + c
    return value


def chebyshev(coefficients: Sequence[float], t: Any) -> Any:
    """The sum of c_k T_k(t), c_0 first, by Clenshaw's recurrence."""
    ahead, now = 0.0, 0.0 * t
    twice = 2 * t
    for c in coefficients[:0:-1]:
        after = twice * now
        after += c
        after -= ahead
        ahead, now = now, after
    return coefficients[0] + t * now - ahead


def select(xp: Any, *choices: Any) -> Any:
    """``select(xp, condition, a, condition, b, ..., otherwise)``: of the first that holds."""
    value = choices[-1]
    for i in range(len(choices) - 3, -1, -2):
        value = xp.library.where(choices[i], choices[i + 1], value)
    return value
