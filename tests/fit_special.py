"""Computes the tables of ``tapegrad/ops/fits.py``: ``python tests/fit_special.py > fits.py``.

Each table is a Chebyshev expansion of a smooth function of t in -1..1, interpolated at 64 nodes in
50-digit arithmetic and cut where what follows is below 1e-17 of the largest value. Needs mpmath.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath as mp

mp.mp.dps = 50
NODES = 64

# name -> (what it is of x, the function of x, x as a function of t)
FITS: dict[str, tuple[str, Callable, Callable]] = {}


def fit(name: str, text: str, function: Callable, x_of_t: Callable) -> None:
    FITS[name] = (text, function, x_of_t)


def span(low: Any, high: Any) -> Callable:
    """x between two bounds."""
    return lambda t: mp.mpf(low) + (mp.mpf(high) - low) * (t + 1) / 2


def root(low: Any, high: Any) -> Callable:
    """x whose square runs between two bounds."""
    return lambda t: mp.sqrt(span(low, high)(t))


def beyond(low: Any, k: Any) -> Callable:
    """x from ``low`` to infinity: t = 1 - 2 (low + k) / (x + k)."""
    return lambda t: 2 * (mp.mpf(low) + k) / (1 - t) - k


def inverse(most: Any, power: Any = 1) -> Callable:
    """x whose ``power``-th inverse power runs from 0 to ``most``."""
    return lambda t: (2 / (mp.mpf(most) * (t + 1))) ** (mp.mpf(1) / power)


# ---------------------------------------------------------------------- error function


def _inverse_erf(y: Any) -> Any:
    return mp.erfinv(y) / y


def _inverse_erfc(s: Any) -> Any:
    """erfc^-1(exp(-s^2)) / s, by Newton's method on log erfc."""
    x = s * (mp.mpf(9) / 10)
    for _ in range(60):
        value = mp.erfc(x)
        step = (mp.log(value) + s * s) * value / (-2 / mp.sqrt(mp.pi) * mp.exp(-x * x))
        x -= step
        if abs(step) < mp.mpf(10) ** -42:
            break
    return x / s


fit(
    "ERFC",
    "x exp(x^2) erfc(x), 1 <= x, t = 1 - 8 / (x + 3)",
    lambda x: x * mp.exp(x * x) * mp.erfc(x),
    beyond(1, 3),
)
fit("ERFINV", "erfinv(y) / y, 0 <= y <= 0.5, t = 8 y^2 - 1", _inverse_erf, root(0, mp.mpf(1) / 4))
fit(
    "ERFCINV",
    "erfcinv(exp(-s^2)) / s, 0.8 <= s <= 28, t linear in 1 / (s + 2)",
    _inverse_erfc,
    lambda t: 1 / (1 / mp.mpf("2.8") + (1 / mp.mpf(30) - 1 / mp.mpf("2.8")) * (t + 1) / 2) - 2,
)

# ---------------------------------------------------------------------- gamma function

fit(
    "LGAMMA",
    "lgamma(x) / ((x - 1) (x - 2)), 1 <= x <= 3, t = x - 2",
    lambda x: mp.loggamma(x) / ((x - 1) * (x - 2)),
    span(1, 3),
)

# ---------------------------------------------------------------------- modified Bessel functions

for _n in (0, 1):
    fit(
        f"I{_n}_SMALL",
        f"exp(-x) I{_n}(x){' / x' * _n}, 0 <= x <= 8, t = x / 4 - 1",
        lambda x, n=_n: mp.exp(-x) * mp.besseli(n, x) / x**n,
        span(0, 8),
    )
    fit(
        f"I{_n}_LARGE",
        f"sqrt(x) exp(-x) I{_n}(x), 8 <= x, t = 16 / x - 1",
        lambda x, n=_n: mp.sqrt(x) * mp.exp(-x) * mp.besseli(n, x),
        inverse(mp.mpf(1) / 8),
    )
    fit(
        f"K{_n}_LARGE",
        f"sqrt(x) exp(x) K{_n}(x), 2 <= x, t = 4 / x - 1",
        lambda x, n=_n: mp.sqrt(x) * mp.exp(x) * mp.besselk(n, x),
        inverse(mp.mpf(1) / 2),
    )
fit(
    "K0_SMALL",
    "K0(x) + log(x / 2) I0(x), 0 <= x <= 2, t = x^2 / 2 - 1",
    lambda x: mp.besselk(0, x) + mp.log(x / 2) * mp.besseli(0, x),
    root(0, 4),
)
fit(
    "K1_SMALL",
    "x (K1(x) - log(x / 2) I1(x)), 0 <= x <= 2, t = x^2 / 2 - 1",
    lambda x: x * (mp.besselk(1, x) - mp.log(x / 2) * mp.besseli(1, x)),
    root(0, 4),
)

# ---------------------------------------------------------------------- Bessel functions


def _phase(n: int, x: Any) -> Any:
    return x - (2 * n + 1) * mp.pi / 4


def _in_phase(n: int) -> Callable:
    return lambda x: (
        mp.sqrt(mp.pi * x / 2)
        * (mp.besselj(n, x) * mp.cos(_phase(n, x)) + mp.bessely(n, x) * mp.sin(_phase(n, x)))
    )


def _out_of_phase(n: int) -> Callable:
    return lambda x: (
        x
        * mp.sqrt(mp.pi * x / 2)
        * (mp.bessely(n, x) * mp.cos(_phase(n, x)) - mp.besselj(n, x) * mp.sin(_phase(n, x)))
    )


for _n in (0, 1):
    fit(
        f"J{_n}_SMALL",
        f"J{_n}(x){' / x' * _n}, 0 <= x <= 8, t = x^2 / 32 - 1",
        lambda x, n=_n: mp.besselj(n, x) / x**n,
        root(0, 64),
    )
    fit(
        f"P{_n}",
        f"sqrt(pi x / 2) (J{_n}(x) cos(c) + Y{_n}(x) sin(c)), c = x - {2 * _n + 1} pi / 4, "
        "8 <= x, t = 128 / x^2 - 1",
        _in_phase(_n),
        inverse(mp.mpf(1) / 64, 2),
    )
    fit(
        f"Q{_n}",
        f"x sqrt(pi x / 2) (Y{_n}(x) cos(c) - J{_n}(x) sin(c)), likewise",
        _out_of_phase(_n),
        inverse(mp.mpf(1) / 64, 2),
    )
fit(
    "Y0_SMALL",
    "Y0(x) - 2 / pi log(x) J0(x), 0 <= x <= 8, t = x^2 / 32 - 1",
    lambda x: mp.bessely(0, x) - 2 / mp.pi * mp.log(x) * mp.besselj(0, x),
    root(0, 64),
)
fit(
    "Y1_SMALL",
    "x (Y1(x) - 2 / pi log(x) J1(x)), 0 <= x <= 8, t = x^2 / 32 - 1",
    lambda x: x * (mp.bessely(1, x) - 2 / mp.pi * mp.log(x) * mp.besselj(1, x)),
    root(0, 64),
)

# ---------------------------------------------------------------------- Airy function


def _airy(x: Any) -> tuple[Any, Any, Any]:
    """z = 2/3 x^(3/2); the part of Ai(-x) and Bi(-x) in phase with cos(z - pi/4), and the other."""
    z = 2 * mp.sqrt(x) ** 3 / 3
    phase, scale = z - mp.pi / 4, mp.sqrt(mp.pi) * mp.sqrt(mp.sqrt(x))
    a, b = scale * mp.airyai(-x), scale * mp.airybi(-x)
    return z, a * mp.cos(phase) - b * mp.sin(phase), a * mp.sin(phase) + b * mp.cos(phase)


def _from_z(z_of_t: Callable) -> Callable:
    return lambda t: (3 * z_of_t(t) / 2) ** (mp.mpf(2) / 3)


def _airy_decay(x: Any) -> Any:
    z = 2 * mp.sqrt(x) ** 3 / 3
    return 2 * mp.sqrt(mp.pi) * mp.sqrt(mp.sqrt(x)) * mp.exp(z) * mp.airyai(x)


_Z_LOW = mp.mpf(2) / 3 * mp.mpf(2) ** mp.mpf("1.5")
_Z_FAR = mp.mpf(2) / 3 * mp.mpf(5) ** mp.mpf("1.5")
fit("AIRY_MIDDLE", "Ai(x), -5 <= x <= 2, t = (2 x + 3) / 7", mp.airyai, span(-5, 2))
fit(
    "AIRY_DECAY",
    "2 sqrt(pi) x^(1/4) exp(z) Ai(x), z = 2/3 x^(3/2), 2 <= x, t = 2 z(2) / z - 1",
    _airy_decay,
    _from_z(inverse(1 / _Z_LOW)),
)
fit(
    "AIRY_P",
    "sqrt(pi) x^(1/4) (Ai(-x) cos(z - pi/4) - Bi(-x) sin(z - pi/4)), 5 <= x, "
    "t = 2 (z(5) / z)^2 - 1",
    lambda x: _airy(x)[1],
    _from_z(inverse(1 / _Z_FAR**2, 2)),
)
fit(
    "AIRY_Q",
    "z sqrt(pi) x^(1/4) (Ai(-x) sin(z - pi/4) + Bi(-x) cos(z - pi/4)), likewise",
    lambda x: _airy(x)[0] * _airy(x)[2],
    _from_z(inverse(1 / _Z_FAR**2, 2)),
)


# ---------------------------------------------------------------------- expansion


def expand(function: Callable, x_of_t: Callable) -> tuple[list[Any], Any]:
    """The coefficients of T_0, T_1, ... and the largest of those that were cut."""
    angles = [mp.pi * (2 * k + 1) / (2 * NODES) for k in range(NODES)]
    samples = [function(x_of_t(mp.cos(a))) for a in angles]
    coefficients = [
        2 * mp.fsum(y * mp.cos(j * a) for y, a in zip(samples, angles, strict=True)) / NODES
        for j in range(NODES)
    ]
    coefficients[0] /= 2
    small = mp.mpf(10) ** -17 * max(abs(y) for y in samples)
    n = max(j for j, c in enumerate(coefficients) if abs(c) > small) + 1
    return coefficients[:n], max(abs(c) for c in coefficients[n:])


def main() -> None:
    print('"""Chebyshev expansions of smooth functions of t in -1..1, computed by')
    print('``tests/fit_special.py``; the coefficient of T_0 first.\n"""\n\n# fmt: off')
    for name, (text, function, x_of_t) in FITS.items():
        coefficients, _ = expand(function, x_of_t)
        print(f"\n# {text}\n{name} = (")
        line = "   "
        for c in coefficients:
            word = f" {float(c)!r},"
            if len(line + word) > 98:
                print(line)
                line = "   "
            line += word
        print(f"{line}\n)")


if __name__ == "__main__":
    main()
