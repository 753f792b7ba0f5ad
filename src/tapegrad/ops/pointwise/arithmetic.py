"""Arithmetic under PyTorch's names and signatures, on top of the rows in ``elementwise``."""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from tapegrad.core import dtypes
from tapegrad.core.memory import Array
from tapegrad.core.tape import array_function, binary, primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_tensor

from . import elementwise


def add(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """input + alpha * other, broadcast and promoted."""
    return elementwise.add(input, other if alpha == 1 else _scaled("add", input, other, alpha))


def sub(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """input - alpha * other, broadcast and promoted. Not for bools."""
    return elementwise.subtract(input, other if alpha == 1 else _scaled("sub", input, other, alpha))


def _scaled(op: str, input: Any, other: Any, alpha: Any) -> Any:
    """other * alpha, where alpha does not change the dtype."""
    if _whole(other):
        if _whole(input) and isinstance(alpha, float):
            raise RuntimeError(
                f"[{op}] alpha must be an integer where the tensors are, got {alpha}: "
                "convert a tensor with .float()"
            )
        if _is_bool(other):
            if _is_bool(input):
                alpha = bool(alpha)
            elif isinstance(input, Tensor) and isinstance(other, Tensor):
                other = other.to(input.dtype)
    if isinstance(other, Tensor):
        return elementwise.multiply(other, alpha)
    return other and alpha if alpha.__class__ is bool else other * alpha


def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """input / other in floating point; rounded towards zero ("trunc") or down ("floor")."""
    if rounding_mode is None:
        return elementwise.divide(input, other)
    if rounding_mode == "floor":
        return _floored_quotient(input, other)
    if rounding_mode == "trunc":
        return _truncated_quotient(input, other)
    raise RuntimeError(
        f"[div] rounding_mode must be None, 'trunc' or 'floor', got {rounding_mode!r}"
    )


def _whole(x: Any) -> bool:
    return x.dtype.kind in "biu" if hasattr(x, "dtype") else isinstance(x, int)


def _is_bool(x: Any) -> bool:
    return x.dtype.kind == "b" if hasattr(x, "dtype") else isinstance(x, bool)


def _kind(a: Any, b: Any) -> str:
    """Of the operands of a body, at least one of which is an array."""
    return (a if hasattr(a, "dtype") else b).dtype.kind


def require_divisible(op: str, a: Any, b: Any) -> None:
    """Raise RuntimeError where NumPy would give 0, or the numbers of another dtype."""
    kind = _kind(a, b)
    if kind == "b":
        raise RuntimeError(f"[{op}] is not defined for bool tensors: convert with .int()")
    if kind in "iu" and a.size and not b.all():
        raise RuntimeError(
            f"[{op}] integer division by zero: replace the zeros, or convert with .float()"
        )


# The bodies of the rows of these names in ``elementwise``.


@array_function
def floor_divide(xp: Any, a: Array, b: Array) -> Array:
    require_divisible("floor_divide", a, b)
    return xp.library.floor_divide(a, b)


@array_function
def remainder(xp: Any, a: Array, b: Array) -> Array:
    require_divisible("remainder", a, b)
    return xp.library.remainder(a, b)


@array_function
def power(xp: Any, a: Array, b: Array) -> Array:
    kind = _kind(a, b)
    if kind == "b":  # for NumPy an 8-bit integer
        return xp.library.logical_or(a, xp.library.logical_not(b))
    if isinstance(b, (int, float)) and b == 3 and kind == "f":  # 20 times as fast
        return a * a * a
    if kind != "i" or not (b < 0).any():
        return xp.library.power(a, b)
    # The whole part of the quotient: of 1 / a and its powers, only those of 1 and -1 are not 0.
    unit = xp.library.where(a == -1, 1 - 2 * (b & 1), (a == 1).astype(a.dtype))
    return xp.library.where(b < 0, unit, xp.library.power(a, xp.library.maximum(b, 0)))


def _rounded_towards_zero(xp: Any, a: Array, b: Array) -> Any:
    require_divisible("div", a, b)
    if _kind(a, b) not in "iu":
        return xp.library.trunc(a / b)
    down = xp.library.floor_divide(a, b)
    return down + ((down * b != a) & ((a < 0) != (b < 0)))


_floored_quotient = binary(
    "div_floor", "no_slope", "no_slope", lambda xp, a, b: xp.floor_divide(a, b)
)
_truncated_quotient = binary("div_trunc", "no_slope", "no_slope", _rounded_towards_zero)


def _remainder_towards_zero(xp: Any, a: Array, b: Array) -> Any:
    require_divisible("fmod", a, b)
    return xp.library.fmod(a, b)


_fmod = binary(
    "fmod", lambda g: g, lambda xp, g, a, b: -g * xp.div_trunc(a, b), _remainder_towards_zero
)


def fmod(input: Tensor, other: Any) -> Tensor:
    """input - other * trunc(input / other): the remainder that has the sign of ``input``."""
    require_tensor("fmod", input)
    return _fmod(input, other)


def pow(input: Any, exponent: Any) -> Tensor:
    """input ** exponent, broadcast and promoted. Integers have no powers of negative numbers; those
    of negative integer tensors are 0 (or 1 or -1, of 1 and -1)."""
    whole = _whole(input)
    if whole and isinstance(exponent, int) and exponent < 0:
        raise RuntimeError(
            f"[pow] integers to the power {exponent} are not integers: convert with .float()"
        )
    if exponent.__class__ in (int, float) and exponent == 2 and not whole:
        return elementwise.square(input)
    return elementwise.power(input, exponent)


def clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """Elements below ``min`` raised to it, elements above ``max`` lowered to it (numbers, or
    tensors that broadcast). The gradient is 1 on the bounds and 0 beyond them."""
    require_tensor("clamp", input)
    bounds = [b for b in (min, max) if b is not None]
    if not bounds:
        raise RuntimeError("[clamp] needs min, max or both")
    if builtins.any(isinstance(b, Tensor) for b in bounds):
        return _between(input, min, max)
    common = dtypes.result_type(
        [(input.dtype, input.ndim)], [dtypes.scalar_dtype(b) for b in bounds]
    )
    input = input.to(common)
    if dtypes.is_floating(common):
        low, high = (-math.inf if min is None else min), (math.inf if max is None else max)
    else:
        least, most = np.iinfo(common).min, np.iinfo(common).max
        low = least if min is None else builtins.min(builtins.max(min, least), most)
        high = most if max is None else builtins.min(builtins.max(max, least), most)
    return elementwise.clip(input, low=low, high=high)


def clamp_min(input: Tensor, min: Any) -> Tensor:
    """Elements below ``min`` (a number or a tensor) raised to it."""
    return clamp(input, min=min)


def clamp_max(input: Tensor, max: Any) -> Tensor:
    """Elements above ``max`` (a number or a tensor) lowered to it."""
    return clamp(input, max=max)


def _between(input: Tensor, min: Any, max: Any) -> Tensor:
    """clamp between tensors, of which the upper bound counts where they contradict each other."""
    pairs = [(t.dtype, t.ndim) for t in (input, min, max) if isinstance(t, Tensor)]
    scalars = [
        dtypes.scalar_dtype(b) for b in (min, max) if b is not None and not isinstance(b, Tensor)
    ]
    common = dtypes.result_type(pairs, scalars)
    shapes = [tuple(t.shape) for t in (input, min, max) if isinstance(t, Tensor)]
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        raise RuntimeError(
            f"[clamp] shapes {', '.join(map(str, shapes))} do not broadcast: from the right, the "
            "sizes must be equal or 1"
        ) from None
    low, high = (b.to(common) if isinstance(b, Tensor) else b for b in (min, max))
    return _clamp(input.to(common), low, high)


def _inside(x: Any, low: Any, high: Any) -> Any:
    inside = None
    if low is not None:
        inside = x >= low
    if high is not None:
        inside = x <= high if inside is None else inside & (x <= high)
    return inside


def _below(x: Any, low: Any, high: Any) -> Any:
    return x < low if high is None else (x < low) & (low < high)


def _above(x: Any, low: Any, high: Any) -> Any:
    return x > high if low is None else (x > high) | (high < low)


@primitive(
    "clamp",
    vjp=(
        lambda xp, g, x, low, high: xp.where(_inside(x, low, high), g, 0.0),
        lambda xp, g, x, low, high: xp.where(_below(x, low, high), g, 0.0),
        lambda xp, g, x, low, high: xp.where(_above(x, low, high), g, 0.0),
    ),
)
def _clamp(xp: Any, x: Array, low: Any, high: Any) -> Array:
    if low is not None:
        x = xp.library.maximum(x, low)
    return x if high is None else xp.library.minimum(x, high)


def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """To the nearest integer (or decimal), halves to even."""
    if not decimals:
        return elementwise.rint(input)
    scale = 10.0**decimals
    return elementwise.rint(input * scale) / scale


def true_divide(input: Any, other: Any) -> Tensor:
    """input / other in floating point."""
    return elementwise.divide(input, other)


def rsub(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """other - alpha * input."""
    require_tensor("rsub", input)
    return sub(other, input, alpha=alpha)
