"""Products."""

from __future__ import annotations

from .base import case, f

# One row reads best on one line.
# fmt: off

case("matmul", lambda t, a, b: a @ b, (f(2, 3), f(3, 2)), (f(3), f(3)), (f(2, 3), f(3)),
     (f(3), f(3, 2)), (f(2, 2, 3), f(3, 2)), (f(2, 3), f(4, 3, 2)), (f(2, 1, 2, 3), f(4, 3, 2)),
     (f(3), f(2, 3, 2)), (f(2, 2, 3), f(3)), (f(0, 3), f(3, 2)), (f(2, 0), f(0, 3)),
     (f(0, 2, 3), f(3, 2)), (f(0), f(0)), (f(65, 130), f(130, 71)))
case("bmm", lambda t, a, b: t.bmm(a, b), (f(2, 2, 3), f(2, 3, 2)), (f(0, 2, 3), f(0, 3, 2)),
     (f(2, 2, 0), f(2, 0, 2)))
case("mm_mv_dot", lambda t, a, b: t.mm(a, a.T) + t.mv(a, b) + t.dot(b, b), (f(2, 3), f(3)),
     (f(2, 0), f(0)), (f(0, 3), f(3)))
case("outer", lambda t, a, b: t.outer(a, b), (f(2), f(3)), (f(0), f(3)))
case("linear", lambda t, x, w, b: t.nn.functional.linear(x, w, b), (f(2, 3), f(4, 3), f(4)),
     (f(3), f(4, 3), f(4)), (f(2, 2, 3), f(4, 3), f(4)), (f(0, 3), f(4, 3), f(4)),
     (f(33, 65), f(70, 65), f(70)))


def _feed_forward(t, x, w1, b1, w2, b2, approximate="none"):
    fused = getattr(t.nn.functional, "feed_forward", None)  # PyTorch has none
    if fused:
        return fused(x, w1, b1, w2, b2, approximate)
    F = t.nn.functional
    return F.linear(F.gelu(F.linear(x, w1, b1), approximate=approximate), w2, b2)


_FEED_FORWARD = [
    (f(2, 3), f(4, 3), f(4), f(5, 4), f(5)),
    (f(3), f(4, 3), f(4), f(1, 4), f(1)),
    (f(2, 3, 9), f(17, 9), f(17), f(8, 17), f(8)),
    (f(0, 3), f(4, 3), f(4), f(5, 4), f(5)),
    (f(2, 0), f(4, 0), f(4), f(5, 4), f(5)),
    (f(2, 3), f(0, 3), f(0), f(5, 0), f(5)),
]
case("feed_forward", _feed_forward, *_FEED_FORWARD)
case("feed_forward_tanh", lambda t, *xs: _feed_forward(t, *xs, "tanh"), *_FEED_FORWARD)
case("feed_forward_no_bias", lambda t, x, a, b: _feed_forward(t, x, a, None, b, None),
     (f(2, 3), f(4, 3), f(5, 4)))
case("feed_forward_of_views", lambda t, x, a, b, c: _feed_forward(t, x.T, a.T, b[::2], c.T, None),
     (f(3, 4), f(3, 6), f(12), f(6, 5)))
case("linear_no_bias", lambda t, x, w: t.nn.functional.linear(x, w), (f(2, 3), f(4, 3)),
     (f(0, 3), f(4, 3)), (f(2, 0), f(4, 0)))
for _equation, _shapes in (
    ("ij,jk->ik", [(2, 3), (3, 2)]), ("ij,ij->", [(2, 3), (2, 3)]), ("bij,bjk->bik", [(2, 2, 3), (2, 3, 2)]),
    ("ii->i", [(3, 3)]), ("ii", [(3, 3)]), ("ij->ji", [(2, 3)]), ("i,j->ij", [(2,), (3,)]),
    ("ij,kj,lk->il", [(2, 3), (2, 3), (2, 2)]), ("...ij,...jk->...ik", [(2, 2, 3), (1, 3, 2)]),
    ("bhqd,bhkd->bhqk", [(2, 2, 2, 3), (2, 2, 3, 3)]), ("ijk->k", [(2, 3, 2)]), ("i,i,i->i", [(3,)] * 3),
    (",i->i", [(), (3,)]), ("i,i->", [(3,), (3,)]),
):
    case(f"einsum[{_equation}]", lambda t, *xs, e=_equation: t.einsum(e, *xs),
         tuple(f(*s) for s in _shapes), tuple(f(*(0 if n == 3 else n for n in s)) for s in _shapes))
