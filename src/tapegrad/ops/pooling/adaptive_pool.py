"""Pooling to a given size: the windows divide the input as evenly as they can."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_floating, require_tensor, shape
from tapegrad.ops.conv.sliding_window import Windows, for_dimensions, with_batch

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


def _checked(
    op: str, dims: int, x: Tensor, given: Any
) -> tuple[Tensor, list[int], Callable[[Any], Any]]:
    """The input with a batch, its sizes to come, and what takes the batch off the results again."""
    require_tensor(op, x)
    if isinstance(given, (tuple, list)) and x.ndim <= len(given):
        raise ValueError(
            f"[{op}] output_size {given} is for more dimensions than shape {tuple(x.shape)}"
        )
    x, restore = with_batch(op, dims, x)
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
    shape(op, (sizes,))
    if 0 in x.shape[1:]:
        raise RuntimeError(
            f"[{op}] only the batch may be empty, got an input of shape {tuple(x.shape)}"
        )
    return x, sizes, restore


def adaptive_avg_pool(op: str, dims: int) -> Callable:
    def adaptive_avg_pool(input: Tensor, output_size: Any) -> Tensor:
        """Means over windows that divide {images} into ``output_size``. input: floats
        (n, c, {size}) or (c, {size}); output_size: one size, or one a dimension; None keeps a size.
        Raises ValueError or RuntimeError for sizes that do not go with the input's, RuntimeError
        for integers."""
        require_floating(op, input)
        if type(output_size) is int and output_size == 1 and input.ndim >= dims > 1:
            # a mean, which needs no channels
            return input.mean(tuple(range(input.ndim - dims, input.ndim)), keepdim=True)
        x, sizes, restore = _checked(op, dims, input, output_size)
        if set(sizes) == {1}:
            return restore(x.mean(tuple(range(2, x.ndim)), keepdim=True))
        taps = [_means(n, out) for n, out in zip(x.shape[2:], sizes, strict=True)]
        return restore(resampled(x, taps))

    return adaptive_avg_pool


def adaptive_max_pool(op: str, dims: int) -> Callable:
    def adaptive_max_pool(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
        """Maxima over windows that divide {images} into ``output_size``. input: (n, c, {size}) or
        (c, {size}); output_size: one size, or one a dimension; None keeps a size. return_indices:
        and where they are in each flattened input, int64. Raises ValueError or RuntimeError for
        sizes that do not go with the input's."""
        x, sizes, restore = _checked(op, dims, input, output_size)
        even = all(out and n % out == 0 for n, out in zip(x.shape[2:], sizes, strict=True))
        if even and not return_indices:
            for i, out in reversed(list(enumerate(sizes))):
                width = x.shape[i + 2] // out
                x = max_along(x, axis=i + 2, windows=Windows(out, width, width))
            return restore(x)
        elements = [
            _elements(n, out)[0][:, None, None] for n, out in zip(x.shape[2:], sizes, strict=True)
        ]
        position = largest_at(x, elements=elements)
        return restore((at(x, position), position) if return_indices else at(x, position))

    return adaptive_max_pool


adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d = for_dimensions(
    adaptive_avg_pool, 1, 2, 3
)
adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d = for_dimensions(
    adaptive_max_pool, 1, 2, 3
)
