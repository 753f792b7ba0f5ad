"""Reductions over dimensions.

The primitives take ``axis`` (a tuple of non-negative ints) and ``keepdims``; the public functions
below them take PyTorch's ``dim`` and ``keepdim``.
"""

from __future__ import annotations

import builtins
import math
from typing import Any, NamedTuple

from .. import dtypes
from ..tape import primitive
from ..tensor import Tensor
from .arguments import axes, axis, require_tensor
from .elementwise import cast, maximum, minimum
from .gather import gather
from .precision import in_float32, total
from .shape import clone, permute, reshape, squeeze
from .split import narrow


def kept(shape: tuple[int, ...], axis: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a reduction's result had it kept its dimensions."""
    return tuple(1 if i in axis else n for i, n in enumerate(shape))


def spread(xp: Any, g: Any, shape: tuple[int, ...], axis: tuple[int, ...]) -> Any:
    """A reduction's gradient, repeated (without a copy) over what was reduced."""
    if g.shape:  # else everything was reduced, and a 0-d gradient broadcasts as it is
        g = xp.reshape(g, shape=kept(shape, axis))
    return xp.broadcast_to(g, shape=shape)


def _count(shape: tuple[int, ...], axis: tuple[int, ...]) -> int:
    return math.prod(shape[i] for i in axis)


@primitive("sum", vjp=(lambda xp, g, input_shape, axis: spread(xp, g, input_shape, axis),))
@in_float32
def _sum(xp: Any, x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    return total(x, axis, keepdims)


def _mean_rule(xp: Any, g: Any, input_shape: Any, axis: Any) -> Any:
    return spread(xp, g / _count(input_shape, axis), input_shape, axis)


@primitive("mean", vjp=(_mean_rule,))
@in_float32
def _mean(xp: Any, x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    # A sum and a division, not the library's mean: an empty mean is nan without a warning.
    return total(x, axis, keepdims) / x.dtype.type(_count(x.shape, axis))


def _var_rule(xp: Any, g: Any, x: Any, axis: Any, correction: Any) -> Any:
    freedom = builtins.max(_count(x.shape, axis) - correction, 0)
    centred = x - xp.mean(x, axis=axis, keepdims=True)
    return spread(xp, g, x.shape, axis) * centred * (2 / freedom if freedom else math.nan)


@primitive("var", vjp=(_var_rule,))
@in_float32
def _var(xp: Any, x: Any, *, axis: tuple[int, ...], keepdims: bool, correction: float) -> Any:
    freedom = builtins.max(_count(x.shape, axis) - correction, 0)
    centred = x - xp.mean(x, axis=axis, keepdims=True)
    return total(centred * centred, axis, keepdims) / x.dtype.type(freedom)


def _std_rule(xp: Any, g: Any, y: Any, x: Any, axis: Any, correction: Any) -> Any:
    """Of equal numbers 0, as in PyTorch, where the square root's slope is infinite."""
    zero = y == 0
    slope = xp.where(zero, 0.0, 0.5 / xp.where(zero, 1.0, y))
    return _var_rule(xp, g * slope, x, axis, correction)


@primitive("std", vjp=(_std_rule,))
@in_float32
def _std(xp: Any, x: Any, *, axis: tuple[int, ...], keepdims: bool, correction: float) -> Any:
    return xp.sqrt(xp.var(x, axis=axis, keepdims=keepdims, correction=correction))


def _extreme_rule(xp: Any, g: Any, y: Any, x: Any, axis: Any) -> Any:
    """Equal extremes share the gradient evenly."""
    shape = kept(x.shape, axis)
    ties = x == xp.reshape(y, shape=shape)
    count = xp.sum(xp.cast(ties, dtype=g.dtype), axis=axis, keepdims=True)
    return xp.where(ties, xp.reshape(g, shape=shape) / count, 0.0)


@primitive("amax", vjp=(_extreme_rule,))
def _amax(xp: Any, x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    return x.max(axis=axis, keepdims=keepdims)


@primitive("amin", vjp=(_extreme_rule,))
def _amin(xp: Any, x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    return x.min(axis=axis, keepdims=keepdims)


def _prod_rule(xp: Any, g: Any, y: Any, x: Any, axis: Any) -> Any:
    """The product of the others: y / x, or where x is the only zero, that of all but the zero."""
    zero = x == 0
    if not zero.any():
        return spread(xp, g * y, x.shape, axis) / x
    filled = xp.where(zero, 1, x)
    zeros = xp.sum(xp.cast(zero, dtype=dtypes.int64), axis=axis, keepdims=True)
    rest = xp.prod(filled, axis=axis, keepdims=True)
    others = xp.where(zeros == 0, rest / filled, xp.where(zero & (zeros == 1), rest, 0))
    return spread(xp, g, x.shape, axis) * others


def _prod_plain(x: Tensor, *, axis: tuple[int, ...], keepdims: bool) -> Tensor:
    """The product in log2(n) rounds, each multiplying one half of the numbers by the other: exact
    gradients of gradients however many zeros there are, as nothing is divided."""
    shape, rest = tuple(x.shape), [i for i in range(x.ndim) if i not in axis]
    n = _count(shape, axis)
    x = reshape(permute(x, [*axis, *rest]), (n, *(shape[i] for i in rest)))
    if n == 0:
        x = _sum(x, axis=(0,), keepdims=True) + 1
    odd = None
    while n > 1:
        if n % 2:
            last = narrow(x, 0, n - 1, 1)
            odd = last if odd is None else odd * last
        n //= 2
        x = narrow(x, 0, 0, n) * narrow(x, 0, n, n)
    y = x if odd is None else x * odd
    return reshape(y, kept(shape, axis) if keepdims else tuple(shape[i] for i in rest))


@primitive("prod", vjp=(_prod_rule,), plain=_prod_plain)
@in_float32
def _prod(xp: Any, x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    return xp.library.multiply.reduce(x, axis=axis, keepdims=keepdims, dtype=x.dtype)


def _logsumexp_rule(xp: Any, g: Any, y: Any, x: Any, axis: Any) -> Any:
    # Where every element is -inf, so is y, and each has gradient 0 rather than exp(nan).
    y = spread(xp, xp.where(y == -math.inf, 0.0, y), x.shape, axis)
    return spread(xp, g, x.shape, axis) * xp.exp(x - y)


@primitive("logsumexp", vjp=(_logsumexp_rule,))
@in_float32
def _logsumexp(xp: Any, x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    top = x.max(axis=axis, keepdims=True)
    top = xp.where(xp.isfinite(top), top, 0)
    y = xp.log(total(xp.exp(x - top), axis, True)) + top
    return y if keepdims else y.squeeze(axis)


@primitive("argmax")
def _argmax(xp: Any, x: Any, *, axis: int | None, keepdims: bool) -> Any:
    return x.argmax(axis=axis, keepdims=keepdims)


@primitive("argmin")
def _argmin(xp: Any, x: Any, *, axis: int | None, keepdims: bool) -> Any:
    return x.argmin(axis=axis, keepdims=keepdims)


@primitive("any")
def _any(xp: Any, x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    return x.any(axis=axis, keepdims=keepdims)


@primitive("all")
def _all(xp: Any, x: Any, *, axis: tuple[int, ...], keepdims: bool) -> Any:
    return x.all(axis=axis, keepdims=keepdims)


# ---------------------------------------------------------------------- PyTorch's signatures


def sum(x: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum over ``dim`` (all dimensions by default). Integers and bools add up in int64."""
    over = axes("sum", x, dim)
    if dtype is not None:
        x = to_dtype(x, dtype)
    elif x._array.dtype.kind in "biu" and x.dtype != dtypes.int64:
        x = cast(x, dtype=dtypes.int64)
    return _sum(x, axis=over, keepdims=keepdim)


def mean(x: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The arithmetic mean over ``dim``; nan of nothing."""
    if dtype is not None:
        x = to_dtype(x, dtype)
    _require_float("mean", x)
    return _mean(x, axis=axes("mean", x, dim), keepdims=keepdim)


def var(
    x: Tensor,
    dim: Any = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """The variance over ``dim``: squared deviations divided by n - correction (1 by default)."""
    return _spread_out("var", _var, x, dim, unbiased, keepdim, correction)


def std(
    x: Tensor,
    dim: Any = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """The standard deviation: the square root of ``var``."""
    return _spread_out("std", _std, x, dim, unbiased, keepdim, correction)


def _spread_out(
    op: str, of: Any, x: Tensor, dim: Any, unbiased: bool, keepdim: bool, correction: Any
) -> Tensor:
    if isinstance(dim, bool):  # torch.var(x, unbiased)
        dim, unbiased = None, dim
    _require_float(op, x)
    if correction is None:
        correction = 1 if unbiased else 0
    return of(x, axis=axes(op, x, dim), keepdims=keepdim, correction=correction)


class Extreme(NamedTuple):
    """What ``max(dim)`` and ``min(dim)`` return: the values, and where they are."""

    values: Tensor
    indices: Tensor


def max(x: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The largest element; with a dimension, (values, indices) along it; with a second tensor,
    the elementwise maximum."""
    if isinstance(dim, Tensor):
        return maximum(x, dim)
    return amax(x) if dim is None else _extreme("max", _argmax, x, dim, keepdim)


def min(x: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The smallest element; with a dimension, (values, indices) along it; with a second tensor,
    the elementwise minimum."""
    if isinstance(dim, Tensor):
        return minimum(x, dim)
    return amin(x) if dim is None else _extreme("min", _argmin, x, dim, keepdim)


def _extreme(op: str, index_of: Any, x: Tensor, dim: Any, keepdim: bool) -> Extreme:
    require_tensor(op, x)
    d = axis(op, dim, x.ndim)
    if x.ndim == 0:
        return Extreme(clone(x), index_of(x, axis=None, keepdims=False))
    _require_elements(op, x, (d,))
    indices = index_of(x, axis=d, keepdims=True)
    values = gather(x, d, indices)
    return Extreme(values, indices) if keepdim else Extreme(squeeze(values, d), squeeze(indices, d))


def amax(x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """The largest elements over ``dim``; equal ones share the gradient."""
    over = axes("amax", x, dim)
    _require_elements("amax", x, over)
    return _amax(x, axis=over, keepdims=keepdim)


def amin(x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """The smallest elements over ``dim``; equal ones share the gradient."""
    over = axes("amin", x, dim)
    _require_elements("amin", x, over)
    return _amin(x, axis=over, keepdims=keepdim)


def prod(x: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The product over ``dim``. Integers and bools multiply in int64."""
    over = axes("prod", x, dim)
    if dtype is not None:
        x = to_dtype(x, dtype)
    elif x.dtype.kind in "biu" and x.dtype != dtypes.int64:
        x = cast(x, dtype=dtypes.int64)
    return _prod(x, axis=over, keepdims=keepdim)


def argmax(x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """The (first) index of the largest element, of the flattened tensor if no ``dim`` is given."""
    return _arg("argmax", _argmax, x, dim, keepdim)


def argmin(x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """The (first) index of the smallest element, of the flattened tensor if no ``dim`` is given."""
    return _arg("argmin", _argmin, x, dim, keepdim)


def _arg(op: str, of: Any, x: Tensor, dim: Any, keepdim: bool) -> Tensor:
    require_tensor(op, x)
    if x.dtype.kind == "b":
        raise RuntimeError(f"[{op}] is not defined for bool tensors: convert with .int()")
    over = None if dim is None else axis(op, dim, x.ndim)
    _require_elements(op, x, tuple(range(x.ndim)) if over is None else (over,)[: x.ndim])
    if x.ndim == 0:
        over = None
    return of(x, axis=over, keepdims=keepdim)


def logsumexp(x: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    """log(sum(exp(x))) over ``dim``, without overflow."""
    over = axes("logsumexp", x, dim)
    if not x.is_floating_point():
        x = cast(x, dtype=dtypes.get_default_dtype())
    if _count(x._array.shape, over) == 0:
        return _sum(x, axis=over, keepdims=keepdim) - math.inf
    return _logsumexp(x, axis=over, keepdims=keepdim)


def any(x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether any element over ``dim`` is non-zero."""
    return _any(x, axis=axes("any", x, dim), keepdims=keepdim)


def all(x: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether all elements over ``dim`` are non-zero."""
    return _all(x, axis=axes("all", x, dim), keepdims=keepdim)


def to_dtype(x: Tensor, dtype: Any) -> Tensor:
    wanted = dtypes.dtype(dtype)
    return x if x.dtype == wanted else cast(x, dtype=wanted)


def _require_float(op: str, x: Tensor) -> None:
    require_tensor(op, x)
    if not x.is_floating_point():
        raise RuntimeError(
            f"[{op}] needs a floating-point tensor, got {x.dtype.name}: convert with .float()"
        )


def _require_elements(op: str, x: Tensor, over: tuple[int, ...]) -> None:
    if _count(x._array.shape, over) == 0:
        raise IndexError(
            f"[{op}] has no result over dimensions of size 0: shape {tuple(x.shape)}, dim {over}"
        )
