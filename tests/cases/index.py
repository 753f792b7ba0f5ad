"""Indexing."""

from __future__ import annotations

from .base import case, f, given, ints, mask

# One row reads best on one line.
# fmt: off

case("slice", lambda t, x: x[1:, ::2] * 2, (f(3, 4),), (f(1, 3),), (f(0, 4),))
case("index_int", lambda t, x: x[1] * x[-1, 0], (f(2, 3),), (f(2, 3, 0),))
case("index_none", lambda t, x: x[None, ..., None, 0] * 1, (f(2, 3),), (f(0, 3),))
case("index_0d", lambda t, x: x[None] * x[()] * x[...] + x[..., None], (f(),))
case("index_list", lambda t, x: x[[0, 2, 0]], (f(3, 2),), (f(3),), (f(3, 0),))
case("index_tensor", lambda t, x, i: x[i], (f(3, 2), given([[0, 2], [2, 2]])), (f(3), ints(0)),
     (f(3, 2), given(2)), (f(3), given(-1)))
case("index_mixed", lambda t, x, i: x[1:, i, None, ::2], (f(3, 4, 3), given([0, 3, 3])),
     (f(3, 4, 3), given(2)), (f(3, 4, 3), ints(0)), (f(3, 4, 0), given([0, 3])))
case("index_pair", lambda t, x, i, j: x[i, j], (f(3, 4), given([[0], [2]]), given([1, 1, 3])),
     (f(3, 4), given(2), given([1, 3])), (f(3, 4), given(2), given(3)), (f(3, 4), ints(0), given(3)))
case("index_split", lambda t, x, i: x[i, :, i], (f(3, 2, 3), given([0, 2])), (f(3, 2, 3), given(1)),
     (f(3, 2, 3), ints(0)))
# An integer beside a list or mask is an index array of its own: it decides where the result's
# dimension goes.
case("index_int_list", lambda t, x: x[0, :, [0, 1]], (f(2, 2, 3),), (f(2, 0, 3),))
case("index_list_int", lambda t, x: x[[0, 1], :, 0], (f(2, 2, 3),), (f(2, 0, 3),))
case("index_int_next_to_list", lambda t, x: x[:, 0, [0, 1, 1]], (f(2, 2, 3),), (f(0, 2, 3),))
case("index_int_mask", lambda t, x, m: x[0, ..., m], (f(2, 2, 3), given([True, False, True])),
     (f(2, 3), given([True, False, True])), (f(2, 2, 3), given([False] * 3)))
case("index_int_tensor", lambda t, x, i: x[1, ..., i], (f(2, 2, 3), given([0, 2])),
     (f(2, 2, 3), given(2)), (f(2, 2, 3), ints(0)))
case("index_none_int_list", lambda t, x: x[None, 0, :, [0, 1]], (f(2, 2, 3),), (f(2, 0, 3),))
case("index_inner_int_list", lambda t, x: x[:, 0, :, [0, 1]], (f(2, 2, 1, 3),), (f(0, 2, 2, 3),))
case("index_bool", lambda t, x, m: x[m], (f(2, 3), given([[True, False, True], [False, True, True]])),
     (f(2, 3), given([True, False])), (f(), given(True)), (f(), given(False)),
     (f(2, 3), given([False, False])), (f(0, 3), mask(0)))
case("index_negative", lambda t, x, i: x[i], (f(3, 2), given([-1, 0, -3])))
case("index_step", lambda t, x: x[1::2, :-1:3] * 2, (f(4, 5),), (f(0, 5),))
case("index_twice", lambda t, x, i: x[1:][i][:, i] * 2, (f(3, 3), given([0, 1, 1])), (f(3, 2, 0), given([0, 1])))
case("index_mask_none", lambda t, x, m: x[None, m, ..., None], (f(2, 3), given([True, False])))
case("index_true", lambda t, x: x[True, 0] * x[None, True][0], (f(2, 3),))
case("index_range", lambda t, x: x[range(2), range(1, 3)] * 2, (f(2, 3),))
case("take", lambda t, x, i: t.take(x, i) * 2, (f(2, 3), given([[0, -1], [2, 2]])), (f(), given(0)),
     (f(2, 3), ints(0)))
case("gather", lambda t, x, i: t.gather(x, 1, i), (f(2, 3), given([[0, 0, 2], [1, 2, 2]])),
     (f(3, 4), given([[1], [3]])), (f(2, 3), ints(0, 3)), (f(2, 3), ints(2, 0)))
case("gather_dim0", lambda t, x, i: x.gather(0, i), (f(3, 2), given([[0, 2], [2, 2]])),
     (f(), given(0)), (f(3, 2), ints(0, 2)))
case("index_select", lambda t, x, i: t.index_select(x, 1, i), (f(2, 3), given([2, 0, 2])),
     (f(2, 3), given(2)), (f(2, 3), ints(0)), (f(0, 3), given([2, 0])))
case("take_along_dim", lambda t, x, i: t.take_along_dim(x, i, 1), (f(2, 3), given([[0, 2, 2, 1]])),
     (f(2, 3), ints(2, 0)))
case("nonzero", lambda t, x: t.nonzero(x), (ints(4, 3),), (ints(),), (given(0),), (ints(0, 3),),
     grad=False)
