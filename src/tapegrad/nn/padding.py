"""Borders as modules. ``padding`` is one width, or (before, after) of the last dimension, then of
the one before it, and so on; a negative width cuts."""

from __future__ import annotations

from typing import ClassVar

from tapegrad.core.tensor import Tensor

from . import functional as F
from .module import Module
from .sizes import Size, sizes


class _Pad(Module):
    dims: ClassVar[int]
    mode: ClassVar[str]

    def __init__(self, padding: Size) -> None:
        super().__init__()
        self.padding = sizes(type(self).__name__, "padding", padding, 2 * self.dims)

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ReflectionPad1d(_Pad):
    """Mirrors sequences, (N, C, width), at their first and last elements."""

    dims, mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """Mirrors images, (N, C, height, width), at their outer pixels."""

    dims, mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """Mirrors volumes, (N, C, depth, height, width), at their outer elements."""

    dims, mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """Repeats the first and last elements of sequences, (N, C, width)."""

    dims, mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """Repeats the outer pixels of images, (N, C, height, width)."""

    dims, mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """Repeats the outer elements of volumes, (N, C, depth, height, width)."""

    dims, mode = 3, "replicate"


class CircularPad1d(_Pad):
    """Continues sequences, (N, C, width), with their other end."""

    dims, mode = 1, "circular"


class CircularPad2d(_Pad):
    """Continues images, (N, C, height, width), with their other ends."""

    dims, mode = 2, "circular"


class CircularPad3d(_Pad):
    """Continues volumes, (N, C, depth, height, width), with their other ends."""

    dims, mode = 3, "circular"


class _ConstantPad(_Pad):
    mode = "constant"

    def __init__(self, padding: Size, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """A border of ``value`` around sequences, (N, C, width)."""

    dims = 1


class ConstantPad2d(_ConstantPad):
    """A border of ``value`` around images, (N, C, height, width)."""

    dims = 2


class ConstantPad3d(_ConstantPad):
    """A border of ``value`` around volumes, (N, C, depth, height, width)."""

    dims = 3


class ZeroPad1d(_Pad):
    """A border of zeros around sequences, (N, C, width)."""

    dims, mode = 1, "constant"


class ZeroPad2d(_Pad):
    """A border of zeros around images, (N, C, height, width)."""

    dims, mode = 2, "constant"


class ZeroPad3d(_Pad):
    """A border of zeros around volumes, (N, C, depth, height, width)."""

    dims, mode = 3, "constant"
