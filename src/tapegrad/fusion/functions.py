"""What fused kernels compute of one element: NumPy's functions, in C++.

The text of a function has its operands in braces, as values of one type, which ``kind`` says:
that of the result ("same"), or, of comparisons, the common one of the operands. Which dtype comes
out NumPy itself is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tapegrad.core.dtypes import float32, int64, is_floating


class Function(NamedTuple):
    """``text``: C++ of the operands {0}, {1}, ...; ``dtype``: that of the result, from the dtypes
    of arrays and from Python's numbers."""

    text: str
    dtype: Callable[..., np.dtype]
    compares: bool = False
    long: bool = False


def _numpy(name: str) -> Callable[..., np.dtype]:
    if name == "erf":  # which NumPy has not
        return lambda kind: kind if is_floating(kind) else float32

    def dtype(*kinds: Any) -> np.dtype:
        given = [np.empty(0, k) if isinstance(k, np.dtype) else k for k in kinds]
        return getattr(np, name)(*given).dtype

    return dtype


_LONG = {
    **{
        name: f"{name}({{0}})" for name in ("exp", "exp2", "expm1", "log", "log2", "log10", "log1p")
    },
    **{name: f"{name}({{0}})" for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh", "erf")},
    "arcsin": "asin({0})",
    "arccos": "acos({0})",
    "arctan": "atan({0})",
    "arcsinh": "asinh({0})",
    "arccosh": "acosh({0})",
    "arctanh": "atanh({0})",
    "arctan2": "atan2({0}, {1})",
    "hypot": "hypot({0}, {1})",
    "power": "pow({0}, {1})",
    "remainder": "remainder_of({0}, {1})",
    "fmod": "fmod({0}, {1})",
}

_FLOAT = {
    "sqrt": "sqrt({0})",
    "floor": "floor({0})",
    "ceil": "ceil({0})",
    "trunc": "trunc({0})",
    "rint": "rint({0})",
    "copysign": "copysign({0}, {1})",
    "divide": "{0} / {1}",
}

_ANY = {
    "add": "{0} + {1}",
    "subtract": "{0} - {1}",
    "multiply": "{0} * {1}",
    "negative": "-{0}",
    "positive": "{0}",
    "absolute": "absolute_of({0})",
    "square": "{0} * {0}",
    "reciprocal": "1 / {0}",
    "sign": "sign_of({0})",
    "maximum": "larger_of({0}, {1})",
    "minimum": "smaller_of({0}, {1})",
    "fmax": "{1} != {1} || {0} >= {1} ? {0} : {1}",
    "fmin": "{1} != {1} || {0} <= {1} ? {0} : {1}",
    "bitwise_and": "{0} & {1}",
    "bitwise_or": "{0} | {1}",
    "bitwise_xor": "{0} ^ {1}",
}

# With a number for {1}, which is none of NaN: one instruction; and of a comparison that is written
# within the loop, rather than in a function, g++ makes vectors wherever it stands.
WITH_NUMBER = {"maximum": "{0} < {1} ? {1} : {0}", "minimum": "{0} > {1} ? {1} : {0}"}

_COMPARISONS = {
    "less": "{0} < {1}",
    "less_equal": "{0} <= {1}",
    "greater": "{0} > {1}",
    "greater_equal": "{0} >= {1}",
    "equal": "{0} == {1}",
    "not_equal": "{0} != {1}",
    "logical_and": "({0} != 0) & ({1} != 0)",
    "logical_or": "({0} != 0) | ({1} != 0)",
    "logical_xor": "({0} != 0) ^ ({1} != 0)",
    "logical_not": "{0} == 0",
    "isnan": "{0} != {0}",
    "isinf": "is_infinite({0})",
    "isfinite": "is_finite({0})",
    "signbit": "is_negative({0})",
}


def _where(condition: Any, a: Any, b: Any) -> np.dtype:
    given = [np.empty(0, k) if isinstance(k, np.dtype) else k for k in (a, b)]
    return np.where(np.empty(0, bool), *given).dtype


FUNCTIONS: dict[str, Function] = {
    **{name: Function(text, _numpy(name), long=True) for name, text in _LONG.items()},
    **{name: Function(text, _numpy(name)) for name, text in (_FLOAT | _ANY).items()},
    **{name: Function(text, _numpy(name), True) for name, text in _COMPARISONS.items()},
    "invert": Function("invert_of({0})", _numpy("invert")),
    "where": Function("{0} ? {1} : {2}", _where),
}


def _sum_dtype(kind: np.dtype) -> np.dtype:
    return kind if is_floating(kind) else int64


# The dtype that comes out of a reduction.
REDUCTIONS: dict[str, Callable[[np.dtype], np.dtype]] = {
    "sum": _sum_dtype,
    "max": lambda kind: kind,
    "min": lambda kind: kind,
}

# What C++ calls them.
TYPES = {
    "bool": "bool",
    **{name: f"{name}_t" for name in ("uint8", "int8", "int16", "int32", "int64")},
    "float32": "float",
    "float64": "double",
    "float16": "Float16",
    "bfloat16": "BFloat16",
}
