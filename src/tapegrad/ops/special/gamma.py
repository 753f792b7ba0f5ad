"""The gamma function's logarithm and its derivatives, and the incomplete gamma functions.

Far from 0 Stirling's series and its derivatives; near 0 their arguments are moved there by
f(x + 1) = f(x) + something simple, and below 0 the reflection formulas serve (Abramowitz and
Stegun 6.1, 6.3, 6.4). The derivatives beyond the second and the incomplete functions are SciPy's.
"""

from __future__ import annotations

import math
from typing import Any

from tapegrad.core.memory import Array
from tapegrad.core.tape import binary, primitive, unary
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import as_floating, require_tensor
from tapegrad.ops.common.operands import no_gradient, of_tensors
from tapegrad.ops.common.precision import compute_in_float32, in_float64, to_float64
from tapegrad.ops.common.series import chebyshev, horner, select

from .scipy_functions import on_scipy

# Bernoulli's numbers B_2, B_4, ..., B_20
_BERNOULLI = [
    1 / 6,
    -1 / 30,
    1 / 42,
    -1 / 30,
    5 / 66,
    -691 / 2730,
    7 / 6,
    -3617 / 510,
    43867 / 798,
    -174611 / 330,
]
_STIRLING = [b / (2 * j * (2 * j - 1)) for j, b in enumerate(_BERNOULLI, 1)][::-1]
_DIGAMMA = [b / (2 * j) for j, b in enumerate(_BERNOULLI, 1)][::-1]
_TRIGAMMA = _BERNOULLI[::-1]
_SHIFT = 10  # how far arguments are moved before the asymptotic series

# lgamma(x) / ((x - 1) (x - 2)) on 1 <= x <= 3, as a sum of T_k(x - 2): a Chebyshev fit computed in
# 50-digit arithmetic, error 1e-17.
_LGAMMA = (
    0.44148902545501423,
    -0.11119580321752523,
    0.01951044826068884,
    -0.003922461463025264,
    0.0008478989895953857,
    -0.00019153855341365593,
    4.454470184975607e-05,
    -1.05728743735943e-05,
    2.5474336873408417e-06,
    -6.208535880776316e-07,
    1.5268677399071546e-07,
    -3.782637660291326e-08,
    9.428100823624284e-09,
    -2.361999702184645e-09,
    5.943541905817546e-10,
    -1.501312977072867e-10,
    3.8050196458110534e-11,
    -9.672485299656325e-12,
    2.465348198355661e-12,
    -6.298868140791711e-13,
    1.6128460030283787e-13,
    -4.137949206814042e-14,
    1.0635701227757898e-14,
    -2.7382420786652826e-15,
    7.060670507214892e-16,
    -1.8232177141662118e-16,
    4.714169006756272e-17,
    -1.2204107319639856e-17,
)


def _log_gamma(xp: Any, x: Array) -> Any:
    """For x > 0; near its zeros 1 and 2 with all digits."""
    below = x < 1
    z = xp.library.where(below, x + 1, xp.library.minimum(x, 8.0))
    product = xp.library.ones_like(z)
    for _ in range(5):
        step = z >= 3
        z = z - step
        product = xp.library.where(step, product * z, product)
    near = (z - 1) * (z - 2) * chebyshev(_LGAMMA, z - 2)
    near = near + xp.library.where(below, -xp.log(x), xp.log(product))
    far = xp.library.maximum(x, 8.0)
    rest = horner(_STIRLING, 1 / (far * far)) / far + (0.5 * math.log(2 * math.pi) - 0.5)
    return xp.library.where(x < 8, near, (far - 0.5) * (xp.log(far) - 1) + rest)


def _lgamma(xp: Any, x: Array) -> Any:
    """log(|gamma(input)|)."""
    size = xp.library.abs(x)
    value = _log_gamma(xp, size)
    sine = xp.library.sin(math.pi * (size - xp.library.rint(size)))
    reflected = math.log(math.pi) - xp.log(size) - xp.log(xp.library.abs(sine)) - value
    return select(xp, size == math.inf, size, x < 0, reflected, value)


def _digamma(xp: Any, x: Array) -> Any:
    """The derivative of lgamma(input)."""
    z = xp.library.where(x > 0, x, 1 - x)
    far = z + _SHIFT
    value = xp.log(far) - 0.5 / far - horner(_DIGAMMA, 1 / (far * far)) / (far * far)
    for k in range(_SHIFT - 1, -1, -1):
        value = value - 1 / (z + k)
    reflected = value - math.pi / xp.library.tan(math.pi * (x - xp.library.rint(x)))
    pole = xp.library.where(x == 0, xp.library.copysign(math.inf, -x), math.nan)
    return select(xp, x > 0, value, x == xp.library.rint(x), pole, reflected)


def _trigamma(xp: Any, x: Array) -> Any:
    z = xp.library.where(x > 0, x, 1 - x)
    far = z + _SHIFT
    value = (1 + 0.5 / far + horner(_TRIGAMMA, 1 / (far * far)) / (far * far)) / far
    for k in range(_SHIFT - 1, -1, -1):
        value = value + (z + k) ** -2
    sine = xp.library.sin(math.pi * (x - xp.library.rint(x)))
    return select(
        xp, x > 0, value, x == xp.library.rint(x), math.inf, (math.pi / sine) ** 2 - value
    )


lgamma = unary("lgamma", to_float64(lambda xp, g, x: g * xp.digamma(x)), in_float64(_lgamma))
digamma = unary(
    "digamma", to_float64(lambda xp, g, x: g * xp.polygamma(x, n=1)), in_float64(_digamma)
)


@primitive("polygamma", vjp=(to_float64(lambda xp, g, x, n: g * xp.polygamma(x, n=n + 1)),))
@in_float64
def _derivative(xp: Any, x: Array, *, n: int) -> Any:
    if n < 2:
        return _trigamma(xp, x) if n else _digamma(xp, x)
    factorial = math.gamma(n + 1) if n < 171 else math.inf
    return xp.zeta(xp.library.full_like(x, n + 1.0), x) * factorial * (-1.0) ** (n + 1)


def polygamma(n: int, input: Tensor) -> Tensor:
    """The n-th derivative of ``digamma``, element by element; integers become the default float
    dtype. Raises RuntimeError for a negative n, and ImportError from n = 2 on without SciPy."""
    if n < 0:
        raise RuntimeError(f"[polygamma] n must be a non-negative int, got {n!r}")
    return _derivative(as_floating("polygamma", input), n=n)


def polygamma_method(self: Tensor, n: int) -> Tensor:
    """``polygamma`` with its arguments exchanged: the n-th derivative of ``digamma``."""
    return polygamma(n, self)


@compute_in_float32
def mvlgamma(input: Tensor, p: int) -> Tensor:
    """The logarithm of the multivariate gamma function of dimension p, element by element: the sum
    of lgamma(input - j / 2) for j < p, and log(pi) p (p - 1) / 4. Raises RuntimeError for
    p < 1, and ValueError for p > 10,000."""
    require_tensor("mvlgamma", input)
    if p < 1:
        raise RuntimeError(f"[mvlgamma] p must be a positive int, got {p!r}")
    if p > 10_000:
        raise ValueError(f"[mvlgamma] a sum of p terms: p may be at most 10,000, got {p}")
    value = lgamma(input)
    for j in range(1, p):
        value = value + lgamma(input - 0.5 * j)
    return value + math.log(math.pi) * p * (p - 1) / 4


# ---------------------------------------------------------------------- incomplete


@to_float64
def _slope(xp: Any, g: Array, a: Array, b: Array) -> Any:
    """b^(a - 1) e^-b / gamma(a): up to 1 as a power, which has a slope at 0; beyond by logarithms,
    of what leaves the range of neither."""
    small = b < 1
    low, high = xp.where(small, b, 1.0), xp.where(small, 1.0, xp.where(b > 1e300, 1e300, b))
    far = xp.exp((a - 1) * xp.log(high) - high - xp.lgamma(a))
    return g * xp.where(small, low ** (a - 1) * xp.exp(-low - xp.lgamma(a)), far)


igamma = of_tensors(
    binary(
        "igamma",
        no_gradient("igamma", "its first input"),
        _slope,
        on_scipy("igamma", "gammainc"),
        doc="P(input, other): the integral of t ** (input - 1) exp(-t) over 0 < t < other, divided "
        "by gamma(input), without a gradient with respect to input",
    ),
    floats=True,
)
igammac = of_tensors(
    binary(
        "igammac",
        no_gradient("igammac", "its first input"),
        lambda xp, g, a, b: -_slope(xp, g, a, b),
        on_scipy("igammac", "gammaincc"),
        doc="1 - igamma(input, other), with all digits where it is small",
    ),
    floats=True,
)
