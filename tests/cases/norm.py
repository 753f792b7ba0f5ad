"""Normalisation and embedding."""

from __future__ import annotations

from .base import case, constant, f, given, ints, pos

# One row reads best on one line.
# fmt: off

case("layer_norm", lambda t, x, w, b: t.nn.functional.layer_norm(x, (3,), w, b),
     (f(2, 3), f(3), f(3)), (f(0, 3), f(3), f(3)), (f(5, 7, 3), f(3), f(3)))
case("layer_norm_wide", lambda t, x, w, b: t.nn.functional.layer_norm(x, (130,), w, b),
     (f(2, 130), f(130), f(130)), (f(0, 130), f(130), f(130)), second=False)
case("layer_norm_bias", lambda t, x, b: t.nn.functional.layer_norm(x, (3,), None, b),
     (f(2, 3), f(3)), (f(0, 3), f(3)))
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
case("embedding_of_no_columns", lambda t, i, w: t.nn.functional.embedding(i, w), (given([[0, 2], [2, 1]]), f(3, 0)))
case("embedding_padding", lambda t, i, w: t.nn.functional.embedding(i, w, padding_idx=-1),
     (given([[0, 2], [2, 1]]), f(3, 2)), (ints(0), f(3, 2)), (given(2), f(3, 2)), second=False)
case("batch_norm_empty", lambda t, x, w, b: t.nn.functional.batch_norm(x, None, None, w, b, training=True),
     (f(0, 2), f(2), f(2)), (f(0, 2, 3), f(2), f(2)))
case("group_norm", lambda t, x, w, b: t.nn.functional.group_norm(x, 2, w, b), (f(2, 4, 2), f(4), f(4)),
     (f(3, 6), f(6), f(6)), (f(2, 2, 40), f(2), f(2)), (f(0, 4, 2), f(4), f(4)))
case("group_norm_plain", lambda t, x: t.nn.functional.group_norm(x, 1), (f(2, 3, 2),), (f(0, 3, 2),))
case("instance_norm", lambda t, x, w, b: t.nn.functional.instance_norm(x, None, None, w, b),
     (f(2, 2, 3), f(2), f(2)), (f(2, 3, 4, 5), f(3), f(3)))
case("instance_norm_plain", lambda t, x: t.nn.functional.instance_norm(x), (f(2, 2, 3),), (f(0, 2, 3),))
case("instance_norm_eval", lambda t, x, m, v: t.nn.functional.instance_norm(x, m, v,
     use_input_stats=False), (f(2, 2, 3), constant(f(2)), constant(pos(2))))
case("local_response_norm", lambda t, x: t.nn.functional.local_response_norm(x, 3, 0.3, 0.6, 1.5),
     (f(2, 4, 2),), (f(0, 4, 2),))
case("local_response_norm_4d", lambda t, x: t.nn.functional.local_response_norm(x, 2, 0.3),
     (f(1, 2, 3, 2),), low=False)  # PyTorch has no float16 there
case("local_response_norm_wide", lambda t, x: t.nn.functional.local_response_norm(x, 6, 0.3),
     (f(2, 3, 2),))
case("embedding_by_frequency", lambda t, i, w: t.nn.functional.embedding(i, w, scale_grad_by_freq=True),
     (given([[0, 2], [2, 1]]), f(3, 2)), (given(1), f(3, 2)), second=False)
_BAGS = (given([0, 2, 2, 1, 0]), f(3, 2), given([0, 2, 2, 3]))
for _mode in ("sum", "mean", "max"):
    case(f"embedding_bag_{_mode}", lambda t, i, w, o, m=_mode: t.nn.functional.embedding_bag(
         i, w, o, mode=m), _BAGS, (ints(40, high=7), f(7, 33), given([0, 17, 18])),
         (ints(0), f(3, 2), given([0, 0])))
    case(f"embedding_bag_rows_{_mode}", lambda t, i, w, m=_mode: t.nn.functional.embedding_bag(
         i, w, mode=m, padding_idx=1), (given([[0, 2, 1], [1, 1, 1]]), f(3, 2)))
    case(f"embedding_bag_ends_{_mode}", lambda t, i, w, o, m=_mode: t.nn.functional.embedding_bag(
         i, w, o, mode=m, include_last_offset=True), (given([0, 2, 2, 1]), f(3, 2), given([0, 1, 1, 4])))
case("embedding_bag_weighted", lambda t, i, w, o, s: t.nn.functional.embedding_bag(
     i, w, o, mode="sum", per_sample_weights=s), (*_BAGS, f(5)))
case("one_hot", lambda t, i: t.nn.functional.one_hot(i, 4) + t.nn.functional.one_hot(i).sum(),
     (given([[0, 2], [3, 1]]),), (given(2),), grad=False)
