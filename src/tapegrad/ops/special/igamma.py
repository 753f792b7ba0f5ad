"""The regularised incomplete gamma functions.

With D = x^a exp(-x) / gamma(a + 1), where x is small, P = D (1 + x / (a + 1) + ...). Elsewhere the
smaller of P and Q is an integral from x on, over as far as the integrand counts, by Gauss and
Legendre: Q = a D int_0 exp((a - 1) log(1 + u) - x u) du, and P with -u for u.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

from tapegrad.core.dtypes import float32, is_low_precision
from tapegrad.core.tape import binary
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.operands import no_gradient, pair, require_floats, two_tensors

from .gamma import log_gamma, stirling
from .series import in_float64, select

_TERMS = 64  # of the series, where x < a + 1 < 21
_LARGE = 20.0  # from this a on, both P and Q are integrals
_NODES = 64
_NOTHING = 40.0  # exp(-40) of the integrand's largest value no longer counts


@cache
def _nodes() -> list[tuple[float, float]]:
    """Nodes and weights on 0..1."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return [(0.5 * float(u) + 0.5, 0.5 * float(w)) for u, w in zip(nodes, weights, strict=True)]


def _minus_log(xp: Any, u: Any, log: Any, terms: int, bound: float) -> Any:
    """u - log(1 + u), which cancels near 0: with r = u / (2 + u) it is u r less a series in r,
    which has enough terms for |u| < bound."""
    r = u / (2 + u)
    square = xp.library.minimum(r * r, 0.12)
    tail = 0.0
    for k in range(terms - 1, -1, -1):
        tail = tail * square + 1 / (2 * k + 3)
    near = u * r - 2 * r * square * tail
    return xp.library.where(xp.library.abs(u) < bound, near, u - log)


def _density(xp: Any, a: Any, x: Any) -> Any:
    """D, without the rounding errors of large terms that cancel."""
    large = xp.library.maximum(a, 10.0)
    off = _minus_log(xp, (x - large) / large, xp.log(x / large), 17, 0.5)
    exponent = -large * off - stirling(large)
    far = xp.exp(exponent) / xp.library.sqrt(2 * math.pi * large)
    small = xp.library.minimum(a, 10.0)
    near = xp.exp(small * xp.log(x) - x - log_gamma(xp, small + 1))
    return xp.library.where(a < 10, near, far)


def _integral(xp: Any, a: Any, x: Any, sign: float) -> Any:
    """The integral of exp((a - 1) log(1 + u) - x u) over u > 0, or with -u for u over 0 < u < 1."""
    library = xp.library
    curve = _NOTHING / library.maximum(a - 1, 1e-300)  # where (a - 1) (u - log(1 + u)) is enough
    slope = x - library.maximum(a - 1, 0.0) if sign > 0 else a - 1 - x
    slope = library.maximum(slope, 1e-300)
    end = library.minimum(curve + library.sqrt(curve * (curve + 2)), _NOTHING / slope)
    if sign < 0:
        end = library.minimum(end, 1.0)
    total = 0.0
    for node, weight in _nodes():
        u = sign * node * end
        curved = (a - 1) * _minus_log(xp, u, xp.log1p(u), 6, 0.1)
        total = total + weight * xp.exp(-curved - (x - a + 1) * u)
    return total * end


def _series(a: Any, x: Any) -> Any:
    """1 + x / (a + 1) + x^2 / ((a + 1) (a + 2)) + ..."""
    term = 1 + 0 * a
    total = term
    for n in range(1, _TERMS):
        term = term * (x / (a + n))
        total = total + term
    return total


def _lower_and_upper(xp: Any, a: Any, x: Any) -> tuple[Any, Any]:
    library = xp.library
    a, x = library.broadcast_arrays(a, x)
    shape, a, x = a.shape, a.reshape(-1), x.reshape(-1)
    valid = (a > 0) & (x > 0) & (a < math.inf) & (x < math.inf)
    a, x = library.where(valid, a, 1.0), library.where(valid, x, 1.0)
    density = _density(xp, a, x)
    series = x < library.where(a < _LARGE, a + 1, 0.0)
    below = ~series & (x < a)
    above = ~series & ~below
    lower, upper = library.empty_like(a), library.empty_like(a)
    if bool(series.any()):
        lower[series] = _series(a[series], x[series]) * density[series]
    if bool(below.any()):
        b, y = a[below], x[below]
        lower[below] = b * _integral(xp, b, y, -1.0) * density[below]
    if bool(above.any()):
        b, y = a[above], x[above]
        upper[above] = b * _integral(xp, b, y, 1.0) * density[above]
    lower, upper = library.where(above, 1 - upper, lower), library.where(above, upper, 1 - lower)
    return lower.reshape(shape), upper.reshape(shape)


def _at_the_ends(xp: Any, a: Any, x: Any, value: Any, at_zero: float) -> Any:
    """Where a or x is 0 or infinite, or out of range."""
    undefined = ~((a >= 0) & (x >= 0)) | ((a == 0) & (x == 0))
    undefined = undefined | ((a == math.inf) & (x == math.inf))
    zero = (x == 0) | (a == math.inf)
    one = (a == 0) | (x == math.inf)
    return select(xp, undefined, math.nan, zero, at_zero, one, 1 - at_zero, value)


def _lower(xp: Any, a: Any, x: Any) -> Any:
    return _at_the_ends(xp, a, x, _lower_and_upper(xp, a, x)[0], 0.0)


def _upper(xp: Any, a: Any, x: Any) -> Any:
    return _at_the_ends(xp, a, x, _lower_and_upper(xp, a, x)[1], 1.0)


def _slope(xp: Any, g: Any, a: Any, b: Any) -> Any:
    if is_low_precision(b.dtype):  # the exponent needs all the digits
        a, b = xp.cast(a, dtype=float32), xp.cast(b, dtype=float32)
    return g * xp.exp((a - 1) * xp.log(b) - b - xp.lgamma(a))


_igamma = binary("igamma", no_gradient("igamma", "its first input"), _slope, in_float64(_lower))
_igammac = binary(
    "igammac",
    no_gradient("igammac", "its first input"),
    lambda xp, g, a, b: -_slope(xp, g, a, b),
    in_float64(_upper),
)


def igamma(input: Tensor, other: Tensor) -> Tensor:
    """P(input, other): the integral of t^(input - 1) exp(-t) over 0 < t < other, divided by
    gamma(input). No gradient with respect to ``input``."""
    two_tensors("igamma", input, other)
    require_floats("igamma", input, other)
    return _igamma(*pair("igamma", input, other))


def igammac(input: Tensor, other: Tensor) -> Tensor:
    """1 - igamma(input, other), with all digits where it is small."""
    two_tensors("igammac", input, other)
    require_floats("igammac", input, other)
    return _igammac(*pair("igammac", input, other))
