"""Arrays whose neighbourhood is watched: pages that cannot be touched around them, and what is left
of their own pages filled with 0xFF, which as a float is NaN. A kernel that reads out of bounds
crashes or spoils its result; one that writes there is noticed.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar

import numpy as np

CANARY = 0xFF
PAGE = mmap.PAGESIZE
NO_ACCESS = 0  # PROT_NONE


class GuardedPages:
    """Readable pages between two that are not, for arrays of the emulated device."""

    _free: ClassVar[dict[int, list[GuardedPages]]] = {}

    def __init__(self, size: int):
        self._map = mmap.mmap(-1, size + 2 * PAGE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        for guard in (start, start + PAGE + size):
            if _libc().mprotect(ctypes.c_void_p(guard), PAGE, NO_ACCESS) != 0:
                raise OSError(ctypes.get_errno(), "mprotect")
        self.bytes = np.frombuffer(self._map, np.uint8)[PAGE : PAGE + size]

    @classmethod
    def take(cls, needed: int) -> GuardedPages:
        size = max(-(-needed // PAGE), 1) * PAGE
        free = cls._free.setdefault(size, [])
        return free.pop() if free else cls(size)

    def give_back(self) -> None:
        self._free[self.bytes.size].append(self)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


# Where in its pages an array begins: (its number among the arrays, bytes to spare, bytes of an
# element) -> bytes before it.
Place = Callable[[int, int, int], int]


def aligned(index: int, free_bytes: int, itemsize: int) -> int:
    return 0


def shifted(index: int, free_bytes: int, itemsize: int) -> int:
    return min(itemsize, free_bytes)


def mixed(index: int, free_bytes: int, itemsize: int) -> int:
    return min(index % 4 * itemsize, free_bytes)


def at_the_end(index: int, free_bytes: int, itemsize: int) -> int:
    return free_bytes


PLACES: tuple[Place, ...] = (aligned, shifted, mixed, at_the_end)


class Guarded:
    """One array in guarded pages. content: what it holds; fill: whether that is an input, which a
    kernel must not change."""

    def __init__(self, content: np.ndarray, index: int, place: Place, is_input: bool):
        self._pages = GuardedPages.take(content.nbytes + 3 * content.itemsize)
        whole = self._pages.bytes
        start = place(index, whole.size - content.nbytes, content.itemsize)
        whole[:] = CANARY
        inside = whole[start : start + content.nbytes]
        inside[:] = np.frombuffer(content.tobytes(), np.uint8)
        self.array: Any = inside.view(content.dtype).reshape(content.shape)
        self._before = whole.copy()
        self._start, self._end, self._is_input = start, start + content.nbytes, is_input

    def finish(self) -> str | None:
        """What is wrong around the array, or in it; its pages may be used again."""
        after, before = self._pages.bytes, self._before
        problem = None
        if not np.array_equal(after[: self._start], before[: self._start]):
            problem = "the memory before it was written"
        elif not np.array_equal(after[self._end :], before[self._end :]):
            problem = "the memory behind it was written"
        elif self._is_input and not np.array_equal(after, before):
            problem = "this input was changed"
        self._pages.give_back()
        return problem
