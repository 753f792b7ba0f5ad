"""Convolutions of small images in NumPy: one matrix product for many of them.

A product for each image has as many columns as the image has windows; below some dozens BLAS is
slow at that. Beside each other the windows of many images make a wide product, for a copy that puts
the channels first. (On one thread, 32 images of 512 channels, 4x4: the convolution in 0.54 of the
time, its gradients in 0.33 and 0.15.)
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from tapegrad.core.memory import Array

from .sliding_window import Geometry, Sizes, inside, window

_CHANNELS = 4  # to a window: with fewer the copy takes longer than the product gains
_PIECE_BYTES = 1 << 23  # of the patches that go through at once


def are_small(x: Any, out: Any, groups: int) -> bool:
    """Whether these functions serve the images ``x``, which have windows ``out``."""
    few = 0 < _CHANNELS * math.prod(out) <= x.shape[1]
    return few and groups == 1 and len(x) > 1 and isinstance(x, np.ndarray)


def convolution(patches: Any, weight: Array, y: Array) -> None:
    """Writes y: (n, filters, windows) from patches (n, channels, *kernel, *out) and the filters."""
    rows = weight.reshape(len(weight), -1)
    for piece in _pieces(len(y), patches[0].nbytes):
        part = rows @ _columns(patches[piece])
        y[piece] = part.reshape(len(rows), -1, y.shape[2]).swapaxes(0, 1)


def gradient_of_weight(patches: Any, y_grad: Array) -> Array:
    """(filters, elements of a filter)."""
    n, filters = y_grad.shape[:2]
    total = np.zeros_like(y_grad, shape=(filters, _elements(patches)))
    for piece in _pieces(n, patches[0].nbytes):
        total += _filters_first(y_grad[piece]) @ _columns(patches[piece]).T
    return total


def gradient_of_input(y_grad: Array, weight: Array, size: Sizes, geometry: Geometry) -> Array:
    """(n, channels, *size)."""
    n, filters, *out = y_grad.shape
    channels, kernel = weight.shape[1], weight.shape[2:]
    full = [s + 2 * p for s, p in zip(size, geometry.padding, strict=True)]
    x = np.zeros_like(y_grad, shape=(channels, n, *full))
    columns = weight.reshape(filters, -1).T
    for piece in _pieces(n, len(columns) * y_grad[0, 0].nbytes):
        part = columns @ _filters_first(y_grad[piece])
        part = part.reshape(channels, math.prod(kernel), -1, *out)
        for k, position in enumerate(product(*map(range, kernel))):
            x[:, piece][window(position, tuple(out), geometry)] += part[:, k]
    result = x.swapaxes(0, 1)[inside(size, geometry.padding)]
    return result if result.flags.c_contiguous else result.copy()


def _pieces(n: int, per_image: int) -> Iterator[slice]:
    step = max(_PIECE_BYTES // max(per_image, 1), 1)
    return (slice(i, i + step) for i in range(0, n, step))


def _elements(patches: Any) -> int:
    """Of a filter."""
    return math.prod(patches.shape[1 : 2 + _dimensions(patches)])


def _dimensions(patches: Any) -> int:
    return (patches.ndim - 2) // 2


def _columns(patches: Any) -> Any:
    """Patches as columns: (elements of a filter, n * windows)."""
    dims = _dimensions(patches)
    order = (*range(1, 2 + dims), 0, *range(2 + dims, 2 + 2 * dims))
    return patches.transpose(order).reshape(_elements(patches), -1)


def _filters_first(y: Any) -> Any:
    """(filters, n * windows)."""
    return y.reshape(*y.shape[:2], -1).swapaxes(0, 1).reshape(y.shape[1], -1)
