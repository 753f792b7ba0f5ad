"""Sums, products and counts over dimensions.

The primitives take ``axis`` (a tuple of non-negative ints) and ``keepdims``; the public functions
below them take PyTorch's ``dim`` and ``keepdim``.
"""

from __future__ import annotations

import builtins
import math
from typing import Any

from tapegrad.core import dtypes
from tapegrad.core.dtypes import is_low_precision
from tapegrad.core.memory import Array, has_values
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common import arguments
from tapegrad.ops.common.arguments import axes, require_floating, require_tensor
from tapegrad.ops.common.index import getitem
from tapegrad.ops.common.precision import (
    compute_in_float32,
    divided,
    in_float32,
    stable_mean,
    stable_sum,
    wide,
)
from tapegrad.ops.movement.shape import clone, permute, reshape
from tapegrad.ops.pointwise.elementwise import absolute, cast, isnan, logical_not, not_equal, where

from . import sum_kernels  # noqa: F401  registers how GPUs compute the primitives below


def keepdim_shape(shape: tuple[int, ...], axis: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a reduction's result had it kept its dimensions."""
    return tuple(1 if i in axis else n for i, n in enumerate(shape))


def expand_gradient(xp: Any, g: Array, shape: tuple[int, ...], axis: tuple[int, ...]) -> Any:
    """A reduction's gradient, repeated (without a copy) over what was reduced."""
    if g.shape:  # else everything was reduced, and a 0-d gradient broadcasts as it is
        g = xp.reshape(g, shape=keepdim_shape(shape, axis))
    return xp.broadcast_to(g, shape=shape)


def count(shape: tuple[int, ...], axis: tuple[int, ...]) -> int:
    return math.prod(shape[i] for i in axis)


@primitive("sum", vjp=(lambda xp, g, input_shape, axis: expand_gradient(xp, g, input_shape, axis),))
@in_float32
def _sum(xp: Any, x: Array, *, axis: tuple[int, ...], keepdims: bool) -> Array:
    return stable_sum(x, axis, keepdims)


def _mean_rule(xp: Any, g: Array, input_shape: Any, axis: Any) -> Any:
    return expand_gradient(xp, divided(xp, g, count(input_shape, axis)), input_shape, axis)


@primitive("mean", vjp=(_mean_rule,))
@in_float32
def _mean(xp: Any, x: Array, *, axis: tuple[int, ...], keepdims: bool) -> Array:
    # A sum and a division, not the library's mean: an empty mean is nan without a warning.
    return stable_mean(x, axis, keepdims, x.dtype.type(count(x.shape, axis)))


def _product_of_others(library: Any, x: Any, axis: tuple[int, ...]) -> Any:
    """For each element the product of the others: of those before it, times those after it."""
    order = [*(i for i in range(x.ndim) if i not in axis), *axis]
    across = library.transpose(x, order)
    rows = across.reshape(*across.shape[: x.ndim - len(axis)], -1).astype("float64")

    def before(rows: Any) -> Any:
        ones = library.ones_like(rows[..., :1])
        return library.concatenate([ones, rows[..., :-1]], -1).cumprod(-1)

    others = before(rows) * library.flip(before(library.flip(rows, -1)), -1)
    others = others.astype(x.dtype, copy=False).reshape(across.shape)
    return library.transpose(others, sorted(range(x.ndim), key=order.__getitem__))


def _prod_rule(xp: Any, g: Array, y: Array, x: Array, axis: Any) -> Any:
    """The product of the others: y / x, but where y says nothing of them any more, being zero or
    not finite."""
    if is_low_precision(x.dtype):
        g, x = wide(xp, g, x)
        y = xp.prod(x, axis=axis, keepdims=True)
        g = expand_gradient(xp, g, y.shape, axis)
    if ((y != 0) & xp.isfinite(y)).all():
        return expand_gradient(xp, g * y, x.shape, axis) / x
    return expand_gradient(xp, g, x.shape, axis) * _product_of_others(xp.library, x, axis)


def _prod_plain(x: Tensor, *, axis: tuple[int, ...], keepdims: bool) -> Tensor:
    """The product in log2(n) rounds, each multiplying one half of the numbers by the other: exact
    gradients of gradients however many zeros there are, as nothing is divided."""
    shape, rest = tuple(x.shape), [i for i in range(x.ndim) if i not in axis]
    n = count(shape, axis)
    x = reshape(permute(x, [*axis, *rest]), (n, *(shape[i] for i in rest)))
    if n == 0:
        x = _sum(x, axis=(0,), keepdims=True) + 1
    odd = None
    while n > 1:
        if n % 2:
            last = getitem(x, index=(slice(n - 1, n),))
            odd = last if odd is None else odd * last
        n //= 2
        x = getitem(x, index=(slice(0, n),)) * getitem(x, index=(slice(n, 2 * n),))
    y = x if odd is None else x * odd
    return reshape(y, keepdim_shape(shape, axis) if keepdims else tuple(shape[i] for i in rest))


@primitive("prod", vjp=(_prod_rule,), plain=_prod_plain)
@in_float32
def _prod(xp: Any, x: Array, *, axis: tuple[int, ...], keepdims: bool) -> Array:
    return xp.library.multiply.reduce(x, axis=axis, keepdims=keepdims, dtype=x.dtype)


def _logsumexp_rule(xp: Any, g: Array, y: Array, x: Array, axis: Any) -> Any:
    if is_low_precision(x.dtype):  # exp of a rounded y would be off by percents, or more
        g, x = wide(xp, g, x)
        y = xp.logsumexp(x, axis=axis, keepdims=True)
        g = xp.reshape(g, shape=y.shape)
    # Each element's share, which adds up to 1 though y is rounded. Those of inf share evenly; where
    # every element is -inf, each has gradient 0.
    least, most = y == -math.inf, y == math.inf
    top = expand_gradient(xp, xp.where(least, 0.0, y), x.shape, axis)
    distance = x - top
    if not has_values(y) or most.any():
        distance = xp.where((x == top) & (top == math.inf), 0.0, distance)
    part = xp.exp(distance)
    whole = xp.reshape(xp.sum(part, axis=axis, keepdims=False), shape=y.shape)
    g = xp.where(least, 0.0, g) / xp.where(whole == 0, 1.0, whole)
    return expand_gradient(xp, g, x.shape, axis) * part


@primitive("logsumexp", vjp=(_logsumexp_rule,))
@in_float32
def _logsumexp(xp: Any, x: Array, *, axis: tuple[int, ...], keepdims: bool) -> Array:
    top = x.max(axis=axis, keepdims=True)
    top = xp.where(xp.isfinite(top), top, 0)
    y = xp.log(stable_sum(xp.exp(x - top), axis, True)) + top
    return y if keepdims else y.squeeze(axis)


def by_method(name: str, method: str, vjp: tuple = ()) -> Any:
    """The primitive ``name`` whose body is a method of arrays."""

    def body(xp: Any, x: Array, *, axis: Any, keepdims: bool) -> Array:
        return getattr(x, method)(axis=axis, keepdims=keepdims)

    return primitive(name, vjp=vjp)(body)


_any, _all = by_method("any", "any"), by_method("all", "all")


# ---------------------------------------------------------------------- PyTorch's signatures


def sum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum over ``dim`` (one, several, or all by default); 0 for an empty input. Integers and
    bools add up in int64, or in ``dtype``."""
    over = axes("sum", input, dim)
    if dtype is not None or input._array.dtype.kind in "biu":
        input = whole(input, dtype)
    return _sum(input, axis=over, keepdims=keepdim)


def nansum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """``sum`` of the elements that are not nan."""
    require_tensor("nansum", input)
    if input.is_floating_point():
        input = where(isnan(input), 0.0, input)
    return sum(input, dim, keepdim, dtype=dtype)


def mean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The arithmetic mean over ``dim`` (one, several, or all by default); nan for an empty input.
    Raises RuntimeError for integers and bools, unless ``dtype`` is one of floats."""
    if dtype is not None:
        input = to_dtype(input, dtype)
    require_floating("mean", input)
    return _mean(input, axis=axes("mean", input, dim), keepdims=keepdim)


@compute_in_float32
def nanmean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """``mean`` of the elements that are not nan, or nan if there are none."""
    require_floating("nanmean", input)
    missing = isnan(input)
    there = sum(logical_not(missing), dim, keepdim)
    average = nansum(input, dim, keepdim, dtype=dtype) / there
    # Where the sum leaves the range: the mean with zeros in place of nan, by the share of others.
    present = mean(cast(logical_not(missing), dtype=average.dtype), dim, keepdim)
    beyond = mean(where(missing, 0.0, input), dim, keepdim, dtype=dtype) / present
    return where(absolute(average) == math.inf, beyond, average)


def prod(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The product over ``dim`` (one, several, or all by default); 1 for an empty input. Integers
    and bools multiply in int64, or in ``dtype``."""
    over = axes("prod", input, dim)
    return _prod(whole(input, dtype), axis=over, keepdims=keepdim)


def logsumexp(input: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    """log(sum(exp(input))) over ``dim``, without overflow; -inf for an empty input. Integers and
    bools become the default dtype."""
    over = axes("logsumexp", input, dim)
    if not input.is_floating_point():
        input = cast(input, dtype=dtypes.get_default_dtype())
    if count(input._array.shape, over) == 0:
        return _sum(input, axis=over, keepdims=keepdim) - math.inf
    return _logsumexp(input, axis=over, keepdims=keepdim)


def any(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether any element over ``dim`` (one, several, or all by default) is not 0 (nan is not): a
    bool, of uint8 a uint8; False for an empty input."""
    return _truth("any", _any, input, dim, keepdim)


def all(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether all elements over ``dim`` (one, several, or all by default) are not 0 (nan is not): a
    bool, of uint8 a uint8; True for an empty input."""
    return _truth("all", _all, input, dim, keepdim)


def _truth(op: str, of: Any, input: Tensor, dim: Any, keepdim: bool) -> Tensor:
    # Other reductions take () for all dimensions; these two, in PyTorch, for none.
    over = () if isinstance(dim, (tuple, list)) and not dim else axes(op, input, dim)
    result = of(input, axis=over, keepdims=keepdim)
    return cast(result, dtype=dtypes.uint8) if input.dtype == dtypes.uint8 else result


def count_nonzero(input: Tensor, dim: Any = None) -> Tensor:
    """How many elements over ``dim`` (one, several, or all by default) are not 0 (nan is not), as
    int64."""
    over = axes("count_nonzero", input, dim)
    return _sum(cast(not_equal(input, 0), dtype=dtypes.int64), axis=over, keepdims=False)


def sum_to_size(input: Tensor, *size: Any) -> Tensor:
    """The sum over the dimensions that broadcasting from shape ``size`` would have added or
    stretched, in that shape. Raises RuntimeError where it does not broadcast to the input's."""
    require_tensor("sum_to_size", input)
    shape, wanted = tuple(input.shape), arguments.shape("sum_to_size", size)
    lead = len(shape) - len(wanted)
    if lead < 0 or builtins.any(n not in (1, m) for n, m in zip(wanted, shape[lead:], strict=True)):
        raise RuntimeError(
            f"[sum_to_size] shape {wanted} does not broadcast to the tensor's shape {shape}"
        )
    stretched = [i for i in range(lead, len(shape)) if wanted[i - lead] != shape[i]]
    over = (*range(lead), *stretched)
    return reshape(_sum(input, axis=over, keepdims=False), wanted) if over else clone(input)


# ---------------------------------------------------------------------- arguments


def whole(input: Tensor, dtype: Any) -> Tensor:
    """What is summed: the tensor in ``dtype``; integers and bools in int64."""
    if dtype is not None:
        return to_dtype(input, dtype)
    if input._array.dtype.kind in "biu" and input.dtype != dtypes.int64:
        return cast(input, dtype=dtypes.int64)
    return input


def to_dtype(x: Tensor, dtype: Any) -> Tensor:
    wanted = dtypes.dtype(dtype)
    return x if x.dtype == wanted else cast(x, dtype=wanted)
