"""Products that are a matrix product after a change of shape."""

from __future__ import annotations

from .base import case, f, ints

# One row reads best on one line.
# fmt: off

case("vdot", lambda t, a, b: t.vdot(a, b) + t.inner(a, b), (f(3), f(3)), (f(0), f(0)))
case("inner", lambda t, a, b: t.inner(a, b), (f(2, 3), f(4, 3)), (f(2, 2, 3), f(3)), (f(), f(2, 3)),
     (f(0, 3), f(2, 3)), (f(2, 0), f(3, 0)))
case("ger", lambda t, a, b: t.ger(a, b), (f(2), f(3)), (f(0), f(3)))
case("vecdot", lambda t, a, b: t.linalg.vecdot(a, b) + t.linalg.vecdot(a, b, dim=-1), (f(2, 3), f(2, 3)),
     (f(2, 1, 3), f(4, 3)), (f(2, 0), f(2, 0)), (f(0, 3), f(0, 3)))
case("cross", lambda t, a, b: t.cross(a, b, dim=0) + t.linalg.cross(a, b, dim=0), (f(3, 2), f(3, 2)),
     (f(3, 0), f(3, 0)), (f(3, 1), f(3, 4)))
case("vander", lambda t, x: t.linalg.vander(x) + t.linalg.vander(x, N=x.shape[-1]), (f(3),), (f(2, 3),),
     (f(0, 2),), low=False)
for _name, _shapes in (("addmm", [(2, 4), (2, 3), (3, 4)]), ("addmv", [(2,), (2, 3), (3,)]),
                       ("addr", [(2, 3), (2,), (3,)]), ("baddbmm", [(2, 2, 4), (2, 2, 3), (2, 3, 4)]),
                       ("addbmm", [(2, 4), (2, 2, 3), (2, 3, 4)])):
    case(_name, lambda t, x, a, b, n=_name: getattr(t, n)(x, a, b, beta=0.5, alpha=2),
         tuple(f(*s) for s in _shapes), (f(), *(f(*s) for s in _shapes[1:])),
         tuple(f(*(0 if n == 3 else n for n in s)) for s in _shapes))
    case(f"{_name}_beta_0", lambda t, x, a, b, n=_name: getattr(t, n)(x, a, b, beta=0),
         tuple(f(*s) for s in _shapes))
    case(f"{_name}_int", lambda t, x, a, b, n=_name: getattr(t, n)(x, a, b, beta=2, alpha=3),
         tuple(ints(*s) for s in _shapes), grad=False)
case("chain_matmul", lambda t, a, b, c: t.linalg.multi_dot([a, b, c]),
     (f(2, 3), f(3, 4), f(4, 2)), (f(5, 2), f(2, 5), f(5, 1)), (f(0, 3), f(3, 4), f(4, 2)))
case("multi_dot_vectors", lambda t, a, b, c: t.linalg.multi_dot((a, b, c)), (f(3), f(3, 4), f(4)))
case("tensordot", lambda t, a, b: t.tensordot(a, b, 2), (f(2, 3, 4), f(3, 4, 2)), (f(2, 0, 4), f(0, 4, 2)),
     (f(2, 1, 4), f(3, 4, 2)))
case("tensordot_dims", lambda t, a, b: t.tensordot(a, b, ([0, -1], [1, 0])), (f(2, 3, 4), f(4, 2)))
case("tensordot_0", lambda t, a, b: t.tensordot(a, b, 0), (f(2), f(3)), (f(), f(3)), (f(0), f(3)))
case("kron", lambda t, a, b: t.kron(a, b), (f(2, 3), f(3, 2)), (f(2), f(3, 2)), (f(), f(2)), (f(0, 2), f(2)))
case("trace", lambda t, x: t.trace(x), (f(3, 3),), (f(2, 3),), (f(3, 2),), (f(0, 3),))
case("trace_int", lambda t, x: x.trace(), (ints(3, 2),), grad=False)
case("bilinear", lambda t, a, b, w, c: t.nn.functional.bilinear(a, b, w, c),
     (f(2, 3), f(2, 2), f(4, 3, 2), f(4)), (f(3), f(2), f(4, 3, 2), f(4)),
     (f(0, 3), f(0, 2), f(4, 3, 2), f(4)), (f(2, 1, 3), f(2, 1, 2), f(4, 3, 2), f(4)))
case("einsum_lists", lambda t, a, b: t.einsum(a, [0, 1], b, [1, 2], [0, 2]) + t.einsum(a, [..., 4], b, [4, 5]),
     (f(2, 3), f(3, 4)), (f(2, 0), f(0, 4)))
case("einsum_dots", lambda t, a, b: t.einsum("...i, j...->ij", a, b), (f(2, 3), f(4, 2)), (f(2, 3), f(4, 1)))
case("einsum_diagonal_of_3", lambda t, x: t.einsum("iji i->ji", x) + t.einsum("ijii", x).sum(), (f(2, 3, 2, 2),),
     (f(0, 3, 0, 0),))
case("einsum_cheap_pairs_first", lambda t, a, b, c: t.einsum("ij,jk,kl->il", a, b, c) + t.einsum("ij,kl,jk->il", a, c, b),
     (f(2, 3), f(3, 4), f(4, 1)), (f(2, 3), f(3, 1), f(1, 4)))
case("matmul_int", lambda t, a, b: a @ b + t.mm(a, b), (ints(2, 3), ints(3, 2)), (ints(0, 3), ints(3, 2)), grad=False)
