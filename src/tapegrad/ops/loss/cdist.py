"""Distances between the rows of matrices."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tapegrad.core.devices import Device
from tapegrad.core.dtypes import accumulator, float64
from tapegrad.core.engine import run_backward
from tapegrad.core.memory import Array
from tapegrad.core.modes import enable_grad
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common.arguments import require_floating
from tapegrad.ops.common.precision import compute_in_float32, in_float32
from tapegrad.ops.linalg.matmul import transposed
from tapegrad.ops.linalg.matrices import require_alike, require_batches
from tapegrad.ops.linalg.norms import norm_over
from tapegrad.ops.movement.shape import unsqueeze


def _euclidean_rule(xp: Any, g: Array, y: Array, a: Array, b: Array) -> tuple:
    """Each pair pulls along its difference, with weight g / distance; 0 at distance 0."""
    g, y, a, b = (t.astype(float64) for t in (g, y, a, b))  # the engine narrows it
    g, distance = xp.where(y == 0, 0.0, g), xp.where(y == 0, 1.0, y)
    near = _near(y * y, _lengths(a, b), y.dtype)
    weight = xp.where(near, 0.0, g) / distance
    of_a = a * weight.sum(axis=-1)[..., None] - xp.library.matmul(weight, b)
    weight = transposed(xp, weight)
    of_b = b * weight.sum(axis=-1)[..., None] - xp.library.matmul(weight, a)
    for pairs, of_first, of_second in _pairs(xp, near, a.shape[-1]):
        pull = (a[of_first] - b[of_second]) / distance[pairs][:, None] * g[pairs][:, None]
        of_a = xp.index_add_at(of_a, pull, index=of_first)
        of_b = xp.index_add_at(of_b, -pull, index=of_second)
    return of_a, of_b


def _plain(a: Tensor, b: Tensor) -> Tensor:
    return _norm("cdist", unsqueeze(a, -2) - unsqueeze(b, -3), 2.0)


@primitive(vjp_all=_euclidean_rule, plain=_plain)
@in_float32
def euclidean_distances(xp: Any, a: Array, b: Array) -> Array:
    """|a|^2 + |b|^2 - 2 a.b, of (..., m, k) and (..., n, k) with the same leading dimensions: one
    matrix product, in float64. Where it cancels, the lengths of differences."""
    stored = a.dtype
    a, b = a.astype(float64), b.astype(float64)
    lengths = _lengths(a, b)
    squares = lengths - 2 * xp.library.matmul(a, transposed(xp, b))
    near = _near(squares, lengths, stored)
    distances = xp.library.sqrt(xp.where(near, 0.0, squares))
    for pairs, of_first, of_second in _pairs(xp, near, a.shape[-1]):
        difference = a[of_first] - b[of_second]
        distances[pairs] = xp.vector_norm(difference, order=2.0, axis=(1,), keepdims=False)
    return distances.astype(stored)


def _lengths(a: Array, b: Array) -> Array:
    return (a * a).sum(axis=-1)[..., :, None] + (b * b).sum(axis=-1)[..., None, :]


def _near(squares: Array, lengths: Array, dtype: Any) -> Array:
    """Where so much cancels in a matrix product (or overflows) that the dtype would show it."""
    return ~((squares > (1e-3 if dtype == float64 else 1e-6) * lengths) & (lengths < math.inf))


def _pairs(xp: Any, chosen: Array, columns: int) -> Iterator[tuple]:
    """The positions of pairs, and of their rows in both matrices, so many at a time that memory
    for their differences stays small."""
    where = xp.library.nonzero(chosen)
    step = max(2**20 // max(columns, 1), 1)
    for start in range(0, len(where[0]), step):
        pairs = tuple(positions[start : start + step] for positions in where)
        yield pairs, pairs[:-1], (*pairs[:-2], pairs[-1])


# Larger tables of differences are made in blocks of about as many bytes, forward and backward.
_BLOCK_BYTES = 1 << 22


def _blocks(a: Any, b: Any) -> list[slice]:
    """Rows of a, whose differences from all rows of b are worked out at once."""
    m, per_row = a.shape[-2], b.size * a.dtype.itemsize
    step = max(_BLOCK_BYTES // max(per_row, 1), 1)
    return [slice(i, i + step) for i in range(0, m, step)]


def _differences(a: Any, b: Any, rows: slice) -> Any:
    return a[..., rows, None, :] - b[..., None, :, :]


_ONCE = {"retain_graph": False, "create_graph": False}


def _distances_rule(xp: Any, g: Array, a: Array, b: Array, p: float, device: Device) -> tuple:
    """The norms of a block are computed again, and walked back over."""
    g, a, b = (xp.cast(t, dtype=accumulator(t.dtype)) for t in (g, a, b))
    of_a, of_b = xp.zeros(a.shape, dtype=a.dtype), xp.zeros(b.shape, dtype=b.dtype)
    for rows in _blocks(a, b):
        t = wrap(_differences(a, b, rows), device).requires_grad_()
        with enable_grad():
            y = _norm("cdist", t, p)
        gradients, _ = run_backward([y], [g[..., rows, :]], targets={t._node}, **_ONCE)
        found = gradients[t._node]
        of_a[..., rows, :] = found.sum(axis=-2)
        of_b -= found.sum(axis=-3)
    return of_a, of_b


def _recorded(a: Tensor, b: Tensor, *, p: float, device: Device) -> Tensor:
    return _norm("cdist", unsqueeze(a, -2) - unsqueeze(b, -3), p)


@primitive(vjp_all=_distances_rule, plain=_recorded)
@in_float32
def distances(xp: Any, a: Array, b: Array, *, p: float, device: Device) -> Array:
    """The p-norms of the differences of rows, (..., m, k) and (..., n, k) with the same leading
    dimensions."""
    y = xp.empty((*a.shape[:-1], b.shape[-2]), dtype=a.dtype)
    for rows in _blocks(a, b):
        part = _differences(a, b, rows)
        y[..., rows, :] = xp.vector_norm(
            part, order=float(p), axis=(part.ndim - 1,), keepdims=False
        )
    return y


_MODES = {
    "use_mm_for_euclid_dist_if_necessary": 0,
    "use_mm_for_euclid_dist": 1,
    "donot_use_mm_for_euclid_dist": 2,
}
_MANY = 25  # with more rows than this, a matrix product is worth its rounding errors


@compute_in_float32
def cdist(
    x1: Tensor,
    x2: Tensor,
    p: float = 2.0,
    compute_mode: str = "use_mm_for_euclid_dist_if_necessary",
) -> Tensor:
    """The p-norms of all differences of rows: (..., m, k) and (..., n, k) -> (..., m, n), of floats
    of one dtype. Between equal rows the gradient is 0. compute_mode says when Euclidean distances
    (p 2) are one matrix product: by default from 26 rows on. Raises RuntimeError where shapes do
    not fit and for a negative p, ValueError for another compute_mode."""
    for x in (x1, x2):
        _require("cdist", x, p)
    require_alike("cdist", x1, x2)
    if x1.ndim < 2 or x2.ndim < 2 or x1.shape[-1] != x2.shape[-1]:
        raise RuntimeError(
            f"[cdist] expects (..., m, k) and (..., n, k), got shapes {tuple(x1.shape)} and "
            f"{tuple(x2.shape)}"
        )
    mode = _MODES.get(compute_mode, compute_mode)
    if mode not in (0, 1, 2):
        raise ValueError(f"[cdist] compute_mode must be one of {', '.join(_MODES)}, got {mode!r}")
    lead = require_batches("cdist", x1, x2)
    many = max(x1.shape[-2], x2.shape[-2]) > _MANY
    if p == 2 and (mode == 1 or (mode == 0 and many)):
        a, b = (x.expand(*lead, *x.shape[-2:]) for x in (x1, x2))
        return euclidean_distances(a, b)
    if math.prod(lead) * x1.shape[-2] * math.prod(x2.shape[-2:]) * x1.itemsize > _BLOCK_BYTES:
        a, b = (x.expand(*lead, *x.shape[-2:]) for x in (x1, x2))
        return distances(a, b, p=p, device=a._device)
    return _recorded(x1, x2, p=p, device=x1._device)


def _norm(op: str, difference: Tensor, p: float) -> Tensor:
    if difference.shape[-1] == 0:
        return difference.sum(-1)
    return norm_over(op, difference, p, -1, False, None)


@compute_in_float32
def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """The p-norms of the differences of rows i < j of an (n, k) matrix, a vector of n (n - 1) / 2.
    Raises RuntimeError unless the input is a matrix of floats and p >= 0."""
    _require("pdist", input, p)
    if input.ndim != 2:
        raise RuntimeError(f"[pdist] expects a matrix, got shape {tuple(input.shape)}")
    product = p == 2 and input.shape[0] > _MANY and input.dtype != float64
    if not product and input.nbytes * len(input) > _BLOCK_BYTES:
        above = input._device.asarray(~np.tri(len(input), dtype=bool))
        pairs = distances(input, input, p=p, device=input._device)
        return pairs[wrap(above, input._device)]
    rows, columns = np.triu_indices(input.shape[0], 1)
    i, j = (input._device.ops["asarray"](index) for index in (rows, columns))
    if product:  # of float32, for which float64 is enough
        return euclidean_distances(input, input)[i, j]
    return _norm("pdist", input[i] - input[j], p)


def _require(op: str, x: Any, p: float) -> None:
    require_floating(op, x)
    if not p >= 0:
        raise RuntimeError(f"[{op}] p must not be negative, got {p}")
