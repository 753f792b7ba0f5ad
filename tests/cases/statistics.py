"""Statistics: spread, counts, norms, and what ignores nan."""

from __future__ import annotations

import math

from .base import ONE, case, distinct, f, given, ints, mask, unit, values

# One row reads best on one line.
# fmt: off

_NAN = values([[1.0, math.nan, 0.5], [3.0, 1.0, math.nan], [math.nan, math.nan, math.nan]])

for _j in range(2):
    for _name in ("var_mean", "std_mean"):
        case(f"{_name}_{_j}", lambda t, x, n=_name, j=_j: getattr(t, n)(x, 1, correction=2)[j],
             (f(2, 4),), (f(3, 7, 2),))
        case(f"{_name}_all_{_j}", lambda t, x, n=_name, j=_j: getattr(t, n)(x, False)[j], (f(2, 4),))
case("cov", lambda t, x: t.cov(x), (f(3, 4),), (f(5),), (f(2, 50),))
case("cov_0d", lambda t, x: t.cov(x, correction=0), (f(),))
case("cov_int", lambda t, x: t.cov(x), (ints(3, 4),), grad=False)
case("cov_weights", lambda t, x, k, a: t.cov(x, correction=2, fweights=k, aweights=a),
     (f(3, 4), given([1, 2, 1, 3]), unit(4)))
case("cov_aweights", lambda t, x, a: x.cov(aweights=a), (f(3, 4), unit(4)))
case("cov_fweights", lambda t, x, k: x.cov(fweights=k), (f(2, 4), given([1, 2, 0, 3])))
case("corrcoef", lambda t, x: t.corrcoef(x), (f(3, 4),), (f(4),), second=False)
for _name in ("nansum", "nanmean"):
    case(f"{_name}_nan", lambda t, x, n=_name: getattr(t, n)(x, 0) + getattr(x, n)(), (_NAN,),
         second=False)
    case(_name, lambda t, x, n=_name: getattr(t, n)(x, (0, 1), keepdim=True), (f(2, 3),))
case("nansum_int", lambda t, x: x.nansum(0), (ints(4, 2),), (mask(4),), grad=False)
case("count_nonzero", lambda t, x: t.count_nonzero(x, dim=0) + x.count_nonzero(), (ints(4, 3),),
     (mask(2, 2),), (values([[0.0, math.nan], [1.0, 0.0]]),), (ints(0, 3),), (f(),), grad=False)
for _name in ("min", "max"):
    case(f"aminmax_{_name}", lambda t, x, n=_name: getattr(t.aminmax(x, dim=1, keepdim=True), n),
         (distinct(2, 5),), (f(0, 3),))
    case(f"aminmax_all_{_name}", lambda t, x, n=_name: getattr(x.aminmax(), n), (distinct(2, 5),),
         (f(),))
for _name in ("any", "all"):
    case(f"{_name}_dims", lambda t, x, n=_name: getattr(t, n)(x, (0, 2), keepdim=True),
         (mask(2, 3, 2),), (ints(2, 3, 2),), (ints(2, 0, 2),), grad=False)
    case(f"{_name}_no_dims", lambda t, x, n=_name: getattr(x, n)(dim=()), (ints(2, 3),), (f(),),
         grad=False)
    case(f"{_name}_uint8", lambda t, x, n=_name: getattr(x.to(t.uint8), n)(0), (ints(2, 3),),
         (ints(0, 3),), grad=False)
case("argmax_of_nan", lambda t, x: x.argmax(1) + x.argmin(1) + x.max(1)[1], (_NAN,), grad=False)
case("argmax_keepdim", lambda t, x: x.argmax(keepdim=True) + x.argmin(1, keepdim=True), (f(3, 2),),
     grad=False)
case("norm_0", lambda t, x: x.norm(0) + t.norm(x, 0, 1), (values([[0.0, 2.0, -1.0], [0.0, 0.0, 0.0]]),),
     (f(2, 0),), grad=False)
for _p in (0.5, 1, 1.5, 2, 3, math.inf, -math.inf, -1):
    case(f"norm_{_p}", lambda t, x, p=_p: x.norm(p), (distinct(3, 4),), (f(),), low=False)
    case(f"norm_dim_{_p}", lambda t, x, p=_p: t.norm(x, p, dim=(0, 2), keepdim=True),
         (distinct(2, 3, 2),), (f(2, 0, 3),), low=False)
for _p in (1, 1.5, 2, 3, math.inf):
    case(f"norm_of_zeros_{_p}", lambda t, x, p=_p: x.norm(p, 1),
         (values([[0.0, 0.0, 0.0], [0.0, 3.0, -4.0], [2.0, -2.0, 1.0]]),), second=False)
case("norm_fro", lambda t, x: t.norm(x) + x.norm("fro", -1).sum(), *ONE)
case("norm_dtype", lambda t, x: t.norm(x, 2, 0, dtype=t.float64), (f(3, 2),), (f(),), low=False)
case("dist", lambda t, a, b: t.dist(a, b) + a.dist(b, 3), (f(2, 3), f(3)), (f(), f()))
case("renorm", lambda t, x: t.renorm(x, 2, 1, 1.5), (f(3, 4),), (f(2, 3, 2),))
case("renorm_in_place", lambda t, x: (x * 1).renorm_(1, 0, 2.0), (f(3, 2),))
case("sum_to_size", lambda t, x: x.sum_to_size(3, 1) + x.sum_to_size((1, 1)), (f(2, 3, 4),),
     (f(3, 1),))
case("softmax_of_ints", lambda t, x: t.softmax(x, 0, dtype=t.float32), (ints(3, 2),), grad=False)

_SOME = given([[True, False, True], [False, True, True]])
_NONE = given([[True, False, False], [False, False, False]])
for _name in ("sum", "prod", "amax", "amin", "mean", "var", "std", "norm", "logsumexp"):
    case(f"masked_{_name}", lambda t, x, m, n=_name: getattr(t.masked, n)(x, dim=1, mask=m),
         (distinct(2, 3), _SOME))
    case(f"masked_{_name}_all", lambda t, x, m, n=_name: getattr(t.masked, n)(
        x, dim=(0, 1), keepdim=True, mask=m), (distinct(2, 3), _SOME), (distinct(2, 3), given([True])))
for _name in ("sum", "prod", "amax", "amin", "mean", "norm", "logsumexp"):
    case(f"masked_{_name}_none", lambda t, x, m, n=_name: getattr(t.masked, n)(x, dim=1, mask=m),
         (f(2, 3), _NONE), second=False)
for _name in ("cumsum", "cumprod", "softmax", "log_softmax", "softmin"):
    case(f"masked_{_name}", lambda t, x, m, n=_name: getattr(t.masked, n)(x, 1, mask=m),
         (f(2, 3), _SOME), second="log" not in _name)
for _name in ("argmax", "argmin"):
    case(f"masked_{_name}", lambda t, x, m, n=_name: getattr(t.masked, n)(x, 1, mask=m),
         (distinct(2, 3), _SOME), (ints(2, 3), _SOME), grad=False)
for _name in ("sum", "prod", "amax", "amin", "var"):
    case(f"masked_{_name}_int", lambda t, x, m, n=_name: getattr(t.masked, n)(x, mask=m),
         (ints(2, 3), _SOME), grad=False)
case("masked_median", lambda t, x, m: t.masked.median(x, 1, mask=m), (distinct(2, 3), _SOME),
     (distinct(2, 3), _NONE))
case("masked_normalize", lambda t, x, m: t.masked.normalize(x, 2.0, 1, mask=m), (f(2, 3), _SOME))
case("masked_logaddexp", lambda t, a, b, m: t.masked.logaddexp(a, b, input_mask=m),
     (f(2, 3), f(2, 3), _SOME), second=False)
