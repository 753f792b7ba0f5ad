"""A file's bytes by their positions, without holding all of them."""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np

from .budget import Budget
from .errors import CheckpointError

Arrays = dict[str, np.ndarray]
_PIECE = 1 << 18
_DIMENSIONS = 64  # NumPy's limit


class Source:
    """A file open for reading, of which parts are read; or, ``mapped``, arrays that are the file
    itself until they are written to, and take memory where they are read."""

    def __init__(self, file: Any, mapped: bool = False):
        self.file = file
        self.size: int = file.seek(0, 2)
        self.budget = Budget(self.size)
        self._map: Any = None
        if mapped and self.size:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)

    def read(self, start: int, stop: int) -> bytes:
        """The bytes from one position up to another. Raises CheckpointError where there are
        fewer."""
        data = b""
        if stop <= self.size:
            self.file.seek(start)
            data = self.file.read(stop - start)
        if len(data) != stop - start:
            raise CheckpointError(f"it ends before byte {stop}")
        return data

    def pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """The same, in pieces of some size."""
        for at in range(start, stop, _PIECE):
            yield self.read(at, min(at + _PIECE, stop))

    def array(self, start: int, dtype: np.dtype, shape: Any) -> np.ndarray:
        """The array that begins at a position, which can be written to. The caller has compared its
        size with the file's."""
        if self._map is not None and start % dtype.itemsize == 0:
            return np.ndarray(shape, dtype, self._map, start)
        array = np.empty(shape, dtype)
        content = bytes_of(array)
        self.file.seek(start)
        if self.file.readinto(content) != len(content):
            raise CheckpointError(f"it ends before byte {start + len(content)}")
        return array


def bytes_of(array: np.ndarray) -> memoryview:
    """The memory of a contiguous array."""
    return array.reshape(-1).view(np.uint8).data


def nbytes(shape: Any, dtype: np.dtype) -> int:
    """The size of an array that a file describes. Raises ValueError if no array has such a
    shape."""
    if len(shape) > _DIMENSIONS or not all(type(n) is int and 0 <= n < 1 << 63 for n in shape):
        raise ValueError("no array has its shape")
    return math.prod(shape) * dtype.itemsize
