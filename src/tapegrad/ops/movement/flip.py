"""The same elements in another order: reversed, rolled, turned."""

from __future__ import annotations

from typing import Any

from tapegrad.core.memory import Array
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common import arguments
from tapegrad.ops.common.arguments import axis, distinct_axes, require_tensor

from .shape import clone, transpose


@primitive("flip", vjp="flip")
def _flip(xp: Any, x: Array, *, axes: tuple[int, ...]) -> Array:
    return xp.library.flip(x, axes).copy()  # as in PyTorch, no negative strides


def _roll_rule(xp: Any, g: Array, shifts: tuple[int, ...], axes: Any) -> Any:
    return xp.roll(g, shifts=tuple(-s for s in shifts), axes=axes)


@primitive("roll", vjp=(_roll_rule,))
def _roll(xp: Any, x: Array, *, shifts: tuple[int, ...], axes: tuple[int, ...] | None) -> Array:
    return xp.library.roll(x, shifts if axes else shifts[0], axes)


def flip(input: Tensor, *order: Any, dims: Any = None) -> Tensor:
    """A copy with the elements in reverse order along ``dims``. Raises RuntimeError where one is
    named twice."""
    require_tensor("flip", input)
    given = arguments.sizes("flip", order if dims is None else (dims,))
    axes = distinct_axes("flip", given, input.ndim)
    return _flip(input, axes=axes if input.ndim else ())


def fliplr(input: Tensor) -> Tensor:
    """``flip`` of the columns, dim 1. Raises RuntimeError for fewer than 2 dimensions."""
    require_tensor("fliplr", input)
    if input.ndim < 2:
        raise RuntimeError(f"[fliplr] needs at least 2 dimensions, got {input.ndim}")
    return flip(input, 1)


def flipud(input: Tensor) -> Tensor:
    """``flip`` of the rows, dim 0. Raises RuntimeError for a 0-d tensor."""
    require_tensor("flipud", input)
    if input.ndim < 1:
        raise RuntimeError("[flipud] needs at least 1 dimension, got a 0-d tensor")
    return flip(input, 0)


def roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """A copy with the elements moved by ``shifts[i]`` along ``dims[i]`` (without dims, along the
    flattened tensor), from the end back to the beginning. Raises RuntimeError where there is not
    one shift for each dim, or not one shift without dims, and IndexError for dims of a 0-d
    tensor."""
    require_tensor("roll", input)
    moves = arguments.sizes("roll", (shifts,))
    given = () if dims is None else arguments.sizes("roll", (dims,))
    if not moves:
        raise RuntimeError("[roll] needs at least one shift")
    if not given:
        if len(moves) != 1:
            raise RuntimeError(f"[roll] without dims takes one shift, got {moves}")
        return _roll(input, shifts=moves, axes=None)
    if len(given) != len(moves):
        raise RuntimeError(f"[roll] {len(moves)} shifts for {len(given)} dims")
    if input.ndim == 0:
        raise IndexError(f"[roll] a 0-d tensor has no dims {given}: leave dims out")
    return _roll(input, shifts=moves, axes=tuple(axis("roll", d, input.ndim) for d in given))


def rot90(input: Tensor, k: int = 1, dims: Any = (0, 1)) -> Tensor:
    """Turned k times by 90 degrees, from the first of two ``dims`` towards the second. Raises
    RuntimeError for other than two different dims, and for fewer than 2 dimensions."""
    require_tensor("rot90", input)
    given = arguments.sizes("rot90", (dims,))
    if len(given) != 2 or input.ndim < 2:
        raise RuntimeError(
            f"[rot90] turns in a plane of 2 dims, got dims {given} and {input.ndim} dimensions"
        )
    first, second = distinct_axes("rot90", given, input.ndim)
    turns = k % 4
    if turns == 0:
        return clone(input)
    if turns == 2:
        return flip(input, first, second)
    return transpose(flip(input, second if turns == 1 else first), first, second)
