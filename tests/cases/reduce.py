"""Reductions."""

from __future__ import annotations

from .base import ONE, case, distinct, f, ints, mask, values

# One row reads best on one line.
# fmt: off

_DIMS: list[dict] = [{}, {"dim": 0}, {"dim": -1, "keepdim": True}, {"dim": (0, 2)}]
for _name in ("sum", "mean", "var", "std", "amax", "amin"):
    for _i, _options in enumerate(_DIMS):
        _more = [(f(2, 0, 2),)] if _options else []  # over what is there; results are empty
        if _name in ("sum", "mean"):
            _more += [(f(0, 3, 2),)]  # sums and means of nothing: 0 and nan
        if _i < 3 and _name not in ("var", "std"):  # whose one element leaves nothing to divide by
            _more += [(f(),)]
        case(f"{_name}_{_i}", lambda t, x, n=_name, o=_options: getattr(t, n)(x, **o)
             if o else getattr(x, n)(), (distinct(2, 3, 2),), (distinct(7, 1, 33),), *_more)
case("sum_0d", lambda t, x: x.sum() + x.sum(0) + x.mean(-1), (f(),))
case("sum_empty", lambda t, x: x.sum(0) + x.sum(1).sum() + x.prod(), (f(0, 3),))
case("mean_empty", lambda t, x: x.mean(), (f(0, 3),), second=False)
case("var_correction", lambda t, x: t.var(x, 1, correction=0), (f(2, 3),), (f(4, 1),), (f(0, 3),))
case("var_0d", lambda t, x: t.var(x, correction=0) + x, (f(),))
case("var_of_too_few", lambda t, x: t.var(x) + t.std(x), (f(),), (f(0),), (f(1),), second=False)
case("std_of_equals", lambda t, x: t.std(x, -1), (values([[2.0, 2.0, 2.0], [1.0, 2.0, 3.0]]),),
     second=False)
case("sum_int", lambda t, x: x.sum(0) * x.prod(), (ints(4, 2),), (mask(3, 2),), (ints(0, 2),),
     (ints(),), grad=False)
case("sum_dtype", lambda t, x: t.sum(x, dtype=t.float64), (ints(3),), (f(3),), (f(),), (f(0, 3),),
     low=False)
case("prod", lambda t, x: x.prod(), *ONE, (values([1.0, 0.0, 3.0]),), (values([0.0, 2.0, 0.0]),))
case("prod_dim", lambda t, x: t.prod(x, 1, keepdim=True), (f(2, 3),),
     (values([[1.0, 0.0, 3.0], [2.0, 4.0, 0.5]]),), (f(0, 3),), (f(3, 0),))
for _name in ("amax", "amin"):
    case(f"{_name}_ties", lambda t, x, n=_name: getattr(x, n)(1),
         (values([[1.0, 1.0, 0.0], [2.0, 3.0, 3.0], [2.0, 2.0, 2.0]]),), second=False)
for _name in ("max", "min"):
    case(f"{_name}_ties", lambda t, x, n=_name: getattr(x, n)(),
         (values([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]]),), second=False)
    case(f"{_name}_dim_ties", lambda t, x, n=_name: getattr(x, n)(1)[0],
         (values([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]]),), second=False)
case("max", lambda t, x: x.max() - x.min(), (distinct(2, 3),), (f(),))
case("max_dim", lambda t, x: x.max(1)[0] + x.max(dim=1).values, (distinct(2, 3),), (distinct(5, 40),),
     (f(0, 3),))
case("max_0d", lambda t, x: x.max(0)[0] * x.min(-1)[0], (f(),))
case("min_dim", lambda t, x: x.min(0, keepdim=True)[0], (distinct(2, 3),), (f(),), (f(3, 0),))
case("max_indices", lambda t, x: x.max(1)[1] + x.min(1)[1], (distinct(2, 3),), (f(0, 3),), grad=False)
case("argmax", lambda t, x: x.argmax() + x.argmax(1) + t.argmax(x, dim=0, keepdim=True).sum(),
     (distinct(2, 3),), grad=False)
case("argmin", lambda t, x: x.argmin() + x.argmin(1), (distinct(2, 3),), grad=False)
case("argmax_0d", lambda t, x: x.argmax() + x.argmin(0) + x.argmax(-1), (f(),), grad=False)
case("argmax_empty", lambda t, x: x.argmax(1) + x.argmin(1), (f(0, 3),), grad=False)
case("logsumexp", lambda t, x: t.logsumexp(x, -1), *ONE, (f(9, 70, low=-900, high=900),))
case("logsumexp_all", lambda t, x: x.logsumexp((0, 1), keepdim=True), (f(2, 3),), (f(0, 3),))
case("any_all", lambda t, x: (x > 0).any(0) ^ (x > 0).all() ^ x.bool().any(-1).all(),
     (f(2, 2),), (f(),), (f(0, 2),), grad=False)
