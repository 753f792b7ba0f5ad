"""Arithmetic under PyTorch's names and signatures, on top of the rows in ``elementwise``."""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from .. import dtypes
from ..tape import array_function, binary
from ..tensor import Tensor
from . import elementwise
from .arguments import require_tensor
from .select import select_where


def add(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """input + alpha * other, broadcast and promoted."""
    return elementwise.add(input, other if alpha == 1 else other * alpha)


def sub(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """input - alpha * other, broadcast and promoted. Not for bools."""
    return elementwise.subtract(input, other if alpha == 1 else other * alpha)


def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """input / other in floating point; rounded towards zero ("trunc") or down ("floor")."""
    if rounding_mode is None:
        return elementwise.divide(input, other)
    if rounding_mode == "floor":
        return elementwise.floor_divide(input, other)
    if rounding_mode != "trunc":
        raise RuntimeError(
            f"[div] rounding_mode must be None, 'trunc' or 'floor', got {rounding_mode!r}"
        )
    if _whole(input) and _whole(other):
        return _truncated_quotient(input, other)
    return elementwise.trunc(elementwise.divide(input, other))


def _whole(x: Any) -> bool:
    return x.dtype.kind in "biu" if hasattr(x, "dtype") else isinstance(x, int)


def _divisible(op: str, a: Any, b: Any) -> None:
    """Raise RuntimeError where NumPy would give 0, or the numbers of another dtype."""
    kind = (b if hasattr(b, "dtype") else a).dtype.kind
    if kind == "b":
        raise RuntimeError(f"[{op}] is not defined for bool tensors: convert with .int()")
    if kind in "iu" and a.size and not b.all():
        raise RuntimeError(
            f"[{op}] integer division by zero: replace the zeros, or convert with .float()"
        )


# The bodies of the rows of these names in ``elementwise``.


@array_function
def floor_divide(xp: Any, a: Any, b: Any) -> Any:
    _divisible("floor_divide", a, b)
    return xp.library.floor_divide(a, b)


@array_function
def remainder(xp: Any, a: Any, b: Any) -> Any:
    _divisible("remainder", a, b)
    return xp.library.remainder(a, b)


def _rounded_towards_zero(xp: Any, a: Any, b: Any) -> Any:
    _divisible("div", a, b)
    down = xp.library.floor_divide(a, b)
    return down + ((down * b != a) & ((a < 0) != (b < 0)))


_truncated_quotient = binary("div", body=_rounded_towards_zero)


def pow(input: Any, exponent: Any) -> Tensor:
    """input ** exponent, broadcast and promoted."""
    whole = _whole(input)
    if whole:
        _require_no_negative(exponent)
    if exponent.__class__ in (int, float) and exponent == 2 and not whole:
        return elementwise.square(input)
    return elementwise.power(input, exponent)


def _require_no_negative(exponent: Any) -> None:
    """Raise RuntimeError for whole numbers below 0: the powers of integers are integers."""
    if not _whole(exponent):
        return
    values = exponent._array if isinstance(exponent, Tensor) else np.asarray(exponent)
    if bool((values < 0).any()):
        raise RuntimeError(
            "[pow] integers to negative integer powers are not integers: convert with .float()"
        )


def clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """Elements below ``min`` raised to it, elements above ``max`` lowered to it (numbers, or
    tensors that broadcast). The gradient is 1 on the bounds and 0 beyond them."""
    bounds = [b for b in (min, max) if b is not None]
    if not bounds:
        raise RuntimeError("[clamp] needs min, max or both")
    if builtins.any(isinstance(b, Tensor) for b in bounds):
        if min is not None:
            input = select_where(input < min, min, input)
        return input if max is None else select_where(input > max, max, input)
    common = dtypes.result_type([(input.dtype, 1)], [dtypes.scalar_dtype(b) for b in bounds])
    input = input.to(common)
    if dtypes.is_floating(common):
        low, high = (-math.inf if min is None else min), (math.inf if max is None else max)
    else:
        least, most = np.iinfo(common).min, np.iinfo(common).max
        low = least if min is None else builtins.min(builtins.max(min, least), most)
        high = most if max is None else builtins.min(builtins.max(max, least), most)
    return elementwise.clip(input, low=low, high=high)


def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """To the nearest integer (or decimal), halves to even."""
    if not decimals:
        return elementwise.rint(input)
    scale = 10.0**decimals
    return elementwise.rint(input * scale) / scale


def true_divide(input: Any, other: Any) -> Tensor:
    """input / other in floating point."""
    return elementwise.divide(input, other)


def rsub(input: Any, other: Any) -> Tensor:
    """other - input."""
    return elementwise.subtract(other, input)


def rdiv(input: Any, other: Any) -> Tensor:
    """other / input."""
    return elementwise.divide(other, input)


def rpow(input: Any, other: Any) -> Tensor:
    """other ** input."""
    if _whole(other):
        _require_no_negative(input)
    return elementwise.power(other, input)


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape and elements."""
    require_tensor("equal", input)
    require_tensor("equal", other)
    return input.shape == other.shape and bool(elementwise.equal(input, other)._array.all())


def isclose(input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8,
            equal_nan: bool = False) -> Tensor:  # fmt: skip
    """|input - other| <= atol + rtol |other|, element by element."""
    require_tensor("isclose", input)
    require_tensor("isclose", other)
    input, other = input.detach(), other.detach()
    close = elementwise.absolute(input - other) <= atol + rtol * elementwise.absolute(other)
    close = (close & elementwise.isfinite(other)) | (input == other)
    if equal_nan:
        close = close | (elementwise.isnan(input) & elementwise.isnan(other))
    return close


def allclose(input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8,
             equal_nan: bool = False) -> bool:  # fmt: skip
    """Whether all elements are close."""
    return bool(isclose(input, other, rtol, atol, equal_nan)._array.all())
