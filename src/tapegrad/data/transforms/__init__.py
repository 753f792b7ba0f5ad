"""Transforms of images: functions of a tensor (channels, height, width), or of a batch of them
(images, channels, height, width), each image of which is then transformed by numbers of its own.

Random ones draw from ``generator=``, of the default one without it, the same numbers on every
device; an image on its own gets those of the first in a batch. ``functools.partial`` settles
arguments, ``Compose`` calls several::

    augment = Compose([partial(random_crop, size=32, padding=4), random_horizontal_flip])

Floats lie in 0..1, uint8 in 0..255 (results are rounded to them).
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from tapegrad.ops.common.hints import unknown_names as _unknown_names

from .colour import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    color_jitter,
    normalize,
    rgb_to_grayscale,
    to_float,
)
from .compose import Compose
from .geometry import (
    center_crop,
    crop,
    hflip,
    random_crop,
    random_erasing,
    random_horizontal_flip,
    random_resized_crop,
    random_vertical_flip,
    resize,
    vflip,
)
from .mixing import cutmix, mixup
from .warp import affine, random_affine, random_rotation, rotate

__all__ = [
    "Compose",
    "adjust_brightness",
    "adjust_contrast",
    "adjust_hue",
    "adjust_saturation",
    "affine",
    "center_crop",
    "color_jitter",
    "crop",
    "cutmix",
    "hflip",
    "mixup",
    "normalize",
    "random_affine",
    "random_crop",
    "random_erasing",
    "random_horizontal_flip",
    "random_resized_crop",
    "random_rotation",
    "random_vertical_flip",
    "resize",
    "rgb_to_grayscale",
    "rotate",
    "to_float",
    "vflip",
]

if not _TYPE_CHECKING:
    __getattr__ = _unknown_names(__name__)
