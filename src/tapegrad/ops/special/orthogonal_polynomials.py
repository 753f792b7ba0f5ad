"""Orthogonal polynomials of degree n, by their three-term recurrences (Abramowitz and Stegun 22.7).

The degree is a tensor or a number, cut to an integer; below 0 the value is 0. Chebyshev's have
closed forms, which serve for high degrees.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tapegrad.core.tape import binary
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.operands import no_gradient, pair

from .series import in_float64, select

_HERMITE_MOST = 512  # above it the numbers overflow, and the value is nan, as in PyTorch
_MOST = 100_000  # steps of a recurrence
_CLOSED_ABOVE = 32


def _recurrence(op: str, first: Callable, step: Callable, most: int = _MOST) -> Callable:
    """The body of p_0 = 1, p_1 = first(x), p_(k+1) = step(k, x, p_k, p_(k-1))."""

    def body(xp: Any, x: Any, n: Any) -> Any:
        library = xp.library
        n = library.where(n == n, library.trunc(n), -1.0)
        x, n = library.broadcast_arrays(x, n)
        highest = n.max() if n.size else 0
        degree = int(highest) if highest <= most else most + 1
        if degree > most:
            if most == _MOST:
                raise RuntimeError(f"[{op}] degrees above {most} are not supported")
            degree = most
        value = library.where(n == 0, 1.0, library.where(n < 0, 0.0, math.nan))
        before, now = library.ones_like(x), first(x)
        for k in range(1, degree + 1):
            value = library.where(n == k, now, value)
            before, now = now, step(k, x, now, before)
        return value

    return body


def _angle(xp: Any, x: Any) -> tuple[Any, Any]:
    """The angle whose cosine, or where |x| > 1 the number whose hyperbolic cosine, is |x|."""
    size = xp.library.abs(x)
    inner = xp.library.arccos(xp.library.minimum(size, 1.0))
    return inner, xp.library.arccosh(xp.library.maximum(size, 1.0))


# For |x|, of degree n: the polynomials of the first to fourth kind are quotients of cosines and
# sines of multiples of the angle. Of -x, they are the same but for the sign, and the third and
# fourth kind change places.


def _closed(xp: Any, kind: str, x: Any, n: Any) -> Any:
    inner, outer = _angle(xp, x)
    library = xp.library
    inside = library.abs(x) < 1
    safe_inner = library.where(inner == 0, 1.0, inner)
    safe_outer = library.where(outer == 0, 1.0, outer)

    def of(numerator: tuple, denominator: tuple | None, at_one: Any) -> Any:
        (circular, hyperbolic), times = numerator
        a, b = circular(times * safe_inner), hyperbolic(times * safe_outer)
        if denominator is not None:
            (circular, hyperbolic), times = denominator
            a, b = a / circular(times * safe_inner), b / hyperbolic(times * safe_outer)
        return select(xp, inside & (inner > 0), a, outer > 0, b, at_one)

    cos, sin = (library.cos, library.cosh), (library.sin, library.sinh)
    one = library.where(x == x, 1.0, x)
    forms = {
        "t": lambda: of((cos, n), None, one),
        "u": lambda: of((sin, n + 1), (sin, 1.0), one * (n + 1)),
        "v": lambda: of((cos, n + 0.5), (cos, 0.5), one),
        "w": lambda: of((sin, n + 0.5), (sin, 0.5), one * (2 * n + 1)),
    }
    value = forms[kind]()
    if kind in "vw":
        value = library.where(x < 0, forms["w" if kind == "v" else "v"](), value)
    return library.where((x < 0) & (n % 2 == 1), -value, value)


def _chebyshev(op: str, kind: str, first: Callable) -> Callable:
    low = _recurrence(op, first, lambda k, x, now, before: 2 * x * now - before)

    def body(xp: Any, x: Any, n: Any) -> Any:
        n = xp.library.where(n == n, xp.library.trunc(n), -1.0)
        near = low(xp, x, xp.library.minimum(n, float(_CLOSED_ABOVE)))
        if not bool((n > _CLOSED_ABOVE).any()):
            return near
        far = _closed(xp, kind, x, xp.library.maximum(n, float(_CLOSED_ABOVE)))
        return xp.library.where(n > _CLOSED_ABOVE, far, near)

    return body


def _polynomial(op: str, body: Callable) -> Callable:
    rule = no_gradient(op)
    value = binary(op, rule, rule, in_float64(body), floating=True)

    def function(input: Any, n: Any) -> Tensor:
        return value(*pair(op, input, n, floating=True))

    function.__name__ = function.__qualname__ = op
    function.__doc__ = f"The {op.replace('_', ' ')} of degree n at ``input``; one may be a number."
    return function


def _shifted(body: Callable) -> Callable:
    return lambda xp, x, n: body(xp, 2 * x - 1, n)


_FIRST = {
    "t": lambda x: x,
    "u": lambda x: 2 * x,
    "v": lambda x: 2 * x - 1,
    "w": lambda x: 2 * x + 1,
}


def _of_kind(kind: str) -> tuple[Callable, Callable]:
    op = f"chebyshev_polynomial_{kind}"
    body = _chebyshev(op, kind, _FIRST[kind])
    return _polynomial(op, body), _polynomial(f"shifted_{op}", _shifted(body))


chebyshev_polynomial_t, shifted_chebyshev_polynomial_t = _of_kind("t")
chebyshev_polynomial_u, shifted_chebyshev_polynomial_u = _of_kind("u")
chebyshev_polynomial_v, shifted_chebyshev_polynomial_v = _of_kind("v")
chebyshev_polynomial_w, shifted_chebyshev_polynomial_w = _of_kind("w")

hermite_polynomial_h = _polynomial(
    "hermite_polynomial_h",
    _recurrence(
        "hermite_polynomial_h",
        lambda x: 2 * x,
        lambda k, x, now, before: 2 * (x * now - k * before),
        _HERMITE_MOST,
    ),
)
hermite_polynomial_he = _polynomial(
    "hermite_polynomial_he",
    _recurrence(
        "hermite_polynomial_he",
        lambda x: x,
        lambda k, x, now, before: x * now - k * before,
        _HERMITE_MOST,
    ),
)
laguerre_polynomial_l = _polynomial(
    "laguerre_polynomial_l",
    _recurrence(
        "laguerre_polynomial_l",
        lambda x: 1 - x,
        lambda k, x, now, before: ((2 * k + 1 - x) * now - k * before) / (k + 1),
    ),
)
legendre_polynomial_p = _polynomial(
    "legendre_polynomial_p",
    _recurrence(
        "legendre_polynomial_p",
        lambda x: x,
        lambda k, x, now, before: ((2 * k + 1) * x * now - k * before) / (k + 1),
    ),
)
