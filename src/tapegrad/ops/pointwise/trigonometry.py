"""Trigonometric and hyperbolic functions, their inverses, and angles."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tapegrad.core.memory import Array
from tapegrad.core.tape import binary, unary
from tapegrad.ops.common.limits import fading
from tapegrad.ops.common.operands import of_tensors
from tapegrad.ops.common.precision import in_float32, to_float32
from tapegrad.ops.common.series import polynomial


def _inverse(name: str, library_name: str, rule: Callable) -> Callable:
    def body(xp: Any, x: Array) -> Array:
        return getattr(xp.library, library_name)(x)

    return unary(name, to_float32(rule), body, doc=f"The inverse of {name.removeprefix('a')}")


tan = unary("tan", to_float32(lambda xp, g, y: g * (1 + y * y)))
sinh = unary("sinh", to_float32(lambda xp, g, x: g * xp.cosh(x)))
cosh = unary("cosh", to_float32(lambda xp, g, x: g * xp.sinh(x)))
asin = _inverse("asin", "arcsin", lambda xp, g, x: g * xp.rsqrt(1 - x * x))
acos = _inverse("acos", "arccos", lambda xp, g, x: -g * xp.rsqrt(1 - x * x))
atan = _inverse("atan", "arctan", fading(lambda xp, g, x: g / (1 + x * x)))
asinh = _inverse("asinh", "arcsinh", fading(lambda xp, g, x: g * xp.rsqrt(1 + x * x)))
acosh = _inverse("acosh", "arccosh", fading(lambda xp, g, x: g * xp.rsqrt(x * x - 1), 2.0))
atanh = _inverse("atanh", "arctanh", lambda xp, g, x: g / (1 - x * x))
deg2rad = unary("deg2rad", to_float32(lambda xp, g: g * (math.pi / 180)), doc="Degrees as radians")
rad2deg = unary("rad2deg", to_float32(lambda xp, g: g * (180 / math.pi)), doc="Radians as degrees")


def _over_square(xp: Any, t: Any, a: Array, b: Array) -> Any:
    """t / (a^2 + b^2), without overflow on the way."""
    length = xp.hypot(a, b)
    length = xp.where(length == 0, 1.0, length)
    return t / length / length


# At the origin, where a point has no direction, the slopes are 0, whatever arrives, be it nan.


def _along(xp: Any, g: Array, side: Array, length: Array) -> Any:
    zero = length == 0
    return xp.where(zero, 0.0, g) * (side / xp.where(zero, 1.0, length))


def _around(xp: Any, g: Array, side: Array, a: Array, b: Array) -> Any:
    return xp.where((a == 0) & (b == 0), 0.0, g) * _over_square(xp, side, a, b)


atan2 = of_tensors(
    binary(
        "atan2",
        to_float32(lambda xp, g, a, b: _around(xp, g, b, a, b)),
        to_float32(lambda xp, g, a, b: -_around(xp, g, a, a, b)),
        lambda xp, a, b: xp.library.arctan2(a, b),
        floating=True,
        doc="The angle, from -pi to pi, of the point with abscissa other and ordinate input",
    )
)
hypot = of_tensors(
    binary(
        "hypot",
        # (of both operands: 16 bits may not hold the result, which may change in place)
        to_float32(lambda xp, g, a, b: _along(xp, g, a, xp.hypot(a, b))),
        to_float32(lambda xp, g, a, b: _along(xp, g, b, xp.hypot(a, b))),
        doc="sqrt(input ** 2 + other ** 2), without overflow on the way",
    ),
    floats=True,
)

# sin(t) / t is a power series in t^2; this is that of its derivative, divided by t, highest first.
_SINC_SLOPE = tuple((-1) ** k * 2 * k / math.factorial(2 * k + 1) for k in range(9, 0, -1))


def _is_far(xp: Any, x: Array) -> Any:
    """Where floats are whole, and pi x may overflow: the limit is 0."""
    return xp.absolute(x) > 1e30


@to_float32
def _sinc_rule(xp: Any, g: Array, x: Array) -> Any:
    # (cos(pi x) - sinc(x)) / x, which cancels near 0
    gone = _is_far(xp, x)
    g, x = xp.where(gone, 0.0, g), xp.where(gone, 0.0, x)
    near = (x < 0.25) & (x > -0.25)
    t = xp.where(near, x, 0.0) * math.pi
    series = (polynomial(_SINC_SLOPE, t * t) * t) * math.pi
    far = xp.where(near, 1.0, x)
    return g * xp.where(near, series, (xp.cos(far * math.pi) - xp.sinc(far)) / far)


@in_float32
def _sinc(xp: Any, x: Array) -> Any:
    """sin(pi input) / (pi input), and 1 at 0."""
    far = _is_far(xp, x)
    return xp.where(far, 0.0, xp.library.sinc(xp.where(far, 0.0, x)))


sinc = unary("sinc", _sinc_rule, _sinc)


def _angle(xp: Any, x: Array) -> Any:
    """pi below 0, else 0; nan for nan."""
    return xp.where(x < 0, math.pi, xp.where(x == x, 0.0, x)).astype(x.dtype)


angle = unary("angle", "no_slope", _angle)
