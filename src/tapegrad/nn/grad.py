"""The gradients of convolutions with respect to their input and their weight, as functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tapegrad.autograd.backward import grad
from tapegrad.core.modes import enable_grad
from tapegrad.core.tensor import Tensor

from . import functional as F
from .sizes import Size


def _zeros(like: Tensor, shape: Sequence[int]) -> Tensor:
    """A stand-in for an operand that a gradient does not depend on."""
    return like.new_zeros(tuple(shape)).requires_grad_()


def _for_input(convolution: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def gradient(
        input_size: Sequence[int],
        weight: Tensor,
        grad_output: Tensor,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        groups: int = 1,
    ) -> Tensor:
        """The gradient with respect to an input of shape ``input_size`` of the convolution with
        ``weight``, whose result has the gradient ``grad_output``. Raises RuntimeError for shapes
        that do not go together."""
        with enable_grad():
            x = _zeros(grad_output, input_size)
            y = convolution(x, weight.detach(), None, stride, padding, dilation, groups)
        return grad(y, x, grad_output)[0]  # type: ignore[return-value]

    return gradient


def _for_weight(convolution: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def gradient(
        input: Tensor,
        weight_size: Sequence[int],
        grad_output: Tensor,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        groups: int = 1,
    ) -> Tensor:
        """The gradient with respect to a weight of shape ``weight_size`` of the convolution of
        ``input``, whose result has the gradient ``grad_output``. Raises RuntimeError for shapes
        that do not go together."""
        with enable_grad():
            w = _zeros(grad_output, weight_size)
            y = convolution(input.detach(), w, None, stride, padding, dilation, groups)
        return grad(y, w, grad_output)[0]  # type: ignore[return-value]

    return gradient


conv1d_input, conv1d_weight = _for_input(F.conv1d), _for_weight(F.conv1d)
conv2d_input, conv2d_weight = _for_input(F.conv2d), _for_weight(F.conv2d)
conv3d_input, conv3d_weight = _for_input(F.conv3d), _for_weight(F.conv3d)
