"""How sums are carried: those of 16-bit floats, which are for storage, in float32."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from ..dtypes import float32, is_low_precision


def in_float32(body: Callable) -> Callable:
    """Run a body on float32 copies of its float16 and bfloat16 inputs, and store its result in
    their dtype again. Further results (means, norms) stay float32."""

    @wraps(body)
    def widened(xp: Any, *arrays: Any, **parameters: Any) -> Any:
        if arrays[0].dtype.itemsize > 2:
            return body(xp, *arrays, **parameters)
        narrow = [a.dtype for a in arrays if hasattr(a, "dtype") and is_low_precision(a.dtype)]
        if not narrow:
            return body(xp, *arrays, **parameters)
        wide = [
            a.astype(float32) if hasattr(a, "dtype") and is_low_precision(a.dtype) else a
            for a in arrays
        ]
        result = body(xp, *wide, **parameters)
        if isinstance(result, tuple):
            return (_narrow(result[0], narrow[0]), *result[1:])
        return _narrow(result, narrow[0])

    return widened


def total(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The sum, in x's own dtype. (NumPy's method widens small integers, and warns of overflow from
    a module of NumPy's, past tapegrad's filter.)"""
    if isinstance(x, np.ndarray):
        return np.add.reduce(x, axis=axis, keepdims=keepdims, dtype=x.dtype)  # type: ignore
    return x.sum(axis=axis, keepdims=keepdims, dtype=x.dtype)


def _narrow(result: Any, dtype: Any) -> Any:
    return result.astype(dtype) if result.dtype == float32 else result
