"""The error function, its complement and its inverse, and the normal distribution below x."""

from __future__ import annotations

import math
from typing import Any

from tapegrad.core.memory import Array
from tapegrad.core.tape import unary
from tapegrad.ops.common.limits import fading
from tapegrad.ops.common.pieces import in_pieces
from tapegrad.ops.common.precision import in_float32, in_float64, to_float32, to_float64
from tapegrad.ops.common.series import chebyshev, horner, select

_SLOPE = 2 / math.sqrt(math.pi)
_SQRT_HALF = math.sqrt(0.5)
_SQRT_2_PI = math.sqrt(2 * math.pi)

# Chebyshev fits computed in 40-digit arithmetic.
# erf(x) / x as a polynomial in x^2 on 0 <= |x| <= 1, highest power first; error 1e-17.
_ERF_SMALL = (
    -7.7958988270221422e-10,
    1.3720064546777686e-8,
    -1.6208483801871706e-7,
    1.6447424703317362e-6,
    -1.492473690741966e-5,
    0.00012055294904839708,
    -0.00085483259753896921,
    0.0052239776071164227,
    -0.02686617064323777,
    0.11283791670945006,
    -0.3761263890318354,
    1.1283791670955126,
)
# x exp(x^2) erfc(x) as a polynomial in t = (x - 4) / (x + 2) on 1 <= x <= 6; error 3e-15.
_ERFC_TO_6 = (
    -1.2139486449736198e-7,
    -7.5370515011910514e-7,
    -1.1026631690818785e-6,
    3.5816491030135531e-6,
    9.5848979254778096e-6,
    -3.0738406312771722e-5,
    -8.2208363555283762e-5,
    0.00039447950047112884,
    0.00036676765160103213,
    -0.0064868693227259783,
    0.023217201787447001,
    -0.045991232674580655,
    0.044792599469856201,
    0.54799783050024582,
)
# x exp(x^2) erfc(x) for all x >= 1, as a sum of T_k(t), t = 1 - 8 / (x + 3); error 1e-17.
_ERFC = (
    0.5270327699645345,
    0.058438373634075017,
    -0.028760006767845146,
    0.00942338429719674,
    -0.0023281563723139085,
    0.00043730093384926333,
    -5.8303544643230866e-05,
    4.043114560930833e-06,
    2.70898072771642e-07,
    -9.965420547129235e-08,
    5.899419235825997e-09,
    1.3859802863792783e-09,
    -2.3156333271134693e-10,
    -1.5604196875242842e-11,
    6.283638983525689e-12,
    1.2178727055545494e-13,
    -1.6752992531325616e-13,
    3.133338732321978e-16,
    4.754423145110417e-15,
    -2.4579810618655913e-17,
    -1.4571109178923862e-16,
)


@in_float32
@in_pieces
def _erf(xp: Any, x: Array) -> Any:
    """2 / sqrt(pi) times the integral of exp(-t ** 2) from 0 to input."""
    # Both branches are computed everywhere; beyond |x| = 6 it is +-1. (They are multiplied by what
    # is 0 or 1, as NumPy is slower at choosing.)
    size = xp.minimum(xp.abs(x), 6.0)
    square = size * size
    small = size * horner(_ERF_SMALL, xp.minimum(square, 1.0))
    large = xp.maximum(size, 1.0)
    tail = horner(_ERFC_TO_6, (large - 4.0) / (large + 2.0)) / large
    near = size <= 1.0
    value = small * near + (1.0 - tail * xp.exp(-square)) * ~near
    return xp.library.copysign(value, x)


def _erf_near(xp: Any, x: Array) -> Any:
    """erf(x) for |x| <= 1."""
    return x * horner(_ERF_SMALL, xp.library.minimum(x * x, 1.0))


def _scaled_tail(x: Any) -> Any:
    """exp(x^2) erfc(x) for x >= 1."""
    return chebyshev(_ERFC, 1 - 8 / (x + 3)) / x


def _gauss(xp: Any, x: Array, scale: float) -> Any:
    """exp(scale x^2): the square's rounding errors must not be multiplied by its size, so the
    square of x is taken of its leading bits, exactly, and of the rest."""
    x = xp.library.minimum(xp.library.abs(x), 60.0)
    head = xp.library.rint(16 * x) / 16
    return xp.exp(scale * head * head) * xp.exp(scale * (x - head) * (x + head))


def _complement(xp: Any, x: Array) -> Any:
    """1 - erf(input), with all digits where it is small."""
    size = xp.library.abs(x)
    large = xp.library.maximum(size, 1.0)
    tail = _scaled_tail(large) * _gauss(xp, large, -1.0)
    return select(xp, size <= 1, 1 - _erf_near(xp, x), x > 0, tail, 2 - tail)


@in_float64
def _normal(xp: Any, x: Array) -> Any:
    """The probability that a standard normal number is below input."""
    tail = 0.5 * _scaled_tail(xp.library.maximum(-x * _SQRT_HALF, 1.0)) * _gauss(xp, x, -0.5)
    return xp.library.where(x < -1.5, tail, 0.5 * _complement(xp, -x * _SQRT_HALF))


@in_float64
def _inverse(xp: Any, y: Array) -> Any:
    """The inverse of erf; nan where |input| > 1."""
    # Winitzki's approximation, and three steps of Halley's method: near 0 for erf(x) = |y|,
    # elsewhere for erfc(x) = 1 - |y|, which keeps all digits.
    size = xp.library.abs(y)
    log = xp.log((1 - size) * (1 + size))
    b = 2 / (math.pi * 0.147) + 0.5 * log
    x = xp.library.sqrt(xp.library.sqrt(b * b - log / 0.147) - b)
    for _ in range(3):
        far = 1 - size - _complement(xp, x)
        error = xp.library.where(size <= 0.5, _erf_near(xp, x) - size, far)
        step = error / (_SLOPE * xp.exp(-x * x))
        x = x - step / (1 + x * step)
    return xp.library.copysign(xp.library.where(size == 1, math.inf, x), y)


erf = unary("erf", to_float32(fading(lambda xp, g, x: g * xp.exp(-x * x) * _SLOPE)), _erf)
erfc = unary(
    "erfc",
    to_float32(fading(lambda xp, g, x: -_SLOPE * g * xp.exp(-x * x))),
    in_float64(_complement),
)
erfinv = unary(
    "erfinv", to_float64(lambda xp, g, x: g / _SLOPE * xp.exp(xp.square(xp.erfinv(x)))), _inverse
)
ndtr = unary(
    "ndtr", to_float32(fading(lambda xp, g, x: g * xp.exp(-0.5 * x * x) / _SQRT_2_PI)), _normal
)
