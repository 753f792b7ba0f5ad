"""How numbers spread about their mean: variances, deviations, covariances."""

from __future__ import annotations

import builtins
import math
from typing import Any

from tapegrad.core.dtypes import is_low_precision
from tapegrad.core.memory import Array
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import axes, require_floating
from tapegrad.ops.common.precision import in_float32, root_of_squares, stable_sum, to_float32, wide

from .reduce import count, expand_gradient, mean


def centred(xp: Any, x: Any, axis: Any) -> Any:
    """x minus its mean, whose rounding may be as large as all distances from it: what is left of
    the mean is that of the distances, which are exact."""
    distances = x - xp.mean(x, axis=axis, keepdims=True)
    return distances - xp.mean(distances, axis=axis, keepdims=True)


def _freedom(x: Array, axis: Any, correction: Any) -> float:
    return builtins.max(count(x.shape, axis) - correction, 0)


@to_float32
def _var_rule(xp: Any, g: Array, x: Array, axis: Any, correction: Any) -> Any:
    freedom = _freedom(x, axis, correction)
    g = expand_gradient(xp, g, x.shape, axis)
    return g * centred(xp, x, axis) * (2 / freedom if freedom else math.nan)


@primitive("var", vjp=(_var_rule,))
@in_float32
def _var(xp: Any, x: Array, *, axis: tuple[int, ...], keepdims: bool, correction: float) -> Array:
    distances = centred(xp, x, axis)
    freedom = x.dtype.type(_freedom(x, axis, correction))
    return stable_sum(distances * distances, axis, keepdims) / freedom


def _std_rule(xp: Any, g: Array, y: Array, x: Array, axis: Any, correction: Any) -> Any:
    """Of equal numbers 0, as in PyTorch, where the square root's slope is infinite: whatever
    arrives, be it nan."""
    if is_low_precision(x.dtype):
        g, x = wide(xp, g, x)
        y = xp.std(x, axis=axis, keepdims=True, correction=correction)
        g = expand_gradient(xp, g, y.shape, axis)
    g, y = (expand_gradient(xp, v, x.shape, axis) for v in (g, y))
    zero, freedom = y == 0, _freedom(x, axis, correction)
    slope = centred(xp, x, axis) / xp.where(zero, 1.0, y)
    return xp.where(zero, 0.0, g) * slope * (1 / freedom if freedom else math.nan)


@primitive("std", vjp=(_std_rule,))
@in_float32
def _std(xp: Any, x: Array, *, axis: tuple[int, ...], keepdims: bool, correction: float) -> Array:
    root = root_of_squares(xp, centred(xp, x, axis), axis, keepdims)
    return root / x.dtype.type(math.sqrt(_freedom(x, axis, correction)))


# ---------------------------------------------------------------------- PyTorch's signatures


def var(
    input: Tensor,
    dim: Any = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """The variance over ``dim`` (one, several, or all by default): the sum of the squared
    deviations from the mean, divided by n - correction (1 by default, 0 with ``unbiased=False``).
    Raises RuntimeError for integers and bools."""
    return _var_or_std("var", _var, input, dim, unbiased, keepdim, correction)


def std(
    input: Tensor,
    dim: Any = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """The standard deviation over ``dim``: the square root of ``var``, with its arguments; raises
    what that does. Of equal numbers its gradient is 0."""
    return _var_or_std("std", _std, input, dim, unbiased, keepdim, correction)


def var_mean(
    input: Tensor,
    dim: Any = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """(variance, mean) over ``dim``: ``var``, with its arguments, and ``mean``; raises what they
    do."""
    variance = _var_or_std("var_mean", _var, input, dim, unbiased, keepdim, correction)
    return variance, mean(input, None if isinstance(dim, bool) else dim, keepdim)


def std_mean(
    input: Tensor,
    dim: Any = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """(standard deviation, mean) over ``dim``: ``std``, with its arguments, and ``mean``; raises
    what they do."""
    deviation = _var_or_std("std_mean", _std, input, dim, unbiased, keepdim, correction)
    return deviation, mean(input, None if isinstance(dim, bool) else dim, keepdim)


def _var_or_std(
    op: str, of: Any, x: Tensor, dim: Any, unbiased: bool, keepdim: bool, correction: Any
) -> Tensor:
    if isinstance(dim, bool):  # torch.var(x, unbiased)
        dim, unbiased = None, dim
    require_floating(op, x)
    if correction is None:
        correction = 1 if unbiased else 0
    return of(x, axis=axes(op, x, dim), keepdims=keepdim, correction=correction)
