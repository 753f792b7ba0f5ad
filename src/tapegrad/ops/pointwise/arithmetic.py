"""Arithmetic under PyTorch's names and signatures, on top of the rows in ``elementwise``."""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np

from tapegrad.core import dtypes
from tapegrad.core.memory import Array
from tapegrad.core.tape import binary, primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_tensor

from . import elementwise
from .elementwise import kind_of, require_divisible


def add(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """input + alpha * other, broadcast and promoted. Raises RuntimeError for a float ``alpha``
    where the operands are integers."""
    return elementwise.add(input, other if alpha == 1 else _scaled("add", input, other, alpha))


def sub(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """input - alpha * other, broadcast and promoted. Raises RuntimeError for bools, and as ``add``
    does."""
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
    """input / other in floating point, broadcast; with ``rounding_mode`` rounded towards zero
    ("trunc") or down ("floor"), of the common dtype. Raises RuntimeError for another mode, and of
    the rounded quotients for bools and for integers by zero."""
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


def _rounded_towards_zero(xp: Any, a: Array, b: Array) -> Any:
    require_divisible("div", a, b)
    if kind_of(a, b) not in "iu":
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
    """input - other * trunc(input / other), broadcast and promoted: the remainder that has the sign
    of ``input``. Raises RuntimeError for bools and for integers by zero."""
    require_tensor("fmod", input)
    return _fmod(input, other)


def pow(input: Any, exponent: Any) -> Tensor:
    """input ** exponent, broadcast and promoted. Raises RuntimeError for integers to the power of a
    negative int; to those of a tensor they are cut to integers: 0, but for powers of 1 and -1."""
    whole = _whole(input)
    if whole and isinstance(exponent, int) and exponent < 0:
        raise RuntimeError(
            f"[pow] integers to the power {exponent} are not integers: convert with .float()"
        )
    if exponent.__class__ in (int, float) and exponent == 2 and not whole:
        return elementwise.square(input)
    power = elementwise.power if isinstance(input, Tensor) else elementwise.number_power
    return power(input, exponent)


def clamp(input: Tensor, min: Any = None, max: Any = None) -> Tensor:
    """Elements below ``min`` raised to it, elements above ``max`` lowered to it (numbers, or
    tensors that broadcast); promoted. ``max`` counts where the bounds contradict each other. The
    gradient is 1 on the bounds and 0 beyond them. Raises RuntimeError without a bound, and for
    bools between numbers."""
    require_tensor("clamp", input)
    given = [b for b in (min, max) if b is not None]
    if not given:
        raise RuntimeError("[clamp] needs min, max or both")
    tensors = [t for t in (input, *given) if isinstance(t, Tensor)]
    common = dtypes.result_type(
        [(t.dtype, t.ndim) for t in tensors],
        [dtypes.scalar_dtype(b) for b in given if not isinstance(b, Tensor)],
    )
    if common.kind == "b" and len(tensors) == 1:
        raise RuntimeError("[clamp] is not defined for bool tensors: convert with .int()")
    least, most = -math.inf, math.inf
    if common.kind in "iu":
        least, most = np.iinfo(common).min, np.iinfo(common).max
    x, low, high = (
        elementwise.as_dtype(b, common)
        if isinstance(b, Tensor)
        else builtins.min(builtins.max(b, least), most)
        for b in (input, least if min is None else min, most if max is None else max)
    )
    if len(tensors) == 1:
        return elementwise.clip(x, low=low, high=high)
    shapes = [tuple(t.shape) for t in tensors]
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        raise RuntimeError(
            f"[clamp] shapes {', '.join(map(str, shapes))} do not broadcast: from the right, the "
            "sizes must be equal or 1"
        ) from None
    return _clamp(x, low, high)


def clamp_min(input: Tensor, min: Any) -> Tensor:
    """``clamp`` from below: elements below ``min`` (a number or a tensor) raised to it."""
    return clamp(input, min=min)


def clamp_max(input: Tensor, max: Any) -> Tensor:
    """``clamp`` from above: elements above ``max`` (a number or a tensor) lowered to it."""
    return clamp(input, max=max)


@primitive(
    "clamp",
    vjp=(
        lambda xp, g, x, low, high: xp.where((x >= low) & (x <= high), g, 0.0),
        lambda xp, g, x, low, high: xp.where((x < low) & (low < high), g, 0.0),
        lambda xp, g, x, low, high: xp.where((x > high) | (high < low), g, 0.0),
    ),
)
def _clamp(xp: Any, x: Array, low: Any, high: Any) -> Array:
    raised = xp.library.maximum(x, low)
    return xp.library.minimum(raised, high).astype(x.dtype, copy=False)


def round(input: Tensor, *, decimals: int = 0) -> Tensor:
    """To the nearest integer, halves to even; with ``decimals`` to so many digits after the point
    (before it, if negative). Of input's dtype; the gradient is 0."""
    if not decimals:
        return elementwise.rint(input)
    scale = 10.0**decimals
    return elementwise.rint(input * scale) / scale


def true_divide(input: Any, other: Any) -> Tensor:
    """input / other in floating point, broadcast; integers become the default float dtype."""
    return elementwise.divide(input, other)


def rsub(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """other - alpha * input: ``sub`` with the operands exchanged."""
    require_tensor("rsub", input)
    return sub(other, input, alpha=alpha)
