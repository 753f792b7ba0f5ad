"""Convolution and pooling over images, (batch, channels, height, width).

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
from .arguments import require_tensor, same_dtype
from .index import put
from .precision import in_float32

Pair = tuple[int, int]

# On the CPU the batch goes through in pieces whose patches stay in the L2 cache: they are written,
# multiplied and forgotten there. Those of the whole batch would take kh * kw times the memory of
# the input (64 channels of 32 images of 32x32, 3x3 filters: 75 MB).
_PIECE_BYTES = 1 << 21

# ---------------------------------------------------------------------- convolution


def _outputs(size: Any, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Pair:
    """Height and width of the result."""
    h, w = (
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
    )
    return h, w


def _pad(xp: Any, x: Any, padding: Pair, value: float = 0.0, extent: Pair = (0, 0)) -> Any:
    """``x`` with a border, at least as large as ``extent``."""
    ph, pw = padding
    n, c, h, w = x.shape
    height, width = max(h + 2 * ph, extent[0]), max(w + 2 * pw, extent[1])
    if (height, width) == (h, w):
        return x
    padded = xp.library.full((n, c, height, width), value, dtype=x.dtype)
    padded[:, :, ph : ph + h, pw : pw + w] = x
    return padded


def _patches(xp: Any, x: Any, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Any:
    """A view of all patches: (batch, channels, kh, kw, oh, ow)."""
    oh, ow = _outputs(x.shape[2:], kernel, stride, padding, dilation)
    x = _pad(xp, x, padding)
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
                part[_window(i, j, (oh, ow), stride, dilation)] += columns[:, :, i, j]
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
    stride, dilation = _pair("conv2d", "stride", stride), _pair("conv2d", "dilation", dilation)
    kernel = tuple(weight.shape[2:])
    if isinstance(padding, str):
        x, padding = _named_padding(x, padding, kernel, stride, dilation)
    padding = _pair("conv2d", "padding", padding, least=0)
    if groups < 1 or x.shape[1] != weight.shape[1] * groups or weight.shape[0] % groups:
        raise RuntimeError(
            f"[conv2d] input {tuple(x.shape)} has {x.shape[1]} channels; weight "
            f"{tuple(weight.shape)} with groups={groups} expects {weight.shape[1] * groups}, and "
            "its out channels must divide by groups"
        )
    if min(_outputs(x.shape[2:], kernel, stride, padding, dilation)) < 1 or 0 in kernel:
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


def _pair(op: str, name: str, value: Any, least: int = 1) -> Pair:
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) == 1:
        pair *= 2
    if len(pair) != 2 or any(not isinstance(v, int) or v < least for v in pair):
        raise RuntimeError(f"[{op}] {name} must be one or two ints >= {least}, got {value!r}")
    return pair  # type: ignore[return-value]


# ---------------------------------------------------------------------- pooling


def _window(i: int, j: int, out: Pair, stride: Pair, dilation: Pair) -> tuple:
    """Where kernel position (i, j) of every window lies in the (padded) input."""
    (oh, ow), (sh, sw), (dh, dw) = out, stride, dilation
    top, left = i * dh, j * dw
    return (..., slice(top, top + sh * (oh - 1) + 1, sh), slice(left, left + sw * (ow - 1) + 1, sw))


def _extent(out: Pair, kernel: Pair, stride: Pair, dilation: Pair = (1, 1)) -> Pair:
    """How far the windows reach: with ceil_mode, beyond the padding."""
    h, w = (
        (o - 1) * s + d * (k - 1) + 1
        for o, k, s, d in zip(out, kernel, stride, dilation, strict=True)
    )
    return h, w


def _border(
    xp: Any, like: Any, size: Pair, out: Pair, kernel: Pair, stride: Pair, padding: Pair,
    dilation: Pair = (1, 1),
) -> Any:  # fmt: skip
    """Zeros of the input's size with its border."""
    least = _extent(out, kernel, stride, dilation)
    h, w = (max(n + 2 * p, e) for n, p, e in zip(size, padding, least, strict=True))
    return xp.zeros((*like.shape[:2], h, w), dtype=like.dtype)


@primitive(
    "max_pool2d",
    vjp=(
        lambda xp, g, which, input_shape, kernel, stride, padding, dilation: (
            xp.max_pool2d_backward(g, which, size=tuple(input_shape[2:]), kernel=kernel,
                                   stride=stride, padding=padding, dilation=dilation)),
    ),
    extras=("which",),
)  # fmt: skip
def _max_pool2d(
    xp: Any, x: Any, *, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, out: Pair
) -> Any:
    """The result, and which kernel position (i * kw + j) each maximum came from."""
    lowest = -math.inf if x.dtype.kind in "fV" else int(np.iinfo(x.dtype).min)
    x = _pad(xp, x, padding, lowest, _extent(out, kernel, stride, dilation))
    best = which = None
    for k in range(kernel[0] * kernel[1]):
        i, j = divmod(k, kernel[1])
        value = x[_window(i, j, out, stride, dilation)]
        if best is None:
            best = value.copy()
            which = xp.zeros(value.shape, "uint8" if math.prod(kernel) <= 256 else "int32")
            continue
        better = (value > best) | (value != value)
        best = xp.library.maximum(best, value)
        which = xp.library.where(better, xp.asarray(k, dtype=which.dtype), which)  # type: ignore
    return best, which


@primitive(
    vjp=(
        lambda xp, g, which, kernel, stride, padding, dilation: xp.max_pool2d_pick(
            g, which, kernel=kernel, stride=stride, padding=padding, dilation=dilation),
        None,
    )
)  # fmt: skip
def max_pool2d_backward(
    xp: Any, grad: Any, which: Any, *, size: Pair, kernel: Pair, stride: Pair, padding: Pair,
    dilation: Pair,
) -> Any:  # fmt: skip
    """Each gradient goes to the position its maximum came from."""
    out = tuple(grad.shape[2:])
    (h, w), (ph, pw) = size, padding
    x = _border(xp, grad, size, out, kernel, stride, padding, dilation)
    for k in range(kernel[0] * kernel[1]):
        i, j = divmod(k, kernel[1])
        x[_window(i, j, out, stride, dilation)] += xp.where(which == k, grad, 0)
    return x[:, :, ph : ph + h, pw : pw + w]


@primitive(
    vjp=(
        lambda xp, g, which, input_shape, kernel, stride, padding, dilation: (
            xp.max_pool2d_backward(g, which, size=tuple(input_shape[2:]), kernel=kernel,
                                   stride=stride, padding=padding, dilation=dilation)),
        None,
    )
)  # fmt: skip
def max_pool2d_pick(
    xp: Any, x: Any, which: Any, *, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> Any:
    """The elements of ``x`` at the positions of another input's maxima."""
    out = tuple(which.shape[2:])
    x = _pad(xp, x, padding, extent=_extent(out, kernel, stride, dilation))
    result = xp.zeros(which.shape, dtype=x.dtype)
    for k in range(kernel[0] * kernel[1]):
        i, j = divmod(k, kernel[1])
        result += x[_window(i, j, out, stride, dilation)] * (which == k)
    return result


@primitive(
    "avg_pool2d",
    vjp=(
        lambda xp, g, input_shape, kernel, stride, padding, divisor: xp.avg_pool2d_backward(
            g, size=tuple(input_shape[2:]), kernel=kernel, stride=stride, padding=padding,
            divisor=divisor),
    ),
)  # fmt: skip
@in_float32
def _avg_pool2d(
    xp: Any, x: Any, *, kernel: Pair, stride: Pair, padding: Pair, divisor: Any, out: Pair
) -> Any:
    x = _pad(xp, x, padding, extent=_extent(out, kernel, stride))
    total = xp.zeros((*x.shape[:2], *out), dtype=x.dtype)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            total += x[_window(i, j, out, stride, (1, 1))]
    return total / xp.asarray(divisor, dtype=x.dtype)


@primitive(
    vjp=(
        lambda xp, g, input_shape, kernel, stride, padding, divisor: xp.avg_pool2d(
            g, kernel=kernel, stride=stride, padding=padding, divisor=divisor,
            out=tuple(input_shape[2:])),
    )
)  # fmt: skip
@in_float32
def avg_pool2d_backward(
    xp: Any, grad: Any, *, size: Pair, kernel: Pair, stride: Pair, padding: Pair, divisor: Any
) -> Any:  # fmt: skip
    """Each window's gradient, divided evenly among its elements."""
    out = tuple(grad.shape[2:])
    (h, w), (ph, pw) = size, padding
    share = grad / xp.asarray(divisor, dtype=grad.dtype)
    x = _border(xp, grad, size, out, kernel, stride, padding)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            x[_window(i, j, out, stride, (1, 1))] += share
    return x[:, :, ph : ph + h, pw : pw + w]


def _pooled(n: int, k: int, s: int, p: int, d: int, ceil_mode: bool) -> int:
    """The number of windows along one dimension; with ceil_mode the last may run over the end, if
    it starts inside the input or its left padding."""
    span = n + 2 * p - d * (k - 1) - 1
    out = (-(-span // s) if ceil_mode else span // s) + 1
    return out - 1 if ceil_mode and (out - 1) * s >= n + p else out


def _pool_geometry(
    op: str, x: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> tuple[Pair, Pair, Pair, Pair, Pair]:
    if x.ndim != 4:
        raise RuntimeError(f"[{op}] expects (n, c, h, w) or (c, h, w), got {tuple(x.shape)}")
    kernel = _pair(op, "kernel_size", kernel)
    stride = kernel if stride is None or stride == [] else _pair(op, "stride", stride)
    padding, dilation = _pair(op, "padding", padding, 0), _pair(op, "dilation", dilation)
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise RuntimeError(
            f"[{op}] padding {padding} must be at most half the kernel size {kernel}"
        )
    out = tuple(
        _pooled(n, k, s, p, d, ceil_mode)
        for n, k, s, p, d in zip(x.shape[2:], kernel, stride, padding, dilation, strict=True)
    )
    if min(out) < 1 or 0 in x.shape[1:]:
        raise RuntimeError(
            f"[{op}] the kernel {kernel} does not fit the input of shape {tuple(x.shape)} with "
            f"padding {padding}"
        )
    return kernel, stride, padding, dilation, out  # type: ignore[return-value]


def max_pool2d(
    x: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The largest element of every window. x: (n, c, h, w) or (c, h, w); stride: kernel_size by
    default. The gradient goes to the first maximum of each window; nan counts as largest."""
    require_tensor("max_pool2d", x)
    if x.ndim == 3:
        batch = max_pool2d(x.unsqueeze(0), kernel_size, stride, padding, dilation, ceil_mode)
        return batch.squeeze(0)
    kernel, stride, padding, dilation, out = _pool_geometry(
        "max_pool2d", x, kernel_size, stride, padding, dilation, ceil_mode
    )
    return _max_pool2d(x, kernel=kernel, stride=stride, padding=padding, dilation=dilation, out=out)


def avg_pool2d(
    x: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of every window. x: (n, c, h, w) or (c, h, w); stride: kernel_size by default.
    count_include_pad: whether padding counts in the mean; divisor_override: divide by this."""
    require_tensor("avg_pool2d", x)
    if x.ndim == 3:
        batch = avg_pool2d(x.unsqueeze(0), kernel_size, stride, padding, ceil_mode,
                           count_include_pad, divisor_override)  # fmt: skip
        return batch.squeeze(0)
    if divisor_override == 0:
        raise RuntimeError("[avg_pool2d] divisor_override must not be 0")
    kernel, stride, padding, _, out = _pool_geometry(
        "avg_pool2d", x, kernel_size, stride, padding, 1, ceil_mode
    )
    counts = [
        _window_lengths(n, k, s, p, o, count_include_pad)
        for n, k, s, p, o in zip(x.shape[2:], kernel, stride, padding, out, strict=True)
    ]
    divisor = divisor_override or np.outer(*counts)
    return _avg_pool2d(x, kernel=kernel, stride=stride, padding=padding, divisor=divisor, out=out)


def _window_lengths(n: int, k: int, s: int, p: int, out: int, include_pad: bool) -> np.ndarray:
    """How many elements of each window along one dimension count."""
    start = np.arange(out) * s - p
    end = np.minimum(start + k, n + p)
    if include_pad:
        return end - start
    return np.minimum(end, n) - np.maximum(start, 0)
