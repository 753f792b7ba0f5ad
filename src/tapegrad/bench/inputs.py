"""Inputs that are new at every call: sets of them in memory of their own, whose numbers change.

A function that keeps its last result, by the address of its inputs or by their contents, finds
nothing to use again; and one that does so all the same is found out once the first numbers are put
back and its result is checked again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.core.dtypes import is_floating, is_low_precision

from .arrays import copied, is_torch, memory

# How many sets, and the bytes that they may have together. Of large inputs there are two at least,
# of small ones many: short calls are repeated, and each has another.
_LARGE_SETS, _LARGE_BYTES = 4, 1 << 29
_SMALL_SETS, _SMALL_BYTES = 64, 1 << 22
# What floats are multiplied by from one set to the next, and where a set is renewed: it changes
# every one, of 16 bits too, and keeps signs, order and zeros.
_BETWEEN, _ANEW = 1 - 2.0**-7, 1 - 2.0**-6


class Sets:
    """Copies of ``values``, what a function is called with. altered: the positions of those whose
    numbers may change (all by default); of these, floats do."""

    def __init__(
        self, values: Sequence[Any], altered: Sequence[int] | None = None, count: int | None = None
    ):
        self._given = values
        where = range(len(values)) if altered is None else altered
        self._altered = [i for i in where if _is_float(memory(values[i]))]
        size = sum(getattr(memory(v), "nbytes", 0) for v in values)
        self.sets = [[copied(v) for v in values] for _ in range(count or _count(size))]
        for number, one in enumerate(self.sets):
            self._alter(one, _BETWEEN ** (number + 1))

    def __len__(self) -> int:
        return len(self.sets)

    def renew(self, turn: int | None = None) -> None:
        """Change the numbers of the set that has this turn, by default those of all."""
        for values in self.sets if turn is None else [self.sets[turn % len(self.sets)]]:
            self._alter(values, _ANEW)

    def restored(self) -> list[Any]:
        """The first set, with the numbers that were given."""
        for value, given in zip(self.sets[0], self._given, strict=True):
            into, source = memory(value), memory(given)
            if into is not None:
                into[...] = source
        return self.sets[0]

    def _alter(self, values: Sequence[Any], factor: float) -> None:
        for i in self._altered:
            array = memory(values[i])
            if not is_torch(array) and is_low_precision(array.dtype):
                array[...] = (array.astype(np.float32) * factor).astype(array.dtype)
            else:
                array *= factor


def _count(size: int) -> int:
    few = min(_LARGE_SETS, _LARGE_BYTES // max(size, 1))
    many = min(_SMALL_SETS, _SMALL_BYTES // max(size, 1))
    return max(2, few, many)


def _is_float(array: Any) -> bool:
    if array is None:
        return False
    return bool(array.is_floating_point() if is_torch(array) else is_floating(array.dtype))
