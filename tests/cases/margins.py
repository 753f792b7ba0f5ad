"""Losses of differences, likelihoods, margins, pairs and sequences."""

from __future__ import annotations

from typing import Any

import tapegrad as tg

from .base import case, constant, distinct, f, given, ints, pos, unit, values

# One row reads best on one line.
# fmt: off

_PAIR = [(distinct(2, 3), values([[0.01, 0.02, 0.03]] * 2)), (f(), values(0.01)),
         (f(0, 3), f(0, 3))]
_SIGNS = given([[1, -1, 1], [-1, -1, 1]])
for _r in ("mean", "sum", "none"):
    case(f"smooth_l1_{_r}", lambda t, x, y, r=_r: t.nn.functional.smooth_l1_loss(
         x, y, reduction=r, beta=0.5), *_PAIR)
    case(f"huber_{_r}", lambda t, x, y, r=_r: t.nn.functional.huber_loss(x, y, r, 0.5), *_PAIR)
    case(f"bce_{_r}", lambda t, x, y, w, r=_r: t.nn.functional.binary_cross_entropy(
         x, y, w, reduction=r), (unit(2, 3), unit(2, 3), constant(pos(3))),
         (unit(), unit(), constant(pos())), (unit(0, 3), unit(0, 3), constant(pos(3))))
    _divided = _r.replace("mean", "batchmean")  # PyTorch warns of "mean"
    case(f"kl_div_{_r}", lambda t, x, y, r=_divided: t.nn.functional.kl_div(x, y, reduction=r),
         (f(2, 3), unit(2, 3)), (f(), unit()), (f(0, 3), unit(0, 3)))
    case(f"poisson_nll_{_r}", lambda t, x, y, r=_r: t.nn.functional.poisson_nll_loss(
         x, y, full=True, reduction=r), (f(2, 3), constant(pos(2, 3))), (f(), constant(pos())),
         (f(0, 3), constant(pos(0, 3))))
    case(f"gaussian_nll_{_r}", lambda t, x, y, v, r=_r: t.nn.functional.gaussian_nll_loss(
         x, y, v, True, reduction=r), (f(2, 3), f(2, 3), pos(2, 3)), (f(2, 3), f(2, 3), pos(2)),
         (f(0, 3), f(0, 3), pos(0, 1)))
    case(f"soft_margin_{_r}", lambda t, x, y, r=_r: t.nn.functional.soft_margin_loss(
         x, y, reduction=r), (f(2, 3), _SIGNS), (f(), given(1)))
    case(f"hinge_embedding_{_r}", lambda t, x, y, r=_r: t.nn.functional.hinge_embedding_loss(
         x, y, 0.77, reduction=r), (f(2, 3), _SIGNS), (f(), given(-1)))
    case(f"multi_margin_{_r}", lambda t, x, y, w, r=_r: t.nn.functional.multi_margin_loss(
         x, y, 2, 0.63, w, reduction=r), (distinct(3, 4), given([1, 3, 0]), constant(pos(4))),
         (distinct(4), given(2), constant(pos(4))), low=False)
    case(f"multilabel_margin_{_r}", lambda t, x, y, r=_r: t.nn.functional.multilabel_margin_loss(
         x, y, reduction=r), (distinct(2, 3), given([[2, 0, -1], [1, -1, 1]])),
         (distinct(3), given([-1, 0, 1])), low=False)
    case(f"multilabel_soft_margin_{_r}", lambda t, x, y, w, r=_r:
         t.nn.functional.multilabel_soft_margin_loss(x, y, w, reduction=r),
         (f(2, 3), ints(2, 3, high=2), constant(pos(3))), (f(3), ints(3, high=2), constant(pos(3))))
    case(f"cosine_embedding_{_r}", lambda t, a, b, y, r=_r: t.nn.functional.cosine_embedding_loss(
         a, b, y, 0.1, reduction=r), (f(3, 4), f(3, 4), given([1, -1, -1])), (f(4), f(4), given(-1)))
    case(f"margin_ranking_{_r}", lambda t, a, b, y, r=_r: t.nn.functional.margin_ranking_loss(
         a, b, y, 0.13, reduction=r), (f(2, 3), f(2, 3), _SIGNS), (f(), f(), given(1)))
    case(f"triplet_margin_{_r}", lambda t, a, b, c, r=_r: t.nn.functional.triplet_margin_loss(
         a, b, c, 2.0, swap=True, reduction=r), (f(2, 3), f(2, 3), f(2, 3)), (f(3), f(3), f(3)))
case("l1_weighted", lambda t, x, y, w: t.nn.functional.l1_loss(x, y, weight=w),
     (distinct(2, 3), values([[0.01, 0.02, 0.03]] * 2), pos(2, 3)))
case("mse_weighted", lambda t, x, y, w: t.nn.functional.mse_loss(x, y, weight=w),
     (f(2, 3), f(2, 3), pos(2, 3)))
case("huber_far", lambda t, x, y: t.nn.functional.smooth_l1_loss(x, y, reduction="none"),
     (values([-3e4, -1.0, 0.5, 1.5, 3e4]), values([0.0] * 5)), second=False)
case("kl_div_log", lambda t, x, y: t.nn.functional.kl_div(x, y, reduction="batchmean",
     log_target=True), (f(2, 3), f(2, 3)))
case("kl_div_zero", lambda t, x, y: t.nn.functional.kl_div(x, y, reduction="sum"),
     (f(2, 3), constant(values([[0.0, 0.5, 0.5], [1.0, 0.0, 0.0]]))))
case("poisson_nll_rate", lambda t, x, y: t.nn.functional.poisson_nll_loss(x, y, False, eps=1e-3),
     (pos(2, 3), constant(pos(2, 3))))
case("bce_certain", lambda t, x, y: t.nn.functional.binary_cross_entropy(x, y, reduction="none"),
     (values([0.0, 1.0, 0.0, 1.0]), constant(values([0.0, 1.0, 1.0, 0.0]))), second=False, low=False)
case("linear_cross_entropy", lambda t, x, w, y, b: t.nn.functional.linear_cross_entropy(
     x, w, y, linear_bias=b), (f(3, 2), f(4, 2), given([1, 3, 0]), f(4)))
# (Its options are PyTorch's, but its second gradients are silently absent there.)
case("chunked_cross_entropy", lambda t, x, w, y, b: t.nn.functional.linear_cross_entropy(
     x, w, y, linear_bias=b, options=tg.nn.LinearCrossEntropyOptions(batch_chunk_size=2)
     if t is tg else None), (f(3, 2), f(4, 2), given([1, 3, 0]), f(4)))


def _ctc(t: Any, x: Any, targets: Any) -> Any:
    return t.nn.functional.ctc_loss(t.nn.functional.log_softmax(x, 2), targets, (5, 4), (2, 3),
                                    zero_infinity=True)


# Gradients of gradients are not there, and finite differences are left to test_nn.
case("ctc_loss", _ctc, (f(5, 2, 4), given([[1, 1, 0], [2, 3, 2]])), (f(5, 2, 4), given([1, 2, 3, 2, 1])),
     second=False, low=False)
