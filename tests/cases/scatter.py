"""Writing, adding and reducing at positions, and by masks."""

from __future__ import annotations

from .base import case, distinct, f, given, ints, mask

# One row reads best on one line.
# fmt: off

# Positions along dim 1, some of which occur more than once.
AGAIN = given([[0, 0, 2, 0], [1, 1, 1, 2]])

case("scatter", lambda t, x, i, s: t.scatter(x, 1, i, s),
     (f(2, 3), given([[0, 2], [1, 0]]), f(2, 2)), (f(2, 3), ints(2, 0), f(2, 0)))
case("scatter_value", lambda t, x, i: x.scatter(0, i, 1.5), (f(3, 2), given([[0, 2]])),
     (f(), given(0)), (f(3, 2), ints(0, 2)))
case("scatter_add", lambda t, x, i, s: t.scatter_add(x, 1, i, s),
     (f(2, 3), given([[0, 0, 2], [1, 1, 1]]), f(2, 3)), (f(2, 3), ints(2, 0), f(2, 0)))
case("scatter_add_0d", lambda t, x, i, s: t.scatter_add(x, 0, i, s), (f(), given(0), f()))
case("scatter_sum", lambda t, x, i, s: x.scatter(1, i, s, reduce="add"),
     (f(2, 3), AGAIN, f(2, 4)), grad=False)
case("scatter_multiply", lambda t, x, i, s: x.scatter(1, i, s, reduce="multiply"),
     (f(2, 3), AGAIN, f(2, 4)), grad=False)
case("scatter_negative_dim", lambda t, x, i, s: x.scatter(-2, i, s) * 2,
     (f(3, 2), given([[2, 0]]), f(1, 2)))
for how in ("sum", "prod", "mean", "amax", "amin"):
    for whole in (True, False):
        case(f"scatter_reduce_{how}_{whole}",
             lambda t, x, i, s, how=how, whole=whole: t.scatter_reduce(
                 x, -1, i, s, reduce=how, include_self=whole),
             (f(2, 3), AGAIN, distinct(2, 4)), (f(2, 3), ints(2, 0), f(2, 0)),
             (f(), given(0), f()))
for how in ("prod", "mean", "amax", "amin"):
    for whole in (True, False):
        case(f"index_reduce_{how}_{whole}",
             lambda t, x, i, s, how=how, whole=whole: x.index_reduce(
                 0, i, s, how, include_self=whole),
             (f(3, 2), given([2, 0, 2, 2]), distinct(4, 2)), (f(3, 0), given([2, 2]), f(2, 0)),
             (f(3), ints(0), f(0)))
case("scatter_reduce_zeros", lambda t, x, i, s: t.scatter_reduce(x, 0, i, s, "prod"),
     (given([0.0, 2.0, 3.0]), given([0, 1, 1, 2, 2]), given([2.0, 0.0, 3.0, 0.0, 0.0])), second=False)
case("scatter_reduce_ties", lambda t, x, i, s: t.scatter_reduce(x, 0, i, s, "amax") * 2,
     (given([2.0, 2.0, 5.0]), given([0, 1, 1, 2, 2]), given([2.0, 3.0, 3.0, 1.0, 1.0])), second=False)
case("index_add", lambda t, x, i, s: t.index_add(x, 1, i, s, alpha=2) + x.index_add(-1, i, s),
     (f(2, 3), given([0, 2, 0, 0]), f(2, 4)), (f(0, 3), given([1]), f(0, 1)), (f(3, 3), ints(0), f(3, 0)))
case("index_add_0d", lambda t, x, i, s: x.index_add(0, i, s) * 2, (f(), given([0]), f()))
case("index_copy", lambda t, x, i, s: t.index_copy(x, 0, i, s) * 2,
     (f(3, 2), given([2, 0]), f(2, 2)), (f(3, 0), given([1]), f(1, 0)))
case("index_fill", lambda t, x, i: t.index_fill(x, 0, i, 1.5) * 2, (f(3, 2), given([2, 2])),
     (f(3, 2), ints(0)), (f(), given([0])))
case("index_fill_tensor", lambda t, x, i, v: x.index_fill(1, i, v) * 2, (f(2, 3), given([2, 0, 0]), f()))
case("index_put", lambda t, x, i, j, v: t.index_put(x, (i, j), v) * 2,
     (f(3, 3), given([0, 2]), given([1, 0]), f(2)), (f(3, 3), given([0, 2]), given([1, 0]), f()),
     (f(3, 3), ints(0), ints(0), f(0)))
case("index_put_accumulate", lambda t, x, i, v: x.index_put((i,), v, accumulate=True) * 2,
     (f(3, 2), given([0, 2, 0, 0]), f(4, 2)), (f(3, 2), given([0, 2, 0, 0]), f(2)),
     (f(3, 0), given([0]), f(1, 0)))
case("index_put_mask", lambda t, x, m, v: x.index_put((m,), v, accumulate=True) * 2,
     (f(3, 2), given([True, False, True]), f(2, 2)))
case("put", lambda t, x, i, s: t.put(x, i, s) * 2, (f(2, 3), given([[0, -1]]), f(2)),
     (f(2, 3), ints(0), f(0)))
case("put_accumulate", lambda t, x, i, s: x.put(i, s, accumulate=True) * 2,
     (f(2, 3), given([0, -1, 5, 0]), f(4)))
case("masked_select", lambda t, x, m: t.masked_select(x, m) * 2,
     (f(2, 3), given([[True, False, True], [False, True, True]])), (f(2, 3), given([True, False, True])),
     (f(3), given([[True, False, True], [False, True, True]])), (f(), given(True)), (f(0, 3), mask(0, 3)))
case("masked_scatter", lambda t, x, m, s: t.masked_scatter(x, m, s) * 2,
     (f(2, 3), given([[True, False, True], [False, True, True]]), f(5)),
     (f(2, 2), given([True, False]), f(2, 2)), (f(0, 3), mask(0, 3), f(0)))
case("masked_fill_tensor", lambda t, x, m, v: x.masked_fill(m, v) * 2, (f(2, 3), mask(2, 3), f()),
     (f(2, 3), mask(3), f()))
case("fill", lambda t, x, v: t.fill(x, v) * 2, (f(2, 3), f()), (f(0), f()))
case("where_numbers", lambda t, m: t.where(m, 1.5, 2) + t.where(m, 1, 2), (mask(2, 3),), grad=False)
case("argwhere", lambda t, x: t.argwhere(x) + x.argwhere(), (ints(4, 3),), (ints(0, 3),), grad=False)
case("nonzero_static", lambda t, x: t.nonzero_static(x, size=4, fill_value=7), (ints(3, 2),), (ints(9),),
     (ints(0, 3),), grad=False)
