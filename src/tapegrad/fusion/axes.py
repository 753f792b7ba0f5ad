"""The steps of a computation, and the dimensions of the space that a kernel for them walks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

NUMBER, INPUT, VIEW = "number", "input", "view"  # steps that compute nothing


class Unfusable(Exception):
    """A step that no fused kernel has; ``what`` names it, ``operation`` who asked for it."""

    def __init__(self, what: str, operation: str | None = None):
        super().__init__(what)
        self.what, self.operation = what, operation


class Axis:
    """A dimension of the space that a kernel walks. Those of arrays that are combined are one, and
    one that is seen as several, by a reshape, consists of them."""

    def __init__(self, size: int):
        self.size = size
        self._parts: tuple[Axis, ...] | None = None

    def parts(self) -> list[Axis]:
        """What it consists of in the end, outermost first: itself, if nothing else is known."""
        return [self] if self._parts is None else [q for p in self._parts for q in p.parts()]

    def become(self, *parts: Axis) -> None:
        self._parts = parts


Dimension = tuple[Axis, ...]  # of a step: axes, outermost first; none of them: of size 1


def size_of(dimension: Dimension) -> int:
    return math.prod(axis.size for axis in dimension)


def parts_of(dimensions: Sequence[Dimension]) -> list[Axis]:
    """All axes of some dimensions, outermost first."""
    return [part for dimension in dimensions for axis in dimension for part in axis.parts()]


def unite(one: Dimension, two: Dimension) -> None:
    """Let two dimensions of equal size be the same."""
    left, right = parts_of([one])[::-1], parts_of([two])[::-1]
    while left and right:
        a, b = left.pop(), right.pop()
        if a is b:
            continue
        if a.size == b.size:
            b.become(a)
        elif b.size % a.size == 0:
            rest = Axis(b.size // a.size)
            b.become(a, rest)
            right.append(rest)
        elif a.size % b.size == 0:
            rest = Axis(a.size // b.size)
            a.become(b, rest)
            left.append(rest)
        else:
            raise Unfusable(f"a dimension of {size_of(one)} that two reshapes divide differently")
        left = [q for p in left for q in p.parts()[::-1]]
        right = [q for p in right for q in p.parts()[::-1]]


class Step:
    """An input, a number for all, a function of other steps, or a reduction of one. ``inputs`` are
    steps and Python's numbers; of a reduction, a step and the axes that go."""

    def __init__(self, op: str, inputs: tuple, dtype: Any, axes: Sequence[Dimension]):
        self.op, self.inputs, self.dtype, self.axes = op, inputs, np.dtype(dtype), tuple(axes)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(map(size_of, self.axes))

    @property
    def ndim(self) -> int:
        return len(self.axes)
