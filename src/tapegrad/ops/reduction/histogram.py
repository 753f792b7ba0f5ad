"""Counting numbers by the bin they fall into. Counts have no gradient."""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common.arguments import require_floating, require_tensor, same_device

from .sort import keys


class Histogram(NamedTuple):
    """Counts (or weights, or densities), and the edges between bins."""

    hist: Tensor
    bin_edges: Any


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each of 0, 1, ... occurs in a vector of integers >= 0 (int64), or the sums of their
    weights (float64, of float32 weights float32); at least ``minlength`` counts. Raises
    RuntimeError for any other input, and for weights of another shape or device."""
    require_tensor("bincount", input)
    if input.ndim != 1 or input.dtype.kind not in "iu":
        raise RuntimeError(
            f"[bincount] expects a vector of integers, got {input.dtype.name} {tuple(input.shape)}"
        )
    if minlength < 0:
        raise RuntimeError(f"[bincount] minlength must not be negative, got {minlength}")
    x = input._array.astype(np.int64, copy=False)
    if x.size and int(x.min()) < 0:
        raise RuntimeError("[bincount] the integers must not be negative")
    _check_weight("bincount", weights, input, tuple(input.shape))
    size = builtins.max(int(x.max()) + 1 if x.size else 0, minlength)
    if weights is None:
        return wrap(_counted(input, x, None, size), input._device)
    kind: Any = np.float32 if weights.dtype == np.float32 else np.float64
    kind = kind if x.size else np.int64  # PyTorch's
    return wrap(_counted(input, x, weights, size).astype(kind, copy=False), input._device)


def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """How many elements fall into each of ``bins`` equal bins from min to max (if they are equal,
    from the smallest to the largest element), in the input's dtype; what is outside, and nan, is
    not counted. Raises RuntimeError for integers, bins <= 0, min > max and a range that is not
    finite."""
    require_floating("histc", input)
    if bins <= 0:
        raise RuntimeError(f"[histc] the number of bins must be positive, got {bins}")
    if min > max:
        raise RuntimeError(f"[histc] min must not be above max, got {min} and {max}")
    x = keys(input._array)
    if min == max and x.size:
        min, max = float(x.min()), float(x.max())
    if min == max:
        min, max = min - 1, max + 1
    _require_finite("histc", min, max)
    low, high = x.dtype.type(min), x.dtype.type(max)
    x = x[(x >= low) & (x <= high)]
    bin_of = ((x - low) / (high - low) * bins).astype(np.int64)
    bin_of[bin_of == bins] = bins - 1
    hist = _counted(input, bin_of, None, bins)
    return wrap(hist.astype(input.dtype), input._device)


def histogram(
    input: Tensor,
    bins: Any,
    *,
    range: Sequence[float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> Histogram:
    """(hist, bin_edges): how many elements, or what weight, falls into each bin. bins: their
    number, equal between the two ends of ``range``, or a vector of increasing edges. density: the
    integral over all bins is 1. Bins hold their left edge, the last one both. Raises RuntimeError
    for integers, bins <= 0, weights of another shape, and edges of another dtype."""
    require_floating("histogram", input)
    points = keys(input._array).reshape(-1, 1)
    hist, edges = _histogram("histogram", input, points, [bins], range, weight, density)
    return Histogram(hist, edges[0])


def histogramdd(
    input: Tensor,
    bins: Any,
    *,
    range: Sequence[float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> Histogram:
    """(hist, bin_edges) of points, whose k coordinates are the last dimension: hist has k
    dimensions, and there are k vectors of edges. bins: one number for all coordinates, or a number
    or a vector of edges for each; range: two ends for each, in one list. Raises what ``histogram``
    does, and RuntimeError for a vector."""
    require_floating("histogramdd", input)
    if input.ndim < 2:
        raise RuntimeError(
            f"[histogramdd] expects points, at least 2 dimensions, got shape {tuple(input.shape)}"
        )
    count = input.shape[-1]
    each = [bins] * count if isinstance(bins, int) else list(bins)
    if len(each) != count:
        raise RuntimeError(
            f"[histogramdd] bins for {len(each)} coordinates, points of {count}: shape "
            f"{tuple(input.shape)}"
        )
    points = keys(input._array).reshape(-1, count)
    return Histogram(*_histogram("histogramdd", input, points, each, range, weight, density))


def _histogram(
    op: str, input: Tensor, points: Any, bins: list, range: Any, weight: Any, density: bool
) -> tuple[Tensor, tuple[Tensor, ...]]:
    device = input._device
    xp = device.xp
    if range is not None and len(range) != 2 * len(bins):
        raise RuntimeError(f"[{op}] range needs {2 * len(bins)} numbers, got {len(range)}")
    leading = tuple(input.shape) if op == "histogram" else tuple(input.shape[:-1])
    _check_weight(op, weight, input, leading)
    edges: list = []
    inside: Any = xp.library.ones(len(points), dtype=bool)
    cell: Any = 0  # counted in row-major order
    for i, given in enumerate(bins):
        x = points[:, i]
        ends = None if range is None else range[2 * i : 2 * i + 2]
        edge = _edges(op, input, given, x, ends)
        inside = inside & (x >= edge[0]) & (x <= edge[-1])
        bin_of = xp.library.searchsorted(edge, x, side="right") - 1
        cell = cell * (len(edge) - 1) + xp.minimum(bin_of, len(edge) - 2)
        edges.append(edge)
    if weight is not None:
        weight = wrap(weight._array.reshape(-1)[inside], device)
    shape = tuple(len(edge) - 1 for edge in edges)
    hist = _counted(input, cell[inside], weight, math.prod(shape)).reshape(shape)
    if density:
        hist = hist / hist.sum()
        for i, edge in enumerate(edges):
            hist = hist / (edge[1:] - edge[:-1]).reshape((-1,) + (1,) * (len(edges) - i - 1))
    kind = input.dtype
    return wrap(hist.astype(kind), device), tuple(wrap(e.astype(kind), device) for e in edges)


def _edges(op: str, input: Tensor, bins: Any, x: Any, ends: Any) -> Any:
    """The edges of the bins of one coordinate."""
    if isinstance(bins, Tensor):
        if bins.ndim != 1 or bins.numel() < 2 or bins.dtype != input.dtype:
            raise RuntimeError(
                f"[{op}] edges must be a vector of at least 2 numbers of dtype "
                f"{input.dtype.name}, got {bins.dtype.name} {tuple(bins.shape)}"
            )
        same_device(op, input, bins, "bins")
        return keys(bins._array)
    if not isinstance(bins, int) or bins <= 0:
        raise RuntimeError(f"[{op}] the number of bins must be a positive int, got {bins}")
    if ends is None:
        ends = (float(x.min()), float(x.max())) if x.size else (0.0, 1.0)
    low, high = ends
    _require_finite(op, low, high)
    if low > high:
        raise RuntimeError(f"[{op}] the range must not end before it begins, got {low} to {high}")
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = input._device.library.linspace(low, high, bins + 1, dtype=np.float64)
    return edges.astype(x.dtype)


def _counted(input: Tensor, bin_of: Any, weights: Tensor | None, size: int) -> Any:
    """How often each bin occurs, or the sums of the weights (in a fixed order)."""
    xp = input._device.xp
    if weights is None:
        return xp.library.bincount(bin_of, minlength=size)
    sums = xp.zeros(size, dtype=np.float64)
    if bin_of.size:
        xp.add_at(sums, (bin_of,), weights._array.astype(np.float64))
    return sums


def _check_weight(op: str, weight: Any, beside: Tensor, shape: tuple[int, ...]) -> None:
    if weight is None:
        return
    require_tensor(op, weight)
    if tuple(weight.shape) != shape:
        raise RuntimeError(
            f"[{op}] needs one weight for each number or point, shape {shape}, got shape "
            f"{tuple(weight.shape)}"
        )
    same_device(op, beside, weight, "weights")


def _require_finite(op: str, low: float, high: float) -> None:
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RuntimeError(f"[{op}] the range must be finite, got {low} to {high}")
