"""A convolution and ReLU as one operation: where kernels convolve, ReLU is taken of the sums before
they are stored, and costs no pass over memory. Its slope is told from the result, as ReLU's is."""

from __future__ import annotations

from typing import Any

from tapegrad.core.memory import Array
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_tensor

from .conv import conv
from .primitives import gradient_of_bias, gradient_of_input, gradient_of_weight
from .sliding_window import Geometry, Sizes


def _rule(
    xp: Any, g: Array, y: Array, x: Array, weight: Array, geometry: Geometry, needs: tuple
) -> tuple:
    g = xp.relu_backward(g, y)
    return (
        gradient_of_input(xp, g, weight, x.shape, geometry) if needs[0] else None,
        gradient_of_weight(xp, g, x, weight.shape, geometry) if needs[1] else None,
        gradient_of_bias(xp, g) if needs[2] else None,
    )


@primitive("convolution_relu", vjp_all=_rule)
def _convolution_relu(
    xp: Any, x: Array, weight: Array, bias: Any, *, out: Sizes, geometry: Geometry
) -> Array:
    """As ``convolution``."""
    return xp.relu(xp.convolution(x, weight, bias, out=out, geometry=geometry))


_NAME = "cudnn_convolution_relu"
_BY_DIMENSIONS = {dims: conv(_NAME, dims, _convolution_relu) for dims in (1, 2, 3)}


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
    require_tensor(_NAME, weight)
    if weight.ndim - 2 not in _BY_DIMENSIONS:
        raise RuntimeError(
            f"[{_NAME}] expects a weight (out, in / groups, kernel sizes) of 3 to 5 dimensions, "
            f"got shape {tuple(weight.shape)}"
        )
    call = _BY_DIMENSIONS[weight.ndim - 2]
    return call(input, weight, bias, stride, padding, dilation, groups)
