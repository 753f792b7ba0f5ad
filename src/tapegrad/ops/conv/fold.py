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
from .sliding_window import Sizes, bordered, inside, ints, outputs, unbatched, window


@primitive(
    vjp=(
        lambda xp, g, input_shape, kernel, dilation, padding, stride: xp.columns_to_image(
            g,
            size=tuple(input_shape[2:]),
            kernel=kernel,
            dilation=dilation,
            padding=padding,
            stride=stride,
        ),
    )
)
def image_to_columns(
    xp: Any, x: Array, *, kernel: Sizes, dilation: Sizes, padding: Sizes, stride: Sizes
) -> Array:
    """(n, c, *size) -> (n, c * elements of the kernel, windows)."""
    out = outputs(x.shape[2:], kernel, stride, padding, dilation)
    patches = patches_of(xp, bordered(xp, x, padding), kernel, out, stride, dilation)
    return patches.copy().reshape(len(x), x.shape[1] * math.prod(kernel), math.prod(out))


@primitive(vjp="image_to_columns")
@in_float32
def columns_to_image(
    xp: Any, x: Array, *, size: Sizes, kernel: Sizes, dilation: Sizes, padding: Sizes, stride: Sizes
) -> Array:
    """(n, c * elements of the kernel, windows) -> (n, c, *size): what overlaps is added."""
    out = outputs(size, kernel, stride, padding, dilation)
    channels = x.shape[1] // math.prod(kernel)
    columns = x.reshape(len(x), channels, math.prod(kernel), *out)
    full = tuple(n + 2 * p for n, p in zip(size, padding, strict=True))
    image = xp.zeros((len(x), channels, *full), dtype=x.dtype)
    for k, position in enumerate(product(*map(range, kernel))):
        image[window(position, out, stride, dilation)] += columns[:, :, k]
    return image[inside(size, padding)]


def _windows(
    op: str, size: Any, kernel: Any, dilation: Any, padding: Any, stride: Any
) -> tuple[dict[str, Sizes], Sizes]:
    """The windows as parameters, and how many there are along each dimension."""
    parameters = {
        "kernel": ints(op, "kernel_size", kernel, 2),
        "dilation": ints(op, "dilation", dilation, 2),
        "padding": ints(op, "padding", padding, 2, 0),
        "stride": ints(op, "stride", stride, 2),
    }
    out = outputs(size, **parameters)
    if min(out) < 1:
        raise RuntimeError(
            f"[{op}] the kernel {parameters['kernel']} with dilation {parameters['dilation']} is "
            f"larger than the image {tuple(size)} with padding {parameters['padding']}"
        )
    return parameters, out


def unfold(
    input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    """The patches of images as columns: (n, c, h, w) -> (n, c * kh * kw, windows), or the same
    without the batch. The inverse (up to sums where windows overlap) is ``fold``."""
    require_tensor("unfold", input)
    if unbatched("unfold", input, 2):
        return unfold(input.unsqueeze(0), kernel_size, dilation, padding, stride).squeeze(0)
    if 0 in input.shape[1:]:
        raise RuntimeError(
            f"[unfold] only the batch may be empty, got an input of shape {tuple(input.shape)}"
        )
    size = tuple(input.shape[2:])
    parameters, _ = _windows("unfold", size, kernel_size, dilation, padding, stride)
    return image_to_columns(input, **parameters)


def fold(
    input: Tensor,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Tensor:
    """Images of ``output_size`` from columns, (n, c * kh * kw, windows) or without the batch; what
    overlaps is added up: the gradient of ``unfold``."""
    require_tensor("fold", input)
    if input.ndim == 2:
        batch = input.unsqueeze(0)
        return fold(batch, output_size, kernel_size, dilation, padding, stride).squeeze(0)
    if input.ndim != 3:
        raise RuntimeError(
            f"[fold] expects columns (n, c * kh * kw, windows), got shape {tuple(input.shape)}"
        )
    size = ints("fold", "output_size", output_size, 2)
    parameters, out = _windows("fold", size, kernel_size, dilation, padding, stride)
    elements = math.prod(parameters["kernel"])
    if input.shape[1] % elements or not input.shape[1] or input.shape[2] != math.prod(out):
        raise RuntimeError(
            f"[fold] expected columns of a multiple of {elements} elements, {math.prod(out)} of "
            f"them {out}, got shape {tuple(input.shape)}"
        )
    return columns_to_image(input, size=size, **parameters).contiguous()
