"""Numerical calculus: differences, slopes and integrals of samples along a dimension."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import axis, distinct_axes, require_tensor, same_device
from tapegrad.ops.common.precision import compute_in_float32
from tapegrad.ops.movement.cat import cat
from tapegrad.ops.movement.shape import clone, reshape
from tapegrad.ops.movement.split import part
from tapegrad.ops.pointwise import elementwise

from .cumulative import cumsum
from .reduce import sum as total


def _differences(x: Tensor, d: int) -> Tensor:
    """x[i + 1] - x[i] along dimension ``d``."""
    return elementwise.subtract(part(x, d, 1, None), part(x, d, 0, -1))


def diff(
    input: Tensor,
    n: int = 1,
    dim: int = -1,
    prepend: Tensor | None = None,
    append: Tensor | None = None,
) -> Tensor:
    """The n-th differences x[i + 1] - x[i] along ``dim``, whose size becomes smaller by n, of bools
    whether they differ; ``prepend`` and ``append`` are put before and after first. Raises
    RuntimeError for n < 0, a 0-d input, and where those have another number of dimensions."""
    require_tensor("diff", input)
    if n < 0:
        raise RuntimeError(f"[diff] the order n must not be negative, got {n}")
    if input.ndim == 0:
        raise RuntimeError("[diff] a 0-d tensor has no differences")
    d = axis("diff", dim, input.ndim)
    parts = [t for t in (prepend, input, append) if t is not None]
    for t in parts:
        require_tensor("diff", t)
        if t.ndim != input.ndim:
            raise RuntimeError(
                f"[diff] prepend and append must have the input's {input.ndim} dimensions, got "
                f"shape {tuple(t.shape)}"
            )
    if n == 0:
        return clone(input)
    x = cat(parts, d) if len(parts) > 1 else input
    for _ in range(builtins.min(n, x.shape[d])):
        if x.dtype.kind == "b":
            x = elementwise.logical_xor(part(x, d, 1, None), part(x, d, 0, -1))
        else:
            x = _differences(x, d)
    return x


# ---------------------------------------------------------------------- integrals


def _intervals(op: str, y: Tensor, x: Tensor, d: int) -> Tensor:
    """The distances of the samples x along ``d``, shaped to multiply those of y."""
    if x.ndim == 1:
        if x.shape[0] != y.shape[d]:
            raise RuntimeError(
                f"[{op}] there must be one x for each sample along dim {d}: got {x.shape[0]} for "
                f"{y.shape[d]}"
            )
        x = reshape(x, tuple(x.shape[0] if i == d else 1 for i in range(y.ndim)))
    elif x.ndim < y.ndim:
        x = reshape(x, (1,) * (y.ndim - x.ndim) + tuple(x.shape))
    return _differences(x, d)


def _areas(op: str, y: Tensor, x: Tensor | None, dx: Any, d: int) -> tuple[Tensor, Any]:
    """Twice the areas over the intervals, and what they are still to be multiplied by."""
    heights = elementwise.add(part(y, d, 1, None), part(y, d, 0, -1))
    if x is None:
        return heights, 0.5 * (1 if dx is None else dx)
    return elementwise.multiply(heights, _intervals(op, y, x, d)), 0.5


def _checked(op: str, y: Tensor, x: Tensor | None, dx: Any, dim: int) -> int:
    for t in (y,) if x is None else (y, x):
        require_tensor(op, t)
        if t.dtype.kind == "b":
            raise RuntimeError(f"[{op}] is not defined for bool tensors: convert with .int()")
    if x is not None and dx is not None:
        raise TypeError(f"[{op}] takes x or dx, not both")
    if y.ndim == 0:
        raise IndexError(f"[{op}] a 0-d tensor has no dimension to integrate along")
    return axis(op, dim, y.ndim)


@compute_in_float32
def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """The integral along ``dim`` by the trapezoidal rule: the sum of (y[i] + y[i + 1]) / 2 times
    the distances of the samples, which are at ``x`` (a vector, or of y's shape), or ``dx`` apart (1
    by default). Raises RuntimeError for bools and where the shapes do not fit, IndexError for a 0-d
    y, TypeError for both x and dx."""
    d = _checked("trapezoid", y, x, dx, dim)
    if y.shape[d] == 0:
        return total(y.detach(), d)
    areas, scale = _areas("trapezoid", y, x, dx, d)
    return elementwise.multiply(total(areas, d), scale)


@compute_in_float32
def cumulative_trapezoid(
    y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1
) -> Tensor:
    """The integrals from the first sample to each later one, one fewer than samples, with the
    arguments of ``trapezoid``; raises what that does."""
    d = _checked("cumulative_trapezoid", y, x, dx, dim)
    areas, scale = _areas("cumulative_trapezoid", y, x, dx, d)
    return elementwise.multiply(cumsum(areas, d), scale)


# ---------------------------------------------------------------------- slopes


@compute_in_float32
def gradient(
    input: Tensor, *, spacing: Any = 1, dim: Any = None, edge_order: int = 1
) -> tuple[Tensor, ...]:
    """The slopes along each of ``dim`` (all), in the input's shape: central differences of second
    order inside, one-sided ones of ``edge_order`` 1 or 2 at the edges. ``spacing`` is a number, a
    number for each dimension, or for each a 1-d tensor of coordinates. Raises RuntimeError for
    fewer than edge_order + 1 samples, other lengths of spacing, and uint8."""
    require_tensor("gradient", input)
    if input.dtype.name == "uint8":
        raise RuntimeError("[gradient] is not defined for uint8: differences are negative")
    if edge_order not in (1, 2):
        raise RuntimeError(f"[gradient] edge_order must be 1 or 2, got {edge_order}")
    dims = _dims(input, dim, edge_order)
    spacings = _spacings(input, spacing, dims, dim is not None)
    return tuple(_slope(input, d, h, edge_order) for d, h in zip(dims, spacings, strict=True))


def _dims(x: Tensor, dim: Any, edge_order: int) -> tuple[int, ...]:
    given = range(x.ndim) if dim is None else dim if isinstance(dim, (tuple, list)) else (dim,)
    dims = distinct_axes("gradient", given, x.ndim)
    for d in dims:
        if x.ndim == 0 or x.shape[d] <= edge_order:
            raise RuntimeError(
                f"[gradient] needs at least {edge_order + 1} samples along dim {d}, got shape "
                f"{tuple(x.shape)}"
            )
    return dims


def _spacings(x: Tensor, spacing: Any, dims: Sequence[int], chosen: bool) -> list:
    if not isinstance(spacing, (tuple, list)):
        return [1 if spacing is None else spacing] * len(dims)
    if len(spacing) != len(dims) and (chosen or len(spacing) != 1):
        raise RuntimeError(
            f"[gradient] spacing must be one number, or one entry for each of the {len(dims)} "
            f"dimensions, got {len(spacing)}"
        )
    spacings = list(spacing) if len(spacing) == len(dims) else list(spacing) * len(dims)
    for d, h in zip(dims, spacings, strict=True):
        if isinstance(h, Tensor) and h.ndim:
            same_device("gradient", x, h, "spacing")
            if tuple(h.shape) != (x.shape[d],):
                raise RuntimeError(
                    f"[gradient] the coordinates of dim {d} must have shape {(x.shape[d],)}, got "
                    f"{tuple(h.shape)}"
                )
    return spacings


def _slope(x: Tensor, d: int, spacing: Any, edge_order: int) -> Tensor:
    """Second-order slopes are those of the parabolas through three neighbours, which follow from
    the slopes of the two intervals between them, of widths h and k."""
    number = not isinstance(spacing, Tensor) or spacing.ndim == 0
    if number:
        inside = (part(x, d, 2, None) - part(x, d, 0, -2)) / (2 * spacing)
    else:
        widths = reshape(
            _differences(spacing, 0), tuple(-1 if i == d else 1 for i in range(x.ndim))
        )
        h, k = part(widths, d, 0, -1), part(widths, d, 1, None)
        slopes = _differences(x, d) / widths
        inside = part(slopes, d, 0, -1) * (k / (h + k)) + part(slopes, d, 1, None) * (h / (h + k))

    def interval(i: int) -> tuple[Tensor, Any]:
        if number:
            return _differences(part(x, d, i, i + 2), d) / spacing, spacing
        return part(slopes, d, i, i + 1), part(widths, d, i, i + 1)

    def edge(outer: int, inner: int) -> Tensor:
        slope, h = interval(outer)
        if edge_order == 1:
            return slope
        other, k = interval(inner)
        return slope + (slope - other) * h / (h + k)

    n = x.shape[d]
    return cat([edge(0, 1), inside, edge(n - 2, n - 3)], d)
