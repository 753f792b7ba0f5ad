"""Pooling to a given size: the windows divide the input as evenly as they can."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from tapegrad.core.dtypes import is_floating
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_tensor
from tapegrad.ops.conv.sliding_window import Windows, unbatched

from .max_pool import at, largest_at, max_along
from .resample import Taps, resampled


@lru_cache(maxsize=64)
def _elements(n: int, out: int) -> tuple[np.ndarray, np.ndarray]:
    """Which elements are in each window, (elements, windows), and how many there are: window i goes
    from i n / out, rounded down, to (i + 1) n / out, rounded up. The last repeats where a window
    is shorter than others."""
    start = np.arange(out) * n // out
    end = -(-(np.arange(out) + 1) * n // out)
    longest = int((end - start).max(initial=1))
    return np.minimum(start + np.arange(longest)[:, None], end - 1), end - start


@lru_cache(maxsize=64)
def _means(n: int, out: int) -> Taps:
    index, count = _elements(n, out)
    inside = np.arange(len(index))[:, None] < count
    return Taps(index, inside / np.maximum(count, 1), n)


def _single(op: str, dims: int, x: Tensor, output_size: Any) -> bool:
    """Whether ``x`` has no batch."""
    require_tensor(op, x)
    if isinstance(output_size, (tuple, list)) and x.ndim <= len(output_size):
        raise ValueError(
            f"[{op}] output_size {output_size} is for more dimensions than shape {tuple(x.shape)}"
        )
    return unbatched(op, x, dims)


def _output_size(op: str, dims: int, x: Tensor, given: Any) -> list[int]:
    sizes = list(given) if isinstance(given, (tuple, list)) else [given] * dims
    if len(sizes) != dims:
        raise RuntimeError(f"[{op}] output_size must be one int or {dims}, got {given!r}")
    sizes = [n if s is None else s for s, n in zip(sizes, x.shape[-dims:], strict=True)]
    try:
        sizes = [s.__index__() for s in sizes]
    except AttributeError:
        raise TypeError(f"[{op}] output_size must be ints or None, got {given!r}") from None
    if min(sizes) < 0:
        raise RuntimeError(f"[{op}] output_size must not be negative, got {given!r}")
    if 0 in x.shape[-dims:] or (0 in x.shape[1:-dims] and x.ndim > dims + 1):
        raise RuntimeError(
            f"[{op}] only the batch may be empty, got an input of shape {tuple(x.shape)}"
        )
    return sizes


def adaptive_avg_pool(op: str, dims: int, x: Tensor, output_size: Any) -> Tensor:
    """Means over windows that divide the last ``dims`` dimensions."""
    if _single(op, dims, x, output_size):
        return adaptive_avg_pool(op, dims, x.unsqueeze(0), output_size).squeeze(0)
    sizes = _output_size(op, dims, x, output_size)
    if not is_floating(x.dtype):
        raise RuntimeError(f"[{op}] needs a floating-point tensor, got {x.dtype.name}")
    if set(sizes) == {1}:
        return x.mean(tuple(range(2, x.ndim)), keepdim=True)
    return resampled(x, [_means(n, out) for n, out in zip(x.shape[2:], sizes, strict=True)])


def _adaptive_max_pool(
    op: str, dims: int, x: Tensor, output_size: Any, return_indices: bool
) -> Any:
    if _single(op, dims, x, output_size):
        y = _adaptive_max_pool(op, dims, x.unsqueeze(0), output_size, return_indices)
        return (y[0].squeeze(0), y[1].squeeze(0)) if return_indices else y.squeeze(0)
    sizes = _output_size(op, dims, x, output_size)
    even = all(out and n % out == 0 for n, out in zip(x.shape[2:], sizes, strict=True))
    if even and not return_indices:
        for i, out in reversed(list(enumerate(sizes))):
            width = x.shape[i + 2] // out
            x = max_along(x, axis=i + 2, windows=Windows(out, width, width))
        return x
    elements: Sequence[Any] = [
        _elements(n, out)[0][:, None, None] for n, out in zip(x.shape[2:], sizes, strict=True)
    ]
    place = largest_at(x, elements=elements)
    return (at(x, place), place) if return_indices else at(x, place)


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """Means of sequences over ``output_size`` windows. input: (n, c, w) or (c, w)."""
    return adaptive_avg_pool("adaptive_avg_pool1d", 1, input, output_size)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Means over windows that divide images, (n, c, h, w) or (c, h, w), into ``output_size``: one
    size, or (height, width); None keeps a size."""
    return adaptive_avg_pool("adaptive_avg_pool2d", 2, input, output_size)


def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """``adaptive_avg_pool2d`` of volumes, (n, c, d, h, w) or (c, d, h, w)."""
    return adaptive_avg_pool("adaptive_avg_pool3d", 3, input, output_size)


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima of sequences over ``output_size`` windows. input: (n, c, w) or (c, w)."""
    return _adaptive_max_pool("adaptive_max_pool1d", 1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Maxima over windows that divide images, (n, c, h, w) or (c, h, w), into ``output_size``: one
    size, or (height, width); None keeps a size. return_indices: and where they are in the
    flattened image."""
    return _adaptive_max_pool("adaptive_max_pool2d", 2, input, output_size, return_indices)


def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """``adaptive_max_pool2d`` of volumes, (n, c, d, h, w) or (c, d, h, w)."""
    return _adaptive_max_pool("adaptive_max_pool3d", 3, input, output_size, return_indices)
