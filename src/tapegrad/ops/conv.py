"""Convolution over images, (batch, channels, height, width).

A convolution is bilinear, so its two gradients are two more bilinear functions, and the gradients
of those are again among the three: the family is closed and differentiable to any order.
Each is one matrix product over a strided view of the patches (im2col; Chellapilla et al. 2006).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..tape import primitive
from ..tensor import Tensor, wrap
from .arguments import same_dtype
from .index import put
from .precision import in_float32
from .windows import Pair, outputs, pad, pair_of, window

# On the CPU the batch goes through in pieces whose patches stay in the L2 cache: they are written,
# multiplied and forgotten there. Those of the whole batch would take kh * kw times the memory of
# the input (64 channels of 32 images of 32x32, 3x3 filters: 75 MB).
_PIECE_BYTES = 1 << 21


def _patches(xp: Any, x: Any, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Any:
    """A view of all patches: (batch, channels, kh, kw, oh, ow)."""
    oh, ow = outputs(x.shape[2:], kernel, stride, padding, dilation)
    x = pad(xp, x, padding)
    sn, sc, sh, sw = x.strides
    (kh, kw), (dh, dw) = kernel, dilation
    return xp.library.lib.stride_tricks.as_strided(
        x,
        (*x.shape[:2], kh, kw, oh, ow),
        (sn, sc, sh * dh, sw * dw, sh * stride[0], sw * stride[1]),
    )


def _columns(patches: Any, groups: int) -> Any:
    """Patches as matrices: (batch, groups, channels / groups * kh * kw, oh * ow)."""
    n, c, kh, kw, oh, ow = patches.shape
    return patches.reshape(n, groups, c // groups * kh * kw, oh * ow)


def _pieces(like: Any, per_image: int) -> list[slice]:
    """The batch in pieces of about _PIECE_BYTES on the CPU, in one piece on a GPU."""
    n = like.shape[0]
    size = max(_PIECE_BYTES // max(per_image * like.itemsize, 1), 1)
    step = size if isinstance(like, np.ndarray) else max(n, 1)
    return [slice(i, i + step) for i in range(0, n, step)]


@primitive(
    "conv2d",
    vjp=(
        lambda xp, g, weight, input_shape, stride, padding, dilation, groups: xp.conv2d_input(
            g, weight, size=tuple(input_shape[2:]), stride=stride, padding=padding,
            dilation=dilation, groups=groups),
        lambda xp, g, x, input_shape, stride, padding, dilation, groups: xp.conv2d_weight(
            x, g, kernel=tuple(input_shape[2:]), stride=stride, padding=padding,
            dilation=dilation, groups=groups),
    ),
)  # fmt: skip
@in_float32
def _conv2d(
    xp: Any, x: Any, weight: Any, *, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Any:
    out = weight.shape[0]
    patches = _patches(xp, x, weight.shape[2:], stride, padding, dilation)
    n, _, _, _, oh, ow = patches.shape
    w = weight.reshape(groups, out // groups, -1)
    y = xp.empty((n, groups, out // groups, oh * ow), dtype=x.dtype)
    for piece in _pieces(x, math.prod(patches.shape[1:])):
        y[piece] = xp.matmul(w, _columns(patches[piece], groups))
    return y.reshape(n, out, oh, ow)


@primitive(
    vjp=(
        lambda xp, g, weight, stride, padding, dilation, groups: xp.conv2d(
            g, weight, stride=stride, padding=padding, dilation=dilation, groups=groups),
        lambda xp, g, y_grad, input_shape, stride, padding, dilation, groups: xp.conv2d_weight(
            g, y_grad, kernel=tuple(input_shape[2:]), stride=stride, padding=padding,
            dilation=dilation, groups=groups),
    )
)  # fmt: skip
@in_float32
def conv2d_input(
    xp: Any, y_grad: Any, weight: Any, *, size: Pair, stride: Pair, padding: Pair, dilation: Pair,
    groups: int,
) -> Any:  # fmt: skip
    """The gradient of conv2d's input: every patch gets back what it contributed (col2im)."""
    n, out, oh, ow = y_grad.shape
    kh, kw = weight.shape[2:]
    channels = weight.shape[1] * groups
    w = weight.reshape(groups, out // groups, -1).transpose(0, 2, 1)
    g = y_grad.reshape(n, groups, out // groups, oh * ow)
    (ph, pw), (h, wd) = padding, size
    x = xp.zeros((n, channels, h + 2 * ph, wd + 2 * pw), dtype=y_grad.dtype)
    for piece in _pieces(y_grad, channels * kh * kw * oh * ow):
        columns = xp.matmul(w, g[piece]).reshape(-1, channels, kh, kw, oh, ow)
        part = x[piece]
        for i in range(kh):
            for j in range(kw):
                part[window(i, j, (oh, ow), stride, dilation)] += columns[:, :, i, j]
    return x[:, :, ph : ph + h, pw : pw + wd]


@primitive(
    vjp=(
        lambda xp, g, y_grad, input_shape, stride, padding, dilation, groups: xp.conv2d_input(
            y_grad, g, size=tuple(input_shape[2:]), stride=stride, padding=padding,
            dilation=dilation, groups=groups),
        lambda xp, g, x, stride, padding, dilation, groups: xp.conv2d(
            x, g, stride=stride, padding=padding, dilation=dilation, groups=groups),
    )
)  # fmt: skip
@in_float32
def conv2d_weight(
    xp: Any, x: Any, y_grad: Any, *, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair,
    groups: int,
) -> Any:  # fmt: skip
    """The gradient of conv2d's weight: result gradients times patches, summed over the batch."""
    n, out, oh, ow = y_grad.shape
    patches = _patches(xp, x, kernel, stride, padding, dilation)
    g = y_grad.reshape(n, groups, out // groups, oh * ow)
    columns_per_group = x.shape[1] // groups * math.prod(kernel)
    weight = xp.zeros((groups, out // groups, columns_per_group), dtype=x.dtype)
    for piece in _pieces(x, math.prod(patches.shape[1:])):
        columns = _columns(patches[piece], groups)
        weight += xp.matmul(g[piece], columns.swapaxes(-1, -2)).sum(axis=0)
    return weight.reshape(out, x.shape[1] // groups, *kernel)


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Cross-correlation of images with filters.

    x: (n, in, h, w) or (in, h, w); weight: (out, in / groups, kh, kw); bias: (out,)
    -> (n, out, oh, ow), oh = (h + 2 padding - dilation (kh - 1) - 1) // stride + 1.
    padding: ints, "valid" (none), or "same" (stride 1; an odd total pads one more at the end).
    """
    same_dtype("conv2d", x, weight)
    if weight.ndim != 4 or x.ndim not in (3, 4):
        raise RuntimeError(
            f"[conv2d] expects input (n, in, h, w) or (in, h, w) and weight (out, in, kh, kw), "
            f"got shapes {tuple(x.shape)} and {tuple(weight.shape)}"
        )
    if x.ndim == 3:
        image = conv2d(x.unsqueeze(0), weight, bias, stride, padding, dilation, groups)
        return image.squeeze(0)
    stride, dilation = pair_of("conv2d", "stride", stride), pair_of("conv2d", "dilation", dilation)
    kernel = tuple(weight.shape[2:])
    if isinstance(padding, str):
        x, padding = _named_padding(x, padding, kernel, stride, dilation)
    padding = pair_of("conv2d", "padding", padding, least=0)
    if groups < 1 or x.shape[1] != weight.shape[1] * groups or weight.shape[0] % groups:
        raise RuntimeError(
            f"[conv2d] input {tuple(x.shape)} has {x.shape[1]} channels; weight "
            f"{tuple(weight.shape)} with groups={groups} expects {weight.shape[1] * groups}, and "
            "its out channels must divide by groups"
        )
    if min(outputs(x.shape[2:], kernel, stride, padding, dilation)) < 1 or 0 in kernel:
        raise RuntimeError(
            f"[conv2d] the kernel {kernel} with dilation {dilation} is larger than the input "
            f"{tuple(x.shape[2:])} with padding {padding}"
        )
    y = _conv2d(x, weight, stride=stride, padding=padding, dilation=dilation, groups=groups)
    if bias is None:
        return y
    same_dtype("conv2d", x, bias)
    if tuple(bias.shape) != (weight.shape[0],):
        raise RuntimeError(
            f"[conv2d] expected a bias of shape {(weight.shape[0],)}, got {tuple(bias.shape)}"
        )
    return y + bias.reshape(-1, 1, 1)


def _named_padding(
    x: Tensor, name: str, kernel: Any, stride: Pair, dilation: Pair
) -> tuple[Tensor, Any]:
    if name == "valid":
        return x, 0
    if name != "same":
        raise ValueError(f"[conv2d] padding must be ints, 'valid' or 'same', got {name!r}")
    if stride != (1, 1):
        raise ValueError(f"[conv2d] padding='same' needs stride 1, got {stride}")
    total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    if any(t % 2 for t in total):  # one more zero at the end
        n, c, h, w = x.shape
        larger = (n, c, h + total[0] % 2, w + total[1] % 2)
        zeros = x._device.ops["zeros"](larger, dtype=x.dtype)
        x = put(wrap(zeros, x._device), (..., slice(0, h), slice(0, w)), x)
    return x, tuple(t // 2 for t in total)
