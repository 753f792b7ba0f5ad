"""Convolution and pooling."""

from __future__ import annotations

from .base import case, distinct, f, values

# One row reads best on one line.
# fmt: off

case("conv2d", lambda t, x, w, b: t.nn.functional.conv2d(x, w, b, padding=1),
     (f(1, 2, 3, 3), f(2, 2, 2, 2), f(2)), (f(2, 3, 8, 9), f(4, 3, 3, 3), f(4)),
     (f(0, 2, 4, 4), f(2, 2, 3, 3), f(2)))
case("conv2d_stride", lambda t, x, w: t.nn.functional.conv2d(x, w, stride=2, dilation=(2, 1)),
     (f(1, 1, 5, 4), f(2, 1, 2, 2)), (f(2, 3, 11, 10), f(4, 3, 3, 2)), (f(0, 1, 5, 4), f(2, 1, 2, 2)))
case("conv2d_groups", lambda t, x, w: t.nn.functional.conv2d(x, w, padding=(1, 0), groups=2),
     (f(1, 2, 3, 3), f(4, 1, 2, 2)), (f(2, 4, 6, 7), f(6, 2, 3, 3)), (f(0, 2, 3, 3), f(4, 1, 2, 2)))
case("conv2d_same", lambda t, x, w: t.nn.functional.conv2d(x, w, padding="same"),
     (f(1, 1, 3, 3), f(1, 1, 2, 2)), (f(2, 4, 4), f(3, 2, 3, 3)), (f(0, 1, 3, 3), f(1, 1, 2, 2)))
case("max_pool2d", lambda t, x: t.nn.functional.max_pool2d(x, 2), (distinct(1, 1, 4, 4),),
     (distinct(2, 3, 9, 7),), (distinct(3, 4, 4),), (f(0, 1, 4, 4),))
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
