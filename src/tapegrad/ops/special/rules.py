"""Special functions that NumPy does not have, written in NumPy's elementary ones."""

from __future__ import annotations

from typing import Any

# Chebyshev fits computed in 40-digit arithmetic, highest power first.
# erf(x) / x as a polynomial in x^2 on 0 <= |x| <= 1; error 1e-17.
_ERF_SMALL = (
    -7.7958988270021422e-10,
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
_ERFC_LARGE = (
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


def erf_over_x(square: Any) -> Any:
    """erf(x) / x of x^2 <= 1."""
    return horner(_ERF_SMALL, square)


def erf(xp: Any, x: Any) -> Any:
    """The error function. Both branches are computed everywhere; beyond |x| = 6 it is +-1."""
    size = xp.minimum(xp.abs(x), 6.0)
    square = size * size
    small = size * erf_over_x(xp.minimum(square, 1.0))
    large = xp.maximum(size, 1.0)
    tail = horner(_ERFC_LARGE, (large - 4.0) / (large + 2.0)) / large
    value = xp.where(size <= 1.0, small, 1.0 - tail * xp.exp(-square))
    return xp.library.copysign(xp.where(x == x, value, x), x)


def horner(coefficients: tuple[float, ...], x: Any) -> Any:
    """The polynomial's value, in place after the first step."""
    value = coefficients[0] * x + coefficients[1]
    for c in coefficients[2:]:
        value *= x
        value += c
    return value


def polynomial(coefficients: tuple[float, ...], x: Any) -> Any:
    """The polynomial's value as ``horner``'s, but of Tensors too: in the rules of gradients."""
    value = coefficients[0] * x + coefficients[1]
    for c in coefficients[2:]:
        value = value * x + c
    return value
