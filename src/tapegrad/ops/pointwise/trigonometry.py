"""Trigonometric and hyperbolic functions, their inverses, and angles."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tapegrad.core.memory import Array
from tapegrad.core.tape import binary, unary
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.operands import require_floats, two_tensors
from tapegrad.ops.common.precision import in_float32
from tapegrad.ops.common.series import polynomial


def _named(name: str, library_name: str, rule: Callable) -> Callable:
    return unary(name, rule, lambda xp, x: getattr(xp.library, library_name)(x))


tan = unary("tan", lambda g, y: g * (1 + y * y))
sinh = unary("sinh", lambda xp, g, x: g * xp.cosh(x))
cosh = unary("cosh", lambda xp, g, x: g * xp.sinh(x))
asin = _named("asin", "arcsin", lambda xp, g, x: g * xp.rsqrt(1 - x * x))
acos = _named("acos", "arccos", lambda xp, g, x: -g * xp.rsqrt(1 - x * x))
atan = _named("atan", "arctan", lambda g, x: g / (1 + x * x))
asinh = _named("asinh", "arcsinh", lambda xp, g, x: g * xp.rsqrt(1 + x * x))
acosh = _named("acosh", "arccosh", lambda xp, g, x: g * xp.rsqrt(x * x - 1))
atanh = _named("atanh", "arctanh", lambda g, x: g / (1 - x * x))
deg2rad = unary("deg2rad", lambda g: g * (math.pi / 180))
rad2deg = unary("rad2deg", lambda g: g * (180 / math.pi))


def _over_square(xp: Any, t: Any, a: Array, b: Array) -> Any:
    """t / (a^2 + b^2), which must not overflow on the way, and is 0 where the angle is none."""
    length = xp.hypot(a, b)
    length = xp.where(length == 0, 1.0, length)
    return t / length / length


_atan2 = binary(
    "atan2",
    lambda xp, g, a, b: g * _over_square(xp, b, a, b),
    lambda xp, g, a, b: -g * _over_square(xp, a, a, b),
    lambda xp, a, b: xp.library.arctan2(a, b),
    floating=True,
)


def atan2(input: Tensor, other: Tensor) -> Tensor:
    """The angle, from -pi to pi, of the point with abscissa ``other`` and ordinate ``input``."""
    two_tensors("atan2", input, other)
    return _atan2(input, other)


_hypot = binary("hypot", lambda g, y, a: g * (a / y), lambda g, y, b: g * (b / y))


def hypot(input: Tensor, other: Tensor) -> Tensor:
    """sqrt(input ** 2 + other ** 2) of floating-point tensors, without overflow on the way."""
    two_tensors("hypot", input, other)
    require_floats("hypot", input, other)
    return _hypot(input, other)


# sin(t) / t is a power series in t^2; this is that of its derivative, divided by t, highest first.
_SINC_SLOPE = tuple((-1) ** k * 2 * k / math.factorial(2 * k + 1) for k in range(9, 0, -1))


def _sinc_rule(xp: Any, g: Array, x: Array) -> Any:
    # (cos(pi x) - sinc(x)) / x, which cancels near 0
    near = (x < 0.25) & (x > -0.25)
    t = xp.where(near, x, 0.0) * math.pi
    series = (polynomial(_SINC_SLOPE, t * t) * t) * math.pi
    far = xp.where(near, 1.0, x)
    return g * xp.where(near, series, (xp.cos(far * math.pi) - xp.sinc(far)) / far)


sinc = unary("sinc", _sinc_rule, in_float32(lambda xp, x: xp.library.sinc(x)))


def _angle(xp: Any, x: Array) -> Any:
    return xp.where(x < 0, math.pi, xp.where(x == x, 0.0, x)).astype(x.dtype)


angle = unary("angle", "no_slope", _angle)
