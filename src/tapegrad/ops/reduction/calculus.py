"""Numerical calculus: differences, slopes and integrals of samples along a dimension."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import axis, require_tensor
from tapegrad.ops.common.index import getitem
from tapegrad.ops.common.precision import compute_in_float32
from tapegrad.ops.movement.cat import cat
from tapegrad.ops.movement.shape import clone, reshape
from tapegrad.ops.pointwise import elementwise

from .cumulative import cumsum
from .reduce import sum as total


def _part(x: Tensor, d: int, start: int | None, end: int | None) -> Tensor:
    return getitem(x, index=(builtins.slice(None),) * d + (builtins.slice(start, end),))


def diff(
    input: Tensor,
    n: int = 1,
    dim: int = -1,
    prepend: Tensor | None = None,
    append: Tensor | None = None,
) -> Tensor:
    """The n-th differences x[i + 1] - x[i] along ``dim``, of bools whether they differ; ``prepend``
    and ``append`` are put before and after first."""
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
        late, early = _part(x, d, 1, None), _part(x, d, 0, -1)
        bools = x.dtype.kind == "b"
        x = elementwise.logical_xor(late, early) if bools else elementwise.subtract(late, early)
    return x


# ---------------------------------------------------------------------- integrals


def _without_bools(op: str, *tensors: Tensor) -> None:
    for t in tensors:
        require_tensor(op, t)
        if t.dtype.kind == "b":
            raise RuntimeError(f"[{op}] is not defined for bool tensors: convert with .int()")


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
    return elementwise.subtract(_part(x, d, 1, None), _part(x, d, 0, -1))


def _areas(op: str, y: Tensor, x: Tensor | None, dx: Any, d: int) -> tuple[Tensor, Any]:
    """Twice the areas over the intervals, and what they are still to be multiplied by."""
    heights = elementwise.add(_part(y, d, 1, None), _part(y, d, 0, -1))
    if x is None:
        return heights, 0.5 * (1 if dx is None else dx)
    return elementwise.multiply(heights, _intervals(op, y, x, d)), 0.5


def _checked(op: str, y: Tensor, x: Tensor | None, dx: Any, dim: int) -> int:
    _without_bools(op, *((y,) if x is None else (y, x)))
    if x is not None and dx is not None:
        raise TypeError(f"[{op}] takes x or dx, not both")
    if y.ndim == 0:
        raise IndexError(f"[{op}] a 0-d tensor has no dimension to integrate along")
    return axis(op, dim, y.ndim)


@compute_in_float32
def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """The integral along ``dim`` by the trapezoidal rule; the samples are at ``x``, or ``dx``
    apart."""
    d = _checked("trapezoid", y, x, dx, dim)
    if y.shape[d] == 0:
        return total(y.detach(), d)
    areas, scale = _areas("trapezoid", y, x, dx, d)
    return elementwise.multiply(total(areas, d), scale)


@compute_in_float32
def cumulative_trapezoid(
    y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1
) -> Tensor:
    """The integrals from the first sample to each later one, as ``trapezoid``."""
    d = _checked("cumulative_trapezoid", y, x, dx, dim)
    areas, scale = _areas("cumulative_trapezoid", y, x, dx, d)
    return elementwise.multiply(cumsum(areas, d), scale)


# ---------------------------------------------------------------------- slopes


def gradient(
    input: Tensor, *, spacing: Any = 1, dim: Any = None, edge_order: int = 1
) -> tuple[Tensor, ...]:
    """The slopes along each of ``dim`` (all): central differences of second order inside, one-sided
    ones of ``edge_order`` at the edges. ``spacing`` is a number, a number for each dimension, or
    for each a 1-d tensor of coordinates."""
    require_tensor("gradient", input)
    if input.dtype.name == "uint8":
        raise RuntimeError("[gradient] is not defined for uint8: differences are negative")
    if edge_order not in (1, 2):
        raise RuntimeError(f"[gradient] edge_order must be 1 or 2, got {edge_order}")
    dims = _dims(input, dim, edge_order)
    spacings = _spacings(input, spacing, dims, dim is not None)
    return tuple(_slope(input, d, h, edge_order) for d, h in zip(dims, spacings, strict=True))


def _dims(x: Tensor, dim: Any, edge_order: int) -> list[int]:
    given = range(x.ndim) if dim is None else dim if isinstance(dim, (tuple, list)) else (dim,)
    dims = [axis("gradient", d, x.ndim) for d in given]
    if len(set(dims)) < len(dims):
        raise RuntimeError(f"[gradient] dim {tuple(given)} names a dimension twice")
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
            if h._device is not x._device:
                raise RuntimeError(f"[gradient] the input is on {x.device}, spacing on {h.device}")
            if tuple(h.shape) != (x.shape[d],):
                raise RuntimeError(
                    f"[gradient] the coordinates of dim {d} must have shape {(x.shape[d],)}, got "
                    f"{tuple(h.shape)}"
                )
    return spacings


def _slope(x: Tensor, d: int, spacing: Any, edge_order: int) -> Tensor:
    if isinstance(spacing, Tensor) and spacing.ndim:
        return _slope_at(x, d, spacing, edge_order)
    inside = (_part(x, d, 2, None) - _part(x, d, 0, -2)) / (2 * spacing)
    if edge_order == 1:
        first = (_part(x, d, 1, 2) - _part(x, d, 0, 1)) / spacing
        last = (_part(x, d, -1, None) - _part(x, d, -2, -1)) / spacing
    else:
        first = (
            -1.5 * _part(x, d, 0, 1) + 2 * _part(x, d, 1, 2) - 0.5 * _part(x, d, 2, 3)
        ) / spacing
        last = (
            1.5 * _part(x, d, -1, None) - 2 * _part(x, d, -2, -1) + 0.5 * _part(x, d, -3, -2)
        ) / spacing
    return cat([first, inside, last], d)


def _slope_at(x: Tensor, d: int, at: Tensor, edge_order: int) -> Tensor:
    """Slopes of the parabolas through three neighbours each, at distances h and k."""
    along = tuple(-1 if i == d else 1 for i in range(x.ndim))

    def step(start: int | None, end: int | None) -> Tensor:
        return reshape(_part(distances, 0, start, end), along)

    distances = elementwise.subtract(_part(at, 0, 1, None), _part(at, 0, 0, -1))
    h, k = step(0, -1), step(1, None)
    inside = (
        _part(x, d, 0, -2) * (-k / (h * (h + k)))
        + _part(x, d, 1, -1) * ((k - h) / (h * k))
        + _part(x, d, 2, None) * (h / (k * (h + k)))
    )
    if edge_order == 1:
        first = (_part(x, d, 1, 2) - _part(x, d, 0, 1)) / step(0, 1)
        last = (_part(x, d, -1, None) - _part(x, d, -2, -1)) / step(-1, None)
    else:
        h, k = step(0, 1), step(1, 2)
        first = (
            _part(x, d, 0, 1) * (-(2 * h + k) / (h * (h + k)))
            + _part(x, d, 1, 2) * ((h + k) / (h * k))
            + _part(x, d, 2, 3) * (-h / (k * (h + k)))
        )
        h, k = step(-2, -1), step(-1, None)
        last = (
            _part(x, d, -3, -2) * (k / (h * (h + k)))
            + _part(x, d, -2, -1) * (-(h + k) / (h * k))
            + _part(x, d, -1, None) * ((2 * k + h) / (k * (h + k)))
        )
    return cat([first, inside, last], d)
