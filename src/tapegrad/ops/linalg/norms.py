"""Norms: of vectors, (sum of |x|^p)^(1/p), and of matrices."""

from __future__ import annotations

import math
from typing import Any

from tapegrad.core import dtypes
from tapegrad.core.dtypes import is_floating, is_low_precision
from tapegrad.core.memory import Array
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import axes, axis, require_floating, require_tensor
from tapegrad.ops.common.precision import (
    compute_in_float32,
    in_float32,
    keeps_digits,
    root_of_squares,
    stable_sum,
    wide,
)
from tapegrad.ops.movement.axes import movedim
from tapegrad.ops.movement.shape import reshape, squeeze
from tapegrad.ops.pointwise.elementwise import absolute, cast, greater, subtract, where
from tapegrad.ops.reduction.reduce import count, expand_gradient, keepdim_shape, sum, to_dtype

from .eigh_svd import svdvals


def _norm_rule(xp: Any, g: Array, y: Array, x: Array, order: float, axis: Any) -> Any:
    """0 at the vector 0, where the slope is not defined; equal extremes share it evenly."""
    if is_low_precision(x.dtype):
        g, x = wide(xp, g, x)
        y = xp.vector_norm(x, order=order, axis=axis, keepdims=True)
    g, y = (expand_gradient(xp, v, x.shape, axis) for v in (g, y))
    if order == 0:
        return g * xp.sign(x) * 0
    if order == 1:
        return g * xp.sign(x)
    zero = y == 0
    if order == 2:
        return xp.where(zero, 0.0, g) * (x / xp.where(zero, 1.0, y))
    size = xp.absolute(x)
    if math.isinf(order):
        ties = (size == y) | ((x != x) & (y != y))
        sharing = xp.sum(xp.cast(ties, dtype=g.dtype), axis=axis, keepdims=True)
        return xp.where(ties, g / sharing, 0.0) * xp.sign(x)
    share = xp.where(x == 0, 1.0, size) / xp.where(zero, 1.0, y)
    power = xp.where(x == 0, 0.0, share ** (order - 1))
    return xp.where(zero, 0.0, g) * power * xp.sign(x)


@primitive("vector_norm", vjp=(_norm_rule,))
@in_float32
def _vector_norm(xp: Any, x: Array, *, order: float, axis: tuple, keepdims: bool) -> Array:
    if order == 2:
        return root_of_squares(xp, x, axis, keepdims)
    if order == 0:
        return stable_sum((x != 0).astype(x.dtype), axis, keepdims)
    size = xp.absolute(x)
    if order == 1:
        return stable_sum(size, axis, keepdims)
    if math.isinf(order):
        return (size.max if order > 0 else size.min)(axis=axis, keepdims=keepdims)
    powers = stable_sum(size**order, axis, keepdims)
    if keeps_digits(xp, powers) or not x.size:
        return powers ** (1 / order)
    # What counts most becomes 1, so that its power is in the range.
    scale = (size.max if order > 0 else size.min)(axis=axis, keepdims=True)
    scale = xp.where(xp.isfinite(scale) & (scale > 0), scale, 1.0)
    y = stable_sum((size / scale) ** order, axis, True) ** (1 / order) * scale
    return y if keepdims else y.squeeze(axis)


def norm_over(op: str, input: Tensor, order: float, dim: Any, keepdim: bool, dtype: Any) -> Tensor:
    """The norm of order ``order`` over ``dim``: any number, inf or -inf; 0 counts the elements that
    are not 0.

    Raises RuntimeError in the name of ``op`` for integers, and for an extreme of an empty input.
    """
    require_floating(op, input)
    over = axes(op, input, dim)
    if dtype is not None:
        input = to_dtype(input, dtype)
        require_floating(op, input)
    if (order < 0 or order == math.inf) and count(tuple(input.shape), over) == 0:
        raise RuntimeError(
            f"[{op}] an empty input has no norm of order {order}: shape {tuple(input.shape)}, "
            f"dim {over}"
        )
    return _vector_norm(input, order=float(order), axis=over, keepdims=keepdim)


def vector_norm(
    x: Tensor, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """(sum |x|^ord)^(1/ord) over ``dim`` (all of it by default); the largest and smallest |x| for
    ord inf and -inf, the number of elements that are not 0 for ord 0. Computed in ``dtype``, which
    may not be narrower than x's (RuntimeError); negative and infinite orders raise it for an empty
    input."""
    return _norm_of_vectors("linalg.vector_norm", x, ord, dim, keepdim, dtype)


def _norm_of_vectors(
    op: str, x: Tensor, ord: Any, dim: Any, keepdim: bool, dtype: Any = None
) -> Tensor:
    x = _converted(op, x, dtype)
    if isinstance(ord, bool) or not isinstance(ord, (int, float)):
        raise RuntimeError(f"[{op}] ord must be a number, got {ord!r}")
    return norm_over(op, x, ord, dim, keepdim, None)


def _converted(op: str, x: Tensor, dtype: Any) -> Tensor:
    """In the floating-point dtype that is asked for, which may not be narrower."""
    require_floating(op, x)
    if dtype is None:
        return x
    wanted = dtypes.dtype(dtype)
    if not is_floating(wanted) or dtypes.promote_types(x.dtype, wanted) != wanted:
        raise RuntimeError(
            f"[{op}] cannot compute {x.dtype.name} in {wanted.name}: dtype must be floating-point "
            "and no narrower"
        )
    return x if wanted == x.dtype else cast(x, dtype=wanted)


def matrix_norm(
    A: Tensor, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """Norms of the matrices in dimensions ``dim``, (..., m, n) -> (...) by default: "fro" (root of
    the sum of squares), "nuc" (sum of the singular values), 2 and -2 (their extremes), 1 and -1
    (extremes of the sums of columns), inf and -inf (of rows). Computed in ``dtype``. Raises
    RuntimeError for another ord, a narrower dtype, or a dim that is no pair; IndexError for a
    negative ord of an empty input."""
    return _norm_of_matrices("linalg.matrix_norm", A, ord, dim, keepdim, dtype)


def _norm_of_matrices(op: str, A: Tensor, ord: Any, dim: Any, keepdim: bool, dtype: Any) -> Tensor:
    A = _converted(op, A, dtype)
    if A.ndim < 2:
        raise RuntimeError(f"[{op}] expects a matrix, got shape {tuple(A.shape)}")
    if not isinstance(dim, (tuple, list)) or len(dim) != 2:
        raise RuntimeError(f"[{op}] dim must be a pair of dimensions, got {dim!r}")
    row, column = (axis(op, d, A.ndim) for d in dim)
    if row == column:
        raise RuntimeError(f"[{op}] dim {tuple(dim)} names a dimension twice")
    if ord == "fro":
        return _norm_of_vectors(op, A, 2, (row, column), keepdim)
    if ord == "nuc" or ord in (2, -2):
        x = svdvals(movedim(A, (row, column), (-2, -1)))
        y = sum(x, -1, keepdim=True) if ord == "nuc" else _extreme(op, x, -1, ord)
        kept = keepdim_shape(tuple(A.shape), (row, column))
        return reshape(y, kept) if keepdim else squeeze(y, -1)
    if isinstance(ord, str) or abs(ord) not in (1, math.inf):
        raise RuntimeError(
            f"[{op}] ord must be 'fro', 'nuc', 1, -1, 2, -2, inf or -inf, got {ord!r}"
        )
    first, second = (row, column) if abs(ord) == 1 else (column, row)
    y = _extreme_of_sums(op, A, first, second, ord)
    return y if keepdim else squeeze(y, (row, column))


@compute_in_float32  # of rounded sums several could be the largest
def _extreme_of_sums(op: str, A: Tensor, first: int, second: int, ord: float) -> Tensor:
    return _extreme(op, sum(absolute(A), first, keepdim=True), second, ord)


def _extreme(op: str, x: Tensor, dim: int, ord: float) -> Tensor:
    """The largest along ``dim`` for positive orders, 0 for an empty input; else the smallest."""
    if x.shape[dim] == 0:
        if ord < 0:
            raise IndexError(f"[{op}] an empty input has no norm of order {ord}")
        return sum(x, dim, keepdim=True)
    return x.amax(dim, keepdim=True) if ord > 0 else x.amin(dim, keepdim=True)


def norm(
    A: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    """``linalg.matrix_norm`` where ``ord`` is given and ``dim`` is a pair, or A a matrix; else
    ``linalg.vector_norm`` of order ``ord`` (2), of the whole tensor if no ``dim`` is given. Raises
    RuntimeError for an ord without a dim where A has more than 2 dimensions, and as these two do.
    """
    op = "linalg.norm"
    require_tensor(op, A)
    if ord is None:
        return _norm_of_vectors(op, A, 2, dim, keepdim, dtype)
    if dim is None and A.ndim > 2:
        raise RuntimeError(
            f"[{op}] with ord and without dim, A must have 1 or 2 dimensions, got {tuple(A.shape)}"
        )
    over = (0, 1) if dim is None and A.ndim == 2 else dim
    named = len(over) if isinstance(over, (tuple, list)) else 1
    if named == 2:
        return _norm_of_matrices(op, A, ord, over, keepdim, dtype)
    if named != 1:
        raise RuntimeError(f"[{op}] with ord, dim must be one or two dimensions, got {dim!r}")
    if isinstance(ord, str):
        raise RuntimeError(f"[{op}] ord {ord!r} is one of matrices, but there is one dimension")
    return _norm_of_vectors(op, A, ord, dim, keepdim, dtype)


def p_norm(
    input: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, dtype: Any = None
) -> Tensor:
    """The p-norm, (sum |x|^p)^(1/p), over ``dim`` (all of it by default), computed in ``dtype``;
    "fro" is 2, "nuc" the sum of the singular values of the matrices in two dimensions. Raises
    RuntimeError for another p, and for an empty input if p is negative or inf."""
    require_tensor("norm", input)
    if p == "nuc":
        over = tuple(range(input.ndim)) if dim is None else dim
        return _norm_of_matrices("norm", input, p, over, keepdim, dtype)
    if isinstance(p, str) and p != "fro":
        raise RuntimeError(f"[norm] p must be a number, 'fro' or 'nuc', got {p!r}")
    return norm_over("norm", input, 2 if p is None or p == "fro" else p, dim, keepdim, dtype)


@compute_in_float32
def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The p-norm of the (broadcast) difference of two tensors, over all elements: a 0-d tensor."""
    require_tensor("dist", input)
    return norm_over("dist", subtract(input, other), p, None, False, None)


@compute_in_float32
def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """The slices along ``dim`` whose p-norm exceeds ``maxnorm`` scaled down to it; the shape of the
    input. Raises RuntimeError unless p > 0, maxnorm >= 0 and the input has 2 dimensions or more."""
    require_floating("renorm", input)
    if input.ndim < 2:
        raise RuntimeError(f"[renorm] needs at least 2 dimensions, got shape {tuple(input.shape)}")
    if p <= 0 or maxnorm < 0:
        raise RuntimeError(f"[renorm] needs p > 0 and maxnorm >= 0, got {p} and {maxnorm}")
    d = axis("renorm", dim, input.ndim)
    over = tuple(i for i in range(input.ndim) if i != d)
    norms = norm_over("renorm", input, p, over, True, None)
    long = greater(norms, maxnorm)
    # A norm up to maxnorm has no gradient, not even where it is nan. (1e-7 is PyTorch's.)
    return input * where(long, maxnorm / (where(long, norms, 1.0) + 1e-7), 1.0)
