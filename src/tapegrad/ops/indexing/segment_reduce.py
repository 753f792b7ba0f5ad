"""Reducing values by the position they go to: the sums, products, means and extremes behind
``scatter_reduce`` and ``index_reduce``.

The order of the values of one position is fixed, so results are the same on every run and device.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from tapegrad.core.dtypes import is_low_precision
from tapegrad.core.memory import Array
from tapegrad.core.tape import primitive
from tapegrad.ops.common.index import index_add_at, index_put
from tapegrad.ops.common.precision import compute_in_float32, in_float32, wide
from tapegrad.ops.common.ravel_index import flat
from tapegrad.ops.common.segments import combined
from tapegrad.ops.creation.create import ones_like

_FUNCTIONS = {"prod": "multiply", "amax": "maximum", "amin": "minimum"}


def _rule(
    xp: Any, g: Array, y: Array, x: Array, values: Array, index: Any, how: str, include_self: bool
) -> list:
    """As in PyTorch: of several extremes that are equal each has an equal share; a product's
    factors get the product of the others."""
    there = partial(xp.getitem, index=index)
    if is_low_precision(x.dtype):
        g, x, values = wide(xp, g, x, values)
        y = xp.reduce_at(x, values, index=index, how=how, include_self=include_self)
    if how == "prod":
        whole, part = _product_rule(xp, g, y, x, values, index, include_self)
    else:
        here, these = x == y, values == there(y)
        count = xp.where(here, float(include_self), 0.0)
        count = xp.index_add_at(count, xp.where(these, 1.0, 0.0), index=index)
        share = g / xp.where(count == 0, 1.0, count)
        whole, part = xp.where(here, share, 0.0), xp.where(these, there(share), 0.0)
    return [whole if include_self else xp.index_put(whole, 0, index=index), part]


def _product_rule(
    xp: Any, g: Array, y: Array, x: Array, values: Array, index: Any, include_self: bool
) -> tuple[Any, Any]:
    there = partial(xp.getitem, index=index)
    product = partial(xp.reduce_at, index=index, how="prod", include_self=include_self)
    solid = xp.where(x == 0, 1.0, x)
    whole = g * product(solid, values) / solid
    zero = values == 0
    count = xp.where(x == 0, 0.0, 0.0)  # zeros of x's shape, in every namespace
    count = there(xp.index_add_at(count, xp.where(zero, 1.0, 0.0), index=index))
    only = zero & (count == 1)
    others = product(x, xp.where(only, 1.0, values))
    part = xp.where(only, there(g * others), there(g * y) / xp.where(zero, 1.0, values))
    return whole, xp.where(count > 1, 0.0, part)


@primitive(vjp_all=_rule)
@in_float32
def reduce_at(
    xp: Any, x: Array, values: Array, *, index: Any, how: str, include_self: bool
) -> Array:
    """x with x[index] replaced by the products or extremes of ``values`` and (include_self) x."""
    function = getattr(xp.library, _FUNCTIONS[how])
    positions = flat(xp.library, x.shape, index)
    values = xp.library.broadcast_to(xp.library.asarray(values, dtype=x.dtype), positions.shape)
    result = x.reshape(-1).copy()
    at, found = combined(xp, function, positions.reshape(-1), values.reshape(-1))
    result[at] = function(result[at], found) if include_self else found
    return result.reshape(x.shape)


def _sum_at(x: Any, values: Any, *, index: Any, include_self: bool) -> Any:
    start = x if include_self else index_put(x, 0, index=index)
    return index_add_at(start, values, index=index)


@compute_in_float32
def _mean_at(x: Any, values: Any, *, index: Any, include_self: bool) -> Any:
    total, count = (
        _sum_at(a, b, index=index, include_self=include_self)
        for a, b in ((x, values), (ones_like(x), ones_like(values)))
    )
    count = count.masked_fill(count == 0, 1)
    return total / count if x.is_floating_point() else total // count


def reduced_at(how: str, include_self: bool) -> Callable:
    """``f(x, values, index=...)`` for one of "sum", "mean", "prod", "amax" and "amin"."""
    if how in _FUNCTIONS:
        return partial(reduce_at, how=how, include_self=include_self)
    return partial(_sum_at if how == "sum" else _mean_at, include_self=include_self)
