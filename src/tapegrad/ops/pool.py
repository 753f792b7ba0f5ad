"""Pooling over images, (batch, channels, height, width)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..tape import primitive
from ..tensor import Tensor
from .arguments import require_tensor
from .precision import in_float32
from .windows import Pair, pad, pair_of, window


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
    x = pad(xp, x, padding, lowest, _extent(out, kernel, stride, dilation))
    best = which = None
    for k in range(kernel[0] * kernel[1]):
        i, j = divmod(k, kernel[1])
        value = x[window(i, j, out, stride, dilation)]
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
        x[window(i, j, out, stride, dilation)] += xp.where(which == k, grad, 0)
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
    x = pad(xp, x, padding, extent=_extent(out, kernel, stride, dilation))
    result = xp.zeros(which.shape, dtype=x.dtype)
    for k in range(kernel[0] * kernel[1]):
        i, j = divmod(k, kernel[1])
        result += x[window(i, j, out, stride, dilation)] * (which == k)
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
    x = pad(xp, x, padding, extent=_extent(out, kernel, stride))
    total = xp.zeros((*x.shape[:2], *out), dtype=x.dtype)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            total += x[window(i, j, out, stride, (1, 1))]
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
            x[window(i, j, out, stride, (1, 1))] += share
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
    kernel = pair_of(op, "kernel_size", kernel)
    stride = kernel if stride is None or stride == [] else pair_of(op, "stride", stride)
    padding, dilation = pair_of(op, "padding", padding, 0), pair_of(op, "dilation", dilation)
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
