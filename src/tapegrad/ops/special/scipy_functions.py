"""Special functions that SciPy computes, or CuPy's copy of it; their gradients are ours.

They need the extra ``special``, and nothing else of tapegrad does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.core.devices import special_functions, to_numpy
from tapegrad.core.memory import Array
from tapegrad.core.tape import binary, unary
from tapegrad.ops.common.operands import no_gradient, of_pairs
from tapegrad.ops.common.precision import in_float64

# Of these CuPy's overflow on the way, where x is above 713, to inf * 0.
_ON_THE_HOST = ("i0e", "i1e", "k0e", "k1e")


def on_scipy(op: str, name: str | None = None, at_infinity: tuple | None = None) -> Callable:
    """The body of ``op``: SciPy's function ``name``, or else of the same name, in float64.
    ``at_infinity``: the values at -inf and inf, where SciPy gives nan for the limit."""

    def body(xp: Any, x: Array, *others: Any) -> Any:
        if name in _ON_THE_HOST:
            value = _on_the_host(xp, op, lambda functions, x: getattr(functions, name)(x), x)
        else:
            value = getattr(special_functions(xp.library, op), name or op)(x, *others)
        for end, limit in zip((-math.inf, math.inf), at_infinity or (), strict=False):
            value = xp.library.where(x == end, limit, value)
        return value

    return in_float64(body)


def _on_the_host(xp: Any, op: str, function: Callable, x: Array) -> Any:
    """What CuPy lacks is computed by SciPy, and copied back."""
    return xp.library.asarray(function(special_functions(np, op), to_numpy(x)))


def _over(xp: Any, x: Array, value: Any) -> Any:
    """value / x, and 1/2, the limit of I_1(x) / x and J_1(x) / x, near 0."""
    tiny = x * x == 0
    return xp.where(tiny, 0.5, value / xp.where(tiny, 1.0, x))


# ---------------------------------------------------------------------- the normal distribution


erfcx = unary("erfcx", lambda g, y, x: g * (2 * x * y - 2 / math.sqrt(math.pi)), on_scipy("erfcx"))
ndtri = unary(
    "ndtri", lambda xp, g, y: g * xp.exp(0.5 * y * y) * math.sqrt(2 * math.pi), on_scipy("ndtri")
)
log_ndtr = unary(
    "log_ndtr",
    lambda xp, g, x: g * (math.sqrt(2 / math.pi) / xp.erfcx(-x * math.sqrt(0.5))),
    on_scipy("log_ndtr"),
)

# ---------------------------------------------------------------------- Bessel functions

bessel_j0 = unary(
    "bessel_j0", lambda xp, g, x: -g * xp.bessel_j1(x), on_scipy("bessel_j0", "j0", (0.0, 0.0))
)
bessel_j1 = unary(
    "bessel_j1",
    lambda xp, g, y, x: g * (xp.bessel_j0(x) - _over(xp, x, y)),
    on_scipy("bessel_j1", "j1", (0.0, 0.0)),
)
bessel_y0 = unary(
    "bessel_y0", lambda xp, g, x: -g * xp.bessel_y1(x), on_scipy("bessel_y0", "y0", (math.nan, 0.0))
)
bessel_y1 = unary(
    "bessel_y1",
    lambda xp, g, y, x: g * (xp.bessel_y0(x) - y / x),
    on_scipy("bessel_y1", "y1", (math.nan, 0.0)),
)
i0 = unary("i0", lambda xp, g, x: g * xp.i1(x), on_scipy("i0", "i0", (math.inf, math.inf)))
i1 = unary(
    "i1",
    lambda xp, g, y, x: g * (xp.i0(x) - _over(xp, x, y)),
    on_scipy("i1", "i1", (-math.inf, math.inf)),
)
i0e = unary("i0e", lambda xp, g, y, x: g * (xp.i1e(x) - xp.sign(x) * y), on_scipy("i0e", "i0e"))
i1e = unary(
    "i1e",
    lambda xp, g, y, x: g * (xp.i0e(x) - y * xp.sign(x) - _over(xp, x, y)),
    on_scipy("i1e", "i1e"),
)
modified_bessel_k0 = unary(
    "modified_bessel_k0",
    lambda xp, g, x: -g * xp.modified_bessel_k1(x),
    on_scipy("modified_bessel_k0", "k0"),
)
modified_bessel_k1 = unary(
    "modified_bessel_k1",
    lambda xp, g, y, x: -g * (xp.modified_bessel_k0(x) + y / x),
    on_scipy("modified_bessel_k1", "k1"),
)
scaled_modified_bessel_k0 = unary(
    "scaled_modified_bessel_k0",
    lambda xp, g, y, x: g * (y - xp.scaled_modified_bessel_k1(x)),
    on_scipy("scaled_modified_bessel_k0", "k0e"),
)
scaled_modified_bessel_k1 = unary(
    "scaled_modified_bessel_k1",
    lambda xp, g, y, x: g * (y - xp.scaled_modified_bessel_k0(x) - y / x),
    on_scipy("scaled_modified_bessel_k1", "k1e"),
)


def _airy(xp: Any, x: Array) -> Any:
    value = _on_the_host(xp, "airy_ai", lambda functions, x: functions.airy(x)[0], x)
    far = xp.library.abs(x) > 1e6
    if not bool(far.any()):
        return value
    # SciPy gives nan far out. Above 0 the value is 0 there; below, one term of DLMF 9.7.9 has all
    # the digits that the phase leaves.
    size = xp.library.clip(-x, 1e6, 1e200)
    wave = xp.library.cos(2 / 3 * size * xp.library.sqrt(size) - math.pi / 4)
    wave = wave / (math.sqrt(math.pi) * size**0.25)
    ends = (x > 0) | xp.library.isinf(x)
    return xp.library.where(far, xp.library.where(ends, 0.0, wave), value)


airy_ai = unary("airy_ai", no_gradient("airy_ai"), in_float64(_airy))


def _spherical(xp: Any, x: Array) -> Any:
    ends = (x == 0) | (xp.library.abs(x) == math.inf)
    safe = xp.library.where(ends, 1.0, x)
    return xp.library.where(ends, x == 0, xp.library.sin(safe) / safe)


spherical_bessel_j0 = unary(
    "spherical_bessel_j0", no_gradient("spherical_bessel_j0"), in_float64(_spherical)
)

# ---------------------------------------------------------------------- Hurwitz' zeta function


def _zeta(xp: Any, s: Any, q: Array) -> Any:
    library, functions = xp.library, special_functions(xp.library, "zeta")

    def zeta(s: Any, q: Any) -> Any:
        value = functions.zeta(s, q)  # nan where all terms underflow
        return library.where((s > 1) & (q > 1) & library.isnan(value), 0.0, value)

    below = (s > 1) & (s == library.rint(s)) & (q < 0) & (q != library.rint(q))
    if not bool(below.any()):
        return zeta(s, q)
    # SciPy adds up the terms below 0 one by one. Their absolute values are two sums' difference.
    steps = library.where(below, library.ceil(-q), 0.0)
    least = library.where(below, -(q + (steps - 1)), 1.0)
    most = library.where(below, 1 - q, 1.0)
    terms = library.where(s % 2 == 0, 1.0, -1.0) * (zeta(s, least) - zeta(s, most))
    return zeta(s, q + steps) + library.where(below, terms, 0.0)


_zeta_of_pairs = binary(
    "zeta",
    no_gradient("zeta", "its first input"),
    lambda xp, g, a, b: -g * a * xp.zeta(a + 1, b),
    in_float64(_zeta),
    floating=True,
)
zeta = of_pairs("zeta", _zeta_of_pairs, floating=True)
