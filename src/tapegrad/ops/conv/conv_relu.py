"""A convolution and ReLU as one operation: where kernels convolve, ReLU is taken of the sums before
they are stored, and costs no pass over memory. Its slope is told from the result, as ReLU's is."""

from __future__ import annotations

from typing import Any

from tapegrad.core.memory import Array
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_tensor

from .conv import convolved
from .primitives import gradient_of_bias
from .sliding_window import Geometry, Sizes


def _rule(
    xp: Any, g: Array, y: Array, x: Array, weight: Array, geometry: Geometry, needs: tuple
) -> tuple:
    g = xp.relu_backward(g, y)
    dx = dweight = dbias = None
    if needs[0]:
        dx = xp.convolution_input(g, weight, size=tuple(x.shape[2:]), geometry=geometry)
    if needs[1]:
        dweight = xp.convolution_weight(x, g, kernel=tuple(weight.shape[2:]), geometry=geometry)
    if needs[2]:
        dbias = gradient_of_bias(xp, g)
    return dx, dweight, dbias


@primitive("convolution_relu", vjp_all=_rule)
def _convolution_relu(
    xp: Any, x: Array, weight: Array, bias: Any, *, out: Sizes, geometry: Geometry
) -> Array:
    """As ``convolution``."""
    return xp.relu(xp.convolution(x, weight, bias, out=out, geometry=geometry))


def cudnn_convolution_relu(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> Tensor:
    """``relu(conv2d(input, weight, bias, stride, padding, dilation, groups))``, or ``conv1d`` or
    ``conv3d``, as the weight has 3 to 5 dimensions: with kernels, in one pass. ``nn.Sequential`` of
    a convolution and a ReLU calls it there. The name is PyTorch's; no cuDNN is asked, so it runs on
    all devices, and it has gradients.

    Raises RuntimeError as these functions do.
    """
    op = "cudnn_convolution_relu"
    require_tensor(op, weight)
    if not 3 <= weight.ndim <= 5:
        raise RuntimeError(
            f"[{op}] expects a weight (out, in / groups, kernel sizes) of 3 to 5 dimensions, got "
            f"shape {tuple(weight.shape)}"
        )
    how = (stride, padding, dilation, groups)
    return convolved(_convolution_relu, op, weight.ndim - 2, input, weight, bias, *how)
