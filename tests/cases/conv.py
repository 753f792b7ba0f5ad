"""Convolution and its transpose."""

from __future__ import annotations

from .base import case, f

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
case("conv2d_flat", lambda t, x, w: t.nn.functional.conv2d(x, w, padding=1),
     (f(1, 1, 6, 6), f(1, 1, 3, 3)), (f(2, 3, 16, 15), f(4, 3, 3, 3)), (f(1, 2, 12), f(1, 1, 1, 1)))


def _conv_relu(t, x, w, b, *how):
    if t.__name__ == "tapegrad":
        return t.cudnn_convolution_relu(x, w, b, *how)
    convolve = getattr(t, f"conv{w.ndim - 2}d")  # PyTorch's asks cuDNN
    return t.relu(convolve(x, w, b, *how))


case("conv_relu", lambda t, x, w, b: _conv_relu(t, x, w, b, 1, 1, 1, 1),
     (f(1, 2, 3, 3), f(2, 2, 2, 2), f(2)), (f(2, 8, 8, 9), f(12, 8, 3, 3), f(12)),
     (f(2, 3, 9), f(4, 3, 4), f(4)), (f(2, 2, 5, 6, 4), f(3, 2, 3, 2, 3), f(3)),
     (f(0, 2, 4, 4), f(2, 2, 3, 3), f(2)))
case("conv_relu_strided", lambda t, x, w: _conv_relu(t, x, w, None, (2, 1), (0, 1), (1, 2), 1),
     (f(1, 1, 5, 4), f(2, 1, 2, 2)), (f(2, 3, 11, 10), f(4, 3, 3, 2)))
case("conv_relu_groups", lambda t, x, w, b: _conv_relu(t, x, w, b, 1, 1, 1, 2),
     (f(1, 2, 3, 3), f(2, 1, 2, 2), f(2)), (f(2, 16, 5, 6), f(32, 8, 3, 3), f(32)))
case("conv_relu_of_views", lambda t, x, w, b: _conv_relu(
    t, x.movedim(-1, 1), w.transpose(0, 1), b[::2], 1, 1, 1, 1),
     (f(1, 3, 3, 2), f(2, 2, 2, 2), f(4)), (f(2, 5, 6, 8), f(8, 4, 3, 3), f(8)))
case("conv1d", lambda t, x, w, b: t.nn.functional.conv1d(x, w, b, padding=2),
     (f(1, 2, 4), f(2, 2, 3), f(2)), (f(2, 3, 9), f(4, 3, 4), f(4)), (f(0, 2, 4), f(2, 2, 3), f(2)),
     (f(2, 7), f(3, 2, 1), f(3)))
case("conv1d_strided", lambda t, x, w: t.conv1d(x, w, None, 3, "valid", 2, 2),
     (f(1, 2, 6), f(2, 1, 2)), (f(2, 4, 12), f(6, 2, 3)))
case("conv3d", lambda t, x, w, b: t.nn.functional.conv3d(x, w, b, padding=(1, 0, 1)),
     (f(1, 1, 2, 3, 2), f(2, 1, 2, 2, 2), f(2)), (f(2, 2, 5, 6, 4), f(3, 2, 3, 2, 3), f(3)),
     (f(0, 1, 2, 3, 2), f(2, 1, 2, 2, 2), f(2)))
case("conv3d_strided", lambda t, x, w: t.conv3d(x, w, None, (1, 2, 1), 1, (1, 1, 2), 2),
     (f(1, 2, 2, 3, 3), f(2, 1, 2, 1, 2)), (f(4, 3, 4, 5), f(2, 2, 2, 3, 2)))
case("conv_transpose1d", lambda t, x, w, b: t.conv_transpose1d(x, w, b, 3, 1, 2),
     (f(1, 2, 3), f(2, 2, 3), f(2)), (f(2, 3, 5), f(3, 4, 4), f(4)), (f(0, 2, 3), f(2, 2, 3), f(2)),
     (f(2, 3), f(2, 2, 3), f(2)))
case("conv_transpose2d", lambda t, x, w, b: t.conv_transpose2d(x, w, b, padding=(1, 0)),
     (f(1, 2, 2, 3), f(2, 2, 3, 2), f(2)), (f(2, 3, 5, 6), f(3, 4, 3, 3), f(4)),
     (f(0, 2, 2, 3), f(2, 2, 3, 2), f(2)))
case("conv_transpose2d_strided", lambda t, x, w: t.nn.functional.conv_transpose2d(
    x, w, None, (2, 1), 1, (1, 1), 2, (1, 2)), (f(1, 2, 2, 3), f(2, 1, 2, 2)),
     (f(2, 4, 4, 5), f(4, 3, 3, 3)))
case("conv_transpose3d", lambda t, x, w: t.conv_transpose3d(x, w, None, (1, 2, 1), 1),
     (f(1, 1, 2, 2, 2), f(1, 2, 3, 2, 2)), (f(2, 2, 3, 4, 3), f(2, 3, 3, 3, 2)),
     (f(0, 1, 2, 2, 2), f(1, 2, 3, 2, 2)))
case("conv_tbc", lambda t, x, w, b: t.conv_tbc(x, w, b, 1), (f(3, 2, 2), f(2, 2, 3), f(3)))
