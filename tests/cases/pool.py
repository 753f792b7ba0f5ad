"""Pooling: maxima, means, norms over windows."""

from __future__ import annotations

from .base import case, distinct, f, pos, values

# One row reads best on one line.
# fmt: off

case("max_pool2d", lambda t, x: t.nn.functional.max_pool2d(x, 2), (distinct(1, 1, 4, 4),),
     (distinct(2, 3, 9, 7),), (distinct(2, 1, 50, 40),), (distinct(3, 4, 4),), (f(0, 1, 4, 4),))
case("max_pool2d_ties", lambda t, x: t.nn.functional.max_pool2d(x, 2, 1), (values([[[1.0] * 3] * 3]),),
     second=False)
case("max_pool2d_padded", lambda t, x: t.nn.functional.max_pool2d(x, 3, 2, 1, ceil_mode=True),
     (distinct(1, 1, 4, 4),), (distinct(2, 2, 7, 8),), (f(0, 1, 4, 4),))
case("max_pool2d_dilated", lambda t, x: t.nn.functional.max_pool2d(x, 2, 1, 0, 2),
     (distinct(1, 1, 4, 4),), (f(0, 1, 4, 4),))
case("avg_pool2d", lambda t, x: t.nn.functional.avg_pool2d(x, 2), (f(1, 1, 4, 4),), (f(2, 3, 9, 7),),
     (f(0, 1, 4, 4),))
case("avg_pool2d_padded", lambda t, x: t.nn.functional.avg_pool2d(
    x, 3, 2, 1, ceil_mode=True, count_include_pad=False), (f(1, 1, 4, 4),), (f(2, 2, 7, 8),),
    (f(0, 1, 4, 4),))
case("avg_pool2d_divisor", lambda t, x: t.nn.functional.avg_pool2d(x, (2, 3), divisor_override=2),
     (f(1, 1, 4, 4),), (f(0, 1, 4, 4),))
case("max_pool1d", lambda t, x: t.nn.functional.max_pool1d(x, 3, 2, 1), (distinct(1, 2, 6),),
     (distinct(2, 3, 9),), (distinct(3, 8),), (f(0, 2, 4),))
case("max_pool3d", lambda t, x: t.nn.functional.max_pool3d(x, (2, 3, 2), (1, 2, 2), (1, 1, 0)),
     (distinct(1, 1, 2, 4, 3),), (distinct(2, 2, 5, 6, 7),), (distinct(3, 4, 4, 4),),
     (f(0, 1, 4, 4, 4),))
case("max_pool2d_indices", lambda t, x: t.nn.functional.max_pool2d(
    x, (3, 2), 1, 1, (1, 2), return_indices=True)[1], (distinct(1, 1, 4, 4),),
     (distinct(2, 3, 7, 6),), (values([[[1.0] * 4] * 4]),), grad=False)
case("max_pool2d_with_indices", lambda t, x: t.nn.functional.max_pool2d(
    x, (3, 2), 2, 1, return_indices=True)[0], (distinct(1, 1, 4, 4),), (distinct(2, 3, 7, 6),),
     (distinct(3, 7, 6),))
case("max_pool2d_infinite", lambda t, x: t.nn.functional.max_pool2d(x, 3, 2, 1),
     (values([[[-float("inf")] * 4] * 4]),), second=False)
case("avg_pool1d", lambda t, x: t.nn.functional.avg_pool1d(x, 3, 2, 1, True, False), (f(1, 2, 6),),
     (f(2, 3, 8),), (f(3, 8),), (f(0, 2, 4),))
case("avg_pool3d", lambda t, x: t.nn.functional.avg_pool3d(x, (2, 3, 2), (1, 2, 2), (1, 1, 0)),
     (f(1, 1, 2, 4, 3),), (f(2, 2, 5, 6, 7),), (f(3, 4, 4, 4),), (f(0, 1, 4, 4, 4),),
     low=False)  # PyTorch has it in 32 and 64 bits only
case("lp_pool1d", lambda t, x: t.nn.functional.lp_pool1d(x, 3, 3, 2), (pos(1, 2, 6),), (pos(3, 8),))
case("lp_pool2d", lambda t, x: t.nn.functional.lp_pool2d(x, 2.0, (2, 3), ceil_mode=True),
     (pos(1, 2, 3, 4),), (pos(2, 3, 7, 8),), (pos(0, 2, 3, 4),))
case("lp_pool3d", lambda t, x: t.nn.functional.lp_pool3d(x, 2, 2), (pos(1, 1, 2, 2, 4),), low=False)
case("lp_pool2d_zero", lambda t, x: t.nn.functional.lp_pool2d(x, 2.0, 2),
     (values([[[[0.0, 0.0, 1.0, 2.0], [0.0, 0.0, 0.0, -1.0]]]]),), second=False)
