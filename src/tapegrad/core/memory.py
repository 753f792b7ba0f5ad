"""The memory of arrays: views of it by shape, strides and offset, whose it is, what overlaps.

An array's elements lie in memory by its *layout*: shape and strides (in elements), from offset 0.
A *region* is another shape, strides and offset over the same memory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

Array: TypeAlias = Any  # NumPy's or CuPy's; type checkers know no name for either


class Region(NamedTuple):
    """Elements of memory: (i, j, ...) is at offset + i * strides[0] + j * strides[1] + ..."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0

    @property
    def extent(self) -> tuple[int, int]:
        """The first and the last position in memory; (0, -1) for an empty region."""
        if 0 in self.shape:
            return 0, -1
        moves = [(n - 1) * s for n, s in zip(self.shape, self.strides, strict=True)]
        return self.offset + sum(min(m, 0) for m in moves), self.offset + sum(
            max(m, 0) for m in moves
        )

    @property
    def overlaps_itself(self) -> bool:
        """Whether two elements may share memory: False only where it is certain that none do."""
        reach = 0  # of the dimensions with smaller steps
        steps = sorted((abs(s), n) for s, n in zip(self.strides, self.shape, strict=True) if n > 1)
        for step, n in steps:
            if step <= reach:
                return 0 not in self.shape
            reach += (n - 1) * step
        return False


def layout_of(array: Any) -> Region:
    """How an array lies in memory, seen from its own first element."""
    return Region(array.shape, tuple(s // array.itemsize for s in array.strides))


def region_of(part: Any, whole: Any) -> Region:
    """Where ``part``, a view, lies in the memory of ``whole``."""
    distance = address(part) - address(whole)
    return layout_of(part)._replace(offset=distance // whole.itemsize)


def address(array: Any) -> int:
    """Where the array's first element lies in memory, in bytes."""
    if isinstance(array, (np.ndarray, np.generic)):  # (bfloat16 has no ``data``)
        return array.__array_interface__["data"][0]
    return array.data.ptr


def channels_moved_last(x: Array) -> Any:
    """Images (n, channels, *size) as (n, *size, channels): a view."""
    return x.transpose(0, *range(2, x.ndim), 1)


def channels_moved_first(x: Array) -> Any:
    """Images (n, *size, channels) as (n, channels, *size): a view."""
    return x.transpose(0, -1, *range(1, x.ndim - 1))


def lies_channels_last(x: Array) -> bool:
    """Whether the channels of a pixel are beside each other, and pixels behind each other; not if
    pixels of a channel are, too, as those of a single channel."""
    return x.ndim > 2 and not x.flags.c_contiguous and channels_moved_last(x).flags.c_contiguous


def joined_dimensions(
    sizes: Sequence[int], steps: Sequence[Sequence[int]]
) -> list[tuple[int, list[int]]]:
    """(size, step of each array) of as few dimensions as several arrays can be walked through in,
    which have these steps along dimensions of these sizes."""
    found: list[tuple[int, list[int]]] = []
    for size, *here in zip(sizes, *steps, strict=True):
        if size == 1:
            continue
        if found and all(s == size * step for s, step in zip(found[-1][1], here, strict=True)):
            found[-1] = (found[-1][0] * size, here)
        else:
            found.append((size, here))
    return found


class HostTable(np.ndarray):
    """An array of the host that a launcher has read when it returns, and hands on to its kernel. It
    keeps the arrays that its addresses are of."""

    arrays: Any = ()

    @classmethod
    def of(cls, table: np.ndarray, arrays: Any) -> HostTable:
        told = table.view(cls)
        told.arrays = arrays
        return told


def has_values(array: Any) -> bool:
    """Whether the host may look at an array's values as it likes: not at a GPU's, for which it
    would wait, nor while work is recorded (core/capture.py), when there are none."""
    return type(array) is np.ndarray or isinstance(array, np.generic)


def byte_range(array: Any) -> tuple[int, int]:
    """The addresses of the first and the last element in memory."""
    low, high = layout_of(array).extent
    start = address(array)
    return start + low * array.itemsize, start + high * array.itemsize


class _Memory:
    """Another view of an array's memory, as NumPy wants to be told of it."""

    def __init__(self, array: np.ndarray, interface: dict):
        self.array = array  # kept alive
        self.__array_interface__ = interface


def window(array: Any, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0) -> Any:
    """The memory that begins ``offset`` elements after the array's first, seen with this shape and
    these strides (in elements). The caller answers for its bounds."""
    steps = tuple(s * array.itemsize for s in strides)
    empty = not math.prod(shape)
    start = 0 if empty else offset * array.itemsize
    if isinstance(array, np.generic):  # NumPy's 0-d results, which have no memory
        array = np.asarray(array)
    if not isinstance(array, np.ndarray):
        return type(array)(shape, array.dtype, array.data + start, steps)
    whole = owner(array)
    if whole.flags.c_contiguous and whole.dtype == array.dtype:  # then its ``base`` tells whose
        if not empty:
            start += address(array) - address(whole)
        view = np.ndarray(shape, array.dtype, whole, start, steps)
        view.flags.writeable = array.flags.writeable
        return view if type(array) is np.ndarray else view.view(type(array))
    interface = dict(array.__array_interface__)
    interface.update(
        shape=shape, strides=steps, data=(interface["data"][0] + start, not array.flags.writeable)
    )
    # ml_dtypes' bfloat16 comes through as two bytes.
    return np.asarray(_Memory(array, interface)).view(array.dtype, type(array))


def stretch(array: Any) -> Any:
    """The memory from the array's first to its last element, in one dimension."""
    low, high = layout_of(array).extent
    return window(array, (high - low + 1,), (1,), low)


def within(memory: Any, dtype: Any, shape: tuple, strides: tuple, start: int) -> Any:
    """The array of this dtype, shape and strides that begins ``start`` bytes after the beginning of
    an array of one dimension. (The strides are in bytes.)"""
    if dtype == memory.dtype:
        n = dtype.itemsize
        return window(memory, shape, tuple(s // n for s in strides), start // n)
    raw = memory.view(np.uint8)
    if isinstance(raw, np.ndarray):
        return np.ndarray(shape, dtype, raw, start, strides).view(type(raw))
    return type(raw)(shape, dtype, raw.data + start, strides)


def memory(array: Any) -> Any:
    """The object that holds an array's memory: one for all views of it, however they were made."""
    if not isinstance(array, np.ndarray):
        return array.data.mem  # CuPy's
    while True:
        base = array.array if isinstance(array, _Memory) else array.base
        if not isinstance(base, (np.ndarray, _Memory)):
            return array if base is None else base
        array = base


def owner(array: Any) -> Any:
    """The array that owns the memory, or what is known of it."""
    kind = np.ndarray if isinstance(array, np.ndarray) else type(array)
    while isinstance(array.base, kind):
        array = array.base
    return array


def shares(out: Any, source: Any) -> bool:
    """Whether ``out`` is a view of (part of) the memory of ``source``."""
    base = source if source.base is None else source.base
    if out is source or out.base is base or (out.base is not None and out.base is source):
        return True
    return memory(out) is memory(source)
