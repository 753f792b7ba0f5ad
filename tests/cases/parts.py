"""Parts along a dimension: views, their copies, and writing them."""

from __future__ import annotations

from .base import case, f

# One row reads best on one line.
# fmt: off

case("split", lambda t, x: sum(p.sum() * (i + 1) for i, p in enumerate(x.split(2, 1))), (f(2, 5),),
     (f(0, 5),), (f(2, 0),))
case("split_sizes", lambda t, x: t.split(x, [1, 0, 3], 1)[2] * 2, (f(2, 4),), (f(0, 4),))
case("chunk", lambda t, x: x.chunk(3)[1] * x.chunk(3)[0], (f(5, 2),), (f(5, 0),), (f(0, 2),))
case("unbind", lambda t, x: x.unbind(1)[0] * x.unbind(1)[2], (f(2, 3),), (f(0, 3),))
case("iterate", lambda t, x: sum(row * i for i, row in enumerate(x)), (f(3, 2),), (f(3),), (f(2, 0),))
case("split_with_sizes", lambda t, x: sum(
     p.sum() * (i + 1) for i, p in enumerate(x.split_with_sizes((2, 0, 1), 1))), (f(2, 3),), (f(0, 3),))
case("tensor_split", lambda t, x: sum(
     p.sum() * (i + 1) for i, p in enumerate((*x.tensor_split(3, 1), *t.tensor_split(x, (1, -1)))) ),
     (f(3, 5),), (f(3, 1),), (f(0, 3),))
case("tensor_split_beyond", lambda t, x: t.tensor_split(x, (3, 1, 9))[2] * 2, (f(5),))
case("hsplit_vsplit", lambda t, x: x.hsplit(2)[1].sum() * t.vsplit(x, (1,))[0], (f(2, 4),), (f(1, 0),))
case("hsplit_vector", lambda t, x: t.hsplit(x, [1, 3])[1] * 2, (f(4),))
case("dsplit", lambda t, x: x.dsplit(2)[1] * 2, (f(2, 1, 4),))
case("unsafe_chunk", lambda t, x: t.unsafe_chunk(x, 2)[0] * t.unsafe_split(x, 1)[1], (f(2, 3),))
case("select", lambda t, x: x.select(1, -1) * t.select(x, 1, 0), (f(2, 3),), (f(0, 3),))
case("narrow", lambda t, x: x.narrow(1, 1, 2) * t.narrow(x, 1, -2, 2), (f(2, 4),), (f(0, 4),))
case("narrow_copy", lambda t, x: t.narrow_copy(x, 1, 1, 2) * x.narrow_copy(1, 0, 2), (f(2, 4),))
case("copies", lambda t, x: t.permute_copy(x, (1, 0)) * t.t_copy(x) + t.transpose_copy(x, 0, 1)
     * t.expand_copy(t.unsqueeze_copy(t.select_copy(x, 0, 0), 1), (3, 2)), (f(2, 3),))
case("copies_of_parts", lambda t, x: t.split_copy(x, 2)[0] * t.unbind_copy(x)[1]
     + t.split_with_sizes_copy(x, [1, 2])[1] + t.diagonal_copy(x)[:2, None], (f(3, 2),))
case("select_scatter", lambda t, x, s: t.select_scatter(x, s, 1, -1) * 2, (f(2, 3), f(2)),
     (f(0, 3), f(0)))
case("slice_scatter", lambda t, x, s: x.slice_scatter(s, 1, 1, None, 2) * 2, (f(2, 5), f(2, 2)),
     (f(0, 5), f(0, 2)), (f(2, 1), f(2, 0)))
case("diagonal_scatter", lambda t, x, s: t.diagonal_scatter(x, s, 1) * 2, (f(2, 3), f(2)),
     (f(0, 3), f(0)))
