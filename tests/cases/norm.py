"""Normalisation and embedding."""

from __future__ import annotations

from .base import case, constant, f, given, ints, pos

# One row reads best on one line.
# fmt: off

case("layer_norm", lambda t, x, w, b: t.nn.functional.layer_norm(x, (3,), w, b),
     (f(2, 3), f(3), f(3)), (f(0, 3), f(3), f(3)), (f(5, 7, 3), f(3), f(3)))
case("layer_norm_wide", lambda t, x, w, b: t.nn.functional.layer_norm(x, (130,), w, b),
     (f(2, 130), f(130), f(130)), (f(0, 130), f(130), f(130)), second=False)
case("layer_norm_plain", lambda t, x: t.nn.functional.layer_norm(x, (2, 3)), (f(2, 2, 3),),
     (f(0, 2, 3),))
case("rms_norm", lambda t, x, w: t.nn.functional.rms_norm(x, (3,), w, 1e-4), (f(2, 3), f(3)),
     (f(5, 7, 3), f(3)), (f(0, 3), f(3)))
case("rms_norm_plain", lambda t, x: t.nn.functional.rms_norm(x, (3,)), (f(2, 3),), (f(0, 3),))
case("batch_norm", lambda t, x, w, b: t.nn.functional.batch_norm(x, None, None, w, b, training=True),
     (f(3, 2), f(2), f(2)), (f(3, 2, 2, 2), f(2), f(2)))
case("batch_norm_eval", lambda t, x, m, v, w, b: t.nn.functional.batch_norm(x, m, v, w, b),
     (f(3, 2), constant(f(2)), constant(pos(2)), f(2), f(2)),
     (f(0, 2), constant(f(2)), constant(pos(2)), f(2), f(2)))
case("embedding", lambda t, i, w: t.nn.functional.embedding(i, w), (given([[0, 2], [2, 1]]), f(3, 2)),
     (ints(0), f(3, 2)), (given(1), f(3, 2)), (ints(50, high=7), f(7, 33)))
case("embedding_padding", lambda t, i, w: t.nn.functional.embedding(i, w, padding_idx=-1),
     (given([[0, 2], [2, 1]]), f(3, 2)), (ints(0), f(3, 2)), (given(2), f(3, 2)), second=False)
