"""Images read at the points of a grid, and the grids of affine maps (Jaderberg et al. 2015)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial, reduce
from itertools import product
from operator import add
from typing import Any

import numpy as np

from tapegrad.core.dtypes import float32, int64, is_floating, is_low_precision
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common.arguments import require_tensor
from tapegrad.ops.common.precision import compute_in_float32
from tapegrad.ops.pointwise.elementwise import where, with_zero_slopes
from tapegrad.ops.pooling.flat_pixels import read_positions

# Each dimension contributes some elements, (index, weight), to a result: two for "bilinear", four
# for "bicubic", one for "nearest". The result is the sum over all combinations. Indices are plain
# numbers, through which no gradient flows; weights depend on the grid.

Elements = list[tuple[Tensor, Tensor | None]]


def _pixels(grid: Tensor, n: int, align_corners: bool) -> Tensor:
    """Coordinates -1..1 in pixels: -1 and 1 are the corner pixels' centres or outer edges."""
    return (grid + 1) * ((n - 1) / 2) if align_corners else ((grid + 1) * n - 1) / 2


def _clipped(position: Tensor, n: int) -> Tensor:
    """Between the first and the last pixel; no gradient at the ends and beyond."""
    fixed = position.detach()
    inner: Any = fixed > 0
    return where(inner & (fixed < n - 1), position, fixed.clamp(0, n - 1))


def _reflected(position: Tensor, n: int, align_corners: bool) -> Tensor:
    """Reflected at the centres or the edges of the first and last pixels until inside."""
    low, span = (0.0, n - 1.0) if align_corners else (-0.5, float(n))
    if span == 0:
        return _clipped(position, n)
    fixed = position.detach() - low
    distance = where(fixed < 0, low - position, position - low)
    times = (fixed.abs() / span).floor()
    rest = distance - times * span
    inside = where(times % 2 == 0, rest + low, (span + low) - rest)
    return _clipped(inside, n)


def _padded(position: Tensor, n: int, padding_mode: str, align_corners: bool) -> Tensor:
    if padding_mode == "border":
        return _clipped(position, n)
    return _reflected(position, n, align_corners) if padding_mode == "reflection" else position


def _linear(position: Tensor, pad: Callable) -> Elements:
    position = pad(position)
    low = position.detach().floor()
    share = position - low
    return [(low, 1 - share), (low + 1, share)]


def _nearest(position: Tensor, pad: Callable) -> Elements:
    weight = None  # (1, of which the grid has gradient 0)
    if position.requires_grad:
        one = wrap(position._device.asarray(1, dtype=position.dtype), position._device)
        weight = with_zero_slopes(one, position)
    return [(pad(position).detach().round(), weight)]


def _near(x: Tensor) -> Tensor:
    """Keys' cubic (1981) with slope -0.75 at 1, where |x| <= 1."""
    return ((1.25 * x - 2.25) * x) * x + 1


def _far(x: Tensor) -> Tensor:
    """The same where 1 <= |x| <= 2."""
    return ((-0.75 * x + 3.75) * x - 6.0) * x + 3.0


def _cubic(position: Tensor, pad: Callable) -> Elements:
    low = position.detach().floor()
    t = position - low
    weights = [_far(t + 1), _near(t), _near(1 - t), _far(2 - t)]
    return [(pad(low + (k - 1)).round(), weight) for k, weight in enumerate(weights)]


_MODES = {"bilinear": _linear, "nearest": _nearest, "bicubic": _cubic}


def _check(input: Tensor, grid: Tensor, mode: str, padding_mode: str) -> int:
    for x in (input, grid):
        require_tensor("grid_sample", x)
    if mode not in _MODES:
        raise ValueError(f"[grid_sample] mode must be one of {', '.join(_MODES)}, got {mode!r}")
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(
            f"[grid_sample] padding_mode must be zeros, border or reflection, got {padding_mode!r}"
        )
    dims = input.ndim - 2
    fits = dims in (2, 3) and grid.ndim == input.ndim and grid.shape[-1] == dims
    if not fits or grid.shape[0] != input.shape[0]:
        raise RuntimeError(
            f"[grid_sample] expects an input (n, c, h, w) and a grid (n, oh, ow, 2), or (n, c, d, "
            f"h, w) and (n, od, oh, ow, 3), got {tuple(input.shape)} and {tuple(grid.shape)}"
        )
    if not is_floating(input.dtype) or input.dtype != grid.dtype:
        raise RuntimeError(
            f"[grid_sample] input and grid must have one floating-point dtype, got "
            f"{input.dtype.name} and {grid.dtype.name}"
        )
    if 0 in input.shape[2:]:
        raise RuntimeError(f"[grid_sample] the image is empty: {tuple(input.shape)}")
    if mode == "bicubic" and dims == 3:
        raise RuntimeError("[grid_sample] mode 'bicubic' takes images of 4 dimensions only")
    return dims


def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """The images at the points of a grid: input (n, c, h, w), grid (n, oh, ow, 2) of (x, y), each
    -1..1 from one end of the image to the other -> (n, c, oh, ow); or with a depth, (x, y, z).
    Both of one floating dtype.

    mode: "bilinear", "nearest" or "bicubic" (images only). padding_mode: what lies outside:
    "zeros", the nearest pixel ("border"), or the image mirrored ("reflection"). align_corners:
    whether -1 and 1 are the centres of the corner pixels, rather than their outer edges. Raises
    ValueError for another mode or padding_mode, RuntimeError for shapes and dtypes that do not fit.
    """
    dims = _check(input, grid, mode, padding_mode)
    if is_low_precision(input.dtype):
        y = grid_sample(input.to(float32), grid.to(float32), mode, padding_mode, align_corners)
        return y.to(input.dtype)
    size, align = tuple(input.shape[2:]), bool(align_corners)
    n, *shape = grid.shape[:-1]
    points = grid.reshape(n, math.prod(shape), dims)
    elements: list[Elements] = []
    for i, length in enumerate(size):
        position = _pixels(points[..., dims - 1 - i], length, align)
        padded = partial(_padded, n=length, padding_mode=padding_mode, align_corners=align)
        elements.append(_MODES[mode](position, padded))
    flat = input.flatten(2)
    y = reduce(add, (_part(flat, size, chosen) for chosen in product(*elements)))
    return y.reshape(*input.shape[:2], *shape)


def _part(flat: Tensor, size: tuple[int, ...], chosen: tuple) -> Tensor:
    """The elements of flattened images, one for each point, times their weights; 0 outside."""
    inside: Any = None
    index: Any = 0
    weight: Any = None
    for (position, share), n in zip(chosen, size, strict=True):
        within: Any = (position >= 0) & (position <= n - 1)
        inside = within if inside is None else inside & within
        index = index * n + where(within, position, 0.0).to(int64)
        if share is not None:
            weight = share if weight is None else weight * share
    inside = inside.unsqueeze(1)
    part = where(inside, read_positions(flat, index.unsqueeze(1)), 0.0)
    return part if weight is None else part * where(inside, weight.unsqueeze(1), 0.0)


@compute_in_float32
def affine_grid(theta: Tensor, size: Any, align_corners: bool | None = None) -> Tensor:
    """The points that affine maps send an output's pixels to, for ``grid_sample``.

    theta: (n, 2, 3), size (n, c, h, w) -> (n, h, w, 2); or (n, 3, 4), (n, c, d, h, w) ->
    (n, d, h, w, 3). align_corners: whether -1 and 1 are the centres of the corner pixels. Raises
    ValueError for a theta that is no such floats or does not fit ``size``, NotImplementedError for
    a size of other than 4 or 5 dimensions.
    """
    require_tensor("affine_grid", theta)
    if not is_floating(theta.dtype):
        raise ValueError(f"[affine_grid] theta must be floating-point, got {theta.dtype.name}")
    dims = len(size) - 2
    if dims not in (2, 3):
        raise NotImplementedError(f"[affine_grid] size must have 4 or 5 dimensions, got {size}")
    if theta.ndim != 3 or tuple(theta.shape[1:]) != (dims, dims + 1):
        raise ValueError(
            f"[affine_grid] theta must have shape (n, {dims}, {dims + 1}) for size {tuple(size)}, "
            f"got {tuple(theta.shape)}"
        )
    if min(size) < 1 or theta.shape[0] != size[0]:
        raise ValueError(
            f"[affine_grid] size must be positive, and begin with theta's {theta.shape[0]}, got "
            f"{tuple(size)}"
        )
    lines = [_line(n, bool(align_corners)) for n in reversed(size[2:])]
    ones = np.ones(math.prod(size[2:]))
    points = [p.reshape(-1) for p in np.meshgrid(*reversed(lines), indexing="ij")][::-1]
    device = theta._device
    base = wrap(device.asarray(np.stack([*points, ones], 1)).astype(theta.dtype), device)
    return (base @ theta.mT).reshape(size[0], *size[2:], dims)


def _line(n: int, align_corners: bool) -> np.ndarray:
    """The positions of n pixels between -1 and 1."""
    if align_corners:
        return np.linspace(-1, 1, n) if n > 1 else np.zeros(1)
    return (2 * np.arange(n) + 1) / n - 1
