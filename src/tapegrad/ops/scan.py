"""Scans: the sums, products, extremes and log-sums of all that came before, and itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import dtypes
from ..tape import primitive
from ..tensor import Tensor
from .elementwise import cast
from .gather import gather
from .pick import Picked, indices_of, with_dimension
from .precision import in_float32
from .reduce import whole
from .shape import clone, reshape
from .sort import keys


def accumulate(xp: Any, function: Any, x: Any, axis: int) -> Any:
    """y[i] = function(y[i - 1], x[i]) for an associative function of the library's. Where it
    cannot do so itself, in log2(n) rounds: after each, an element stands for twice as many."""
    if isinstance(x, np.ndarray):
        return function.accumulate(x, axis=axis)
    before = (slice(None),) * axis
    n, reach = x.shape[axis], 1
    while reach < n:
        later = function(x[before + (slice(0, n - reach),)], x[before + (slice(reach, n),)])
        x = xp.library.concatenate((x[before + (slice(0, reach),)], later), axis=axis)
        reach *= 2
    return x


def _backwards(xp: Any, a: Any, b: Any, axis: int) -> Any:
    """s[i] = b[i] + a[i] s[i + 1] from the end (``a`` is one shorter), in log2(n) rounds and
    without a division: after each, a[i] leads twice as far."""

    def part(x: Any, start: int, end: int) -> Any:
        return xp.getitem(x, index=(slice(None),) * axis + (slice(start, end),))

    n, reach = b.shape[axis], 1
    while reach < n:
        changed = part(b, 0, n - reach) + a * part(b, reach, n)
        b = xp.concatenate(changed, part(b, n - reach, n), axis=axis, sizes=(n - reach, reach))
        a = part(a, 0, n - 2 * reach) * part(a, reach, n - reach) if 2 * reach < n else a
        reach *= 2
    return b


def _reversed_sum(xp: Any, g: Any, axis: int) -> Any:
    return xp.flip(xp.cumsum(xp.flip(g, axes=(axis,)), axis=axis), axes=(axis,))


def _wide(x: Any) -> Any:
    """The dtype to carry a scan in: rounding errors of long ones add up."""
    return np.float64 if x.dtype == dtypes.float32 else x.dtype


@primitive("cumsum", vjp=(_reversed_sum,))
@in_float32
def _cumsum(xp: Any, x: Any, *, axis: int) -> Any:
    return x.cumsum(axis=axis, dtype=_wide(x)).astype(x.dtype, copy=False)


def _cumprod_rule(xp: Any, g: Any, y: Any, x: Any, axis: int) -> Any:
    """What came before x[i], times s[i] = g[i] + x[i + 1] s[i + 1]: exact where there are zeros."""
    n, before = x.shape[axis], (slice(None),) * axis
    s = _backwards(xp, xp.getitem(x, index=(*before, slice(1, n))), g, axis)
    first = xp.getitem(s, index=(*before, slice(0, 1)))
    rest = xp.getitem(s, index=(*before, slice(1, n)))
    rest = rest * xp.getitem(y, index=(*before, slice(0, n - 1)))
    return xp.concatenate(first, rest, axis=axis, sizes=(1, n - 1))


@primitive("cumprod", vjp=(_cumprod_rule,))
@in_float32
def _cumprod(xp: Any, x: Any, *, axis: int) -> Any:
    return x.cumprod(axis=axis, dtype=_wide(x)).astype(x.dtype, copy=False)


def _logcumsumexp_rule(xp: Any, g: Any, y: Any, x: Any, axis: int) -> Any:
    """exp(x[i] - y[i]) s[i], where s[i] = g[i] + exp(y[i] - y[i + 1]) s[i + 1]: no exponent is
    positive. Where all so far is -inf, the gradient is 0."""
    n, before = x.shape[axis], (slice(None),) * axis
    y = xp.where(y == -np.inf, 0.0, y)
    a = xp.getitem(y, index=(*before, slice(0, n - 1)))
    b = xp.getitem(y, index=(*before, slice(1, n)))
    grows = xp.exp(xp.where(a < b, a - b, 0.0))
    return _backwards(xp, grows, g, axis) * xp.exp(x - y)


@primitive("logcumsumexp", vjp=(_logcumsumexp_rule,))
@in_float32
def _logcumsumexp(xp: Any, x: Any, *, axis: int) -> Any:
    y = accumulate(xp, xp.library.logaddexp, x.astype(_wide(x), copy=False), axis)
    return y.astype(x.dtype, copy=False)


def _extreme_so_far(xp: Any, x: Any, axis: int, function: str) -> Any:
    """The index of the (last) extreme up to each element, or of the last nan."""
    x = keys(x)
    extreme = accumulate(xp, getattr(xp.library, function), x, axis)
    place = xp.arange(x.shape[axis]).reshape((-1,) + (1,) * (x.ndim - axis - 1))
    here = xp.library.where((x == extreme) | (x != x), place, 0)
    return accumulate(xp, xp.library.maximum, here, axis)


# ---------------------------------------------------------------------- PyTorch's signatures


def cumsum(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """y[i] = x[0] + ... + x[i] along ``dim``. Integers and bools add up in int64."""
    return _along("cumsum", _cumsum, input, dim, dtype)


def cumprod(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """y[i] = x[0] * ... * x[i] along ``dim``. Integers and bools multiply in int64."""
    return _along("cumprod", _cumprod, input, dim, dtype)


def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """y[i] = log(exp(x[0]) + ... + exp(x[i])) along ``dim``, without overflow."""
    floating = getattr(input, "is_floating_point", lambda: True)()
    return _along(
        "logcumsumexp", _logcumsumexp, input, dim, None if floating else dtypes.get_default_dtype()
    )


def _along(op: str, scan: Any, input: Tensor, dim: int, dtype: Any) -> Tensor:
    x, d = with_dimension(op, input, dim)
    x = whole(x, dtype)
    y = scan(x, axis=d) if x._array.size else clone(x)
    return y if input.ndim else reshape(y, ())


def cummax(input: Tensor, dim: int) -> Picked:
    """(values, indices) of the largest element so far along ``dim``; of equal ones the last."""
    return _running("cummax", "maximum", input, dim)


def cummin(input: Tensor, dim: int) -> Picked:
    """(values, indices) of the smallest element so far along ``dim``; of equal ones the last."""
    return _running("cummin", "minimum", input, dim)


def _running(op: str, function: str, input: Tensor, dim: int) -> Picked:
    x, d = with_dimension(op, input, dim)
    if not x._array.size:
        return Picked(clone(x), cast(x, dtype=dtypes.int64))
    indices = indices_of(_extreme_so_far, x, d, function)
    found = Picked(gather(x, d, indices), indices)
    return found if input.ndim else Picked(*(reshape(t, ()) for t in found))
