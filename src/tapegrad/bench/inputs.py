"""Inputs that are new at every call: sets of them in memory of their own, whose numbers change.

A function that keeps its last result, by the address of its inputs or by their contents, finds
nothing to use again; and one that does so all the same is found out once the first numbers are put
back and its result is checked again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.core.devices import CPU, to_numpy
from tapegrad.core.dtypes import is_floating, is_low_precision
from tapegrad.core.tensor import Tensor

from .peers import from_torch

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
            if not _is_torch(array) and is_low_precision(array.dtype):
                array[...] = (array.astype(np.float32) * factor).astype(array.dtype)
            else:
                array *= factor


def _count(size: int) -> int:
    return max(2, min(_LARGE_SETS, _LARGE_BYTES // max(size, 1)),
               min(_SMALL_SETS, _SMALL_BYTES // max(size, 1)))  # fmt: skip


def memory(value: Any) -> Any:
    """What a value's numbers can be read from and written to: an array of NumPy or CuPy, a tensor
    of PyTorch without history. None for all that is no such thing."""
    if isinstance(value, Tensor):
        return value._array
    if _is_torch(value):
        return value.detach()
    is_array = isinstance(value, np.ndarray) or hasattr(value, "__cuda_array_interface__")
    return value if is_array and not hasattr(value, "block_until_ready") else None


def copied(value: Any) -> Any:
    """The same in other memory; what has no memory is returned as it is."""
    if isinstance(value, Tensor) or _is_torch(value):
        return value.detach().clone().requires_grad_(value.requires_grad)
    return value if memory(value) is None else value.copy(order="K")


def on_host(value: Any) -> np.ndarray | None:
    """The numbers as a NumPy array; None for what is no array."""
    array = memory(value)
    if array is None:
        return np.asarray(value) if hasattr(value, "block_until_ready") else None
    return np.asarray(from_torch(array.cpu(), CPU)) if _is_torch(array) else to_numpy(array)


def same_bits(a: Any, b: Any) -> bool:
    """Whether two values hold the same numbers, not-a-numbers included; what is no array does."""
    a, b = memory(a), memory(b)
    if a is None or b is None:
        return True
    if _is_torch(a) or _is_torch(b):
        a, b = on_host(a), on_host(b)
    return bool((a.reshape(-1).view(np.uint8) == b.reshape(-1).view(np.uint8)).all())


def _is_torch(value: Any) -> bool:
    return hasattr(value, "detach") and not isinstance(value, Tensor)


def _is_float(array: Any) -> bool:
    if array is None:
        return False
    return bool(array.is_floating_point() if _is_torch(array) else is_floating(array.dtype))
