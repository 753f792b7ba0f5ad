"""Slopes of draws of gamma, beta and Dirichlet distributions with respect to their concentrations.

A draw x of a distribution with distribution function F(x; a) is a function of a and of u = F(x; a),
which stays. So dx/da = -(dF/da) / (dF/dx): *implicit reparameterization* (Figurnov, Mohamed & Mnih
2018). Here that is an integral of the density f over what lies below x, or above it,

    dx/da = 1/f(x) int_0^x (E log t - log t) f(t) dt = 1/f(x) int_x^inf (log t - E log t) f(t) dt,

of which one hardly cancels: the lower one for x below exp(E log t), else the upper. In s, the
distance from x on a logarithmic scale, f falls off exponentially: Gauss' rule between x and where f
is below exp(-40) of f(x) has eleven digits.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from tapegrad.core.memory import Array
from tapegrad.core.tape import primitive
from tapegrad.ops.common.operands import no_gradient
from tapegrad.ops.common.precision import in_float64

_FAR = 40.0  # exp(-40) is beyond the digits of float64
_SMALLEST = 1e-300


@cache
def _rule() -> tuple[tuple[float, float], ...]:
    """Gauss' nodes and weights on 0..1."""
    nodes, weights = np.polynomial.legendre.leggauss(48)
    return tuple(zip((0.5 * (nodes + 1)).tolist(), (0.5 * weights).tolist(), strict=True))


def _integral(xp: Any, density: Callable, end: Any) -> Any:
    """The integral of ``density`` from 0 to ``end``, element by element."""
    total = xp.library.zeros_like(end)
    for node, weight in _rule():
        total = total + weight * density(node * end)
    return end * total


def _reach(xp: Any, start: Any, fall: Callable) -> Any:
    """Where a convex function that rises from 0 reaches _FAR, from about ``start``: Newton's steps,
    all but the first from above. ``fall`` returns its value and slope."""
    s = start
    for _ in range(8):
        value, slope = fall(s)
        s = s + (_FAR - value) / slope
    return s


def _in_parts(xp: Any, parts: list[tuple[Any, Callable]], *arrays: Any) -> Any:
    """The elements' results, by the function of the first part whose mask holds them."""
    flat = [array.reshape(-1) for array in arrays]
    result = xp.library.zeros_like(flat[0])
    left = xp.library.ones(result.shape, dtype=bool)
    for mask, function in parts:
        chosen = left & mask.reshape(-1)
        left = left & ~chosen
        if bool(chosen.any()):
            result[chosen] = function(xp, *(array[chosen] for array in flat))
    return result.reshape(arrays[0].shape)


# ---------------------------------------------------------------------- gamma


@primitive("standard_gamma_slope", vjp=(no_gradient("standard_gamma_slope"),) * 2)
@in_float64
def standard_gamma_slope(xp: Any, x: Array, concentration: Array) -> Any:
    """dx/da of a draw x of the gamma distribution with concentration a and rate 1."""
    x, a = xp.library.broadcast_arrays(xp.library.maximum(x, _SMALLEST), concentration)
    below = x <= a
    few = (a <= 20) & (below | (x <= 0.5))
    everything = xp.library.ones(x.shape, dtype=bool)
    parts = [(few, _gamma_series), (below, _gamma_lower), (everything, _gamma_upper)]
    return _in_parts(xp, parts, x, a)


def _gamma_series(xp: Any, x: Any, a: Any) -> Any:
    """By the power series F = x^a exp(-x) / gamma(a + 1) sum of x^n / ((a + 1) ... (a + n))
    (DLMF 8.7.1), whose terms and their slopes each have one sign."""
    term, total = xp.library.ones_like(x), xp.library.ones_like(x)
    term_slope, slope = xp.library.zeros_like(x), xp.library.zeros_like(x)
    for n in range(1, 61):
        ratio = x / (a + n)
        term_slope = (term_slope - term / (a + n)) * ratio
        term = term * ratio
        total, slope = total + term, slope + term_slope
    return -(slope + total * (xp.log(x) - xp.digamma(a + 1))) * x / a


def _gamma_lower(xp: Any, x: Any, a: Any) -> Any:
    """With t = x exp(-s), f(t) dt = x f(x) exp(-(a s + x (exp(-s) - 1))) ds."""
    expm1, shift = xp.library.expm1, xp.digamma(a) - xp.log(x)

    def fall(s: Any) -> tuple[Any, Any]:
        less = expm1(-s)
        return a * s + x * less, a - x - x * less

    start = xp.library.minimum(xp.sqrt(2 * _FAR / x), _FAR / xp.library.maximum(a - x, _SMALLEST))
    end = _reach(xp, start, fall)
    return x * _integral(xp, lambda s: xp.exp(-fall(s)[0]) * (shift + s), end)


def _gamma_upper(xp: Any, x: Any, a: Any) -> Any:
    """With t = x exp(s), f(t) dt = x f(x) exp(-(x (exp(s) - 1) - a s)) ds."""
    expm1, shift = xp.library.expm1, xp.log(x) - xp.digamma(a)

    def fall(s: Any) -> tuple[Any, Any]:
        more = expm1(s)
        return x * more - a * s, x - a + x * more

    end = _reach(xp, xp.sqrt(2 * _FAR / x), fall)
    return x * _integral(xp, lambda s: xp.exp(-fall(s)[0]) * (shift + s), end)


# ---------------------------------------------------------------------- beta and Dirichlet


@primitive("dirichlet_slope", vjp=(no_gradient("dirichlet_slope"),) * 3)
@in_float64
def dirichlet_slope(xp: Any, x: Array, concentration: Array, total: Array) -> Any:
    """dx/da / (1 - x) of a coordinate x of a Dirichlet draw with respect to its concentration a,
    ``total`` being the sum of all: x has the beta distribution of a and b = total - a."""
    x, a, total = xp.library.broadcast_arrays(x, concentration, total)
    y = xp.library.maximum(1 - x, 1e-17)
    x, b = xp.library.maximum(x, _SMALLEST), xp.library.maximum(total - a, _SMALLEST)
    # E log t - log x
    shift = xp.digamma(a) - xp.digamma(a + b) - xp.log(x)
    everything = xp.library.ones(x.shape, dtype=bool)
    # From exp(E log t) on the lower one cancels, but for small a only by half.
    parts = [(shift >= -0.5 / a, _beta_lower), (everything, _beta_upper)]
    return _in_parts(xp, parts, x, y, a, b, shift)


def _beta_lower(xp: Any, x: Any, y: Any, a: Any, b: Any, shift: Any) -> Any:
    """With t = x exp(-s), 1 - t = y exp(l(s)), f(t) dt = x f(x) exp(-a s + (b - 1) l(s)) ds."""
    return x / y * _beta_tail(xp, x, y, a, b, lambda s, log_rest: shift + s)


def _beta_upper(xp: Any, x: Any, y: Any, a: Any, b: Any, shift: Any) -> Any:
    """The same with the two sides exchanged: 1 - t = y exp(-s), t = x exp(l(s))."""
    return _beta_tail(xp, y, x, b, a, lambda s, log_rest: log_rest - shift)


def _beta_tail(xp: Any, x: Any, y: Any, a: Any, b: Any, weight: Callable) -> Any:
    """The integral of exp(-a s + (b - 1) l(s)) weight(s, l(s)) over s > 0, with
    l(s) = log(1 + x / y (1 - exp(-s))), which bends at s = y: the rule is one in log(s + y)."""
    library, odds = xp.library, x / y

    def fall(s: Any) -> tuple[Any, Any]:
        rise = -odds * library.expm1(-s)
        value = a * s - (b - 1) * library.log1p(rise)
        return value, a - (b - 1) * odds * xp.exp(-s) / (1 + rise)

    # For b < 1 the first term alone bounds it; else it is convex, of second derivative
    # (b - 1) odds / y at 0.
    plain = _FAR / a
    bend = library.maximum(b - 1, _SMALLEST) * odds / y
    start = library.maximum(plain, library.minimum(xp.sqrt(2 * _FAR / bend), 1e3 * plain))
    end = library.where(b > 1, _reach(xp, start, fall), plain)

    def density(w: Any) -> Any:
        s = y * library.expm1(w)
        log_rest = library.log1p(-odds * library.expm1(-s))
        return xp.exp((b - 1) * log_rest - a * s + w) * weight(s, log_rest)

    return y * _integral(xp, density, library.log1p(end / y))
