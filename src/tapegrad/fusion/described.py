"""What arrays have, of arrays without numbers."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace
from typing import Any
from weakref import ref

import numpy as np

from .axes import Dimension, Step

_addresses = itertools.count(1)


class Described:
    """An array of which only the step is known that makes it, and who lies where it does."""

    flags = SimpleNamespace(writeable=True, c_contiguous=True)

    def __init__(self, step: Step):
        self.step, self._address = step, next(_addresses) * 2**40
        self._memory = [ref(self)]  # all arrays that lie there

    def lie_with(self, other: Described) -> None:
        """Lie from now on where another does."""
        other._memory.append(self._memory.pop())
        self._memory, self._address = other._memory, other._address

    @property
    def dtype(self) -> np.dtype:
        return self.step.dtype

    @property
    def axes(self) -> tuple[Dimension, ...]:
        return self.step.axes

    @property
    def shape(self) -> tuple[int, ...]:
        return self.step.shape

    @property
    def ndim(self) -> int:
        return self.step.ndim

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def strides(self) -> tuple[int, ...]:
        """Those of a contiguous array."""
        shape = self.shape
        return tuple(self.itemsize * math.prod(shape[i + 1 :]) for i in range(self.ndim))

    @property
    def data(self) -> SimpleNamespace:
        """Whose memory it is, which an array has in common with its views, and where."""
        return SimpleNamespace(mem=self._memory, ptr=self._address)

    @property
    def base(self) -> Any:
        """Another array that is in use and lies there, if there is one: who wants to change the one
        would change the other."""
        found = (one() for one in self._memory)
        return next((other for other in found if other is not None and other is not self), None)

    def __len__(self) -> int:
        return self.shape[0]
