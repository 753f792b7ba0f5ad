"""Softmax and losses."""

from __future__ import annotations

import math

from .base import FAR, ONE, case, constant, distinct, f, given, ints, pos, unit, values

# One row reads best on one line.
# fmt: off

for _name in ("softmax", "log_softmax"):
    case(_name, lambda t, x, n=_name: getattr(t, n)(x, -1), *ONE, (f(2, 0),), (f(5, 40),),
         (f(3, 1100),))
    case(_name + "_dim0", lambda t, x, n=_name: getattr(x, n)(0), *ONE, (f(3, 2, 2),))
    case(_name + "_large", lambda t, x, n=_name: getattr(x, n)(1),
         (values([[1e4, -1e4, 9.9e3], [-math.inf, 1.0, 2.0]]),), grad=False, low=False)
case("log_softmax_inf", lambda t, x: t.nn.functional.log_softmax(x, 1)[:, 1:],
     (values([[-math.inf, 1.0, 2.0]]),), second=False, low=False)

_CE = (f(3, 4), given([1, 3, 0]))
_CE_MORE = [(f(4), given(2)), (f(0, 4), ints(0))]
for _reduction in ("mean", "sum", "none"):
    case(f"cross_entropy_{_reduction}", lambda t, x, y, r=_reduction: t.nn.functional.cross_entropy(
        x, y, reduction=r), _CE, *_CE_MORE, (f(2, 3, 2), given([[0, 2], [1, 1]])),
        (f(40, 70), ints(40, high=70)), (f(7, 1200), ints(7, high=1200)))
    case(f"cross_entropy_all_{_reduction}", lambda t, x, y, w, r=_reduction:
         t.nn.functional.cross_entropy(x, y, w, ignore_index=3, label_smoothing=0.1, reduction=r),
         *[(*sample, constant(pos(4))) for sample in (_CE, *_CE_MORE)],
         (f(40, 70), ints(40, high=9), constant(pos(70))))
    case(f"cross_entropy_probabilities_{_reduction}", lambda t, x, y, w, r=_reduction:
         t.nn.functional.cross_entropy(x, y, w, label_smoothing=0.2, reduction=r),
         (f(3, 4), unit(3, 4), constant(pos(4))), (f(4), unit(4), constant(pos(4))),
         (f(2, 3, 2), unit(2, 3, 2), constant(pos(3))), (f(0, 4), unit(0, 4), constant(pos(4))))
    case(f"nll_loss_{_reduction}", lambda t, x, y, w, r=_reduction: t.nn.functional.nll_loss(
        x, y, w, ignore_index=3, reduction=r),
        *[(*sample, constant(pos(4))) for sample in (_CE, *_CE_MORE)],
        (f(2, 3, 2), given([[0, 2], [1, 1]]), constant(pos(3))))
    case(f"mse_loss_{_reduction}", lambda t, x, y, r=_reduction: t.nn.functional.mse_loss(
        x, y, reduction=r), (f(2, 3), f(2, 3)), (f(), f()), (f(0, 3), f(0, 3)))
    case(f"l1_loss_{_reduction}", lambda t, x, y, r=_reduction: t.nn.functional.l1_loss(
        x, y, reduction=r), (distinct(2, 3), values([[0.01, 0.02, 0.03]] * 2)), (f(), values(0.01)),
        (f(0, 3), f(0, 3)))
    case(f"bce_with_logits_{_reduction}", lambda t, x, y, w, p, r=_reduction:
         t.nn.functional.binary_cross_entropy_with_logits(x, y, w, reduction=r, pos_weight=p),
         (f(2, 3), unit(2, 3), constant(pos(3)), constant(pos(3))),
         (f(), unit(), constant(pos()), constant(pos())),
         (f(0, 3), unit(0, 3), constant(pos(3)), constant(pos(3))))
case("bce_with_logits_far", lambda t, x, y: t.nn.functional.binary_cross_entropy_with_logits(
    x, y, reduction="none"), (FAR, unit(6)))
case("cross_entropy_ignored", lambda t, x, y: t.nn.functional.cross_entropy(x, y, ignore_index=1),
     (f(2, 3), given([1, 1])), second=False)
case("cross_entropy_smoothed", lambda t, x, y: t.nn.functional.cross_entropy(
    x, y, label_smoothing=0.3), _CE, *_CE_MORE)
