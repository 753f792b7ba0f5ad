"""Colours: brightness, contrast, saturation, hue, and the numbers networks want for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.core.dtypes import float32, get_default_dtype, uint8
from tapegrad.core.tensor import Tensor
from tapegrad.ops.creation.create import tensor
from tapegrad.ops.indexing.where import select_where as where
from tapegrad.ops.movement.cat import stack
from tapegrad.ops.sampling.draws import randperm
from tapegrad.ops.sampling.philox import Generator

from .images import as_floats, between, draws, interval, like, per_image, transform

# Shares of red, green and blue in brightness (ITU-R BT.601), in torchvision's digits.
_LUMA = (0.2989, 0.587, 0.114)


@transform
def to_float(image: Tensor) -> Tensor:
    """uint8 images 0..255 as the default dtype, 0..1; floats as they are."""
    return image.to(get_default_dtype()) / 255 if image.dtype == uint8 else image


@transform
def normalize(image: Tensor, mean: Any, std: Any) -> Tensor:
    """(image - mean) / std, by channel: a number for each, or one for all. Raises ValueError for
    uint8 images, a std of 0 and other numbers of channels."""
    if image.dtype == uint8:
        raise ValueError("[normalize] takes floats: call to_float first")
    channels = image.shape[1]
    both = []
    for name, value in (("mean", mean), ("std", std)):
        host = np.asarray(value.numpy(force=True) if isinstance(value, Tensor) else value, float)
        if host.size not in (1, channels):
            raise ValueError(f"[normalize] {name} has {host.size} numbers for {channels} channels")
        both.append(host.reshape(-1, 1, 1))
    if not both[1].all():
        raise ValueError(f"[normalize] std must not be 0, got {std}")
    m, s = (tensor(host, dtype=image.dtype, device=image.device) for host in both)
    return (image - m) / s


@transform
def rgb_to_grayscale(image: Tensor, num_output_channels: int = 1) -> Tensor:
    """Brightness, 0.2989 red + 0.587 green + 0.114 blue, in 1 or 3 equal channels."""
    grey = like(_grey("rgb_to_grayscale", as_floats(image)), image)
    if num_output_channels not in (1, 3):
        raise ValueError(
            f"[rgb_to_grayscale] num_output_channels must be 1 or 3, got {num_output_channels}"
        )
    return grey if num_output_channels == 1 else grey.repeat(1, 3, 1, 1)


@transform
def adjust_brightness(image: Tensor, factor: Any) -> Tensor:
    """Every colour times ``factor``: 0 is black, 1 the image."""
    return _brightness(image, factor)


@transform
def adjust_contrast(image: Tensor, factor: Any) -> Tensor:
    """The image between its mean brightness (factor 0) and itself (1), and beyond."""
    return _contrast(image, factor)


@transform
def adjust_saturation(image: Tensor, factor: Any) -> Tensor:
    """The image between grey (factor 0) and itself (1), and beyond."""
    return _saturation(image, factor)


@transform
def adjust_hue(image: Tensor, factor: Any) -> Tensor:
    """Every hue turned by ``factor`` of the colour circle, -0.5..0.5."""
    if not np.all(np.abs(factor) <= 0.5):
        raise ValueError(f"[adjust_hue] factor must lie in -0.5..0.5, got {factor}")
    return _hue(image, factor)


@transform
def color_jitter(
    image: Tensor,
    brightness: float | Sequence[float] = 0,
    contrast: float | Sequence[float] = 0,
    saturation: float | Sequence[float] = 0,
    hue: float | Sequence[float] = 0,
    generator: Generator | None = None,
) -> Tensor:
    """Brightness, contrast and saturation of each image by random factors, of 1 - x to 1 + x or of
    two ends, and its hue by -x to x (at most 0.5); in an order that is drawn once per call."""
    steps = [
        (_brightness, interval("color_jitter", "brightness", brightness, 1, 0, np.inf), 1),
        (_contrast, interval("color_jitter", "contrast", contrast, 1, 0, np.inf), 1),
        (_saturation, interval("color_jitter", "saturation", saturation, 1, 0, np.inf), 1),
        (_hue, interval("color_jitter", "hue", hue, 0, -0.5, 0.5), 0),
    ]
    u = draws(len(image), 4, generator)
    for i in randperm(4, generator=generator).tolist():
        step, ends, nothing = steps[i]
        if tuple(ends) != (nothing, nothing):
            image = step(image, between(u[i], *ends))
    return image


# ---------------------------------------------------------------------- on batches


def _brightness(image: Tensor, factor: Any) -> Tensor:
    return like(as_floats(image) * per_image(factor, image), image, clip=True)


def _contrast(image: Tensor, factor: Any) -> Tensor:
    floats = as_floats(image)
    grey = floats if image.shape[1] == 1 else _grey("adjust_contrast", floats)
    return _blend(image, floats, grey.mean((1, 2, 3), keepdim=True), factor)


def _saturation(image: Tensor, factor: Any) -> Tensor:
    if image.shape[1] == 1:
        return image
    floats = as_floats(image)
    return _blend(image, floats, _grey("adjust_saturation", floats), factor)


def _blend(image: Tensor, floats: Tensor, other: Tensor, factor: Any) -> Tensor:
    ratio = per_image(factor, image)
    return like(ratio * floats + (1 - ratio) * other, image, clip=True)


def _grey(op: str, image: Tensor) -> Tensor:
    if image.shape[1] != 3:
        raise ValueError(
            f"[{op}] takes images of 3 channels (red, green, blue), got shape {tuple(image.shape)}"
        )
    red, green, blue = (image[:, i : i + 1] * share for i, share in enumerate(_LUMA))
    return red + green + blue


def _hue(image: Tensor, factor: Any) -> Tensor:
    """By way of hue, saturation and value (Smith 1978)."""
    if image.shape[1] == 1:
        return image
    if image.shape[1] != 3:
        _grey("adjust_hue", image)
    rgb = image.to(float32) / 255 if image.dtype == uint8 else image
    r, g, b = (rgb[:, i] for i in range(3))
    value = rgb.amax(1)
    spread = value - rgb.amin(1)
    safe = where(spread == 0, 1.0, spread)
    sextant = where(
        value == r, (g - b) / safe, where(value == g, 2 + (b - r) / safe, 4 + (r - g) / safe)
    )
    turned = sextant + 6 * per_image(factor, image, 2)
    # A channel is at its height for two sextants, falls in one, is low for two and rises in one.
    channels = []
    for start in (5, 3, 1):
        k = (turned + start) % 6
        channels.append(value - spread * k.minimum(4 - k).clamp(0, 1))
    result = stack(channels, 1)
    return like(result * 255 if image.dtype == uint8 else result, image, clip=True)
