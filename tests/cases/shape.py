"""Changes of shape."""

from __future__ import annotations

from .base import ONE, case, f

# One row reads best on one line.
# fmt: off

case("reshape", lambda t, x: x.reshape(3, -1), (f(2, 3),), (f(3, 0, 2),))
case("reshape_0d", lambda t, x: x.reshape(()) * x.reshape(1, 1) * x.reshape(-1), (f(),), (f(1, 1),))
case("view", lambda t, x: x.contiguous().view(3, -1) * 2, (f(2, 3),), (f(3, 0, 2),))
case("flatten", lambda t, x: t.flatten(x, 1) + x.flatten(1), (f(2, 3, 2),), (f(2, 0, 2),))
case("flatten_all", lambda t, x: t.flatten(x), *ONE)
case("transpose", lambda t, x: t.transpose(x, 0, -1), *ONE, (f(2, 3, 4),))
case("permute", lambda t, x: x.permute(2, 0, 1), (f(2, 3, 2),), (f(2, 0, 2),))
case("permute_0d", lambda t, x: x.permute(()) * x, (f(),))
case("T_mT", lambda t, x: x.T @ x + x.mT @ x, (f(2, 3),), (f(0, 3),), (f(3, 0),))
case("movedim", lambda t, x: t.movedim(x, 0, 2), (f(2, 3, 2),), (f(2, 0, 2),))
case("squeeze", lambda t, x: x.squeeze() + x.squeeze(1).squeeze(0), (f(1, 1, 3),), (f(1, 1, 0),))
case("squeeze_0d", lambda t, x: x.squeeze() * x.squeeze(0) * x.squeeze(-1), (f(),), (f(1),))
case("unsqueeze", lambda t, x: x.unsqueeze(0) * x.unsqueeze(-1), (f(3),), (f(),), (f(0),))
case("expand", lambda t, x: x.expand(4, -1, 3), (f(2, 1),), (f(1, 1),), (f(0, 1),))
case("expand_0d", lambda t, x: x.expand(2, 3) * x.expand(()), (f(),))
case("broadcast_to", lambda t, x: t.broadcast_to(x, (4, *x.shape[:-1], 3)), (f(2, 1),), (f(),),
     (f(0, 1),))
case("repeat", lambda t, x: x.repeat(2, 1, 3), (f(2, 2),), (f(3),), (f(),), (f(0, 2),))
case("cat", lambda t, a, b, c: t.cat([a, b, c], 1), (f(2, 3), f(2, 1), f(2, 2)),
     (f(2, 0), f(2, 1), f(2, 2)))
case("cat_twice", lambda t, a: t.cat([a, a * a, a]), (f(2, 2),), (f(0, 2),))
case("stack", lambda t, a, b: t.stack([a, b], -1), (f(2, 3), f(2, 3)), (f(), f()), (f(0, 3), f(0, 3)))
case("split", lambda t, x: sum(p.sum() * (i + 1) for i, p in enumerate(x.split(2, 1))), (f(2, 5),),
     (f(0, 5),), (f(2, 0),))
case("split_sizes", lambda t, x: t.split(x, [1, 0, 3], 1)[2] * 2, (f(2, 4),), (f(0, 4),))
case("chunk", lambda t, x: x.chunk(3)[1] * x.chunk(3)[0], (f(5, 2),), (f(5, 0),), (f(0, 2),))
case("unbind", lambda t, x: x.unbind(1)[0] * x.unbind(1)[2], (f(2, 3),), (f(0, 3),))
case("iterate", lambda t, x: sum(row * i for i, row in enumerate(x)), (f(3, 2),), (f(3),), (f(2, 0),))
case("flip", lambda t, x: x.flip(0, 1) * x, (f(2, 3),), (f(0, 3),))
case("flip_0d", lambda t, x: x.flip(()) * x, (f(),))
case("roll", lambda t, x: x.roll(1) + x.roll((1, -2), (0, 1)), (f(2, 3),), (f(0, 3),))
case("roll_0d", lambda t, x: x.roll(1) * x, (f(),))
case("clone", lambda t, x: x.clone() * x.contiguous(), *ONE)
