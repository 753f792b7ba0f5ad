"""Pooling to a given size, and over windows at random places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from tapegrad.core.tensor import Tensor

from . import functional as F
from .module import Module
from .sizes import Size, sizes

OutputSize = int | None | Sequence[int | None]


class _Adaptive(Module):
    dims: ClassVar[int]
    output_size: OutputSize

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class _AdaptiveAvgPool(_Adaptive):
    def __init__(self, output_size: OutputSize) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        return getattr(F, f"adaptive_avg_pool{self.dims}d")(input, self.output_size)


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Means over ``output_size`` windows of sequences, (N, C, width)."""

    dims = 1


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """Means over windows that divide images, (N, C, height, width); None keeps a size."""

    dims = 2


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """Means over windows that divide volumes, (N, C, depth, height, width)."""

    dims = 3


class _AdaptiveMaxPool(_Adaptive):
    def __init__(self, output_size: OutputSize, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size = output_size
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        pool = getattr(F, f"adaptive_max_pool{self.dims}d")
        return pool(input, self.output_size, self.return_indices)


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """Maxima over ``output_size`` windows of sequences, (N, C, width)."""

    dims = 1


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """Maxima over windows that divide images, (N, C, height, width); None keeps a size."""

    dims = 2


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """Maxima over windows that divide volumes, (N, C, depth, height, width)."""

    dims = 3


class _FractionalMaxPool(Module):
    dims: ClassVar[int]
    _random_samples: Tensor | None

    def __init__(
        self,
        kernel_size: Size,
        output_size: Size | None = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> None:
        super().__init__()
        layer, dims = type(self).__name__, self.dims
        if (output_size is None) == (output_ratio is None):
            raise ValueError(f"{layer}: give either output_size or output_ratio")
        self.kernel_size = sizes(layer, "kernel_size", kernel_size, dims)
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)
        self.output_size = (
            None if output_size is None else sizes(layer, "output_size", output_size, dims)
        )
        self.output_ratio = output_ratio
        if output_ratio is not None:
            ratios = output_ratio if isinstance(output_ratio, (tuple, list)) else [output_ratio]
            self.output_ratio = tuple(ratios) * (dims if len(ratios) == 1 else 1)
            if len(self.output_ratio) != dims or any(not 0 < r < 1 for r in self.output_ratio):
                raise ValueError(
                    f"{layer}: output_ratio must be between 0 and 1, not {output_ratio!r}"
                )

    def forward(self, input: Tensor) -> Any:
        pool = getattr(F, f"fractional_max_pool{self.dims}d")
        return pool(
            input,
            self.kernel_size,
            self.output_size,
            self.output_ratio,
            self.return_indices,
            self._random_samples,
        )


class FractionalMaxPool2d(_FractionalMaxPool):
    """Maxima over windows of images at random places (Graham 2014)."""

    dims = 2


class FractionalMaxPool3d(_FractionalMaxPool):
    """Maxima over windows of volumes at random places (Graham 2014)."""

    dims = 3
