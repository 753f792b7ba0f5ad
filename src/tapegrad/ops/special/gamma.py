"""The gamma function's logarithm and its derivatives, and Hurwitz' zeta function.

Far from 0 Stirling's series and its derivatives; near 0 their arguments are moved there by
f(x + 1) = f(x) + something simple, and below 0 the reflection formulas serve (Abramowitz and
Stegun 6.1, 6.3, 6.4, 23.2).
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from tapegrad.core import dtypes
from tapegrad.core.tape import binary, primitive, unary
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_tensor
from tapegrad.ops.common.operands import no_gradient, of_pairs
from tapegrad.ops.indexing.inplace import inplace

from . import fits
from .rules import horner
from .series import chebyshev, in_float64, select

# Bernoulli's numbers B_2, B_4, ...
_BERNOULLI = [
    Fraction(*p)
    for p in (
        (1, 6),
        (-1, 30),
        (1, 42),
        (-1, 30),
        (5, 66),
        (-691, 2730),
        (7, 6),
        (-3617, 510),
        (43867, 798),
        (-174611, 330),
        (854513, 138),
        (-236364091, 2730),
    )
]
_STIRLING = tuple(float(b / (2 * j * (2 * j - 1))) for j, b in enumerate(_BERNOULLI[:10], 1))[::-1]
_DIGAMMA = tuple(float(b / (2 * j)) for j, b in enumerate(_BERNOULLI[:9], 1))[::-1]
_EULER_MACLAURIN = [float(b / math.factorial(2 * j)) for j, b in enumerate(_BERNOULLI, 1)]
_SHIFT = 10  # how far arguments are moved before the asymptotic series


def stirling(x: Any) -> Any:
    """log(gamma(x)) - (x - 0.5) log(x) + x - log(2 pi) / 2, for x >= 8."""
    return horner(_STIRLING, 1 / (x * x)) / x


def log_gamma(xp: Any, x: Any) -> Any:
    """For x > 0; near its zeros 1 and 2 with all digits."""
    below = x < 1
    z = xp.library.where(below, x + 1, xp.library.minimum(x, 8.0))
    product = xp.library.ones_like(z)
    for _ in range(5):
        step = z >= 3
        z = z - step
        product = xp.library.where(step, product * z, product)
    near = (z - 1) * (z - 2) * chebyshev(fits.LGAMMA, z - 2)
    near = near + xp.library.where(below, -xp.log(x), xp.log(product))
    far = xp.library.maximum(x, 8.0)
    rest = stirling(far) + (0.5 * math.log(2 * math.pi) - 0.5)
    return xp.library.where(x < 8, near, (far - 0.5) * (xp.log(far) - 1) + rest)


def _lgamma(xp: Any, x: Any) -> Any:
    size = xp.library.abs(x)
    value = log_gamma(xp, size)
    sine = xp.library.sin(math.pi * (size - xp.library.rint(size)))
    reflected = math.log(math.pi) - xp.log(size) - xp.log(xp.library.abs(sine)) - value
    return select(xp, size == math.inf, size, x < 0, reflected, value)


def _digamma(xp: Any, x: Any) -> Any:
    z = xp.library.where(x > 0, x, 1 - x)
    far = z + _SHIFT
    value = xp.log(far) - 0.5 / far - horner(_DIGAMMA, 1 / (far * far)) / (far * far)
    for k in range(_SHIFT - 1, -1, -1):
        value = value - 1 / (z + k)
    reflected = value - math.pi / xp.library.tan(math.pi * (x - xp.library.rint(x)))
    pole = xp.library.where(x == 0, xp.library.copysign(math.inf, -x), math.nan)
    return select(xp, x > 0, value, x == xp.library.rint(x), pole, reflected)


def _hurwitz(xp: Any, s: Any, q: Any) -> Any:
    """The sum of (q + k)^-s, for s > 1 and q > 0, by Euler and Maclaurin."""
    s = xp.library.minimum(s, 1e100)
    far = q + _SHIFT
    power = far**-s
    value = far ** (1 - s) / (s - 1) + 0.5 * power
    term = s * power / far
    for j, c in enumerate(_EULER_MACLAURIN, 1):
        value = value + c * term
        term = term * ((s + (2 * j - 1)) / far) * ((s + 2 * j) / far)
    for k in range(_SHIFT - 1, -1, -1):
        value = value + (q + k) ** -s
    return value


def _zeta(xp: Any, s: Any, q: Any) -> Any:
    library = xp.library
    inside, whole = s > 1, library.rint(q) == q
    s_inside, q_above = library.where(inside, s, 2.0), library.where(q > 0, q, 1.0)
    value = _hurwitz(xp, s_inside, q_above)
    if bool((q < 0).any()):
        # Of the terms below 0 the absolute values are again two such sums.
        steps = library.ceil(library.where(q < 0, -q, 1.0))
        above = library.where(q < 0, q + steps, 0.5)
        above = library.where(above > 0, above, 0.5)
        sign = library.where(s % 2 == 0, 1.0, -1.0)
        first = _hurwitz(xp, s_inside, 1 - above)
        below = first - _hurwitz(xp, s_inside, 1 - above + steps)
        reflected = _hurwitz(xp, s_inside, above) + sign * below
        value = library.where(q < 0, reflected, value)
    value = select(xp, q > 0, value, whole, math.inf, s == library.rint(s), value, math.nan)
    value = select(xp, inside, value, s == 1, math.inf, math.nan)
    return library.where(q == q, value, q)


def _polygamma(xp: Any, x: Any, *, n: int) -> Any:
    if n == 0:
        return _digamma(xp, x)
    value = _zeta(xp, xp.library.full_like(x, n + 1.0), x)
    return value * (math.gamma(n + 1) if n < 171 else math.inf) * (-1.0) ** (n + 1)


lgamma = unary("lgamma", lambda xp, g, x: g * xp.digamma(x), in_float64(_lgamma))
digamma = unary("digamma", lambda xp, g, x: g * xp.polygamma(x, n=1), in_float64(_digamma))
_derivative = primitive("polygamma", vjp=(lambda xp, g, x, n: g * xp.polygamma(x, n=n + 1),))(
    in_float64(_polygamma)
)
_zeta_of_pairs = binary(
    "zeta",
    no_gradient("zeta", "its first input"),
    lambda xp, g, a, b: -g * a * xp.zeta(a + 1, b),
    in_float64(_zeta),
    floating=True,
)
zeta = of_pairs("zeta", _zeta_of_pairs, floating=True)


def polygamma(n: int, input: Tensor) -> Tensor:
    """The n-th derivative of ``digamma``."""
    require_tensor("polygamma", input)
    if n < 0:
        raise RuntimeError(f"[polygamma] n must be a non-negative int, got {n!r}")
    if not input.is_floating_point():
        input = input.to(dtypes.get_default_dtype())
    return _derivative(input, n=n)


def polygamma_method(self: Tensor, n: int) -> Tensor:
    """The n-th derivative of ``digamma``."""
    return polygamma(n, self)


def polygamma_in_place(self: Tensor, n: int) -> Tensor:
    """``polygamma``, written over the tensor."""
    return inplace(polygamma_method, "polygamma_")(self, n)


def mvlgamma(input: Tensor, p: int) -> Tensor:
    """The logarithm of the multivariate gamma function of dimension p: the sum of
    lgamma(input - j / 2) for j < p, and log(pi) p (p - 1) / 4."""
    require_tensor("mvlgamma", input)
    if p < 1:
        raise RuntimeError(f"[mvlgamma] p must be a positive int, got {p!r}")
    value = lgamma(input)
    for j in range(1, p):
        value = value + lgamma(input - 0.5 * j)
    return value + math.log(math.pi) * p * (p - 1) / 4
