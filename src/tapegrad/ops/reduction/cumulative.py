"""Scans: the sums, products, extremes and log-sums of an element and all before it."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.core import dtypes
from tapegrad.core.memory import Array
from tapegrad.core.tape import array_function, primitive
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common.arguments import require_tensor
from tapegrad.ops.common.precision import in_float32, wide
from tapegrad.ops.indexing.gather import gather_found
from tapegrad.ops.indexing.take_along import Picked, with_dimension
from tapegrad.ops.movement.shape import clone, reshape
from tapegrad.ops.movement.split import slice_along

from .reduce import whole
from .sort import keys


def accumulate(xp: Any, function: Any, x: Array, axis: int) -> Any:
    """y[i] = function(y[i - 1], x[i]) for an associative function of the library's. Where it
    cannot do so itself, in log2(n) rounds: after each, an element stands for twice as many."""
    if isinstance(x, np.ndarray):
        return function.accumulate(x, axis=axis)
    n, reach = x.shape[axis], 1
    while reach < n:
        later = function(x[slice_along(axis, 0, n - reach)], x[slice_along(axis, reach, n)])
        x = xp.library.concatenate((x[slice_along(axis, 0, reach)], later), axis=axis)
        reach *= 2
    return x


def _recurrence_rule(
    xp: Any, g: Array, needs: Any, y: Array, a: Array, axis: int, reverse: bool
) -> Any:
    n = y.shape[axis]
    db = xp.recurrence(a, g, axis=axis, reverse=not reverse)
    late, early = slice_along(axis, 1, n), slice_along(axis, 0, n - 1)
    source, target = (late, early) if reverse else (early, late)
    return xp.getitem(db, index=target) * xp.getitem(y, index=source), db


@primitive(vjp_all=_recurrence_rule)
@in_float32
def recurrence(xp: Any, a: Array, b: Array, *, axis: int, reverse: bool) -> Array:
    """y[i + 1] = b[i + 1] + a[i] y[i] from y[0] = b[0], or in reverse y[i] = b[i] + a[i] y[i + 1]
    from the last, in log2(n) rounds: after each, a[i] leads twice as far."""
    stored, n, reach = b.dtype, b.shape[axis], 1
    a, y = a.astype(_wide(b), copy=False), b.astype(_wide(b))
    while reach < n:
        late, early = slice_along(axis, reach, n), slice_along(axis, 0, n - reach)
        source, target = (late, early) if reverse else (early, late)
        y[target] = y[target] + a * y[source]
        if 2 * reach < n:
            a = a[slice_along(axis, 0, n - 2 * reach)] * a[slice_along(axis, reach, n - reach)]
        reach *= 2
    return y.astype(stored, copy=False)


def _wide(x: Any) -> Any:
    """The dtype to carry a scan in: rounding errors of long ones add up."""
    return np.float64 if x.dtype == dtypes.float32 else x.dtype


def _cumsum_rule(xp: Any, g: Array, axis: int, reverse: bool) -> Any:
    return xp.cumsum(g, axis=axis, reverse=not reverse)


@primitive("cumsum", vjp=(_cumsum_rule,))
@in_float32
def _cumsum(xp: Any, x: Array, *, axis: int, reverse: bool = False) -> Array:
    x = xp.library.flip(x, axis) if reverse else x
    y = x.cumsum(axis=axis, dtype=_wide(x)).astype(x.dtype, copy=False)
    return xp.library.flip(y, axis).copy() if reverse else y


def _cumprod_rule(xp: Any, g: Array, y: Array, x: Array, axis: int) -> Any:
    """What came before x[i], times s[i] = g[i] + x[i + 1] s[i + 1]: nothing is divided, so it is
    exact where there are zeros."""
    n = x.shape[axis]
    if dtypes.is_low_precision(x.dtype):
        g, x = wide(xp, g, x)
        y = xp.cumprod(x, axis=axis)
    late, early = slice_along(axis, 1, n), slice_along(axis, 0, n - 1)
    s = xp.recurrence(xp.getitem(x, index=late), g, axis=axis, reverse=True)
    return xp.index_put(s, xp.getitem(s, index=late) * xp.getitem(y, index=early), index=late)


@primitive("cumprod", vjp=(_cumprod_rule,))
@in_float32
def _cumprod(xp: Any, x: Array, *, axis: int) -> Array:
    return x.cumprod(axis=axis, dtype=_wide(x)).astype(x.dtype, copy=False)


def _logcumsumexp_rule(xp: Any, g: Array, y: Array, x: Array, axis: int) -> Any:
    """exp(x[i] - y[i]) s[i], where s[i] = g[i] + exp(y[i] - y[i + 1]) s[i + 1]: no exponent is
    positive. Where all so far is -inf, the gradient is 0."""
    n = x.shape[axis]
    if x.dtype != dtypes.float64:  # differences of rounded y would be off by percents
        x, g = (xp.cast(t, dtype=dtypes.float64) for t in (x, g))
        y = xp.logcumsumexp(x, axis=axis)
    y = xp.where(y == -np.inf, 0.0, y)
    a, b = (xp.getitem(y, index=slice_along(axis, i, n - 1 + i)) for i in (0, 1))
    shrinks = xp.exp(xp.where(a < b, a - b, 0.0))
    return xp.recurrence(shrinks, g, axis=axis, reverse=True) * xp.exp(
        xp.where((x == y) & (x == np.inf), 0.0, x - y)
    )


@primitive("logcumsumexp", vjp=(_logcumsumexp_rule,))
@in_float32
def _logcumsumexp(xp: Any, x: Array, *, axis: int) -> Array:
    y = accumulate(xp, xp.library.logaddexp, x.astype(_wide(x), copy=False), axis)
    return y.astype(x.dtype, copy=False)


def _last_extreme(xp: Any, x: Array, axis: int, function: str) -> Any:
    x = keys(x)
    extreme = accumulate(xp, getattr(xp.library, function), x, axis)
    position = xp.arange(x.shape[axis]).reshape((-1,) + (1,) * (x.ndim - axis - 1))
    here = xp.library.where((x == extreme) | (x != x), position, 0)
    return accumulate(xp, xp.library.maximum, here, axis)


@array_function
def last_largest(xp: Any, x: Array, *, axis: int) -> Any:
    """The index of the (last) maximum up to each element, or of the last nan."""
    return _last_extreme(xp, x, axis, "maximum")


@array_function
def last_smallest(xp: Any, x: Array, *, axis: int) -> Any:
    """The index of the (last) minimum up to each element, or of the last nan."""
    return _last_extreme(xp, x, axis, "minimum")


# ---------------------------------------------------------------------- PyTorch's signatures


def cumsum(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """y[i] = x[0] + ... + x[i] along ``dim``. Integers and bools add up in int64, or in
    ``dtype``."""
    return _along("cumsum", _cumsum, input, dim, dtype, reverse=False)


def cumprod(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """y[i] = x[0] * ... * x[i] along ``dim``. Integers and bools multiply in int64, or in
    ``dtype``."""
    return _along("cumprod", _cumprod, input, dim, dtype)


def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """y[i] = log(exp(x[0]) + ... + exp(x[i])) along ``dim``, without overflow. Integers and bools
    become the default dtype."""
    require_tensor("logcumsumexp", input)
    dtype = None if input.is_floating_point() else dtypes.get_default_dtype()
    return _along("logcumsumexp", _logcumsumexp, input, dim, dtype)


def _along(op: str, scan: Any, input: Tensor, dim: int, dtype: Any, **options: Any) -> Tensor:
    x, d = with_dimension(op, input, dim)
    x = whole(x, dtype)
    y = scan(x, axis=d, **options) if x._array.size else clone(x)
    return y if input.ndim else reshape(y, ())


def cummax(input: Tensor, dim: int) -> Picked:
    """(values, indices) of the largest element so far along ``dim``, or nan; of equal ones the
    last. Indices are int64."""
    return _running("cummax", "last_largest", input, dim)


def cummin(input: Tensor, dim: int) -> Picked:
    """(values, indices) of the smallest element so far along ``dim``, or nan; of equal ones the
    last. Indices are int64."""
    return _running("cummin", "last_smallest", input, dim)


def _running(op: str, of: str, input: Tensor, dim: int) -> Picked:
    x, d = with_dimension(op, input, dim)
    indices = wrap(x._device.ops[of](x._array, axis=d), x._device)
    values = gather_found(x, d, indices) if x._array.size else clone(x)
    return Picked(
        *((values, indices) if input.ndim else (reshape(t, ()) for t in (values, indices)))
    )
