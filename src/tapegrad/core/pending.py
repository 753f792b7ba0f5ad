"""Gradients that wait for others before they are added up: so two of 16 bits are rounded once
without an array in float32, and those of parts that make up a whole are added to no zeros.

``total(xp)`` is what is handed on, in float32 where it is still to be rounded; ``wide(xp)`` the sum
in the accumulator's dtype, an array of its own, to which more is added.
"""

from __future__ import annotations

import math
from typing import Any

from .dtypes import accumulator
from .memory import Array, address, layout_of, memory, window


class Pair:
    """The first two gradients of 16 bits. (Where arrays of 16 bits are added, it is in float32.)"""

    __slots__ = ("one", "other")

    def __init__(self, one: Any, other: Any):
        self.one, self.other = one, other

    def total(self, xp: Any) -> Any:
        return xp.add(self.one, self.other)

    def wide(self, xp: Any) -> Any:
        dtype = accumulator(self.one.dtype)
        return xp.cast(self.one, dtype=dtype) + xp.cast(self.other, dtype=dtype)


class Parts:
    """The gradients of parts of an array, each with the node that took the part."""

    __slots__ = ("dtype", "left", "parts", "shape", "xp")

    def __init__(self, xp: Any, shape: tuple[int, ...], dtype: Any):
        self.xp, self.shape, self.dtype = xp, tuple(shape), dtype
        self.left = math.prod(shape)  # elements that parts beside each other do not have yet
        self.parts: list[tuple[Any, tuple, Array]] = []

    def add(self, primitive: Any, saved: Any, g: Array) -> bool:
        """``g`` is the gradient of the part that a node of this primitive took. Whether the parts
        may be beside each other still: if not, they are not worth their memory."""
        self.parts.append((primitive, tuple(saved), g))  # hooks may keep what is saved
        self.left -= g.size
        return self.left >= 0

    def __add__(self, gradient: Any) -> Any:
        return self.xp.accumulate(self.wide(self.xp), gradient)

    def total(self, xp: Any) -> Any:
        whole = _side_by_side(xp, self.parts, self.shape)
        return self.wide(xp) if whole is None else whole

    def wide(self, xp: Any) -> Array:
        dtype = accumulator(self.dtype)
        buffer = xp.zeros(self.shape, dtype=dtype)
        for primitive, saved, g in self.parts:
            part = g if g.dtype == dtype else xp.cast(g, dtype=dtype)
            primitive.add_into(xp, part, saved, buffer)
        return buffer


def _side_by_side(xp: Any, parts: list, shape: tuple[int, ...]) -> Any:
    """The parts as one array, if they are slices along one dimension that touch each other: where
    they lie in memory as they would in it, without a copy. None otherwise."""
    found = []
    for primitive, saved, g in parts:
        if primitive.parameters != ("index",):
            return None
        place = _slice_of(saved[-1], shape)
        if place is None:
            return None
        found.append((*place, g))
    found.sort(key=lambda part: part[1])
    axis = found[0][0]
    ends = [0, *(end for _, _, end, _ in found)]
    if any(part[0] != axis or part[1] != end for part, end in zip(found, ends, strict=False)):
        return None
    if ends[-1] != shape[axis]:
        return None
    given = [g if g.ndim == len(shape) else _with_axis(g, axis) for *_, g in found]
    if len(given) == 1:
        return given[0]
    whole = _as_they_lie(given, axis, shape)
    if whole is not None:
        return whole
    return xp.concatenate(*given, axis=axis, sizes=tuple([g.shape[axis] for g in given]))


def _slice_of(index: Any, shape: tuple[int, ...]) -> tuple[int, int, int] | None:
    """(axis, start, end) of [..., start:end, ...], or of an int there, with only ``:`` before it;
    None for other indices."""
    if not isinstance(index, tuple) or not 0 < len(index) <= len(shape):
        return None
    axis, last = len(index) - 1, index[-1]
    if any(i.__class__ is not slice or i != slice(None) for i in index[:-1]):
        return None
    size = shape[axis]
    if last.__class__ is int:
        start = last + size if last < 0 else last
        return axis, start, start + 1
    if last.__class__ is not slice:
        return None
    start, end, step = last.indices(size)
    return (axis, start, end) if step == 1 and start < end else None


def _with_axis(g: Array, axis: int) -> Array:
    return g[(slice(None),) * axis + (None,)]


def _as_they_lie(given: list[Array], axis: int, shape: tuple[int, ...]) -> Any:
    """The memory in which arrays lie one behind the other along an axis, as one array."""
    first, second = given[:2]
    held = memory(first)
    distance, size = address(second) - address(first), first.itemsize * first.shape[axis]
    step, rest = divmod(distance, size)
    strides = list(layout_of(first).strides)
    strides[axis] = step
    start = address(first)
    for g in given:
        own = list(layout_of(g).strides)
        own[axis] = step if g.shape[axis] == 1 else own[axis]
        if rest or own != strides or address(g) != start or memory(g) is not held:
            return None
        start += step * g.itemsize * g.shape[axis]
    # A view, by its ``base`` also where arrays are CuPy's: nothing is to be added into it.
    return window(first, shape, tuple(strides))[...]
