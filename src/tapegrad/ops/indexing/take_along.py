"""Picking elements along a dimension: what sorting, extremes and medians have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tapegrad.core.devices import Device
from tapegrad.core.memory import Array
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common.arguments import axis, require_tensor
from tapegrad.ops.movement.shape import reshape, squeeze


class Picked(NamedTuple):
    """Elements, and where along their dimension they stood."""

    values: Tensor
    indices: Tensor


def _take_rule(xp: Any, g: Array, indices: Array, input_shape: Any, axis: int) -> Any:
    return xp.put_along(g, indices, axis=axis, size=input_shape[axis])


@primitive(vjp=(_take_rule, None))
def take_along(xp: Any, x: Array, indices: Array, *, axis: int) -> Array:
    """x's elements at ``indices`` (in range, none twice) along ``axis``."""
    return xp.library.take_along_axis(x, indices, axis)


@primitive(vjp=("take_along", None))
def put_along(xp: Any, x: Array, indices: Array, *, axis: int, size: int) -> Array:
    """Zeros, ``size`` of them along ``axis``, with x's elements at ``indices``."""
    result = xp.zeros((*x.shape[:axis], size, *x.shape[axis + 1 :]), dtype=x.dtype)
    xp.library.put_along_axis(result, indices, x, axis)
    return result


def pick(x: Tensor, indices: Tensor, d: int, keepdim: bool) -> Picked:
    """One element along dimension ``d``, at indices that have kept that dimension."""
    values = take_along(x, indices, axis=d)
    return Picked(values, indices) if keepdim else Picked(squeeze(values, d), squeeze(indices, d))


def with_dimension(op: str, input: Any, dim: Any) -> tuple[Tensor, int]:
    """A tensor that has a dimension to work along (0-d ones become 1-d), and which one."""
    require_tensor(op, input)
    d = axis(op, dim, input.ndim)
    return (input if input.ndim else reshape(input, (1,))), d


def require_extent(op: str, x: Tensor, d: int) -> None:
    """Raise IndexError if there is nothing along dimension ``d``."""
    if x._array.shape[d] == 0:
        raise IndexError(
            f"[{op}] there is nothing to pick: dim {d} of shape {tuple(x.shape)} has size 0"
        )


def indices_of(function: Callable, x: Tensor, *args: Any) -> Tensor:
    """``function(xp, array, *args)``, an array of indices, as a Tensor."""
    device: Device = x._device
    return wrap(function(device.xp, x._array, *args), device)
