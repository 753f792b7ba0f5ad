"""Bessel functions, modified ones, and Airy's: from expansions for small and for large arguments
(the forms are those of Abramowitz and Stegun 9.2, 9.7 and 10.4)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tapegrad.core.tape import unary
from tapegrad.ops.common.operands import no_gradient

from . import fits
from .series import chebyshev, in_float64, select

_SQRT_HALF = math.sqrt(0.5)

# ------------------------------------------------------------------ modified, of the first kind


def scaled_i(xp: Any, x: Any, n: int) -> Any:
    """exp(-|x|) I_n(x)."""
    size = xp.library.abs(x)
    small, large = (fits.I0_SMALL, fits.I0_LARGE) if n == 0 else (fits.I1_SMALL, fits.I1_LARGE)
    near = chebyshev(small, xp.library.minimum(size, 8.0) / 4 - 1)
    far = xp.library.maximum(size, 8.0)
    value = chebyshev(large, 16 / far - 1) / xp.library.sqrt(far)
    if n == 0:
        return xp.library.where(size <= 8, near, value)
    return xp.library.where(size <= 8, near * x, xp.library.copysign(value, x))


def _grown(xp: Any, x: Any, scaled: Any) -> Any:
    """scaled exp(|x|), which overflows only where the product does."""
    root = xp.exp(0.5 * xp.library.abs(x))
    return xp.library.where(x == 0, scaled, scaled * root * root)


def _i(n: int) -> Callable:
    return in_float64(lambda xp, x: _infinite(xp, x, _grown(xp, x, scaled_i(xp, x, n)), n))


def _infinite(xp: Any, x: Any, value: Any, n: int) -> Any:
    infinite = xp.library.abs(x) == math.inf
    return xp.library.where(infinite, x if n else xp.library.abs(x), value)


def _over(xp: Any, x: Any, value: Any) -> Any:
    """value / x, and 1/2, the limit of I_1(x) / x and J_1(x) / x, near 0."""
    tiny = x * x == 0
    return xp.where(tiny, 0.5, value / xp.where(tiny, 1.0, x))


i0 = unary("i0", lambda xp, g, x: g * xp.i1(x), _i(0))
i1 = unary("i1", lambda xp, g, y, x: g * (xp.i0(x) - _over(xp, x, y)), _i(1))
i0e = unary(
    "i0e",
    lambda xp, g, y, x: g * (xp.i1e(x) - xp.sign(x) * y),
    in_float64(lambda xp, x: scaled_i(xp, x, 0)),
)
i1e = unary(
    "i1e",
    lambda xp, g, y, x: g * (xp.i0e(x) - y * xp.sign(x) - _over(xp, x, y)),
    in_float64(lambda xp, x: scaled_i(xp, x, 1)),
)

# ------------------------------------------------------------------ modified, of the second kind


def _scaled_k(xp: Any, x: Any, n: int) -> Any:
    """exp(x) K_n(x); infinite at 0, nan below."""
    x = xp.library.where(x < 0, math.nan, x)
    z = xp.library.minimum(x, 2.0)
    grown = xp.exp(z)
    log = xp.log(0.5 * z)
    i = scaled_i(xp, z, n) * grown
    if n == 0:
        near = chebyshev(fits.K0_SMALL, 0.5 * z * z - 1) - log * i
    else:
        near = chebyshev(fits.K1_SMALL, 0.5 * z * z - 1) / z + log * i
    far = xp.library.maximum(x, 2.0)
    table = fits.K0_LARGE if n == 0 else fits.K1_LARGE
    value = chebyshev(table, 4 / far - 1) / xp.library.sqrt(far)
    return select(xp, x == 0, math.inf, x <= 2, near * grown, value)


def _k(n: int) -> Callable:
    return in_float64(lambda xp, x: _scaled_k(xp, x, n) * xp.exp(-x))


modified_bessel_k0 = unary(
    "modified_bessel_k0", lambda xp, g, x: -g * xp.modified_bessel_k1(x), _k(0)
)
modified_bessel_k1 = unary(
    "modified_bessel_k1", lambda xp, g, y, x: -g * (xp.modified_bessel_k0(x) + y / x), _k(1)
)
scaled_modified_bessel_k0 = unary(
    "scaled_modified_bessel_k0",
    lambda xp, g, y, x: g * (y - xp.scaled_modified_bessel_k1(x)),
    in_float64(lambda xp, x: _scaled_k(xp, x, 0)),
)
scaled_modified_bessel_k1 = unary(
    "scaled_modified_bessel_k1",
    lambda xp, g, y, x: g * (y - xp.scaled_modified_bessel_k0(x) - y / x),
    in_float64(lambda xp, x: _scaled_k(xp, x, 1)),
)

# ------------------------------------------------------------------ first and second kind


def _far(xp: Any, x: Any, n: int) -> tuple[Any, Any]:
    """J_n(x) and Y_n(x) for x >= 8, by amplitude and phase."""
    x = xp.library.maximum(x, 8.0)
    finite = xp.library.where(x == math.inf, 8.0, x)
    t = 128 / (x * x) - 1
    p = chebyshev(fits.P0 if n == 0 else fits.P1, t)
    q = chebyshev(fits.Q0 if n == 0 else fits.Q1, t) / x
    # cos and sin of x - pi / 4, or of x - 3 pi / 4, without rounding the difference
    sine, cosine = xp.library.sin(finite), xp.library.cos(finite)
    if n == 0:
        c, s = (cosine + sine) * _SQRT_HALF, (sine - cosine) * _SQRT_HALF
    else:
        c, s = (sine - cosine) * _SQRT_HALF, -(sine + cosine) * _SQRT_HALF
    size = xp.library.sqrt(2 / math.pi / x)
    return size * (p * c - q * s), size * (p * s + q * c)


def _j(xp: Any, x: Any, n: int) -> Any:
    size = xp.library.abs(x)
    z = xp.library.minimum(size, 8.0)
    near = chebyshev(fits.J0_SMALL if n == 0 else fits.J1_SMALL, z * z / 32 - 1)
    far = _far(xp, size, n)[0]
    if n == 0:
        return xp.library.where(size <= 8, near, far)
    return xp.library.where(size <= 8, near * x, xp.library.where(x < 0, -far, far))


def _y(xp: Any, x: Any, n: int) -> Any:
    z = xp.library.minimum(x, 8.0)
    t = z * z / 32 - 1
    rest = chebyshev(fits.Y0_SMALL, t) if n == 0 else chebyshev(fits.Y1_SMALL, t) / z
    near = rest + 2 / math.pi * xp.log(z) * _j(xp, z, n)
    near = select(xp, x == 0, -math.inf, x < 0, math.nan, near)
    return xp.library.where(x <= 8, near, _far(xp, x, n)[1])


bessel_j0 = unary(
    "bessel_j0", lambda xp, g, x: -g * xp.bessel_j1(x), in_float64(lambda xp, x: _j(xp, x, 0))
)
bessel_j1 = unary(
    "bessel_j1",
    lambda xp, g, y, x: g * (xp.bessel_j0(x) - _over(xp, x, y)),
    in_float64(lambda xp, x: _j(xp, x, 1)),
)
bessel_y0 = unary(
    "bessel_y0", lambda xp, g, x: -g * xp.bessel_y1(x), in_float64(lambda xp, x: _y(xp, x, 0))
)
bessel_y1 = unary(
    "bessel_y1",
    lambda xp, g, y, x: g * (xp.bessel_y0(x) - y / x),
    in_float64(lambda xp, x: _y(xp, x, 1)),
)


def _spherical(xp: Any, x: Any) -> Any:
    safe = xp.library.where((x == 0) | (xp.library.abs(x) == math.inf), 1.0, x)
    return select(xp, x == 0, 1.0, xp.library.abs(x) == math.inf, 0.0, xp.library.sin(safe) / safe)


spherical_bessel_j0 = unary(
    "spherical_bessel_j0", no_gradient("spherical_bessel_j0"), in_float64(_spherical)
)

# ------------------------------------------------------------------ Airy's function

_Z_2, _Z_5 = (2 / 3 * x**1.5 for x in (2.0, 5.0))


def _airy(xp: Any, x: Any) -> Any:
    middle = chebyshev(fits.AIRY_MIDDLE, (2 * xp.library.clip(x, -5.0, 2.0) + 3) / 7)
    size = xp.library.abs(x)
    far = xp.library.maximum(size, 2.0)
    z = 2 / 3 * far * xp.library.sqrt(far)
    root = xp.library.sqrt(xp.library.sqrt(far)) * math.sqrt(math.pi)
    decay = chebyshev(fits.AIRY_DECAY, 2 * _Z_2 / z - 1) * xp.exp(-z) / (2 * root)
    z = xp.library.where(size == math.inf, _Z_5, xp.library.maximum(z, _Z_5))
    t = 2 * (_Z_5 / z) * (_Z_5 / z) - 1
    sine, cosine = xp.library.sin(z), xp.library.cos(z)
    c, s = (cosine + sine) * _SQRT_HALF, (sine - cosine) * _SQRT_HALF
    wave = (chebyshev(fits.AIRY_P, t) * c + chebyshev(fits.AIRY_Q, t) / z * s) / root
    return select(xp, x > 2, decay, x < -5, wave, middle)


airy_ai = unary("airy_ai", no_gradient("airy_ai"), in_float64(_airy))
