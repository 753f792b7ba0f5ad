"""Orthogonal polynomials of degree n, by their three-term recurrences (Abramowitz and Stegun 22.7).

The degree is a tensor or a number, cut to an integer; below 0 the value is 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tapegrad.core.memory import Array
from tapegrad.core.tape import binary
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.operands import named, no_gradient, pair
from tapegrad.ops.common.precision import in_float64

_HERMITE_MOST = 512  # above it the numbers overflow, and the value is nan, as in PyTorch
_MOST = 100_000  # steps of a recurrence


def _polynomial(op: str, body: Callable, raised: str = "") -> Callable:
    rule = no_gradient(op)
    family, _, letter = op.replace("_", " ").title().partition(" Polynomial ")

    def cut(xp: Any, x: Array, n: Any) -> Any:
        n = xp.library.where(n == n, xp.library.trunc(n), -1.0)
        x, n = xp.library.broadcast_arrays(x, n)
        return xp.library.where(n > 0, body(xp, x, n), n == 0)

    value = binary(op, rule, rule, in_float64(cut), floating=True)

    def function(input: Any, n: Any) -> Tensor:
        return value(*pair(op, input, n))

    doc = (
        f"{letter}_n(input), the {family} polynomial of degree n. Element by element, broadcast "
        f"and promoted to a floating-point dtype; one may be a number. It has no gradient.{raised}"
    )
    return named(op, function, doc)


def _by_recurrence(op: str, first: Callable, step: Callable, most: int = _MOST) -> Callable:
    """p_0 = 1, p_1 = first(x), p_(k+1) = step(k, x, p_k, p_(k-1))."""

    def body(xp: Any, x: Array, n: Any) -> Any:
        degree = int(min(n.max(), most + 1.0)) if n.size else 0
        if degree > _MOST:
            raise RuntimeError(f"[{op}] degrees above {_MOST} are not supported")
        value = xp.library.full_like(x, math.nan)
        before, now = xp.library.ones_like(x), first(x)
        for k in range(1, min(degree, most) + 1):
            value = xp.library.where(n == k, now, value)
            before, now = now, step(k, x, now, before)
        return value

    raised = "" if most < _MOST else f" Raises RuntimeError for degrees above {_MOST}."
    return _polynomial(op, body, raised)


hermite_polynomial_h = _by_recurrence(
    "hermite_polynomial_h",
    lambda x: 2 * x,
    lambda k, x, now, before: 2 * (x * now - k * before),
    _HERMITE_MOST,
)
hermite_polynomial_he = _by_recurrence(
    "hermite_polynomial_he",
    lambda x: x,
    lambda k, x, now, before: x * now - k * before,
    _HERMITE_MOST,
)
laguerre_polynomial_l = _by_recurrence(
    "laguerre_polynomial_l",
    lambda x: 1 - x,
    lambda k, x, now, before: ((2 * k + 1 - x) * now - k * before) / (k + 1),
)
legendre_polynomial_p = _by_recurrence(
    "legendre_polynomial_p",
    lambda x: x,
    lambda k, x, now, before: ((2 * k + 1) * x * now - k * before) / (k + 1),
)


def _chebyshev(kind: str, combine: Callable) -> tuple[Callable, Callable]:
    """The polynomials of a kind and the shifted ones. With s = sqrt(x^2 - 1), (x + s)^n is
    T_n + s U_(n-1): a power, which takes log(n) squarings. Of these the four kinds are made."""

    def body(xp: Any, x: Array, n: Any) -> Any:
        finite = xp.library.clip(x, -1.7e308, 1.7e308)  # an infinite x times 0 would be nan
        n = xp.library.minimum(n, 2.0**62).astype("int64")
        t, u = xp.library.ones_like(x), xp.library.zeros_like(x)
        for bit in reversed(range(int(n.max()).bit_length() if n.size else 0)):
            t, u = 2 * t * t - 1, 2 * t * u
            odd = (n >> bit) % 2 == 1
            t, u = (
                xp.library.where(odd, x * t + (finite - 1) * ((finite + 1) * u), t),
                xp.library.where(odd, finite * u + t, u),
            )
        return combine(finite, t, u)

    op = f"chebyshev_polynomial_{kind}"
    shifted = _polynomial(f"shifted_{op}", lambda xp, x, n: body(xp, 2 * x - 1, n))
    return _polynomial(op, body), shifted


chebyshev_polynomial_t, shifted_chebyshev_polynomial_t = _chebyshev("t", lambda x, t, u: t)
chebyshev_polynomial_u, shifted_chebyshev_polynomial_u = _chebyshev("u", lambda x, t, u: x * u + t)
chebyshev_polynomial_v, shifted_chebyshev_polynomial_v = _chebyshev(
    "v", lambda x, t, u: (x - 1) * u + t
)
chebyshev_polynomial_w, shifted_chebyshev_polynomial_w = _chebyshev(
    "w", lambda x, t, u: (x + 1) * u + t
)
