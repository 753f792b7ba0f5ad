"""Windows that slide over the last two dimensions: what convolution and pooling share."""

from __future__ import annotations

from typing import Any

Pair = tuple[int, int]


def outputs(size: Any, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Pair:
    """Height and width of the result."""
    h, w = (
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
    )
    return h, w


def pad(xp: Any, x: Any, padding: Pair, value: float = 0.0, extent: Pair = (0, 0)) -> Any:
    """``x`` with a border, at least as large as ``extent``."""
    ph, pw = padding
    n, c, h, w = x.shape
    height, width = max(h + 2 * ph, extent[0]), max(w + 2 * pw, extent[1])
    if (height, width) == (h, w):
        return x
    padded = xp.library.full((n, c, height, width), value, dtype=x.dtype)
    padded[:, :, ph : ph + h, pw : pw + w] = x
    return padded


def pair_of(op: str, name: str, value: Any, least: int = 1) -> Pair:
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) == 1:
        pair *= 2
    if len(pair) != 2 or any(not isinstance(v, int) or v < least for v in pair):
        raise RuntimeError(f"[{op}] {name} must be one or two ints >= {least}, got {value!r}")
    return pair  # type: ignore[return-value]


def window(i: int, j: int, out: Pair, stride: Pair, dilation: Pair) -> tuple:
    """Where kernel position (i, j) of every window lies in the (padded) input."""
    (oh, ow), (sh, sw), (dh, dw) = out, stride, dilation
    top, left = i * dh, j * dw
    return (..., slice(top, top + sh * (oh - 1) + 1, sh), slice(left, left + sw * (ow - 1) + 1, sw))
