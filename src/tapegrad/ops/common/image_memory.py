"""How images (n, channels, *size) lie in memory, for kernels that read them there: pixel after
pixel in each channel, or the channels of a pixel beside each other (PyTorch's ``channels_last``).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from tapegrad.core.devices import Device
from tapegrad.core.memory import Array

DIMENSIONS = 3  # of images, for the kernels: the first ones may be 1


def three(sizes: tuple[int, ...], missing: int = 1) -> tuple[int, ...]:
    """A number for each of the kernels' three dimensions."""
    return (missing,) * (DIMENSIONS - len(sizes)) + tuple(sizes)


def channels_moved_last(x: Array) -> Any:
    """The same images as (n, *size, channels): a view."""
    return x.transpose(0, *range(2, x.ndim), 1)


def lies_channels_last(x: Array) -> bool:
    """Whether the channels of a pixel are beside each other, and pixels behind each other; not if
    pixels of a channel are, too, as those of a single channel."""
    return not x.flags.c_contiguous and channels_moved_last(x).flags.c_contiguous


def empty_images(device: Device, shape: tuple[int, ...], dtype: Any, last: bool) -> Any:
    """An array (n, channels, *size), with its channels last in memory or not."""
    if not last:
        return device.ops["empty"](shape, dtype)
    y = device.ops["empty"]((shape[0], *shape[2:], shape[1]), dtype)
    return y.transpose(0, -1, *range(1, y.ndim - 1))


def five_strides(x: Array) -> tuple[int, ...]:
    """Of images, channels and three dimensions, in elements."""
    image, channel, *rest = (s // x.itemsize for s in x.strides)
    return (image, channel, *three(tuple(rest), 0))


def one_distance(x: Array, first: int, end: int) -> int | None:
    """From one element to the next, all along these dimensions in row-major order, in elements; 0
    where there is only one. None if they are not at one distance from each other."""
    pairs = zip(x.strides[first:end], x.shape[first:end], strict=True)
    steps = [(s // x.itemsize, n) for s, n in pairs if n > 1]
    if any(a != b * n for (a, _), (b, n) in pairwise(steps)):
        return None
    return steps[-1][0] if steps else 0


def pixel_strides(x: Array) -> tuple[int, int, int] | None:
    """Of images, of pixels in a row, and of channels, in elements; None if the pixels of an image
    are not at one distance from each other."""
    pixel = one_distance(x, 2, x.ndim)
    if pixel is None:
        return None
    return x.strides[0] // x.itemsize, pixel, x.strides[1] // x.itemsize
