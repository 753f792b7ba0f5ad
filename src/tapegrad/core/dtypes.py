"""Data types and PyTorch's promotion rules.

A tapegrad dtype *is* a NumPy dtype, so ``x.dtype == "float32"`` and NumPy interoperate without a
table. ``bfloat16`` comes from the optional package ml_dtypes and is looked up on first use.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

float64 = np.dtype("float64")
float32 = np.dtype("float32")
float16 = np.dtype("float16")
int64 = np.dtype("int64")
int32 = np.dtype("int32")
int16 = np.dtype("int16")
int8 = np.dtype("int8")
uint8 = np.dtype("uint8")
bool_ = np.dtype("bool")

DType = np.dtype

_ALIASES = {
    "double": "float64",
    "float": "float32",
    "half": "float16",
    "long": "int64",
    "int": "int32",
    "short": "int16",
    "bool_": "bool",
}
_SUPPORTED = {
    d.name: d for d in (float64, float32, float16, int64, int32, int16, int8, uint8, bool_)
}
_OWN = {d: d for d in _SUPPORTED.values()}  # a dtype's name takes NumPy microseconds
_default = float32


@cache
def bfloat16() -> DType:
    """NumPy's dtype object for bfloat16. Raises ImportError without the package ml_dtypes."""
    try:
        import ml_dtypes
    except ImportError:
        raise ImportError(
            "bfloat16 needs the package ml_dtypes: pip install 'tapegrad[io]'"
        ) from None
    return np.dtype(ml_dtypes.bfloat16)


def dtype(spec: Any) -> DType:
    """The supported dtype that ``spec`` names: a dtype, a NumPy scalar type, ``"float32"``,
    PyTorch's ``"half"``, or Python's ``float`` (float64), ``int`` and ``bool``. Always in this
    machine's byte order.

    Raises TypeError for anything else (complex, strings, unsigned types above 8 bits).
    """
    if isinstance(spec, np.dtype) and (own := _OWN.get(spec)) is not None:
        return own
    if spec is float:
        return float64
    if spec is int:
        return int64
    if spec is bool:
        return bool_
    name = spec if isinstance(spec, str) else getattr(spec, "name", getattr(spec, "__name__", ""))
    name = _ALIASES.get(name, name)
    if name == "bfloat16":
        return bfloat16()
    if name in _SUPPORTED:
        return _SUPPORTED[name]
    raise TypeError(f"unsupported dtype {spec!r}: choose one of {', '.join(_SUPPORTED)}, bfloat16")


def get_default_dtype() -> DType:
    """The dtype of new floating-point tensors and of integer division; float32 at first."""
    return _default


def set_default_dtype(spec: Any) -> None:
    """Set the default floating-point dtype (float64, float32, float16 or bfloat16). Raises
    TypeError for any other."""
    global _default
    chosen = dtype(spec)
    if not is_floating(chosen):
        raise TypeError(f"the default dtype must be floating-point, got {chosen.name}")
    _default = chosen


def is_floating(d: DType) -> bool:
    """Whether it is float64, float32, float16 or bfloat16."""
    # bfloat16 is NumPy's kind 'V'; no other 'V' dtype is supported.
    return d.kind in "fV"


def is_low_precision(d: DType) -> bool:
    """float16 and bfloat16: stored narrow, computed in float32."""
    return d.itemsize == 2 and d.kind in "fV"


def accumulator(d: DType) -> DType:
    """The dtype in which sums over ``d`` are carried: float32 for the 16-bit floats."""
    return float32 if is_low_precision(d) else d


def _rank(d: DType) -> int:
    """PyTorch's categories: bool < integers < floats."""
    return 0 if d.kind == "b" else 1 if d.kind in "iu" else 2


@cache
def promote_types(a: DType, b: DType) -> DType:
    """The smallest dtype of the higher category that holds both, as in PyTorch: an integer and a
    float give that float, float16 and bfloat16 give float32."""
    if _rank(a) != _rank(b):
        return a if _rank(a) > _rank(b) else b
    if a == b:
        return a
    if is_low_precision(a) and is_low_precision(b):
        return float32
    return np.promote_types(a, b)


def can_cast(source: DType, target: DType) -> bool:
    """Whether values of ``source`` may be stored as ``target``, as in PyTorch: not floats as
    integers, and nothing but bools as bools."""
    return _rank(dtype(source)) <= _rank(dtype(target))


def scalar_dtype(value: Any) -> DType:
    """The dtype a Python or NumPy scalar has when it meets tensors: bool, int64 or the default
    float. Raises TypeError for anything but a real number."""
    if isinstance(value, (bool, np.bool_)):
        return bool_
    if isinstance(value, (int, np.integer)):
        return int64
    if isinstance(value, (float, np.floating)):
        return _default
    raise TypeError(f"expected a tensor or a real number, got {type(value).__name__}")


def result_type(tensors: list[tuple[DType, int]], scalars: list[DType]) -> DType:
    """PyTorch's promotion: tensors with dimensions decide; 0-d tensors and then Python scalars
    only count when they are of a higher category (bool < integer < float).

    ``tensors`` holds (dtype, ndim) pairs. Raises TypeError without any tensor or scalar.
    """
    groups = [
        [d for d, ndim in tensors if ndim > 0],
        [d for d, ndim in tensors if ndim == 0],
        scalars,
    ]
    result: DType | None = None
    for group in groups:
        if not group:
            continue
        inner = group[0]
        for d in group[1:]:
            inner = promote_types(inner, d)
        if result is None or _rank(inner) > _rank(result):
            result = inner
    if result is None:
        raise TypeError("result_type needs at least one tensor or number")
    return result
