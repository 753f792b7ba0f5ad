"""The largest and the smallest: their values, which equal ones share, and where they stand."""

from __future__ import annotations

from typing import Any, NamedTuple

from tapegrad.core.memory import Array
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import axes, axis, require_tensor
from tapegrad.ops.indexing.take_along import Picked, pick, require_extent, with_dimension
from tapegrad.ops.movement.shape import reshape
from tapegrad.ops.pointwise.elementwise import maximum, minimum

from .reduce import count, keepdim_shape


def _extreme_rule(xp: Any, g: Array, y: Array, x: Array, axis: Any) -> Any:
    """Equal extremes share the gradient evenly."""
    shape = keepdim_shape(x.shape, axis)
    ties = x == xp.reshape(y, shape=shape)
    sharing = xp.sum(xp.cast(ties, dtype=g.dtype), axis=axis, keepdims=True)
    return xp.where(ties, xp.reshape(g, shape=shape) / sharing, 0.0)


@primitive("amax", vjp=(_extreme_rule,))
def _amax(xp: Any, x: Array, *, axis: tuple[int, ...], keepdims: bool) -> Array:
    return x.max(axis=axis, keepdims=keepdims)


@primitive("amin", vjp=(_extreme_rule,))
def _amin(xp: Any, x: Array, *, axis: tuple[int, ...], keepdims: bool) -> Array:
    return x.min(axis=axis, keepdims=keepdims)


@primitive("argmax")
def _argmax(xp: Any, x: Array, *, axis: int | None, keepdims: bool) -> Array:
    return x.argmax(axis=axis, keepdims=keepdims)


@primitive("argmin")
def _argmin(xp: Any, x: Array, *, axis: int | None, keepdims: bool) -> Array:
    return x.argmin(axis=axis, keepdims=keepdims)


# ---------------------------------------------------------------------- PyTorch's signatures


def max(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The largest element; with a dimension, (values, indices) along it; with a second tensor,
    the elementwise maximum."""
    return _any_form("max", input, dim if other is None else other, keepdim)


def min(input: Tensor, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The smallest element; with a dimension, (values, indices) along it; with a second tensor,
    the elementwise minimum."""
    return _any_form("min", input, dim if other is None else other, keepdim)


def _any_form(op: str, input: Tensor, dim: Any, keepdim: bool) -> Any:
    of, reduce, between = (_argmax, amax, maximum) if op == "max" else (_argmin, amin, minimum)
    if dim is None:
        _require_some(op, input)
        return reduce(input)
    if isinstance(dim, Tensor):
        require_tensor(op, input)
        return between(input, dim)
    x, d = with_dimension(op, input, dim)
    require_extent(op, x, d)
    found = pick(x, of(x, axis=d, keepdims=True), d, keepdim)
    return found if input.ndim else Picked(*(reshape(t, ()) for t in found))


def amax(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """The largest elements over ``dim``; equal ones share the gradient."""
    return _over("amax", _amax, input, dim, keepdim)


def amin(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """The smallest elements over ``dim``; equal ones share the gradient."""
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
    """What ``aminmax`` returns."""

    min: Tensor
    max: Tensor


def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> MinMax:
    """``amin`` and ``amax`` over one dimension, or all."""
    require_tensor("aminmax", input)
    if dim is None:
        _require_some("aminmax", input)
    else:
        x, d = with_dimension("aminmax", input, dim)
        require_extent("aminmax", x, d)
    return MinMax(amin(input, dim, keepdim), amax(input, dim, keepdim))


def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The (first) index of the largest element, of the flattened tensor if no ``dim`` is given."""
    return _arg("argmax", _argmax, input, dim, keepdim)


def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The (first) index of the smallest element, of the flattened tensor if no ``dim`` is given."""
    return _arg("argmin", _argmin, input, dim, keepdim)


def _arg(op: str, of: Any, input: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    require_tensor(op, input)
    if input.dtype.kind == "b":
        raise RuntimeError(f"[{op}] is not defined for bool tensors: convert with .int()")
    if dim is None:
        if not input.numel():
            raise IndexError(f"[{op}] nothing has no index: shape {tuple(input.shape)}, no dim")
        return of(input, axis=None, keepdims=keepdim)
    d = axis(op, dim, input.ndim)
    if not input.ndim:
        return of(input, axis=None, keepdims=keepdim)
    require_extent(op, input, d)
    return of(input, axis=d, keepdims=keepdim)


def _require_some(op: str, input: Tensor) -> None:
    require_tensor(op, input)
    if not input._array.size:
        raise RuntimeError(
            f"[{op}] nothing has no extreme: shape {tuple(input.shape)}; with dim=, the dimensions "
            "that are not empty can be reduced"
        )
