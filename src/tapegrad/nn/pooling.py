"""Pooling: over windows, to a given size, over windows at random positions, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tapegrad.core.tensor import Tensor

from . import functional as F
from .layer import FunctionLayer
from .sizes import Size

OutputSize = int | None | Sequence[int | None]


class _MaxPoolNd(FunctionLayer):
    _shown = "kernel_size=, stride=, padding=, dilation=, ceil_mode="

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        self._take(locals())
        self.stride = kernel_size if stride is None else stride


class MaxPool1d(_MaxPoolNd, function=F.max_pool1d):
    """Maxima of windows of sequences, (N, C, width) or (C, width); see ``MaxPool2d``."""


class MaxPool2d(_MaxPoolNd, function=F.max_pool2d):
    """Maxima of windows of images, (N, C, height, width) or (C, height, width).

    Windows lie ``stride`` apart (by default side by side); ``padding`` adds -inf at the borders.
    ``return_indices``: a second result says where in its image each maximum is, for
    ``MaxUnpool2d``. ``ceil_mode``: windows may reach beyond the border.
    """


class MaxPool3d(_MaxPoolNd, function=F.max_pool3d):
    """Maxima of windows of volumes, (N, C, depth, height, width); see ``MaxPool2d``."""


class _MaxUnpoolNd(FunctionLayer):
    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> None:
        self._take(locals())
        self.stride = kernel_size if stride is None else stride
        self._per_dimension("kernel_size", "stride", "padding")

    def forward(  # type: ignore[override]
        self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None
    ) -> Tensor:
        return type(self).function(input, indices, **self._chosen(), output_size=output_size)


class MaxUnpool1d(_MaxUnpoolNd, function=F.max_unpool1d, dims=1):
    """Maxima back where ``MaxPool1d`` found them, zeros elsewhere; see ``MaxUnpool2d``."""


class MaxUnpool2d(_MaxUnpoolNd, function=F.max_unpool2d, dims=2):
    """Maxima back where ``MaxPool2d`` found them, zeros elsewhere: layer(maxima, indices).

    Several sizes of image have equally many windows; ``output_size`` says which one comes back.
    """


class MaxUnpool3d(_MaxUnpoolNd, function=F.max_unpool3d, dims=3):
    """Maxima back where ``MaxPool3d`` found them, zeros elsewhere; see ``MaxUnpool2d``."""


class _AvgPoolNd(FunctionLayer):
    _shown = "kernel_size=, stride=, padding="

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        self._take(locals())
        self.stride = kernel_size if stride is None else stride


class AvgPool1d(FunctionLayer, function=F.avg_pool1d, dims=1):
    """Means of windows of sequences, (N, C, width) or (C, width); see ``AvgPool2d``."""

    _shown = _AvgPoolNd._shown

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        self._take(locals())
        self.stride = kernel_size if stride is None else stride
        self._per_dimension("kernel_size", "stride", "padding")


class AvgPool2d(_AvgPoolNd, function=F.avg_pool2d):
    """Means of windows of images, (N, C, height, width) or (C, height, width).

    Windows lie ``stride`` apart (by default side by side). ``padding`` adds zeros, which count
    unless ``count_include_pad=False``; ``divisor_override`` divides by another number.
    """


class AvgPool3d(_AvgPoolNd, function=F.avg_pool3d):
    """Means of windows of volumes, (N, C, depth, height, width); see ``AvgPool2d``."""


class _LPPoolNd(FunctionLayer):
    def __init__(
        self,
        norm_type: float,
        kernel_size: Size,
        stride: Size | None = None,
        ceil_mode: bool = False,
    ) -> None:
        self._take(locals())


class LPPool1d(_LPPoolNd, function=F.lp_pool1d):
    """(sum of x^p)^(1/p) of windows of sequences, (N, C, width), with p = ``norm_type``."""


class LPPool2d(_LPPoolNd, function=F.lp_pool2d):
    """(sum of x^p)^(1/p) of windows of images, (N, C, height, width), with p = ``norm_type``."""


class LPPool3d(_LPPoolNd, function=F.lp_pool3d):
    """(sum of x^p)^(1/p) of windows of volumes, (N, C, depth, height, width), p = ``norm_type``."""


# ---------------------------------------------------------------------- to a given size


class _AdaptiveAvgPoolNd(FunctionLayer):
    def __init__(self, output_size: OutputSize) -> None:
        self._take(locals())


class AdaptiveAvgPool1d(_AdaptiveAvgPoolNd, function=F.adaptive_avg_pool1d):
    """Means over ``output_size`` windows of sequences, (N, C, width) or (C, width)."""


class AdaptiveAvgPool2d(_AdaptiveAvgPoolNd, function=F.adaptive_avg_pool2d):
    """Means over the windows that divide images, (N, C, height, width), into ``output_size``: one
    number or two, of which None keeps the input's size."""


class AdaptiveAvgPool3d(_AdaptiveAvgPoolNd, function=F.adaptive_avg_pool3d):
    """Means over the windows that divide volumes, (N, C, depth, height, width); see
    ``AdaptiveAvgPool2d``."""


class _AdaptiveMaxPoolNd(FunctionLayer):
    _shown = "output_size="

    def __init__(self, output_size: OutputSize, return_indices: bool = False) -> None:
        self._take(locals())


class AdaptiveMaxPool1d(_AdaptiveMaxPoolNd, function=F.adaptive_max_pool1d):
    """Maxima over ``output_size`` windows of sequences, (N, C, width) or (C, width)."""


class AdaptiveMaxPool2d(_AdaptiveMaxPoolNd, function=F.adaptive_max_pool2d):
    """Maxima over the windows that divide images, (N, C, height, width), into ``output_size``: one
    number or two, of which None keeps the input's size. ``return_indices``: see ``MaxPool2d``."""


class AdaptiveMaxPool3d(_AdaptiveMaxPoolNd, function=F.adaptive_max_pool3d):
    """Maxima over the windows that divide volumes, (N, C, depth, height, width); see
    ``AdaptiveMaxPool2d``."""


# ---------------------------------------------------------------------- at random positions


class _FractionalMaxPoolNd(FunctionLayer):
    _random_samples: Tensor | None
    _buffer_options = ("_random_samples",)
    _shown = ""

    def __init__(
        self,
        kernel_size: Size,
        output_size: Size | None = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> None:
        self._take(locals())
        layer, dims = type(self).__name__, self.dims
        if (output_size is None) == (output_ratio is None):
            raise ValueError(f"{layer}: give either output_size or output_ratio")
        self._per_dimension("kernel_size")
        if output_ratio is None:
            self._per_dimension("output_size")
        else:
            ratios = output_ratio if isinstance(output_ratio, (tuple, list)) else [output_ratio]
            self.output_ratio = tuple(ratios) * (dims if len(ratios) == 1 else 1)
            if len(self.output_ratio) != dims or any(not 0 < r < 1 for r in self.output_ratio):
                raise ValueError(
                    f"{layer}: output_ratio must be between 0 and 1, not {output_ratio!r}"
                )


class FractionalMaxPool2d(_FractionalMaxPoolNd, function=F.fractional_max_pool2d, dims=2):
    """Maxima over windows of images, (N, C, height, width), at random positions (Graham 2014).

    The result has the given ``output_size``, or ``output_ratio`` (between 0 and 1) of the input's.
    Raises ValueError unless exactly one of them is given. ``return_indices``: see ``MaxPool2d``.
    """


class FractionalMaxPool3d(_FractionalMaxPoolNd, function=F.fractional_max_pool3d, dims=3):
    """Maxima over windows of volumes, (N, C, depth, height, width), at random positions; see
    ``FractionalMaxPool2d``."""
