"""Borders as modules. ``padding`` is one width, or (before, after) of the last dimension, then of
the one before it, and so on; a negative width cuts. Another number of widths is a ValueError."""

from __future__ import annotations

from typing import ClassVar

from tapegrad.core.tensor import Tensor

from . import functional as F
from .layer import FunctionLayer
from .sizes import Size, sizes


class _Pad(FunctionLayer):
    mode: ClassVar[str] = "constant"
    value: float | None = None
    _shown = "padding"

    def __init__(self, padding: Size) -> None:
        self._take(locals())
        self.padding = sizes(type(self).__name__, "padding", padding, 2 * self.dims)

    def forward(self, input: Tensor) -> Tensor:
        if self.mode == "circular" and input.ndim not in (self.dims + 1, self.dims + 2):
            raise ValueError(
                f"{type(self).__name__} expects an input of {self.dims + 1} or {self.dims + 2} "
                f"dimensions, got {tuple(input.shape)}"
            )
        return F.pad(input, self.padding, self.mode, self.value)


class ReflectionPad1d(_Pad, dims=1, mode="reflect"):
    """Mirrors sequences, (N, C, width) or (C, width), at their first and last elements."""


class ReflectionPad2d(_Pad, dims=2, mode="reflect"):
    """Mirrors images, (N, C, height, width) or (C, height, width), at their outer pixels."""


class ReflectionPad3d(_Pad, dims=3, mode="reflect"):
    """Mirrors volumes, (N, C, depth, height, width), at their outer elements."""


class ReplicationPad1d(_Pad, dims=1, mode="replicate"):
    """Repeats the first and last elements of sequences, (N, C, width) or (C, width)."""


class ReplicationPad2d(_Pad, dims=2, mode="replicate"):
    """Repeats the outer pixels of images, (N, C, height, width) or (C, height, width)."""


class ReplicationPad3d(_Pad, dims=3, mode="replicate"):
    """Repeats the outer elements of volumes, (N, C, depth, height, width)."""


class CircularPad1d(_Pad, dims=1, mode="circular"):
    """Continues sequences, (N, C, width) or (C, width), with their other end."""


class CircularPad2d(_Pad, dims=2, mode="circular"):
    """Continues images, (N, C, height, width) or (C, height, width), with their other ends."""


class CircularPad3d(_Pad, dims=3, mode="circular"):
    """Continues volumes, (N, C, depth, height, width), with their other ends."""


class _ConstantPadNd(_Pad):
    _shown = "padding=, value="

    def __init__(self, padding: Size, value: float) -> None:
        super().__init__(padding)
        self.value = value


class ConstantPad1d(_ConstantPadNd, dims=1):
    """A border of ``value`` around sequences, (N, C, width)."""


class ConstantPad2d(_ConstantPadNd, dims=2):
    """A border of ``value`` around images, (N, C, height, width)."""


class ConstantPad3d(_ConstantPadNd, dims=3):
    """A border of ``value`` around volumes, (N, C, depth, height, width)."""


class ZeroPad1d(_Pad, dims=1):
    """A border of zeros around sequences, (N, C, width)."""


class ZeroPad2d(_Pad, dims=2):
    """A border of zeros around images, (N, C, height, width)."""


class ZeroPad3d(_Pad, dims=3):
    """A border of zeros around volumes, (N, C, depth, height, width)."""
