"""Several tensors as one."""

from __future__ import annotations

from .base import case, f, given

# One row reads best on one line.
# fmt: off

case("cat", lambda t, a, b, c: t.cat([a, b, c], 1), (f(2, 3), f(2, 1), f(2, 2)),
     (f(2, 0), f(2, 1), f(2, 2)))
case("cat_twice", lambda t, a: t.cat([a, a * a, a]), (f(2, 2),), (f(0, 2),))
case("stack", lambda t, a, b: t.stack([a, b], -1), (f(2, 3), f(2, 3)), (f(), f()), (f(0, 3), f(0, 3)))
case("cat_dtypes", lambda t, x, i: t.cat([x, i]), (f(2, 2), given([[1, 2]])),
     (f(2, 2), given([[True, False]])))
case("cat_with_nothing", lambda t, x, y: t.cat([y, x, y], 1) * 2, (f(2, 2), f(0)))
case("concat", lambda t, x, y: t.concat([x, y]) + t.concatenate((x, y), axis=0), (f(2, 2), f(1, 2)))
case("hstack", lambda t, x, y: t.hstack([x, y]), (f(2, 3), f(2, 1)), (f(2), f(3)), (f(), f()),
     (f(0), f(2)))
case("vstack", lambda t, x, y: t.vstack([x, y]) + t.row_stack([x, y]), (f(2, 3), f(1, 3)), (f(3), f(3)),
     (f(), f()), (f(0, 3), f(2, 3)))
case("dstack", lambda t, x, y: t.dstack([x, y]), (f(2, 3, 1), f(2, 3, 2)), (f(2, 3), f(2, 3)),
     (f(3), f(3)), (f(), f()), (f(0), f(0)))
case("column_stack", lambda t, x, y: t.column_stack([x, y]), (f(2, 3), f(2)), (f(2), f(2)),
     (f(), f()), (f(0), f(0, 2)))
case("block_diag", lambda t, x, y, z: t.block_diag(x, y, z), (f(2, 1), f(3), f()),
     (f(0, 2), f(1, 1), f(2, 0)))
case("meshgrid", lambda t, x, y: sum(a * (i + 2) for i, a in enumerate(t.meshgrid(x, y, indexing="ij"))),
     (f(2), f(3)), (f(), f(3)), (f(0), f(2)))
case("meshgrid_xy", lambda t, x, y, z: sum(
     a * (i + 2) for i, a in enumerate(t.meshgrid([x, y, z], indexing="xy"))), (f(2), f(3), f(2)))
case("cartesian_prod", lambda t, x, y: t.cartesian_prod(x, y) + t.cartesian_prod(x)[0], (f(2), f(3)),
     (f(2), f(0)))
case("combinations", lambda t, x: t.combinations(x) * 2, (f(4),), (f(1),), (f(0),))
case("combinations_with_replacement",
     lambda t, x: t.combinations(x, 3, with_replacement=True) + t.combinations(x, 0).sum(), (f(3),))
