"""Activations in straight pieces, gates, and what is made of softmax."""

from __future__ import annotations

from .base import FAR, ONE, case, f, given, pos, values

# One row reads best on one line.
# fmt: off

_SMOOTH = ("mish", "selu", "logsigmoid", "softsign", "tanhshrink")
_PIECES = ("hardtanh", "relu6", "hardshrink", "softshrink", "hardsigmoid", "hardswish")
for _name in (*_SMOOTH, *_PIECES):
    case(_name, lambda t, x, n=_name: getattr(t.nn.functional, n)(x), *ONE, (f(9, 13),))
    case(f"{_name}_far", lambda t, x, n=_name: getattr(t.nn.functional, n)(x), (FAR,))
for _name in _PIECES:  # 1 / 6 is a float32 in PyTorch's gradient of hardsigmoid
    case(f"{_name}_at_kinks", lambda t, x, n=_name: getattr(t.nn.functional, n)(x),
         (values([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0, 6.0]),), second=False)
case("celu", lambda t, x: t.nn.functional.celu(x, 0.7), *ONE, (FAR,))
case("hardtanh_bounds", lambda t, x: t.nn.functional.hardtanh(x, -0.7, 1.1), *ONE)
case("threshold", lambda t, x: t.nn.functional.threshold(x, 0.17, 2.5), *ONE)
case("prelu", lambda t, x, w: t.nn.functional.prelu(x, w), (f(2, 3), f(3)), (f(2, 3, 4), f(3)),
     (f(5), f(1)), (f(), f(1)), (f(0, 3), f(3)), (f(2, 3), f(1)))
case("prelu_at_zero", lambda t, x, w: t.nn.functional.prelu(x, w), (values([0.0, -0.0, 1.0]), f(1)),
     second=False)
case("rrelu_eval", lambda t, x: t.nn.functional.rrelu(x, 0.1, 0.3), *ONE)
case("glu", lambda t, x: t.nn.functional.glu(x, 0) * 2, (f(4, 3),), (f(2),), (f(4, 0),))
case("softmin", lambda t, x: t.nn.functional.softmin(x, -1), *ONE, (f(2, 0),))
for _name in ("elu", "leaky_relu", "silu", "selu", "celu", "hardtanh", "hardsigmoid", "hardswish",
              "mish", "relu6", "rrelu"):
    case(f"{_name}_in_place",
         lambda t, x, n=_name: getattr(t.nn.functional, n)(x * 2, inplace=True) * x, *ONE)
case("threshold_in_place", lambda t, x: t.nn.functional.threshold(x * 2, 0.1, 3.0, inplace=True) * x,
     *ONE)

case("attention", lambda t, q, k, v: t.nn.functional.scaled_dot_product_attention(q, k, v),
     (f(1, 2, 3), f(1, 4, 3), f(1, 4, 2)), (f(2, 3, 5, 8), f(2, 3, 7, 8), f(2, 3, 7, 4)),
     (f(0, 2, 3), f(0, 4, 3), f(0, 4, 2)))
case("attention_causal", lambda t, q, k, v: t.nn.functional.scaled_dot_product_attention(
     q, k, v, is_causal=True, scale=0.3), (f(1, 3, 2), f(1, 3, 2), f(1, 3, 2)),
     (f(2, 5, 8), f(2, 4, 8), f(2, 4, 3)))
case("attention_masked", lambda t, q, k, v, m: t.nn.functional.scaled_dot_product_attention(
     q, k, v, attn_mask=m), (f(2, 2, 3), f(2, 3, 3), f(2, 3, 2),
     given([[True, False, True], [False, True, True]])))
case("attention_biased", lambda t, q, k, v, m: t.nn.functional.scaled_dot_product_attention(
     q, k, v, attn_mask=m), (f(2, 2, 3), f(2, 3, 3), f(2, 3, 2), f(2, 3)))
case("attention_grouped", lambda t, q, k, v: t.nn.functional.scaled_dot_product_attention(
     q, k, v, enable_gqa=True), (f(1, 4, 2, 3), f(1, 2, 3, 3), f(1, 2, 3, 3)))

case("cosine_similarity", lambda t, a, b: t.nn.functional.cosine_similarity(a, b),
     (f(2, 3), f(2, 3)), (f(2, 3, 4), f(3, 1)), (f(0, 3), f(0, 3)))
case("cosine_similarity_short", lambda t, a, b: t.nn.functional.cosine_similarity(a, b, -1, 5.0),
     (f(2, 3), f(2, 3)), second=False)
case("pairwise_distance", lambda t, a, b: t.nn.functional.pairwise_distance(a, b),
     (f(2, 3), f(2, 3)), (f(2, 4, 3), f(3)), (f(0, 3), f(0, 3)))
case("pairwise_distance_3", lambda t, a, b: t.nn.functional.pairwise_distance(a, b, 3.0, 0.1, True),
     (f(2, 3), f(2, 3)))
case("normalize", lambda t, x: t.nn.functional.normalize(x), (f(2, 3),), (f(2, 3, 4),), (f(0, 3),))
case("normalize_1", lambda t, x: t.nn.functional.normalize(x, 1.0, 0), (pos(2, 3),), (f(3),))
