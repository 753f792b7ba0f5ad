"""The convolution primitives, over any number of dimensions: (batch, channels, ...).

A convolution is bilinear, so its two gradients are two more bilinear functions, and the gradients
of those are again among the three: the family is closed and differentiable to any order.
Each is one matrix product over a strided view of the patches (im2col; Chellapilla et al. 2006). On
the CPU loops compute those of float32 without patches, where they were compiled; on GPUs kernels do
(conv_kernels.py).
"""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np

from tapegrad.core.devices import Device, override
from tapegrad.core.memory import Array
from tapegrad.core.tape import array_function, primitive
from tapegrad.ops.common.precision import in_float32_anew

from . import (
    conv_kernels,  # noqa: F401  registers how GPUs compute the primitives below
    small_images,
)
from .sliding_window import Geometry, Sizes, bordered, inside, window

# On the CPU the batch goes through in pieces whose patches stay in the L2 cache: they are written,
# multiplied and forgotten there. Those of the whole batch would take as many times the memory of
# the input as a filter has elements (64 channels of 32 images of 32x32, 3x3 filters: 75 MB).
_PIECE_BYTES = 1 << 19
# And a large image in strips, or the patches of a single one would take as much.
_STRIP_BYTES = 1 << 22

# Windows that wrap around the end of a row take part in the gradient of the input, with gradient 0,
# for then patches are added up in rows as long as an image; up to this much more than the windows.
_WASTE = 1.6


def _strided(xp: Any, x: Array, shape: tuple, strides: tuple) -> Any:
    return xp.library.lib.stride_tricks.as_strided(x, shape, strides)


def patches_of(xp: Any, x: Array, kernel: Sizes, out: Sizes, geometry: Geometry) -> Any:
    """A view of all patches of the images, with their borders: (batch, channels, *kernel, *out)."""
    x = bordered(xp, x, geometry.padding)
    steps = x.strides[2:]
    reach = [s * d for s, d in zip(steps, geometry.dilation, strict=True)]
    moves = [s * t for s, t in zip(steps, geometry.stride, strict=True)]
    return _strided(xp, x, (*x.shape[:2], *kernel, *out), (*x.strides[:2], *reach, *moves))


def _steps(size: Any) -> list[int]:
    """The strides of an image of this size, in elements."""
    return [math.prod(size[i + 1 :]) for i in range(len(size))]


def _flat_size(size: Sizes, out: Sizes, stride: Sizes) -> int:
    """How many elements of a flattened image of this size lie from the first window's start to the
    last's; 0 where too few of them are starts of windows."""
    flat = sum((o - 1) * s for o, s in zip(out, _steps(size), strict=True)) + 1
    return flat if max(stride) == 1 and flat <= _WASTE * math.prod(out) else 0


def _windows_of(xp: Any, rows: Array, size: Sizes, out: Sizes) -> Any:
    """Of one number for each start in flattened images of this size, (batch, channels, flat), those
    of the windows: (batch, channels, *out), a view."""
    steps = [rows.strides[-1] * s for s in _steps(size)]
    return _strided(xp, rows, (*rows.shape[:2], *out), (*rows.strides[:2], *steps))


def _pieces(like: Any, per_image: int) -> list[slice]:
    """The batch in pieces of about _PIECE_BYTES on the CPU, in one piece on a GPU."""
    n = like.shape[0]
    size = max(_PIECE_BYTES // max(per_image * like.itemsize, 1), 1)
    step = size if isinstance(like, np.ndarray) else max(n, 1)
    return [slice(i, i + step) for i in range(0, n, step)]


def _strips(like: Any, per_image: int, length: int) -> list[slice]:
    """Of the ``length`` rows of an image's windows, those that go through at once."""
    count = -(-per_image * like.itemsize // _STRIP_BYTES) if isinstance(like, np.ndarray) else 1
    step = max(-(-length // max(count, 1)), 1)
    return [slice(i, min(i + step, length)) for i in range(0, length, step)]


def _matrices(weight: Any, groups: int) -> Any:
    """The filters as rows: (groups, filters / groups, elements)."""
    return weight.reshape(groups, len(weight) // groups, math.prod(weight.shape[1:]))


def _parts_of(x: Any, patches: Any, out: Sizes) -> list[tuple[slice, slice, slice]]:
    """What goes through at once: images, rows of their windows, and the same windows in a row."""
    per_image, row = math.prod(patches.shape[1:]), math.prod(out[1:])
    strips = _strips(x, per_image, out[0])
    return [
        (piece, rows, slice(rows.start * row, rows.stop * row))
        for piece in _pieces(x, per_image)
        for rows in strips
    ]


def _strip(x: Any, rows: slice, out: Any) -> Any:
    """A view of some rows of what has one element for each window, in its last dimensions."""
    index = (..., rows, *(slice(None),) * (len(out) - 1))
    return x[index]


@array_function
def matmul_into(xp: Any, out: Array, a: Array, b: Array) -> None:
    """out[...] = a @ b, without an array for the product."""
    xp.library.matmul(a, b, out=out)


@override("matmul_into", "cuda", "emulated")
def _matmul_into(device: Device, out: Array, a: Array, b: Array) -> None:
    """By the kernel for matmul."""
    out[...] = device.ops["matmul"](a, b)


def gradient_of_input(
    xp: Any, g: Array, weight: Array, input_shape: Sizes, geometry: Geometry
) -> Any:
    return xp.convolution_input(g, weight, size=tuple(input_shape[2:]), geometry=geometry)


def gradient_of_weight(xp: Any, g: Array, x: Array, input_shape: Sizes, geometry: Geometry) -> Any:
    return xp.convolution_weight(x, g, kernel=tuple(input_shape[2:]), geometry=geometry)


def gradient_of_bias(xp: Any, g: Array) -> Any:
    return xp.sum(g, axis=(0, *range(2, g.ndim)), keepdims=False)


@primitive(vjp=(gradient_of_input, gradient_of_weight, gradient_of_bias))
@in_float32_anew
def convolution(
    xp: Any, x: Array, weight: Array, bias: Array, *, out: Sizes, geometry: Geometry
) -> Array:
    """x: (n, in, *size), weight: (filters, in / groups, *kernel), bias: (filters,) or None
    -> (n, filters, *out)."""
    filters, kernel, groups = weight.shape[0], weight.shape[2:], geometry.groups
    patches = patches_of(xp, x, kernel, out, geometry)
    w = _matrices(weight, groups)
    y = xp.empty((len(x), groups, filters // groups, math.prod(out)), dtype=x.dtype)
    if small_images.are_small(x, out, groups):
        small_images.convolution(patches, weight, y[:, 0])
        if bias is not None:
            y += bias.reshape(filters, 1)
        return y.reshape(len(x), filters, *out)
    for piece, rows, flat in _parts_of(x, patches, out):
        part = y[piece][..., flat]
        columns = _strip(patches[piece], rows, out)
        columns = columns.reshape(len(part), groups, w.shape[2], part.shape[-1])
        xp.matmul_into(part, w, columns)
        if bias is not None:
            part += bias.reshape(groups, filters // groups, 1)
    return y.reshape(len(x), filters, *out)


@primitive(
    vjp=(
        lambda xp, g, weight, input_shape, geometry: xp.convolution(
            g, weight, None, out=tuple(input_shape[2:]), geometry=geometry
        ),
        lambda xp, g, y_grad, input_shape, geometry: xp.convolution_weight(
            g, y_grad, kernel=tuple(input_shape[2:]), geometry=geometry
        ),
    )
)
@in_float32_anew
def convolution_input(
    xp: Any, y_grad: Any, weight: Array, *, size: Sizes, geometry: Geometry
) -> Array:
    """The gradient of the input: every patch gets back what it contributed (col2im)."""
    n, filters, *out = y_grad.shape
    stride, padding, dilation, groups = geometry
    kernel, channels = weight.shape[2:], weight.shape[1] * groups
    if small_images.are_small(y_grad, out, groups):
        return small_images.gradient_of_input(y_grad, weight, size, geometry)
    full = tuple(s + 2 * p for s, p in zip(size, padding, strict=True))
    flat = _flat_size(full, out, stride)
    positions = product(*map(range, kernel))
    if flat:
        steps = _steps(full)
        starts = [sum(map(math.prod, zip(p, dilation, steps, strict=True))) for p in positions]
        targets = [(..., slice(s, s + flat)) for s in starts]
    else:
        targets = [window(p, out, geometry) for p in positions]
    w = _matrices(weight, groups).swapaxes(1, 2)
    x = xp.zeros((n, channels, math.prod(full)) if flat else (n, channels, *full), y_grad.dtype)
    shape = [flat] if flat else list(out)
    per_image = channels * math.prod(kernel) * math.prod(shape)
    for piece in _pieces(y_grad, per_image):
        whole, part = y_grad[piece], x[piece]
        if flat:
            whole = xp.zeros((len(whole), filters, flat), dtype=whole.dtype)
            _windows_of(xp, whole, full, out)[...] = y_grad[piece]
        for rows in _strips(y_grad, per_image, shape[0]):
            g = _strip(whole, rows, shape)
            taken = g.shape[2:]
            g = g.reshape(len(g), groups, filters // groups, math.prod(taken))
            # NumPy is slow at products of a column and a row (one filter a group: depthwise).
            columns = xp.matmul(w, g) if filters > groups else w * g
            columns = columns.reshape(len(g), channels, len(targets), *taken)
            for k, target in enumerate(targets):
                _strip(part[target], rows, shape)[...] += columns[:, :, k]
    return x.reshape(n, channels, *full)[inside(size, padding)]


@primitive(
    vjp=(
        lambda xp, g, y_grad, input_shape, geometry: xp.convolution_input(
            y_grad, g, size=tuple(input_shape[2:]), geometry=geometry
        ),
        lambda xp, g, x, input_shape, geometry: xp.convolution(
            x, g, None, out=tuple(input_shape[2:]), geometry=geometry
        ),
    )
)
@in_float32_anew
def convolution_weight(
    xp: Any, x: Array, y_grad: Any, *, kernel: Sizes, geometry: Geometry
) -> Array:
    """The gradient of the weight: result gradients times patches, summed over the batch."""
    n, filters, *out = y_grad.shape
    groups = geometry.groups
    patches = patches_of(xp, x, kernel, out, geometry)
    if small_images.are_small(x, out, groups):
        weight = small_images.gradient_of_weight(patches, y_grad)
        return weight.reshape(filters, x.shape[1], *kernel)
    g = y_grad.reshape(n, groups, filters // groups, math.prod(out))
    channels = x.shape[1] // groups
    weight = xp.zeros((groups, filters // groups, channels * math.prod(kernel)), dtype=x.dtype)
    for piece, rows, flat in _parts_of(x, patches, out):
        part = g[piece][..., flat]
        columns = _strip(patches[piece], rows, out)
        columns = columns.reshape(len(part), groups, weight.shape[2], part.shape[-1])
        weight += xp.matmul(part, columns.swapaxes(-1, -2)).sum(axis=0)
    return weight.reshape(filters, channels, *kernel)
