"""Losses of pairs and triplets of vectors or scores: which is to be near, or larger."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import as_floating, require_tensor
from tapegrad.ops.common.precision import compute_in_float32
from tapegrad.ops.creation.create import full_like
from tapegrad.ops.linalg.norms import norm_over
from tapegrad.ops.pointwise.arithmetic import clamp
from tapegrad.ops.pointwise.elementwise import minimum, where
from tapegrad.ops.pointwise.trigonometry import hypot
from tapegrad.ops.reduction.reduce import sum

from .elementwise import reduce_loss
from .similarity import pairwise_distance
from .size_average import takes_flags

_TINY = 1e-12  # added to squared lengths, as in PyTorch


@compute_in_float32
@takes_flags
def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, -t (x1 - x2) + margin): label 1 wants x1 larger, -1 wants x2 larger. Shapes broadcast;
    raises RuntimeError unless all have as many dimensions."""
    op = "margin_ranking_loss"
    for x in (input1, input2, target):
        require_tensor(op, x)
    if not input1.ndim == input2.ndim == target.ndim:
        raise RuntimeError(
            f"[{op}] input1, input2 and target must have as many dimensions, got shapes "
            f"{tuple(input1.shape)}, {tuple(input2.shape)} and {tuple(target.shape)}"
        )
    return reduce_loss(op, clamp(-target * (input1 - input2) + margin, min=0), reduction)


@takes_flags
def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """1 - cos where the label is 1, max(0, cos - margin) where it is -1, of the angles between
    rows: inputs (n, d) with target (n,), or (d,) with a 0-d target. Raises RuntimeError for others.
    """
    op = "cosine_embedding_loss"
    for x in (input1, input2, target):
        require_tensor(op, x)
    if target.ndim > 1 or not input1.ndim == input2.ndim == target.ndim + 1:
        raise RuntimeError(
            f"[{op}] expects inputs (n, d) with a target (n,), or (d,) with a 0-d target, got "
            f"{tuple(input1.shape)}, {tuple(input2.shape)} and {tuple(target.shape)}"
        )
    shapes = [tuple(x.shape) for x in (input1, input2)]
    try:
        np.broadcast_shapes(np.broadcast_shapes(*shapes)[: target.ndim], tuple(target.shape))
    except ValueError:
        raise RuntimeError(
            f"[{op}] inputs of shapes {shapes[0]} and {shapes[1]}, and a target of shape "
            f"{tuple(target.shape)}, do not broadcast: give each pair of rows one label"
        ) from None
    a, b = as_floating(op, input1), as_floating(op, input2)
    return _by_angle(op, a, b, target == 1, target == -1, margin, reduction)


@compute_in_float32
def _by_angle(
    op: str, a: Tensor, b: Tensor, near: Tensor, far: Tensor, margin: float, reduction: str
) -> Tensor:
    units = []
    for x in (a, b):
        norm = norm_over(op, x, 2, near.ndim, True, None)
        units.append(x / hypot(norm, full_like(norm, math.sqrt(_TINY))))
    cosine = sum(units[0] * units[1], near.ndim)
    alike = where(near, 1 - cosine, 0.0)
    apart = where(far, clamp(cosine - margin, min=0), 0.0)
    return reduce_loss(op, alike + apart, reduction)


@compute_in_float32
@takes_flags
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin), with d the p-norm of the
    difference (plus eps) along the last dimension. swap: d(positive, negative) instead of
    d(anchor, negative) where that is smaller (Balntas et al. 2016). (..., n) each -> (...). Raises
    ValueError unless margin > 0, RuntimeError where shapes do not broadcast."""
    distance = partial(pairwise_distance, p=p, eps=eps)
    triplet = (anchor, positive, negative)
    return _triplet("triplet_margin_loss", triplet, distance, margin, swap, reduction)


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """``triplet_margin_loss`` with any distance of two tensors; ``pairwise_distance`` by default.
    Raises as that does."""
    op, triplet = "triplet_margin_with_distance_loss", (anchor, positive, negative)
    if distance_function is None:
        return _own_triplet(op, triplet, pairwise_distance, margin, swap, reduction)
    return _triplet(op, triplet, distance_function, margin, swap, reduction)


def _triplet(
    op: str,
    triplet: tuple[Tensor, Tensor, Tensor],
    distance: Callable[[Tensor, Tensor], Tensor],
    margin: float,
    swap: bool,
    reduction: str,
) -> Tensor:
    for x in triplet:
        require_tensor(op, x)
    if not 0 < margin < math.inf:
        raise ValueError(f"[{op}] margin must be positive, got {margin}")
    a, b, c = shapes = [tuple(x.shape) for x in triplet]
    same_rank = len(a) == len(b) == len(c)
    if not same_rank or any(len({*sizes} - {1}) > 1 for sizes in zip(*shapes, strict=True)):
        raise RuntimeError(
            f"[{op}] anchor, positive and negative must have as many dimensions, and shapes that "
            f"broadcast, got {a}, {b} and {c}"
        )
    anchor, positive, negative = triplet
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    return reduce_loss(op, clamp(margin + (near - far), min=0), reduction)


_own_triplet = compute_in_float32(_triplet)
