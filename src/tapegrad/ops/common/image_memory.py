"""How images (n, channels, *size) lie in memory, for kernels that read them there: pixel after
pixel in each channel, or the channels of a pixel beside each other (PyTorch's ``channels_last``).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from tapegrad.core.devices import Device
from tapegrad.core.memory import Array, channels_moved_first

DIMENSIONS = 3  # of images, for the kernels: the first ones may be 1


def three(sizes: tuple[int, ...], missing: int = 1) -> tuple[int, ...]:
    """A number for each of the kernels' three dimensions."""
    return (missing,) * (DIMENSIONS - len(sizes)) + tuple(sizes)


def empty_images(device: Device, shape: tuple[int, ...], dtype: Any, last: bool) -> Any:
    """An array (n, channels, *size), with its channels last in memory or not."""
    if not last:
        return device.ops["empty"](shape, dtype)
    return channels_moved_first(device.ops["empty"]((shape[0], *shape[2:], shape[1]), dtype))


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
