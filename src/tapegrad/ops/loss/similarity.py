"""Lengths of vectors, and how near two vectors are."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.core import dtypes
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import axis, require_floating, require_tensor
from tapegrad.ops.linalg.norms import norm_over
from tapegrad.ops.pointwise.arithmetic import clamp
from tapegrad.ops.reduction.reduce import sum, to_dtype

from .elementwise import clamp_min_straight_through


def normalize(input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12) -> Tensor:
    """input / max(its p-norm along ``dim``, eps)."""
    require_floating("normalize", input)
    return input / clamp(norm_over("normalize", input, p, dim, True, None), min=eps)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between vectors along ``dim``, x1 . x2 / (max(|x1|, eps)
    max(|x2|, eps)), of tensors that broadcast against each other."""
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
    require_tensor(op, x1)
    require_tensor(op, x2)
    common = dtypes.result_type([(x1.dtype, x1.ndim), (x2.dtype, x2.ndim)], [])
    if not dtypes.is_floating(common):
        raise RuntimeError(
            f"[{op}] expects floating-point tensors, got {x1.dtype.name} and {x2.dtype.name}: "
            "convert with .float()"
        )
    try:
        shape = np.broadcast_shapes(tuple(x1.shape), tuple(x2.shape))
    except ValueError:
        raise RuntimeError(
            f"[{op}] shapes {tuple(x1.shape)} and {tuple(x2.shape)} do not broadcast"
        ) from None
    return to_dtype(x1, common).expand(shape), to_dtype(x2, common).expand(shape)


def pairwise_distance(
    x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Tensor:
    """The p-norm of x1 - x2 + eps along the last dimension: (..., n) -> (...)."""
    require_tensor("pairwise_distance", x1)
    require_tensor("pairwise_distance", x2)
    apart = x1 - x2 + eps
    over = (apart.ndim - 1,) if apart.ndim else ()
    return norm_over("pairwise_distance", apart, p, over, keepdim, None)
