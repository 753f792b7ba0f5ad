"""Arrays whose neighbourhood is watched: pages that cannot be touched around them, and what is left
of their own pages filled with 0xFF, which as a float is NaN. A kernel that reads out of bounds
crashes or spoils its result; one that writes there is noticed.
"""

from __future__ import annotations

import ctypes
import math
import mmap
from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar

import numpy as np

CANARY = 0xFF
PAGE = mmap.PAGESIZE
NO_ACCESS = 0  # PROT_NONE
LEAST_GUARD = 16 * PAGE


class GuardedPages:
    """Readable pages between pages that are not, for arrays of the emulated device: as many on each
    side as there are readable ones, and 64 KB at least."""

    _free: ClassVar[dict[int, list[GuardedPages]]] = {}

    def __init__(self, size: int):
        beside = max(size, LEAST_GUARD)
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS  # a child process has its own
        self._map = mmap.mmap(-1, size + 2 * beside, flags)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        for guard in (start, start + beside + size):
            place, length = ctypes.c_void_p(guard), ctypes.c_size_t(beside)
            if _libc().mprotect(place, length, NO_ACCESS) != 0:
                raise OSError(ctypes.get_errno(), "mprotect")
        self.bytes = np.frombuffer(self._map, np.uint8)[beside : beside + size]

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
    """One array in guarded pages. content: what it holds; is_input: whether that is an input, which
    a kernel must not change."""

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


class Result:
    """Memory for one result of a launch: it ends where memory ends, and what lies before it on its
    page is looked at afterwards. So a kernel that writes out of bounds is an error where it does,
    or after it, and spoils nothing of Python's."""

    _kept: ClassVar[dict[tuple, list[Result]]] = {}
    _most_kept = 64  # shapes, of up to so many bytes
    _largest_kept = 1 << 18

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype):
        size = math.prod(shape) * dtype.itemsize
        self._key, self._pages = (shape, dtype), GuardedPages(-(-size // PAGE) * PAGE or PAGE)
        whole = self._pages.bytes
        start = (whole.size - size) // 16 * 16  # as NumPy's arrays
        whole[:] = CANARY
        self._sides = whole[:start], whole[start + size :]
        self._before = [side.tobytes() for side in self._sides]
        self.bytes = whole[start : start + size]
        self.array: Any = self.bytes.view(dtype).reshape(shape)

    @classmethod
    def take(cls, shape: tuple[int, ...], dtype: np.dtype, zero: bool) -> Result:
        """Filled with zeros, or with NaN (whole numbers: -1)."""
        try:
            result = cls._kept[shape, dtype].pop()
        except LookupError:
            result = cls(shape, dtype)
        result.bytes.fill(0 if zero else CANARY)
        return result

    def finish(self) -> tuple[Any, str | None]:
        """A copy of the array, and which side of it was written, if one was."""
        for index, where in enumerate(("before", "behind")):
            if self._sides[index].tobytes() != self._before[index]:
                return None, where
        copied = self.array.copy()
        has_room = self._key in self._kept or len(self._kept) < self._most_kept
        if has_room and copied.nbytes <= self._largest_kept:
            self._kept.setdefault(self._key, []).append(self)
        return copied, None
