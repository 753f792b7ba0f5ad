"""Patches of images as columns, and columns added up to images."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

from tapegrad.core.memory import Array
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_tensor
from tapegrad.ops.common.precision import in_float32

from .primitives import patches_of
from .sliding_window import Geometry, Sizes, inside, ints, outputs, window, with_batch


@primitive(
    vjp=(
        lambda xp, g, input_shape, kernel, geometry: xp.columns_to_image(
            g, size=tuple(input_shape[2:]), kernel=kernel, geometry=geometry
        ),
    )
)
def image_to_columns(xp: Any, x: Array, *, kernel: Sizes, geometry: Geometry) -> Array:
    """(n, c, *size) -> (n, c * elements of the kernel, windows)."""
    out = outputs(x.shape[2:], kernel, geometry)
    patches = patches_of(xp, x, kernel, out, geometry)
    return patches.copy().reshape(len(x), x.shape[1] * math.prod(kernel), math.prod(out))


@primitive(vjp="image_to_columns")
@in_float32
def columns_to_image(xp: Any, x: Array, *, size: Sizes, kernel: Sizes, geometry: Geometry) -> Array:
    """(n, c * elements of the kernel, windows) -> (n, c, *size): what overlaps is added."""
    out = outputs(size, kernel, geometry)
    channels = x.shape[1] // math.prod(kernel)
    columns = x.reshape(len(x), channels, math.prod(kernel), *out)
    full = tuple(n + 2 * p for n, p in zip(size, geometry.padding, strict=True))
    image = xp.zeros((len(x), channels, *full), dtype=x.dtype)
    for k, position in enumerate(product(*map(range, kernel))):
        image[window(position, out, geometry)] += columns[:, :, k]
    return image[inside(size, geometry.padding)]


def _windows(
    op: str, size: Any, kernel: Any, dilation: Any, padding: Any, stride: Any
) -> tuple[Sizes, Geometry, Sizes]:
    """The windows as parameters, and how many there are along each dimension."""
    kernel = ints(op, "kernel_size", kernel, 2)
    dilation, padding = ints(op, "dilation", dilation, 2), ints(op, "padding", padding, 2, 0)
    geometry = Geometry(ints(op, "stride", stride, 2), padding, dilation)
    out = outputs(size, kernel, geometry)
    if min(out) < 1:
        raise RuntimeError(
            f"[{op}] the kernel {kernel} with dilation {dilation} is larger than the image "
            f"{tuple(size)} with padding {padding}"
        )
    return kernel, geometry, out


def unfold(
    input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    """The patches of images as columns: (n, c, h, w) -> (n, c * kh * kw, windows), or the same
    without the batch. The inverse (up to sums where windows overlap) is ``fold``.

    Raises RuntimeError for an empty image, and for windows that do not fit into it.
    """
    input, restore = with_batch("unfold", 2, input)
    if 0 in input.shape[1:]:
        raise RuntimeError(
            f"[unfold] only the batch may be empty, got an input of shape {tuple(input.shape)}"
        )
    size = tuple(input.shape[2:])
    kernel, geometry, _ = _windows("unfold", size, kernel_size, dilation, padding, stride)
    return restore(image_to_columns(input, kernel=kernel, geometry=geometry))


def fold(
    input: Tensor,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Tensor:
    """Images of ``output_size`` from columns, (n, c * kh * kw, windows) or without the batch; what
    overlaps is added up: the gradient of ``unfold``.

    Raises RuntimeError for columns that are not those of such images.
    """
    require_tensor("fold", input)
    if input.ndim == 2:
        batch = input.unsqueeze(0)
        return fold(batch, output_size, kernel_size, dilation, padding, stride).squeeze(0)
    if input.ndim != 3:
        raise RuntimeError(
            f"[fold] expects columns (n, c * kh * kw, windows), got shape {tuple(input.shape)}"
        )
    size = ints("fold", "output_size", output_size, 2)
    kernel, geometry, out = _windows("fold", size, kernel_size, dilation, padding, stride)
    elements = math.prod(kernel)
    if input.shape[1] % elements or not input.shape[1] or input.shape[2] != math.prod(out):
        raise RuntimeError(
            f"[fold] expected columns of a multiple of {elements} elements, {math.prod(out)} of "
            f"them {out}, got shape {tuple(input.shape)}"
        )
    return columns_to_image(input, size=size, kernel=kernel, geometry=geometry).contiguous()
