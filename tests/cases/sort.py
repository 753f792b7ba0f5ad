"""Sorting, ranks, searching, sets and histograms."""

from __future__ import annotations

import math

from .base import case, constant, distinct, f, given, ints, mask, unit, values

# One row reads best on one line.
# fmt: off

_NAN = values([[1.0, math.nan, 0.0, math.nan, -2.0], [3.0, 1.0, 2.0, math.inf, 1.0]])
_TIES = values([[1.0, 0.0, 1.0, 0.0, 1.0, 0.5], [0.0, 2.0, 2.0, 2.0, 0.0, 0.0]])
_NUMBERS = [(distinct(3, 4),), (distinct(2, 37, 2),), (f(),), (f(0, 3),)]

for _down in (False, True):
    _o = {"descending": _down}
    case(f"sort_{_down}", lambda t, x, o=_o: t.sort(x, 0, **o).values, *_NUMBERS)
    case(f"sort_last_{_down}", lambda t, x, o=_o: x.sort(**o)[0], *_NUMBERS)
    case(f"sort_indices_{_down}", lambda t, x, o=_o: t.sort(x, dim=-1, stable=True, **o).indices,
         (ints(4, 9),), (_NAN,), (_TIES,), (mask(3, 5),), (f(),), (f(3, 0),), grad=False)
    case(f"argsort_{_down}", lambda t, x, o=_o: x.argsort(dim=0, stable=True, **o), (ints(9, 2),), (_NAN,),
         (f(),), grad=False)
    case(f"sort_int_{_down}", lambda t, x, o=_o: x.sort(0, **o)[0], (ints(9, 2),), (mask(5),),
         grad=False)
case("msort", lambda t, x: t.msort(x), *_NUMBERS)
case("topk", lambda t, x: t.topk(x, 2, dim=-1).values, (distinct(3, 4),), (distinct(2, 3, 37),))
case("topk_smallest", lambda t, x: x.topk(3, 0, largest=False)[0], (distinct(4, 2),), (f(3, 0),))
case("topk_of_nan", lambda t, x: x.topk(3)[0], (_NAN,), grad=False)
case("topk_indices", lambda t, x: x.topk(2)[1], (distinct(3, 4),), grad=False)
case("topk_edges", lambda t, x: t.cat([x.topk(0, 0)[0], x.topk(1, 0)[0]]), (distinct(3),))
case("topk_0d", lambda t, x: x.topk(1)[0], (f(),))
case("kthvalue", lambda t, x: t.kthvalue(x, 2).values, (distinct(3, 4),), (_NAN,), (f(0, 3),))
case("kthvalue_keepdim", lambda t, x: x.kthvalue(3, 0, keepdim=True)[0], (distinct(4, 2),))
case("kthvalue_0d", lambda t, x: x.kthvalue(1)[0], (f(),))
for _name in ("median", "nanmedian"):
    case(f"{_name}_dim", lambda t, x, n=_name: getattr(t, n)(x, 1).values, (distinct(3, 4),),
         (distinct(2, 5, 3),), (f(0, 3),))
    case(f"{_name}_nan", lambda t, x, n=_name: getattr(x, n)(1, keepdim=True)[0], (_NAN,), grad=False)
    case(f"{_name}_indices", lambda t, x, n=_name: getattr(x, n)(-1)[1], (distinct(3, 4),),
         (f(),), grad=False)
    case(f"{_name}_of_all", lambda t, x, n=_name: getattr(x, n)(), (distinct(3, 4),), (f(),), (_NAN,))
    case(f"{_name}_ties", lambda t, x, n=_name: getattr(x, n)(), (_TIES,), second=False)
    case(f"{_name}_int", lambda t, x, n=_name: getattr(x, n)() + getattr(x, n)(0)[0], (ints(5, 2),),
         grad=False)
case("median_of_nothing", lambda t, x: x.median(), (f(0, 3),), second=False)
case("mode", lambda t, x: t.mode(x, 0).values, (distinct(4, 2),), (ints(9, 5),), (_TIES,), (f(),),
     (mask(7, 2),), second=False)
case("mode_indices", lambda t, x: x.mode(keepdim=True)[1], (ints(5, 9),), (_TIES,), grad=False)
_Q = constant(values([0.0, 0.3, 1.0, 0.5]))
for _how in ("linear", "lower", "higher", "midpoint", "nearest"):
    _o = {"interpolation": _how}
    case(f"quantile_{_how}", lambda t, x, q, o=_o: t.quantile(x, q, 1, **o), (distinct(3, 4), _Q),
         (distinct(3, 6, 2), _Q), (_NAN, _Q), low=False)
    case(f"nanquantile_{_how}", lambda t, x, o=_o: x.nanquantile(0.4, dim=0, keepdim=True, **o),
         (distinct(3, 4),), (_NAN,), low=False)
case("quantile_of_all", lambda t, x: x.quantile(0.7) + t.quantile(x, 0.2, keepdim=True).sum(),
     (distinct(3, 4),), (f(),), (f(1),), low=False)
case("quantile_q", lambda t, x, q: t.quantile(x, q), (distinct(7), unit(3)), (distinct(7), unit()),
     low=False)
_EDGES = values([-1.5, -0.5, 0.0, 0.0, 1.0])
_ROWS = values([[-1.5, 0.0, 1.0], [-1.0, 0.5, 0.5]])
for _right in (False, True):
    _o = {"right": _right}
    case(f"searchsorted_{_right}", lambda t, s, x, o=_o: t.searchsorted(s, x, **o), (_EDGES, f(3, 2)),
         (_EDGES, values([-1.5, 0.0, 1.0, 9.0, math.inf, math.nan])), (_EDGES, f()), (f(0), f(3)),
         (_ROWS, f(2, 5)), (_ROWS, values([[-1.5, 0.0, math.nan], [0.5, 9.0, -9.0]])),
         (f(2, 0), f(2, 3)), (_ROWS, f(2, 0)), grad=False)
    case(f"bucketize_{_right}", lambda t, x, s, o=_o: t.bucketize(x, s, out_int32=True, **o),
         (f(3, 2), _EDGES), (ints(4), given([0, 1, 1, 2])), grad=False)
case("searchsorted_number", lambda t, s: t.searchsorted(s, 0.25, side="right"), (_EDGES,), grad=False)
case("searchsorted_sorter", lambda t, s, x: t.searchsorted(s, x, sorter=t.argsort(s, stable=True)),
     (f(6), f(4)), (f(2, 6), f(2, 3)), grad=False)
for _name in ("unique", "unique_consecutive"):
    for _i, _dim in enumerate((None, 0, 1)):
        for _j in range(3):
            case(f"{_name}_{_dim}_{_j}", lambda t, x, n=_name, d=_dim, j=_j:
                 getattr(t, n)(x, return_inverse=True, return_counts=True, dim=d)[j],
                 (ints(3, 2, high=2),), (mask(9, 2),), (ints(4, 3, 2),), (_TIES,),
                 *([(_NAN,), (ints(),), (ints(0, 3),)] if _dim is None else []), grad=False)
case("unique_alone", lambda t, x: t.unique(x), (ints(9),), grad=False)
case("bincount", lambda t, x: t.bincount(x, minlength=2), (ints(9),), (ints(0),), (given([0]),),
     grad=False)
case("bincount_weights", lambda t, x, w: x.bincount(w), (ints(9), f(9)), (ints(9), ints(9)),
     (ints(0), f(0)), grad=False, low=False)
case("histc", lambda t, x: t.histc(x, 7), (f(40),), (f(3, 4),), (values([2.0, 2.0]),), grad=False,
     low=False)
case("histc_range", lambda t, x: x.histc(bins=4, min=-1, max=1),
     (values([-1.0, -0.6, -0.5, 0.0, 1.0, 1.1, math.nan, -3.0]),), (f(0),), grad=False)
for _j in range(2):
    case(f"histogram_{_j}", lambda t, x, j=_j: t.histogram(x, 5)[j], (f(40),), (values([2.0, 2.0]),),
         (f(0),), grad=False, low=False)
    case(f"histogram_edges_{_j}", lambda t, x, e, j=_j: x.histogram(e)[j],
         (f(40), values([-1.0, -0.5, 0.25, 2.0])), (values([1.0, 2.0, 2.1]), values([1.0, 2.0])),
         grad=False, low=False)
case("histogram_weight", lambda t, x, w: t.histogram(x, 4, range=(-1, 1), weight=w, density=True)[0],
     (f(40), unit(40)), grad=False, low=False)
case("histogramdd", lambda t, x: t.histogramdd(x, [3, 2], range=[-2.0, 2.0, -1.0, 1.0])[0],
     (f(40, 2),), grad=False, low=False)
