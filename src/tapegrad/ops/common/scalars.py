"""Python numbers that are to be stored in a tensor."""

from __future__ import annotations

import math
from typing import Any

_LARGEST = {
    "float16": 65504.0,
    "bfloat16": (2 - 2**-7) * 2.0**127,
    "float32": (2 - 2**-23) * 2.0**127,
    "float64": math.inf,
}


def fit_number(op: str, value: Any, dtype: Any) -> Any:
    """The number as PyTorch stores it: cut towards 0 in integers, and negative ones modulo 256 in
    uint8. Raises TypeError for anything but a number, RuntimeError for one beyond the dtype's range
    (floats hold infinities)."""
    if hasattr(value, "item"):  # NumPy's
        value = value.item()
    if not isinstance(value, (int, float)):
        raise TypeError(f"[{op}] expects a number, got {type(value).__name__}")
    if dtype.kind == "b":
        return bool(value)
    if dtype.kind in "fV":
        if value != value or abs(value) <= _LARGEST[dtype.name] or abs(value) == math.inf:
            return value
    elif value == value and abs(value) != math.inf:
        whole = int(value)
        bits = 8 * dtype.itemsize
        if dtype.kind == "u":
            if abs(whole) < 1 << bits:
                return whole % (1 << bits)
        elif -(1 << bits - 1) <= whole < 1 << bits - 1:
            return whole
    raise RuntimeError(f"[{op}] {dtype.name} does not hold {value}")
