"""The largest and the smallest: their values, which equal ones share, and where they stand."""

from __future__ import annotations

from typing import Any, NamedTuple

from tapegrad.core.memory import Array
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import axes, require_tensor
from tapegrad.ops.indexing.take_along import pick, with_dimension
from tapegrad.ops.pointwise.elementwise import maximum, minimum

from .reduce import by_method, count, keepdim_shape


def _extreme_rule(xp: Any, g: Array, y: Array, x: Array, axis: Any) -> Any:
    """Equal extremes share the gradient evenly, and where there are nans, these."""
    shape = keepdim_shape(x.shape, axis)
    y = xp.reshape(y, shape=shape)
    ties = (x == y) | ((x != x) & (y != y))
    sharing = xp.sum(xp.cast(ties, dtype=g.dtype), axis=axis, keepdims=True)
    return xp.where(ties, xp.reshape(g, shape=shape) / sharing, 0.0)


_amax = by_method("amax", "max", vjp=(_extreme_rule,))
_amin = by_method("amin", "min", vjp=(_extreme_rule,))
_argmax, _argmin = by_method("argmax", "argmax"), by_method("argmin", "argmin")


# ---------------------------------------------------------------------- PyTorch's signatures


def max(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The largest element, or nan; with a dimension, (values, indices) along it, of equal ones the
    first; with a second tensor, the elementwise maximum. Raises RuntimeError for an empty input,
    IndexError for a dimension of size 0."""
    return _any_form("max", input, dim if other is None else other, keepdim)


def min(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The smallest element, or nan; with a dimension, (values, indices) along it, of equal ones the
    first; with a second tensor, the elementwise minimum. Raises what ``max`` does."""
    return _any_form("min", input, dim if other is None else other, keepdim)


def _any_form(op: str, input: Tensor, dim: Any, keepdim: bool) -> Any:
    of, reduce, between = (_argmax, amax, maximum) if op == "max" else (_argmin, amin, minimum)
    if dim is None:
        _require_some(op, input)
        return reduce(input)
    if isinstance(dim, Tensor):
        require_tensor(op, input)
        return between(input, dim)
    x, d = with_dimension(op, input, dim, filled=True)
    return pick(input, of(x, axis=d, keepdims=True), d, keepdim)


def amax(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """The largest elements over ``dim`` (one, several, or all by default), or nan; equal ones share
    the gradient evenly. Raises IndexError over dimensions of size 0, RuntimeError for an empty
    input without ``dim``."""
    return _over("amax", _amax, input, dim, keepdim)


def amin(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """The smallest elements over ``dim``; shares gradients and raises as ``amax`` does."""
    return _over("amin", _amin, input, dim, keepdim)


def _over(op: str, of: Any, input: Tensor, dim: Any, keepdim: bool) -> Tensor:
    over = axes(op, input, dim)
    if dim is None:
        _require_some(op, input)
    elif count(input._array.shape, over) == 0:
        raise IndexError(
            f"[{op}] has no result over dimensions of size 0: shape {tuple(input.shape)}, "
            f"dim {over}"
        )
    return of(input, axis=over, keepdims=keepdim)


class MinMax(NamedTuple):
    """The smallest and the largest elements that ``aminmax`` found."""

    min: Tensor
    max: Tensor


def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> MinMax:
    """(min, max): ``amin`` and ``amax`` over one dimension, or all. Raises IndexError for a
    dimension of size 0, RuntimeError for an empty input without ``dim``."""
    require_tensor("aminmax", input)
    if dim is None:
        _require_some("aminmax", input)
    else:
        with_dimension("aminmax", input, dim, filled=True)
    return MinMax(amin(input, dim, keepdim), amax(input, dim, keepdim))


def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The int64 index of the (first) largest element, or nan, along ``dim``; in the flattened
    tensor without one. Raises IndexError where there is no element, RuntimeError for bools."""
    return _arg("argmax", _argmax, input, dim, keepdim)


def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The int64 index of the (first) smallest element, or nan, along ``dim``; in the flattened
    tensor without one. Raises what ``argmax`` does."""
    return _arg("argmin", _argmin, input, dim, keepdim)


def _arg(op: str, of: Any, input: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    require_tensor(op, input)
    if input.dtype.kind == "b":
        raise RuntimeError(f"[{op}] is not defined for bool tensors: convert with .int()")
    d = None
    if dim is not None:
        _, d = with_dimension(op, input, dim, filled=True)
    elif not input.numel():
        raise IndexError(f"[{op}] an empty input has no index: shape {tuple(input.shape)}, no dim")
    return of(input, axis=d if input.ndim else None, keepdims=keepdim)


def _require_some(op: str, input: Tensor) -> None:
    require_tensor(op, input)
    if not input._array.size:
        raise RuntimeError(
            f"[{op}] an empty input has no extreme: shape {tuple(input.shape)}; with dim=, the "
            "dimensions that are not empty can be reduced"
        )
