"""Norms of vectors and matrices, and distances."""

from __future__ import annotations

from .base import case, distinct, f, values

# One row reads best on one line.
# fmt: off

for _ord in (2, 1, 0, 3, 0.5, -1, float("inf"), float("-inf")):
    case(f"vector_norm_{_ord}", lambda t, x, p=_ord: t.linalg.vector_norm(x, p, dim=-1), (distinct(2, 3),), (distinct(3),),
         (distinct(0, 3),), grad=_ord != 0)
    case(f"vector_norm_{_ord}_all", lambda t, x, p=_ord: t.linalg.norm(x, p) * t.linalg.vector_norm(x, p, keepdim=True),
         (distinct(3),), grad=_ord != 0)
case("norm_of_all", lambda t, x: t.linalg.norm(x) + t.linalg.norm(x, dim=(0, 1)), (f(2, 3),), (f(0, 3),), (f(2, 3, 2),))
case("norm_of_0", lambda t, x: t.linalg.norm(x, 2, dim=1) + t.linalg.norm(x, 3, dim=1), (values([[0.0, 0.0], [1.0, 0.0]]),),
     second=False)
for _ord in ("fro", "nuc", 1, -1, 2, -2, float("inf"), float("-inf")):
    case(f"matrix_norm_{_ord}", lambda t, x, p=_ord: t.linalg.matrix_norm(x, p) + t.linalg.norm(x.mT, p, dim=(-1, -2)),
         (distinct(2, 3),), (distinct(2, 3, 2),), (distinct(0, 3, 2),), low=False)
case("matrix_norm_dims", lambda t, x: t.linalg.matrix_norm(x, 1, dim=(0, 2), keepdim=True) + t.linalg.matrix_norm(
    x, 2, dim=(2, 0), keepdim=True), (distinct(2, 3, 2),), low=False)
for _p in (2.0, 1.0, 3.0, float("inf")):
    case(f"cdist_{_p}", lambda t, a, b, p=_p: t.cdist(a, b, p), (distinct(2, 3), f(4, 3)), (f(2, 2, 3), f(4, 3)),
         (f(0, 3), f(4, 3)), low=False, second=_p == 2.0)
case("cdist_many", lambda t, a, b: t.cdist(a, b), (f(26, 2), f(2, 2)), (f(2, 30, 5), f(1, 31, 5)), low=False)
case("cdist_of_equals", lambda t, a: t.cdist(a, a, compute_mode="use_mm_for_euclid_dist"), (f(3, 2),), second=False, low=False)
case("pdist", lambda t, x: t.nn.functional.pdist(x) + t.nn.functional.pdist(x, 1.0), (distinct(4, 3),), low=False,
     second=False)
