"""Pooling over windows of one, two and three dimensions, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from tapegrad.core.tensor import Tensor

from . import functional as F
from .module import Module
from .sizes import Size, sizes


class _Pooling(Module):
    dims: ClassVar[int]

    def _function(self, name: str) -> Any:
        return getattr(F, f"{name}{self.dims}d")


class _MaxPool(_Pooling):
    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Any:
        return self._function("max_pool")(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    """Maxima of windows of sequences, (N, C, width)."""

    dims = 1


class MaxPool2d(_MaxPool):
    """Maxima of windows of images, (N, C, height, width); return_indices: and where they are."""

    dims = 2


class MaxPool3d(_MaxPool):
    """Maxima of windows of volumes, (N, C, depth, height, width)."""

    dims = 3


class _MaxUnpool(_Pooling):
    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> None:
        super().__init__()
        layer = type(self).__name__
        self.kernel_size = sizes(layer, "kernel_size", kernel_size, self.dims)
        self.stride = (
            self.kernel_size if stride is None else sizes(layer, "stride", stride, self.dims)
        )
        self.padding = sizes(layer, "padding", padding, self.dims)

    def forward(
        self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None
    ) -> Tensor:
        return self._function("max_unpool")(
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """Maxima back where ``MaxPool1d`` found them, zeros elsewhere."""

    dims = 1


class MaxUnpool2d(_MaxUnpool):
    """Maxima back where ``MaxPool2d`` found them, zeros elsewhere."""

    dims = 2


class MaxUnpool3d(_MaxUnpool):
    """Maxima back where ``MaxPool3d`` found them, zeros elsewhere."""

    dims = 3


class AvgPool1d(_Pooling):
    """Means of windows of sequences, (N, C, width)."""

    dims = 1

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = sizes("AvgPool1d", "kernel_size", kernel_size, 1)
        self.stride = (
            self.kernel_size if stride is None else sizes("AvgPool1d", "stride", stride, 1)
        )
        self.padding = sizes("AvgPool1d", "padding", padding, 1)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool1d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _AvgPool(_Pooling):
    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        return self._function("avg_pool")(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(_AvgPool):
    """Means of windows of images, (N, C, height, width)."""

    dims = 2


class AvgPool3d(_AvgPool):
    """Means of windows of volumes, (N, C, depth, height, width)."""

    dims = 3


class _LPPool(_Pooling):
    def __init__(
        self,
        norm_type: float,
        kernel_size: Size,
        stride: Size | None = None,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        return self._function("lp_pool")(
            input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode
        )

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool):
    """Norms of windows of sequences, (N, C, width)."""

    dims = 1


class LPPool2d(_LPPool):
    """Norms of windows of images, (N, C, height, width)."""

    dims = 2


class LPPool3d(_LPPool):
    """Norms of windows of volumes, (N, C, depth, height, width)."""

    dims = 3
