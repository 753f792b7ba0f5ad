"""Lengths of vectors, and how near two vectors are."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import axis, require_floating
from tapegrad.ops.common.operands import pair, require_floats, two_tensors
from tapegrad.ops.common.precision import compute_in_float32
from tapegrad.ops.linalg.norms import norm_over
from tapegrad.ops.pointwise.arithmetic import clamp
from tapegrad.ops.reduction.reduce import sum

from .elementwise import clamp_min_straight_through


@compute_in_float32
def normalize(input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12) -> Tensor:
    """input / max(its p-norm along ``dim``, eps), floats of any shape."""
    require_floating("normalize", input)
    return input / clamp(norm_over("normalize", input, p, dim, True, None), min=eps)


@compute_in_float32
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between vectors along ``dim``, x1 . x2 / (max(|x1|, eps)
    max(|x2|, eps)), of floats that broadcast: (..., n) and (..., n) -> (...) for dim -1. Raises
    RuntimeError for integers, and where shapes do not broadcast."""
    op = "cosine_similarity"
    x1, x2 = _common(op, x1, x2)
    d = axis(op, dim, x1.ndim)
    over = (d,) if x1.ndim else ()
    units = [
        x / clamp_min_straight_through(norm_over(op, x, 2, over, True, None), least=eps)
        for x in (x1, x2)
    ]
    return sum(units[0] * units[1], over)


def _common(op: str, x1: Tensor, x2: Tensor) -> tuple[Tensor, Tensor]:
    """Both in their common dtype and shape."""
    two_tensors(op, x1, x2)
    require_floats(op, x1, x2)
    x1, x2 = pair(op, x1, x2)
    try:
        shape = np.broadcast_shapes(tuple(x1.shape), tuple(x2.shape))
    except ValueError:
        raise RuntimeError(
            f"[{op}] shapes {tuple(x1.shape)} and {tuple(x2.shape)} do not broadcast"
        ) from None
    return x1.expand(shape), x2.expand(shape)


@compute_in_float32
def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """The p-norm of x1 - x2 + eps along the last dimension: (..., n) and (..., n) -> (...), or
    (..., 1) with keepdim; shapes broadcast."""
    two_tensors("pairwise_distance", x1, x2)
    apart = x1 - x2 + eps
    over = (apart.ndim - 1,) if apart.ndim else ()
    return norm_over("pairwise_distance", apart, p, over, keepdim, None)
