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
from tapegrad.ops.common.precision import in_float64, to_float64
from tapegrad.ops.common.series import polynomial

# Of these CuPy's overflow on the way, where x is above 713, to inf * 0.
_ON_THE_HOST = ("i0e", "i1e", "k0e", "k1e")


# Of these SciPy's lose digits far out. Four times the order's square, and the angle taken from x.
_WAVES = {
    name: (4 * int(name[1]), quarters * math.pi / 4)
    for name, quarters in {"j0": 1, "j1": 3, "y0": 3, "y1": 5}.items()
}
_FAR = 1e4


def on_scipy(op: str, name: str | None = None, at_infinity: tuple | None = None) -> Callable:
    """The body of ``op``: SciPy's function ``name``, or else of the same name, in float64.
    ``at_infinity``: the values at -inf and inf, where SciPy gives nan for the limit."""

    def body(xp: Any, x: Array, *others: Any) -> Any:
        if name in _ON_THE_HOST:
            value = _on_the_host(xp, op, lambda functions, x: getattr(functions, name)(x), x)
        else:
            value = getattr(special_functions(xp.library, op), name or op)(x, *others)
        if name in _WAVES:
            value = _wave(xp, name, x, value)
        for end, limit in zip((-math.inf, math.inf), at_infinity or (), strict=False):
            value = xp.library.where(x == end, limit, value)
        return value

    return in_float64(body)


def _wave(xp: Any, name: str, x: Array, value: Any) -> Any:
    """J or Y: far out by Hankel's expansion (DLMF 10.17.3, 10.17.4) of the sine and cosine of x
    itself, as a rounded x - pi / 4 has few digits of the phase, and in the end none."""
    library, (m, turn) = xp.library, _WAVES[name]
    far = library.isfinite(x) & ((library.abs(x) if name[0] == "j" else x) > _FAR)
    if not bool(far.any()):
        return value
    z = library.where(far, library.abs(x), _FAR)
    u = 0.125 / z
    p = 1 - (m - 1) * (m - 9) / 2 * u * u
    q = (m - 1) * u * (1 - (m - 9) * (m - 25) / 6 * u * u)
    sine, cosine, s, c = library.sin(z), library.cos(z), math.sin(turn), math.cos(turn)
    wave = (cosine * c + sine * s) * p - (sine * c - cosine * s) * q
    wave = wave * library.sqrt(2 / math.pi / z)
    odd = library.sign(x) if name[1] == "1" else 1.0
    return library.where(far, wave * odd, value)


def _on_the_host(xp: Any, op: str, function: Callable, x: Array) -> Any:
    """What CuPy lacks is computed by SciPy, and copied back."""
    return xp.library.asarray(function(special_functions(np, op), to_numpy(x)))


def _over(xp: Any, x: Array, value: Any, slope: float = 0.0) -> Any:
    """value / x, and near 0 the limit of I_1(x) / x and J_1(x) / x, 1/2, with its slope; 0 where
    the value is infinite, as what it is taken from then is."""
    tiny, infinite = xp.absolute(x) < 1e-8, xp.isinf(value)
    near = xp.absolute(x) * slope + 0.5
    far = xp.where(infinite, 0.0, value) / xp.where(tiny, 1.0, x)
    return xp.where(tiny, near, far)


# ---------------------------------------------------------------------- the normal distribution

_SLOPE = 2 / math.sqrt(math.pi)


def _erfcx_rule(xp: Any, g: Array, x: Array) -> Any:
    """2 x y - 2 / sqrt(pi), which cancels far out: there by its asymptotic series in 1 / x^2."""
    far = x > 40
    u = 1 / xp.where(far, x, 40.0)
    half = 0.5 * u * u
    series = half * (-1 + 3 * half * (1 - 5 * half * (1 - 7 * half * (1 - 9 * half))))
    near = xp.where(far, 0.0, x)
    return g * xp.where(far, series * _SLOPE, 2 * near * xp.erfcx(near) - _SLOPE)


erfcx = unary(
    "erfcx",
    to_float64(_erfcx_rule),
    on_scipy("erfcx"),
    doc="exp(input ** 2) erfc(input), without overflow",
)
ndtri = unary(
    "ndtri",
    to_float64(lambda xp, g, x: g * xp.exp(0.5 * xp.square(xp.ndtri(x))) * math.sqrt(2 * math.pi)),
    on_scipy("ndtri"),
    doc="The number below which a standard normal one lies with probability input",
)


def _log_ndtr_rule(xp: Any, g: Array, x: Array) -> Any:
    """The density over the probability. Far below 0 by four terms of its asymptotic series, as the
    slope of what is nearly -x; above 10 the probability is 1."""
    low, high = x < -100, x > 10
    t = xp.where(low, x, -100.0)
    u = 1 / t
    below = -t - u * (1 - u * u * (2 - 10 * u * u))
    t = xp.where(high, xp.where(x > 100, 100.0, x), 10.0)
    above = xp.exp(-0.5 * t * t) * (1 / math.sqrt(2 * math.pi))
    t = xp.where(low | high, 0.0, x)
    near = math.sqrt(2 / math.pi) / xp.erfcx(-t * math.sqrt(0.5))
    return g * xp.where(low, below, xp.where(high, above, near))


log_ndtr = unary(
    "log_ndtr",
    to_float64(_log_ndtr_rule),
    on_scipy("log_ndtr"),
    doc="The logarithm of the probability of a standard normal number below input",
)

# ---------------------------------------------------------------------- Bessel functions


def _bessel(op: str, name: str, rule: Callable, ends: tuple | None = None) -> Callable:
    """A row of SciPy's function ``name``, which says its formula: k1e is exp(x) K_1(x)."""
    formula = f"{name[0].upper()}_{name[1]}(input), a Bessel function in the notation of DLMF 10"
    if name.endswith("e"):
        formula = f"exp({'-|input|' if name[0] == 'i' else 'input'}) {formula}"
    return unary(op, to_float64(rule), on_scipy(op, name, ends), doc=formula)


bessel_j0 = _bessel("bessel_j0", "j0", lambda xp, g, x: -g * xp.bessel_j1(x), (0.0, 0.0))
bessel_j1 = _bessel(
    "bessel_j1",
    "j1",
    lambda xp, g, x: g * (xp.bessel_j0(x) - _over(xp, x, xp.bessel_j1(x))),
    (0.0, 0.0),
)
bessel_y0 = _bessel("bessel_y0", "y0", lambda xp, g, x: -g * xp.bessel_y1(x), (math.nan, 0.0))


def _y1_rule(xp: Any, g: Array, x: Array) -> Any:
    pole = x == 0  # where Y_0 is less infinite than Y_1 / x
    near = xp.where(pole, 1.0, x)
    return g * xp.where(pole, math.inf, xp.bessel_y0(near) - xp.bessel_y1(near) / near)


bessel_y1 = _bessel("bessel_y1", "y1", _y1_rule, (math.nan, 0.0))
i0 = _bessel("i0", "i0", lambda xp, g, x: g * xp.i1(x), (math.inf, math.inf))
i1 = _bessel(
    "i1", "i1", lambda xp, g, x: g * (xp.i0(x) - _over(xp, x, xp.i1(x))), (-math.inf, math.inf)
)


def _scaled_rule(xp: Any, g: Array, x: Array) -> Any:
    y = xp.i1e(x)
    return g * (xp.i0e(x) - y * xp.sign(x) - _over(xp, x, y, -0.5))


i0e = _bessel("i0e", "i0e", lambda xp, g, x: g * (xp.i1e(x) - xp.sign(x) * xp.i0e(x)))
i1e = _bessel("i1e", "i1e", _scaled_rule)
modified_bessel_k0 = _bessel(
    "modified_bessel_k0", "k0", lambda xp, g, x: -g * xp.modified_bessel_k1(x)
)
modified_bessel_k1 = _bessel(
    "modified_bessel_k1",
    "k1",
    lambda xp, g, x: -g * (xp.modified_bessel_k0(x) + xp.modified_bessel_k1(x) / x),
)
# exp(x) (K_0 - K_1), times the root of 2 x / pi: the difference of two series in 1 / x (DLMF
# 10.40.2), highest first.
_K_APART = [
    math.prod(-((2 * k - 1) ** 2) / (8 * k) for k in range(1, n + 1))
    - math.prod((4 - (2 * k - 1) ** 2) / (8 * k) for k in range(1, n + 1))
    for n in range(9, -1, -1)
]


def _k0e_rule(xp: Any, g: Array, x: Array) -> Any:
    far, near, series = _scaled_apart(xp, x)
    value = xp.scaled_modified_bessel_k0(near) - xp.scaled_modified_bessel_k1(near)
    return g * xp.where(far, series, xp.where(x == 0, -math.inf, value))


def _k1e_rule(xp: Any, g: Array, x: Array) -> Any:
    far, near, series = _scaled_apart(xp, x)
    k1 = xp.scaled_modified_bessel_k1(near)
    value = k1 * (1 - 1 / near) - xp.scaled_modified_bessel_k0(near)
    return g * xp.where(far, -series - xp.scaled_modified_bessel_k1(x) / x, value)


def _scaled_apart(xp: Any, x: Array) -> tuple:
    """Where exp(x) (K_0(x) - K_1(x)) would cancel, x elsewhere, and the difference there."""
    far = x > 200
    z = xp.where(far, x, 200.0)
    series = polynomial(_K_APART, 1 / z) * xp.rsqrt(z) * math.sqrt(math.pi / 2)
    return far, xp.where(far, 200.0, x), series


scaled_modified_bessel_k0 = _bessel("scaled_modified_bessel_k0", "k0e", _k0e_rule)
scaled_modified_bessel_k1 = _bessel("scaled_modified_bessel_k1", "k1e", _k1e_rule)


@in_float64
def _airy(xp: Any, x: Array) -> Any:
    """Ai(input), the Airy function of DLMF 9. It has no gradient."""
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


airy_ai = unary("airy_ai", no_gradient("airy_ai"), _airy)


@in_float64
def _spherical(xp: Any, x: Array) -> Any:
    """sin(input) / input, and 1 at 0. It has no gradient."""
    ends = (x == 0) | (xp.library.abs(x) == math.inf)
    safe = xp.library.where(ends, 1.0, x)
    return xp.library.where(ends, x == 0, xp.library.sin(safe) / safe)


spherical_bessel_j0 = unary("spherical_bessel_j0", no_gradient("spherical_bessel_j0"), _spherical)

# ---------------------------------------------------------------------- Hurwitz' zeta function


@in_float64
def _zeta(xp: Any, s: Any, q: Array) -> Any:
    """Hurwitz' zeta function: the sum of (k + other) ** -input over k = 0, 1, ... There is a
    gradient with respect to ``other`` alone."""
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


zeta = of_pairs(
    binary(
        "zeta",
        no_gradient("zeta", "its first input"),
        to_float64(lambda xp, g, a, b: -g * a * xp.zeta(a + 1, b)),
        _zeta,
        floating=True,
    )
)
