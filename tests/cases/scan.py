"""Scans along a dimension."""

from __future__ import annotations

import math

from .base import ONE, case, distinct, f, ints, mask, pos, values

# One row reads best on one line.
# fmt: off

_ZEROS = (values([[2.0, 0.0, 3.0, -1.0], [0.0, 1.5, 0.0, 2.0], [0.0, 0.0, 1.0, 1.0]]),)
_INFINITE = (values([[-math.inf, -math.inf, 1.0, 2.0], [1.0, -math.inf, 0.5, -math.inf]]),)

for _name in ("cumsum", "cumprod", "logcumsumexp"):
    case(f"{_name}_last", lambda t, x, n=_name: getattr(t, n)(x, -1), *ONE, (pos(5, 17),))
    case(f"{_name}_first", lambda t, x, n=_name: getattr(x, n)(dim=0), *ONE, (f(0,),))
for _name in ("cumsum", "cumprod"):
    case(f"{_name}_dtype", lambda t, x, n=_name: getattr(t, n)(x, 0, dtype=t.float64), (f(3, 2),),
         (ints(3, 2),), low=False)
    case(f"{_name}_int", lambda t, x, n=_name: getattr(x, n)(0), (ints(3, 2),), (mask(4),), (ints(),),
         grad=False)
    case(f"{_name}_in_place", lambda t, x, n=_name: getattr(x * 1, n + "_")(0), (f(3, 2),))
case("cumprod_zeros", lambda t, x: x.cumprod(1), _ZEROS, second=False)
case("cumprod_zeros_second", lambda t, x: x.cumprod(1), (values([[2.0, 0.0, 3.0, 0.0, 1.0]]),))
case("logcumsumexp_infinite", lambda t, x: x.logcumsumexp(1), _INFINITE, grad=False)
case("logcumsumexp_far", lambda t, x: x.logcumsumexp(0),
     (values([1000.0, -1000.0, 999.0, 1001.0, 0.0]),), second=False, low=False)
for _name in ("cummax", "cummin"):
    case(f"{_name}_values", lambda t, x, n=_name: getattr(t, n)(x, 1).values, (distinct(2, 5),),
         (distinct(3, 40, 2),), (f(0, 3),), (f(3, 0),))
    case(f"{_name}_0d", lambda t, x, n=_name: getattr(x, n)(0)[0], (f(),))
    case(f"{_name}_indices", lambda t, x, n=_name: getattr(t, n)(x, 0).indices, (ints(9, 2),),
         (mask(7, 3),), (f(5, 3),), (f(0, 3),), (f(),),
         (values([1.0, math.nan, 3.0, math.nan, 0.0]),), grad=False)
    case(f"{_name}_ties", lambda t, x, n=_name: getattr(x, n)(0)[0],
         (values([1.0, 2.0, 2.0, 1.0, 1.0, 0.0]),), (values([1.0, math.nan, 3.0]),), second=False)
