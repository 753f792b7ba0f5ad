"""The order of dimensions in the memory of weights, of which there is one."""

from __future__ import annotations

from typing import Any

from ..module import Module


def convert_conv2d_weight_memory_format(module: Module, memory_format: Any) -> Module:
    """The module as it is: kernels read rows, whatever format is asked for."""
    return module


def convert_conv3d_weight_memory_format(module: Module, memory_format: Any) -> Module:
    """The module as it is: kernels read rows, whatever format is asked for."""
    return module
