"""A convolution and a ReLU, one after the other, as one operation."""

from __future__ import annotations

from typing import Any

from tapegrad.core.tensor import Tensor
from tapegrad.ops.catalog import doors

from .activation import ReLU
from .conv import Conv1d, Conv2d, Conv3d

_FUNCTION = doors["tg"]["cudnn_convolution_relu"]


def is_conv_relu(*modules: Any) -> bool:
    """Whether these are such modules as their classes say, without hooks."""
    return (
        len(modules) == 2
        and type(modules[0]) in (Conv1d, Conv2d, Conv3d)
        and isinstance(modules[1], ReLU)
        and modules[0]._is_just(type(modules[0]))
        and modules[1]._is_just(ReLU)
    )


def conv_relu(input: Tensor, convolution: Any, activation: Any) -> Tensor:
    """``activation(convolution(input))``"""
    return convolution._convolved(input, _FUNCTION.load())
