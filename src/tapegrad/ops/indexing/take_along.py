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
    """Elements, and their int64 positions along the dimension they were picked from."""

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


def pick(input: Tensor, indices: Tensor, d: int, keepdim: bool = True) -> Picked:
    """The elements at indices that have kept dimension ``d``, which a 0-d input does not have."""
    values = take_along(input if input.ndim else reshape(input, 1), indices, axis=d)
    if keepdim and input.ndim:
        return Picked(values, indices)
    return Picked(squeeze(values, d), squeeze(indices, d))


def with_dimension(op: str, input: Any, dim: Any, filled: bool = False) -> tuple[Tensor, int]:
    """A tensor that has a dimension to work along (0-d ones become 1-d), and which one. ``filled``:
    raises IndexError where its size is 0."""
    require_tensor(op, input)
    d = axis(op, dim, input.ndim)
    x = input if input.ndim else reshape(input, 1)
    if filled and x._array.shape[d] == 0:
        raise IndexError(
            f"[{op}] there is nothing to pick: dim {d} of shape {tuple(x.shape)} has size 0"
        )
    return x, d


def indices_of(function: Callable, x: Tensor, *args: Any) -> Tensor:
    """``function(xp, array, *args)``, an array of indices, as a Tensor."""
    device: Device = x._device
    return wrap(function(device.xp, x._array, *args), device)
