"""How special functions are computed: in float64, from expansions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from ..dtypes import float64


def in_float64(body: Callable) -> Callable:
    """Run a body on float64 copies of its inputs, all of one dtype, and store its result in that
    dtype again: functions with poles and cancellations keep all digits of float32."""

    @wraps(body)
    def widened(xp: Any, *arrays: Any, **parameters: Any) -> Any:
        dtype = arrays[0].dtype
        if dtype == float64:
            return body(xp, *arrays, **parameters)
        return body(xp, *[a.astype(float64) for a in arrays], **parameters).astype(dtype)

    return widened


def chebyshev(coefficients: Sequence[float], t: Any) -> Any:
    """The sum of c_k T_k(t), by Clenshaw's recurrence."""
    ahead, now = 0.0, 0.0
    twice = 2 * t
    for c in coefficients[:0:-1]:
        ahead, now = now, c + twice * now - ahead
    return coefficients[0] + t * now - ahead


def select(xp: Any, *choices: Any) -> Any:
    """``select(xp, condition, a, condition, b, ..., otherwise)``: of the first that holds."""
    value = choices[-1]
    for i in range(len(choices) - 3, -1, -2):
        value = xp.library.where(choices[i], choices[i + 1], value)
    return value
