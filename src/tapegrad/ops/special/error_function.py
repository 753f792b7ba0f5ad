"""The error function's relatives, and the normal distribution."""

from __future__ import annotations

import math
from typing import Any

from tapegrad.core.tape import unary

from . import fits
from .rules import erf_over_x
from .series import chebyshev, in_float64, select

_SLOPE = 2 / math.sqrt(math.pi)
_SQRT_HALF = math.sqrt(0.5)
_SQRT_2_PI = math.sqrt(2 * math.pi)


def _scaled_tail(x: Any) -> Any:
    """exp(x^2) erfc(x) for x >= 1."""
    return chebyshev(fits.ERFC, 1 - 8 / (x + 3)) / x


def _gauss(xp: Any, x: Any, scale: float) -> Any:
    """exp(scale x^2): the square's rounding errors must not be multiplied by its size, so the
    square of x is taken of its leading bits, exactly, and of the rest."""
    x = xp.library.minimum(xp.library.abs(x), 60.0)
    head = xp.library.rint(16 * x) / 16
    return xp.exp(scale * head * head) * xp.exp(scale * (x - head) * (x + head))


def _erf_near(xp: Any, x: Any) -> Any:
    """erf(x) for |x| <= 1."""
    return x * erf_over_x(xp.library.minimum(x * x, 1.0))


def _complement(xp: Any, x: Any) -> Any:
    size = xp.library.abs(x)
    large = xp.library.maximum(size, 1.0)
    tail = _scaled_tail(large) * _gauss(xp, large, -1.0)
    return select(xp, size <= 1, 1 - _erf_near(xp, x), x > 0, tail, 2 - tail)


def _scaled_complement(xp: Any, x: Any) -> Any:
    size = xp.library.abs(x)
    tail = _scaled_tail(xp.library.maximum(size, 1.0))
    near = xp.exp(xp.library.minimum(x * x, 1.0)) * (1 - _erf_near(xp, x))
    return select(xp, size <= 1, near, x > 0, tail, 2 * _gauss(xp, x, 1.0) - tail)


def _quantile_centre(y: Any) -> Any:
    """erfinv(y) for |y| <= 0.5."""
    return y * chebyshev(fits.ERFINV, 8 * y * y - 1)


def _quantile_tail(xp: Any, q: Any) -> Any:
    """erfc's inverse for 0 <= q <= 0.5; infinite at 0, nan below."""
    s = xp.library.sqrt(-xp.log(q))
    first, last = 1 / 2.8, 1 / 30.0  # 1 / (s + 2) at the ends of the fit
    t = 1 + 2 * (last - 1 / (s + 2)) / (first - last)
    return s * chebyshev(fits.ERFCINV, t)


def _inverse(xp: Any, y: Any) -> Any:
    size = xp.library.abs(y)
    tail = xp.library.copysign(_quantile_tail(xp, xp.library.minimum(1 - size, 0.5)), y)
    return xp.library.where(size <= 0.5, _quantile_centre(xp.library.clip(y, -0.5, 0.5)), tail)


def _normal_quantile(xp: Any, p: Any) -> Any:
    tail = _quantile_tail(xp, xp.library.minimum(2 * xp.library.minimum(p, 1 - p), 0.5))
    centre = _quantile_centre(xp.library.clip(2 * p - 1, -0.5, 0.5))
    return math.sqrt(2) * select(xp, p < 0.25, -tail, p <= 0.75, centre, tail)


def _half_tail(xp: Any, x: Any) -> Any:
    """exp(x^2 / 2) times the normal distribution below x, for x <= -1.5."""
    return 0.5 * _scaled_tail(xp.library.maximum(-x * _SQRT_HALF, 1.0))


def _normal(xp: Any, x: Any) -> Any:
    low = _half_tail(xp, x) * _gauss(xp, x, -0.5)
    return xp.library.where(x < -1.5, low, 0.5 * _complement(xp, -x * _SQRT_HALF))


def _log_normal(xp: Any, x: Any) -> Any:
    low = xp.log(_half_tail(xp, x)) - 0.5 * x * x
    high = xp.log1p(-0.5 * _complement(xp, xp.library.maximum(x, -1.5) * _SQRT_HALF))
    return xp.library.where(x < -1.5, low, high)


erfc = unary("erfc", lambda xp, g, x: -_SLOPE * g * xp.exp(-x * x), in_float64(_complement))
erfcx = unary("erfcx", lambda g, y, x: g * (2 * x * y - _SLOPE), in_float64(_scaled_complement))
erfinv = unary("erfinv", lambda xp, g, y: g / _SLOPE * xp.exp(y * y), in_float64(_inverse))
ndtr = unary("ndtr", lambda xp, g, x: g * xp.exp(-0.5 * x * x) / _SQRT_2_PI, in_float64(_normal))
ndtri = unary(
    "ndtri", lambda xp, g, y: g * xp.exp(0.5 * y * y) * _SQRT_2_PI, in_float64(_normal_quantile)
)
log_ndtr = unary(
    "log_ndtr",
    lambda xp, g, x: g * (math.sqrt(2 / math.pi) / xp.erfcx(-x * _SQRT_HALF)),
    in_float64(_log_normal),
)
