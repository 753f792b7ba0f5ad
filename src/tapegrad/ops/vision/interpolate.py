"""Resizing the dimensions behind the second, one after the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from tapegrad.core.dtypes import float64, is_floating
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_tensor
from tapegrad.ops.pooling.adaptive_pool import adaptive_avg_pool
from tapegrad.ops.pooling.resample import Taps, resampled

# ---------------------------------------------------------------------- taps


def _step(n: int, out: int, align_corners: bool, scale: float | None) -> float:
    """How far apart the results are, in elements of the input."""
    if align_corners:
        return (n - 1) / (out - 1) if out > 1 else 0.0
    return 1.0 / scale if scale is not None and scale > 0 else n / out


def _sources(n: int, out: int, align_corners: bool, scale: float | None) -> np.ndarray:
    """Where in the input each result lies: pixel centres are half a step from the edge, unless the
    centres of the corner pixels are aligned."""
    step = _step(n, out, align_corners, scale)
    return np.arange(out) * step if align_corners else (np.arange(out) + 0.5) * step - 0.5


@lru_cache(maxsize=64)
def _nearest(n: int, out: int, centred: bool, scale: float | None, wide: bool) -> Taps:
    """In PyTorch's precision, for rounding decides which element is nearest: float32, and float64
    (rounded to float32 at the end) for float64."""
    kind = np.float64 if wide else np.float32
    step = kind(1.0 / scale) if scale is not None and scale > 0 else kind(n) / kind(out)
    positions = (np.arange(out).astype(kind) + kind(0.5 if centred else 0)) * step
    index = np.floor(positions.astype(np.float32)).astype(np.int64).clip(0, n - 1)[None]
    return Taps(index, np.ones(index.shape), n)


@lru_cache(maxsize=64)
def _linear(n: int, out: int, align_corners: bool, scale: float | None) -> Taps:
    source = _sources(n, out, align_corners, scale).clip(0)
    low = np.floor(source).astype(np.int64).clip(0, n - 1)
    share = (source - low).clip(0, 1)
    return Taps(np.stack([low, (low + 1).clip(0, n - 1)]), np.stack([1 - share, share]), n)


def _cubic_weight(x: np.ndarray, a: float) -> np.ndarray:
    """Keys' kernel (1981): a cubic within 1, another to 2, with slope a at 1."""
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


@lru_cache(maxsize=64)
def _cubic(n: int, out: int, align_corners: bool, scale: float | None) -> Taps:
    source = _sources(n, out, align_corners, scale)
    low = np.floor(source).astype(np.int64)
    positions = low + np.arange(-1, 3)[:, None]
    return Taps(positions.clip(0, n - 1), _cubic_weight(source - positions, -0.75), n)


def _triangle(x: np.ndarray) -> np.ndarray:
    return (1 - np.abs(x)).clip(0)


def _lanczos(x: np.ndarray) -> np.ndarray:
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)


# Filters for antialiasing, and how far they reach.
_FILTERS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], int]] = {
    "bilinear": (_triangle, 1),
    "bicubic": (lambda x: _cubic_weight(x, -0.5), 2),
    "lanczos": (_lanczos, 3),
}


@lru_cache(maxsize=64)
def _antialiased(mode: str, n: int, out: int, align_corners: bool, scale: float | None) -> Taps:
    """A filter as wide as the step between results, so that every element has its share."""
    weigh, reach = _FILTERS[mode]
    step = _step(n, out, align_corners, scale)
    wide = max(step, 1.0)
    centre = (np.arange(out) + 0.5) * step
    first = np.trunc(centre - reach * wide + 0.5).astype(np.int64).clip(0)
    end = np.trunc(centre + reach * wide + 0.5).astype(np.int64).clip(None, n)
    positions = first + np.arange(max(int((end - first).max()), 1))[:, None]
    weight = np.where(positions < end, weigh((positions - centre + 0.5) / wide), 0.0)
    total = weight.sum(0)
    return Taps(positions.clip(0, n - 1), weight / np.where(total == 0, 1, total), n)


# ---------------------------------------------------------------------- PyTorch's signatures

_DIMENSIONS = {"linear": 1, "bilinear": 2, "bicubic": 2, "lanczos": 2, "trilinear": 3}
_MODES = ("nearest", "nearest-exact", "area", *_DIMENSIONS)


def _listed(name: str, x: Tensor, value: Any) -> list | None:
    """One number a dimension."""
    if value is None:
        return None
    dims = x.ndim - 2
    if not isinstance(value, (tuple, list)):
        return [value] * dims
    if len(value) != dims:
        raise ValueError(
            f"[interpolate] {name} must be one number or {dims} for an input of shape "
            f"{tuple(x.shape)}, got {value!r}"
        )
    return list(value)


def _sizes(
    x: Tensor, size: Any, scale_factor: Any, recompute: bool, least: int
) -> tuple[list[int], Sequence[float | None]]:
    """The sizes to come, and the factors where they are to be used as they are."""
    if (size is None) == (scale_factor is None):
        raise ValueError("[interpolate] needs either size or scale_factor")
    if size is not None and recompute:
        raise ValueError("[interpolate] recompute_scale_factor goes with scale_factor, not size")
    factors: Any = _listed("scale_factor", x, scale_factor)
    sizes: Any = _listed("size", x, size)
    if factors is not None:
        if any(isinstance(f, bool) or not isinstance(f, (int, float)) for f in factors):
            raise TypeError(f"[interpolate] scale_factor must be numbers, got {scale_factor!r}")
        if not all(map(math.isfinite, factors)):
            raise ValueError(f"[interpolate] scale_factor must be finite, got {scale_factor!r}")
        sizes = [int(n * f) for n, f in zip(x.shape[2:], factors, strict=True)]
    try:
        sizes = [n.__index__() for n in sizes]
    except AttributeError:
        raise TypeError(f"[interpolate] size must be ints, got {size!r}") from None
    if min(sizes) < least or 0 in x.shape[1:]:
        raise RuntimeError(
            f"[interpolate] sizes must be at least {least}, got {tuple(sizes)} for an input of "
            f"shape {tuple(x.shape)}"
        )
    return sizes, [None] * len(sizes) if factors is None or recompute else factors


def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """``input`` (batch, channels, ...) with its 1, 2 or 3 last dimensions resized to ``size``, or
    by ``scale_factor``: one number, or one a dimension.

    mode: "nearest", "nearest-exact", "area" (means), or "linear" (1 dimension), "bilinear" or
    "bicubic" (2), "trilinear" (3). align_corners: whether the first and last elements stay where
    they are, rather than the edges of the image. antialias: filter when shrinking ("bilinear",
    "bicubic", or "lanczos"). recompute_scale_factor: take the ratio of the sizes for the factor.
    Raises NotImplementedError for a mode that does not go with the shape, ValueError for arguments
    that do not go together, RuntimeError for sizes below 1 and for a dtype that the mode lacks.
    """
    require_tensor("interpolate", input)
    if mode not in _MODES:
        names = ", ".join(map(repr, _MODES))
        raise NotImplementedError(f"[interpolate] mode must be one of {names}, got {mode!r}")
    if align_corners is not None and mode in ("nearest", "nearest-exact", "area"):
        raise ValueError(f"[interpolate] mode {mode!r} does not take align_corners")
    dims = input.ndim - 2
    if not 1 <= dims <= 3 or _DIMENSIONS.get(mode, dims) != dims:
        wanted = f"{_DIMENSIONS[mode] + 2}" if mode in _DIMENSIONS else "3, 4 or 5"
        raise NotImplementedError(
            f"[interpolate] mode {mode!r} takes an input of {wanted} dimensions, got "
            f"{tuple(input.shape)}"
        )
    if antialias != (mode == "lanczos") and (mode == "lanczos" or mode not in _FILTERS):
        raise ValueError(
            f"[interpolate] antialias=True goes with {', '.join(map(repr, _FILTERS))}, and "
            f"'lanczos' needs it; got mode {mode!r}, antialias={antialias}"
        )
    least = 0 if mode == "area" else 1
    sizes, factors = _sizes(input, size, scale_factor, bool(recompute_scale_factor), least)
    if mode == "area":
        return adaptive_avg_pool("interpolate", dims)(input, sizes)
    if not is_floating(input.dtype) and "nearest" not in mode:
        raise RuntimeError(
            f"[interpolate] mode {mode!r} needs a floating-point tensor, got {input.dtype.name}: "
            "convert with .float()"
        )
    return resampled(
        input,
        [
            _taps(mode, input.dtype, n, out, bool(align_corners), factor, antialias)
            for n, out, factor in zip(input.shape[2:], sizes, factors, strict=True)
        ],
    )


def _taps(
    mode: str, dtype: Any, n: int, out: int, align_corners: bool, factor: Any, antialias: bool
) -> Taps:
    factor = None if factor is None else float(factor)
    if "nearest" in mode:
        return _nearest(n, out, mode == "nearest-exact", factor, dtype == float64)
    if n == out and (antialias or mode != "bicubic"):  # whatever the factor, as in PyTorch
        return Taps(np.arange(n)[None], np.ones((1, n)), n)
    if antialias:
        return _antialiased(mode, n, out, align_corners, factor)
    return (_cubic if mode == "bicubic" else _linear)(n, out, align_corners, factor)


def upsample(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """``interpolate`` under its former name, without its last two arguments."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """``interpolate`` of (batch, channels, ...) by the nearest elements."""
    return interpolate(input, size, scale_factor)


def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """Bilinear ``interpolate`` of images (n, c, h, w), with aligned corners."""
    return interpolate(input, size, scale_factor, "bilinear", True)
