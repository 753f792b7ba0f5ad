"""Special functions. Their values far out and their accuracy are tested in test_special.py."""

from __future__ import annotations

from .base import ONE, case, constant, f, given, pos, unit, values

# One row reads best on one line.
# fmt: off

_POSITIVE = [(pos(2, 3),), (pos(),), (pos(0, 3),)]
_UNIT = [(unit(2, 3),), (unit(),), (unit(0, 3),)]
_INSIDE = [(f(2, 3, low=-0.9, high=0.9),), (f(low=-0.9, high=0.9),), (f(0, 3),)]

for _name in ("erfc", "i0"):
    case(_name, lambda t, x, n=_name: getattr(t, n)(x), *ONE, (f(5, low=-9, high=9),))
for _name in ("i0e", "i1", "i1e", "ndtr", "expit", "expm1", "exp2", "sinc"):
    case(f"special.{_name}", lambda t, x, n=_name: getattr(t.special, n)(x), *ONE)
for _name in ("erfcx", "log_ndtr"):  # not for 16-bit floats in PyTorch, as others with low=False
    case(f"special.{_name}", lambda t, x, n=_name: getattr(t.special, n)(x), *ONE, low=False)
for _name in ("lgamma", "digamma"):
    case(_name, lambda t, x, n=_name: getattr(t, n)(x), *_POSITIVE)
    case(f"{_name}_below_0", lambda t, x, n=_name: getattr(t, n)(x), (values([-0.3, -1.6, -4.2]),),
         low=False)
case("erfinv", lambda t, x: t.erfinv(x), *_INSIDE)
case("special.ndtri", lambda t, x: t.special.ndtri(x), *_UNIT, low=False)
case("special.entr", lambda t, x: t.special.entr(x), *_UNIT)
for _n in (1, 2):
    case(f"polygamma_{_n}", lambda t, x, n=_n: t.polygamma(n, x) + x.polygamma(n), *_POSITIVE)
case("mvlgamma", lambda t, x: t.mvlgamma(x, 3), (f(2, 3, low=1.5, high=9),), (f(low=2, high=9),),
     (pos(0, 3),))
case("special.xlog1py", lambda t, a, b: t.special.xlog1py(a, b), (f(2, 3), pos(2, 3)), (f(), pos()),
     (f(0, 3), pos(3)), (values([0.0, 1.0]), values([0.5, 2.0])))
for _name in ("igamma", "igammac"):
    case(_name, lambda t, a, x, n=_name: getattr(t, n)(a, x),
         (constant(values([0.3, 2.0, 30.0, 25.0])), values([0.5, 4.0, 25.0, 30.0])),
         (constant(pos()), pos()), (constant(pos(0, 3)), pos(3)))
case("special.zeta", lambda t, a, b: t.special.zeta(a, b),
     (f(2, 3, low=1.5, high=5), pos(2, 3)), (f(low=1.5, high=5), pos()), (pos(0, 3), pos(3)),
     grad=False, low=False)

for _name in ("bessel_j0", "bessel_j1", "modified_bessel_i0", "modified_bessel_i1", "airy_ai",
              "spherical_bessel_j0"):
    case(f"special.{_name}", lambda t, x, n=_name: getattr(t.special, n)(x), *ONE, grad=False, low=False)
for _name in ("bessel_y0", "bessel_y1", "modified_bessel_k0", "modified_bessel_k1",
              "scaled_modified_bessel_k0", "scaled_modified_bessel_k1"):
    case(f"special.{_name}", lambda t, x, n=_name: getattr(t.special, n)(x), *_POSITIVE, grad=False,
         low=False)

_DEGREES = (f(7, low=-2, high=2), given([-1, 0, 1, 2, 3, 5, 9]))
for _name in ("chebyshev_polynomial_t", "chebyshev_polynomial_u", "chebyshev_polynomial_v",
              "chebyshev_polynomial_w", "hermite_polynomial_h", "hermite_polynomial_he",
              "laguerre_polynomial_l", "legendre_polynomial_p"):
    case(f"special.{_name}", lambda t, x, n, o=_name: getattr(t.special, o)(x, n), _DEGREES,
         (f(), given(3)), (f(0, 3), given([1, 2, 3])), grad=False, low=False)
    case(f"special.{_name}_3", lambda t, x, o=_name: getattr(t.special, o)(x, 3), *ONE, grad=False,
         low=False)
for _name in "tuvw":
    case(f"special.shifted_chebyshev_polynomial_{_name}",
         lambda t, x, n, o=_name: getattr(t.special, f"shifted_chebyshev_polynomial_{o}")(x, n),
         _DEGREES, (f(), given(3)), (f(0, 3), given([1, 2, 3])), grad=False, low=False)
