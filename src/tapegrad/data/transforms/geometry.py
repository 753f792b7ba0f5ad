"""Parts of images, mirrored, resized and erased."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.core.tensor import Tensor
from tapegrad.ops.conv.pad import pad
from tapegrad.ops.creation.create import tensor
from tapegrad.ops.indexing.where import select_where as where
from tapegrad.ops.movement.cat import stack
from tapegrad.ops.movement.flip import flip
from tapegrad.ops.sampling.philox import Generator
from tapegrad.ops.vision.interpolate import interpolate

from .images import as_floats, between, draws, like, pair, transform


@transform
def crop(image: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """The rows from ``top`` and columns from ``left`` on. Raises ValueError where they are not
    within the image."""
    h, w = image.shape[-2:]
    if not (0 <= top <= top + height <= h and 0 <= left <= left + width <= w):
        raise ValueError(
            f"[crop] rows {top} to {top + height} and columns {left} to {left + width} are not "
            f"within an image of {h} x {w}"
        )
    return image[..., top : top + height, left : left + width]


@transform
def center_crop(image: Tensor, size: int | Sequence[int]) -> Tensor:
    """The middle of the image, of ``size`` (one number, or height and width); smaller images get a
    border of 0."""
    height, width = pair("center_crop", "size", size)
    image = _at_least(image, height, width)
    h, w = image.shape[-2:]
    return crop(image, round((h - height) / 2), round((w - width) / 2), height, width)


def _at_least(image: Tensor, height: int, width: int) -> Tensor:
    h, w = image.shape[-2:]
    if h >= height and w >= width:
        return image
    more_h, more_w = max(height - h, 0), max(width - w, 0)
    border = (more_w // 2, more_w - more_w // 2, more_h // 2, more_h - more_h // 2)
    return pad(image, border)


@transform
def random_crop(
    image: Tensor,
    size: int | Sequence[int],
    padding: int = 0,
    fill: float = 0,
    padding_mode: str = "constant",
    generator: Generator | None = None,
) -> Tensor:
    """A part of ``size`` (one number, or height and width) at a random place of each image, after
    a border of ``padding`` pixels on every side: of ``fill``, or by ``padding_mode`` ("reflect",
    "replicate", "circular"). Raises ValueError where the image is smaller."""
    height, width = pair("random_crop", "size", size)
    if padding:
        value = fill if padding_mode == "constant" else None
        padded = pad(as_floats(image), (padding,) * 4, mode=padding_mode, value=value)
        image = like(padded, image)
    n, _, h, w = image.shape
    if h < height or w < width:
        raise ValueError(
            f"[random_crop] an image of {h} x {w} (with its border) has no part of {height} x "
            f"{width}: give padding="
        )
    u = draws(n, 2, generator)
    tops, lefts = (u[0] * (h - height + 1)).astype(int), (u[1] * (w - width + 1)).astype(int)
    parts = [
        image[i, :, top : top + height, left : left + width]
        for i, (top, left) in enumerate(zip(tops.tolist(), lefts.tolist(), strict=True))
    ]
    return stack(parts) if n else image[:, :, :height, :width]


@transform
def hflip(image: Tensor) -> Tensor:
    """The image with left and right exchanged."""
    return flip(image, -1)


@transform
def vflip(image: Tensor) -> Tensor:
    """The image upside down."""
    return flip(image, -2)


@transform
def random_horizontal_flip(
    image: Tensor, p: float = 0.5, generator: Generator | None = None
) -> Tensor:
    """Each image with left and right exchanged, with probability p."""
    return where(_chosen(image, p, generator), flip(image, -1), image)


@transform
def random_vertical_flip(
    image: Tensor, p: float = 0.5, generator: Generator | None = None
) -> Tensor:
    """Each image upside down, with probability p."""
    return where(_chosen(image, p, generator), flip(image, -2), image)


def _chosen(image: Tensor, p: float, generator: Generator | None) -> Tensor:
    """True for the images to change: bool (n, 1, 1, 1)."""
    chosen = draws(len(image), 1, generator)[0] < p
    return tensor(chosen.reshape(-1, 1, 1, 1), device=image.device)


@transform
def resize(
    image: Tensor, size: int | Sequence[int], mode: str = "bilinear", antialias: bool = True
) -> Tensor:
    """The image with ``size`` (height, width); of one number, its shorter side becomes that long
    and the other one in proportion. mode: as in ``interpolate``; antialias: filter when shrinking
    ("bilinear" and "bicubic")."""
    h, w = image.shape[-2:]
    if isinstance(size, (int, np.integer)):
        short, long = min(h, w), max(h, w)
        both = (int(size), int(size * long / short))
        size = both if h <= w else both[::-1]
    size = pair("resize", "size", size)
    smooth = antialias and mode in ("bilinear", "bicubic")
    return like(interpolate(as_floats(image), size, mode=mode, antialias=smooth), image)


@transform
def random_resized_crop(
    image: Tensor,
    size: int | Sequence[int],
    scale: Sequence[float] = (0.08, 1.0),
    ratio: Sequence[float] = (3 / 4, 4 / 3),
    mode: str = "bilinear",
    antialias: bool = True,
    generator: Generator | None = None,
) -> Tensor:
    """A part of each image with a random share of its area, in ``scale``, and a random ratio of
    width to height, in ``ratio``, resized to ``size`` (Szegedy et al. 2015). A part that does not
    fit is drawn anew, nine times; then it is the largest in the middle with a ratio that does."""
    height, width = pair("random_resized_crop", "size", size)
    boxes = _boxes(image, scale, ratio, generator)
    parts = [
        resize(crop(x, *(box or _largest(x, ratio))), (height, width), mode, antialias)
        for x, box in zip(image, boxes, strict=True)
    ]
    return stack(parts) if parts else image.new_empty((0, image.shape[1], height, width))


@transform
def random_erasing(
    image: Tensor,
    p: float = 0.5,
    scale: Sequence[float] = (0.02, 0.33),
    ratio: Sequence[float] = (0.3, 3.3),
    value: float = 0,
    generator: Generator | None = None,
) -> Tensor:
    """Each image, with probability p, with a random rectangle of ``value`` in it, whose share of
    the area lies in ``scale``, and its height to width in ``ratio`` (Zhong et al. 2017). Where
    none of ten draws fits, nothing is erased."""
    n, _, h, w = image.shape
    chosen = draws(n, 1, generator)[0] < p
    hidden = np.zeros((n, 1, h, w), bool)
    flipped = (1 / ratio[1], 1 / ratio[0])
    for i, box in enumerate(_boxes(image, scale, flipped, generator)):
        if chosen[i] and box is not None:
            top, left, height, width = box
            hidden[i, 0, top : top + height, left : left + width] = True
    return where(tensor(hidden, device=image.device), image.new_tensor(value), image)


def _boxes(
    image: Tensor, scale: Sequence[float], ratio: Sequence[float], generator: Generator | None
) -> list[tuple[int, int, int, int] | None]:
    """For each image top, left, height and width of a random part, the first of ten that fits;
    the ratio, of width to height, is uniform in its logarithm."""
    n, _, h, w = image.shape
    u = draws(n, 40, generator)
    share = between(u[:10], *scale) * h * w
    aspect = np.exp(between(u[10:20], *map(math.log, ratio)))
    widths, heights = np.rint(np.sqrt(share * aspect)), np.rint(np.sqrt(share / aspect))
    fits = (widths >= 1) & (heights >= 1) & (widths <= w) & (heights <= h)
    tops, lefts = u[20:30] * (h - heights + 1), u[30:] * (w - widths + 1)
    found: list[Any] = []
    for i, k in enumerate(fits.argmax(0)):
        box = tuple(int(part[k, i]) for part in (tops, lefts, heights, widths))
        found.append(box if fits[k, i] else None)
    return found


def _largest(image: Tensor, ratio: Sequence[float]) -> tuple[int, int, int, int]:
    """The largest part in the middle with a ratio of width to height in this range."""
    h, w = image.shape[-2:]
    aspect = min(max(w / h, ratio[0]), ratio[1])
    height, width = min(h, round(w / aspect)), min(w, round(h * aspect))
    return (h - height) // 2, (w - width) // 2, height, width
