"""p-norms of vectors: (sum of |x|^p)^(1/p) over dimensions."""

from __future__ import annotations

import math
from typing import Any

from tapegrad.core.memory import Array
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import axes, axis, require_floating, require_tensor
from tapegrad.ops.common.precision import in_float32, stable_sum
from tapegrad.ops.pointwise.elementwise import greater, subtract, where
from tapegrad.ops.reduction.reduce import count, expand_gradient, to_dtype


def _norm_rule(xp: Any, g: Array, y: Array, x: Array, order: float, axis: Any) -> Any:
    """0 at the vector 0, where the slope is not defined; equal extremes share it evenly."""
    g, y = (expand_gradient(xp, v, x.shape, axis) for v in (g, y))
    if order == 0:
        return g * xp.sign(x) * 0
    if order == 1:
        return g * xp.sign(x)
    zero = y == 0
    if order == 2:
        return xp.where(zero, 0.0, g / xp.where(zero, 1.0, y)) * x
    size = xp.absolute(x)
    if math.isinf(order):
        ties = (size == y) | ((x != x) & (y != y))
        sharing = xp.sum(xp.cast(ties, dtype=g.dtype), axis=axis, keepdims=True)
        return xp.where(ties, g / sharing, 0.0) * xp.sign(x)
    scale = xp.where(zero, 0.0, g * xp.where(zero, 1.0, y) ** (1 - order))
    power = xp.where(x == 0, 0.0, xp.where(x == 0, 1.0, size) ** (order - 1))
    return scale * power * xp.sign(x)


@primitive("vector_norm", vjp=(_norm_rule,))
@in_float32
def _vector_norm(xp: Any, x: Array, *, order: float, axis: tuple, keepdims: bool) -> Array:
    if order == 2:
        return xp.sqrt(stable_sum(x * x, axis, keepdims))
    if order == 0:
        return stable_sum((x != 0).astype(x.dtype), axis, keepdims)
    size = xp.absolute(x)
    if order == 1:
        return stable_sum(size, axis, keepdims)
    if math.isinf(order):
        return (size.max if order > 0 else size.min)(axis=axis, keepdims=keepdims)
    return stable_sum(size**order, axis, keepdims) ** (1 / order)


def vector_norm(
    op: str, input: Tensor, order: float, dim: Any, keepdim: bool, dtype: Any
) -> Tensor:
    """The norm of order ``order`` (any number, inf, -inf; 0 counts what is not zero) over ``dim``.

    Raises RuntimeError in the name of ``op`` for integers, and for an extreme of nothing.
    """
    require_floating(op, input)
    over = axes(op, input, dim)
    if dtype is not None:
        input = to_dtype(input, dtype)
        require_floating(op, input)
    if (order < 0 or order == math.inf) and count(tuple(input.shape), over) == 0:
        raise RuntimeError(
            f"[{op}] nothing has no norm of order {order}: shape {tuple(input.shape)}, dim {over}"
        )
    return _vector_norm(input, order=float(order), axis=over, keepdims=keepdim)


def norm(
    input: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: Any = None
) -> Tensor:
    """The p-norm of all elements over ``dim``; "fro" is 2, "nuc" the sum of a matrix's singular
    values."""
    require_tensor("norm", input)
    if p == "nuc":
        return _nuclear(input, dim, keepdim, dtype)
    if isinstance(p, str) and p != "fro":
        raise RuntimeError(f"[norm] p must be a number, 'fro' or 'nuc', got {p!r}")
    return vector_norm("norm", input, 2 if p is None or p == "fro" else p, dim, keepdim, dtype)


def _nuclear(input: Tensor, dim: Any, keepdim: bool, dtype: Any) -> Tensor:
    from tapegrad import linalg

    over = tuple(range(input.ndim)) if dim is None else dim
    if not isinstance(over, (tuple, list)) or len(over) != 2:
        raise RuntimeError(
            f"[norm] the nuclear norm is that of a matrix: needs 2 dimensions, got {over} of shape "
            f"{tuple(input.shape)}"
        )
    return linalg.matrix_norm(input, "nuc", tuple(over), keepdim, dtype=dtype)


def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The p-norm of the (broadcast) difference of two tensors."""
    require_tensor("dist", input)
    return vector_norm("dist", subtract(input, other), p, None, False, None)


def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """The slices along ``dim`` whose p-norm exceeds ``maxnorm`` scaled down to it."""
    require_floating("renorm", input)
    if input.ndim < 2:
        raise RuntimeError(f"[renorm] needs at least 2 dimensions, got shape {tuple(input.shape)}")
    if p <= 0 or maxnorm < 0:
        raise RuntimeError(f"[renorm] needs p > 0 and maxnorm >= 0, got {p} and {maxnorm}")
    d = axis("renorm", dim, input.ndim)
    over = tuple(i for i in range(input.ndim) if i != d)
    norms = vector_norm("renorm", input, p, over, True, None)
    long = greater(norms, maxnorm)
    # A norm that changes nothing has no gradient, not even where it is nan. (1e-7 is PyTorch's.)
    return input * where(long, maxnorm / (where(long, norms, 1.0) + 1e-7), 1.0)
