"""Channels to pixels and back, and channels in another order: changes of shape."""

from __future__ import annotations

from typing import Any

from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_tensor


def _image(op: str, x: Any, name: str, factor: Any) -> tuple[int, ...]:
    """The shape of a (..., channels, height, width) tensor."""
    require_tensor(op, x)
    if x.ndim < 3:
        raise RuntimeError(f"[{op}] expects (..., channels, h, w), got shape {tuple(x.shape)}")
    if not hasattr(factor, "__index__") or isinstance(factor, bool):
        raise TypeError(f"[{op}] {name} must be an int, got {factor!r}")
    if factor < 1:
        raise RuntimeError(f"[{op}] {name} must be positive, got {factor}")
    return tuple(x.shape)


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(..., c r^2, h, w) -> (..., c, h r, w r): every r^2 channels become r x r pixels (Shi et al.
    2016). Raises RuntimeError where the channels do not divide by r^2."""
    r = upscale_factor
    *lead, channels, h, w = _image("pixel_shuffle", input, "upscale_factor", r)
    if channels % (r * r):
        raise RuntimeError(
            f"[pixel_shuffle] {channels} channels of shape {tuple(input.shape)} do not divide by "
            f"upscale_factor ** 2 = {r * r}"
        )
    n = len(lead)
    parts = input.reshape(*lead, channels // (r * r), r, r, h, w)
    moved = parts.permute(*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return moved.clone().reshape(*lead, channels // (r * r), h * r, w * r)


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(..., c, h r, w r) -> (..., c r^2, h, w): the inverse of ``pixel_shuffle``. Raises
    RuntimeError where height or width do not divide by r."""
    r = downscale_factor
    *lead, channels, h, w = _image("pixel_unshuffle", input, "downscale_factor", r)
    if h % r or w % r:
        raise RuntimeError(
            f"[pixel_unshuffle] height and width of shape {tuple(input.shape)} do not divide by "
            f"downscale_factor = {r}"
        )
    n = len(lead)
    parts = input.reshape(*lead, channels, h // r, r, w // r, r)
    moved = parts.permute(*range(n), n, n + 2, n + 4, n + 1, n + 3)
    return moved.clone().reshape(*lead, channels * r * r, h // r, w // r)


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """(n, c, ...) with the channels of several groups dealt out in turn (Zhang et al. 2018). Raises
    RuntimeError where they do not divide into ``groups``, and for fewer than 3 dimensions."""
    batch, channels, *rest = _image("channel_shuffle", input, "groups", groups)
    if channels % groups:
        raise RuntimeError(
            f"[channel_shuffle] {channels} channels of shape {tuple(input.shape)} do not divide "
            f"into {groups} groups"
        )
    parts = input.reshape(batch, groups, channels // groups, *rest)
    return parts.transpose(1, 2).clone().reshape(tuple(input.shape))
