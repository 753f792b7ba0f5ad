"""Images resized, and channels turned into pixels, columns and back."""

from __future__ import annotations

from typing import Any

from . import functional as F
from .layer import FunctionLayer
from .sizes import Size


class Upsample(FunctionLayer, function=F.interpolate):
    """(N, C, *sizes) resized to ``size``, or by ``scale_factor``: one number or one a dimension.

    ``mode`` is "nearest", "linear" (N, C, width), "bilinear", "bicubic" (N, C, height, width) or
    "trilinear"; ``align_corners`` makes the outer pixels' centres meet. The call raises where
    ``functional.interpolate`` does.
    """

    def __init__(
        self,
        size: Size | None = None,
        scale_factor: Any = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        self._take(locals())
        if isinstance(scale_factor, (tuple, list)):
            self.scale_factor: Any = tuple(float(f) for f in scale_factor)
        else:
            self.scale_factor = float(scale_factor) if scale_factor else None

    def extra_repr(self) -> str:
        given = "size" if self.scale_factor is None else "scale_factor"
        return f"{given}={getattr(self, given)!r}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Images, (N, C, height, width), resized by their nearest pixels."""

    def __init__(self, size: Size | None = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, mode="nearest")


class UpsamplingBilinear2d(Upsample):
    """Images, (N, C, height, width), resized bilinearly with aligned corners."""

    def __init__(self, size: Size | None = None, scale_factor: Any = None) -> None:
        super().__init__(size, scale_factor, mode="bilinear", align_corners=True)


class PixelShuffle(FunctionLayer, function=F.pixel_shuffle):
    """(..., C r^2, H, W) -> (..., C, H r, W r), with r = upscale_factor (Shi et al. 2016)."""

    def __init__(self, upscale_factor: int) -> None:
        self._take(locals())


class PixelUnshuffle(FunctionLayer, function=F.pixel_unshuffle):
    """(..., C, H r, W r) -> (..., C r^2, H, W), with r = downscale_factor."""

    def __init__(self, downscale_factor: int) -> None:
        self._take(locals())


class ChannelShuffle(FunctionLayer, function=F.channel_shuffle):
    """Deals out the channels of ``groups`` groups in turn: (N, C, ...) -> (N, C, ...) (Zhang et al.
    2018)."""

    def __init__(self, groups: int) -> None:
        self._take(locals())


class Unfold(FunctionLayer, function=F.unfold):
    """The patches of images as columns: (N, C, H, W) -> (N, C * elements, windows)."""

    def __init__(
        self, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1
    ) -> None:
        self._take(locals())


class Fold(FunctionLayer, function=F.fold):
    """Columns added up to images of ``output_size``: (N, C * elements, windows) -> (N, C, H, W)."""

    def __init__(
        self,
        output_size: Size,
        kernel_size: Size,
        dilation: Size = 1,
        padding: Size = 0,
        stride: Size = 1,
    ) -> None:
        self._take(locals())
