"""How special functions are computed: in float64, from expansions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from tapegrad.core.dtypes import float64

# On the CPU so many elements at a time, that the many arrays on the way stay in its cache.
_BLOCK = 8192


def in_float64(body: Callable) -> Callable:
    """Run a body on float64 copies of its inputs, all of one dtype, and store its result in that
    dtype again: functions with poles and cancellations keep all digits of float32."""

    def widened(xp: Any, arrays: Sequence[Any], parameters: dict) -> Any:
        return body(xp, *[a.astype(float64, copy=False) for a in arrays], **parameters)

    @wraps(body)
    def whole(xp: Any, *arrays: Any, **parameters: Any) -> Any:
        dtype = arrays[0].dtype
        if not isinstance(arrays[0], np.ndarray) or max(a.size for a in arrays) <= _BLOCK:
            return widened(xp, arrays, parameters).astype(dtype, copy=False)
        arrays = np.broadcast_arrays(*arrays)  # type: ignore[assignment]
        result = np.empty(arrays[0].shape, dtype)
        flat, arrays = result.reshape(-1), [a.reshape(-1) for a in arrays]  # type: ignore
        for i in range(0, result.size, _BLOCK):
            flat[i : i + _BLOCK] = widened(xp, [a[i : i + _BLOCK] for a in arrays], parameters)
        return result

    return whole


def chebyshev(coefficients: Sequence[float], t: Any) -> Any:
    """The sum of c_k T_k(t), by Clenshaw's recurrence."""
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
