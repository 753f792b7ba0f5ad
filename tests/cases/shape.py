"""Changes of shape, and the order of elements."""

from __future__ import annotations

from .base import ONE, case, f, given

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
case("flip", lambda t, x: x.flip(0, 1) * x, (f(2, 3),), (f(0, 3),))
case("flip_0d", lambda t, x: x.flip(()) * x, (f(),))
case("roll", lambda t, x: x.roll(1) + x.roll((1, -2), (0, 1)), (f(2, 3),), (f(0, 3),))
case("roll_0d", lambda t, x: x.roll(1) * x, (f(),))
case("clone", lambda t, x: x.clone() * x.contiguous(), *ONE)
case("flipped", lambda t, x: t.fliplr(x) * t.flipud(x), (f(2, 3),), (f(0, 3),))
case("roll_dims", lambda t, x: t.roll(x, shifts=(2, 1), dims=(-1, 0)) * x, (f(2, 3, 2),), (f(2, 0, 1),))
case("rot90", lambda t, x: x.rot90() @ x + t.rot90(x, -1, (1, 0)) @ x + t.rot90(x, 2).T @ x.T
     + x.rot90(4).T @ x.T, (f(2, 2),), (f(0, 0),))
case("swapaxes", lambda t, x: t.swapaxes(x, 0, 2) + x.swapdims(-1, 0), (f(2, 3, 2),), (f(2, 0, 2),))
case("moveaxis", lambda t, x: t.moveaxis(x, (0, 1), (2, 0)) * x.movedim(1, 0), (f(2, 2, 2),),
     (f(2, 0, 2),))
case("H_adjoint", lambda t, x: x.H @ x + x.mH @ x + x.adjoint() @ x, (f(2, 3),), (f(3, 0),))
case("ravel", lambda t, x: t.ravel(x) * x.mT.ravel(), (f(2, 3),), (f(0, 2),))
case("ravel_0d", lambda t, x: x.ravel() * x, (f(),))
case("unflatten", lambda t, x: x.unflatten(1, (2, -1)) * t.unflatten(x, -1, (2, 2)), (f(2, 4),),
     (f(0, 4),))
case("atleast", lambda t, x: t.atleast_1d(x) * t.atleast_2d(x) * t.atleast_3d(x), (f(3),), (f(),),
     (f(2, 2),), (f(0),))
case("broadcast_tensors", lambda t, x, y: t.broadcast_tensors(x, y)[0] * t.broadcast_tensors(x, y)[1],
     (f(2, 1), f(3)), (f(0, 1), f(3)), (f(), f(2)))
case("tile", lambda t, x: t.tile(x, (2,)) * 2, (f(2, 2),), (f(),), (f(0, 2),))
case("tile_more", lambda t, x: x.tile(2, 1, 3), (f(2, 2),), (f(3),), (f(0),))
case("repeat_nothing", lambda t, x: x.repeat(1, 0) * 2, (f(2, 3),))
case("repeat_once", lambda t, x: x.repeat(1, 1) * x, (f(2, 3),))
case("repeat_interleave", lambda t, x: t.repeat_interleave(x, 2) * 2, (f(2, 2),), (f(),), (f(0, 2),))
case("repeat_interleave_dim", lambda t, x: x.repeat_interleave(3, dim=1), (f(2, 2),), (f(2, 0),))
case("repeat_interleave_counts", lambda t, x, n: x.repeat_interleave(n, 0),
     (f(3, 2), given([2, 0, 3])), (f(3, 0), given([2, 0, 3])), (f(2, 2), given([2])))
case("expand_twice", lambda t, x: x.expand(2, -1).unsqueeze(0).expand(3, 2, 3) * 2, (f(3),))
case("contiguous_of_a_view", lambda t, x: x.T.contiguous() * x.T.clone(), (f(2, 3),), (f(0, 3),))
case("tril", lambda t, x: t.tril(x) * 2, (f(3, 3),), (f(2, 2, 3),), (f(0, 3),), (f(3, 0),))
case("tril_diagonal", lambda t, x: x.tril(1) * x.tril(-1).tril(-2), (f(3, 4),), (f(4, 3),))
case("triu", lambda t, x: t.triu(x) * 2, (f(3, 3),), (f(2, 2, 3),), (f(0, 3),), (f(3, 0),))
case("triu_diagonal", lambda t, x: x.triu(diagonal=-1) * x.triu(1), (f(3, 4),), (f(4, 3),))
case("triangle_of_what_is_not_finite", lambda t, x: t.tril(x / 0) + t.triu(x / 0, 1),
     (f(3, 3, low=0.1),), second=False)
case("diagonal", lambda t, x: t.diagonal(x) * 2, (f(3, 4),), (f(2, 3, 2),), (f(0, 3),), (f(0, 0),))
case("diagonal_offset", lambda t, x: x.diagonal(1) * x.diagonal(-1), (f(3, 3),), (f(1, 1),))
case("diagonal_beyond", lambda t, x: x.diagonal(5) * 2, (f(3, 3),))
case("diagonal_dims", lambda t, x: x.diagonal(1, -1, 0) * 2, (f(3, 2, 4),), (f(3, 0, 4),))
case("diag", lambda t, x: t.diag(x, 1) * 2, (f(3),), (f(3, 4),), (f(0),), (f(0, 3),))
case("diag_embed", lambda t, x: t.diag_embed(x, -1) * x.diag_embed(1, -1, -2), (f(3),), (f(2, 3),),
     (f(2, 0),))
case("diagflat", lambda t, x: t.diagflat(x, 1), (f(2, 2),), (f(),), (f(0,),))
case("unfold", lambda t, x: x.unfold(0, 3, 1) * 2, (f(5),), (f(5, 2),), (f(3, 0),))
case("unfold_steps", lambda t, x: x.unfold(1, 2, 3) * x.unfold(-1, 2, 2)[:, :2], (f(2, 6),))
case("unfold_twice", lambda t, x: x.unfold(0, 2, 1).unfold(1, 2, 1), (f(3, 3),))
case("unfold_0d", lambda t, x: x.unfold(0, 1, 1) * 2 + x.unfold(0, 0, 1).sum(), (f(),))
