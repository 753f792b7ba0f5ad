"""Indexing: reading, writing and adding at positions, given as NumPy takes them.

Everything is one of three primitives: ``getitem`` reads, ``index_put`` writes, ``index_add_at``
adds. Brackets, and gathering and scattering along a dimension, build the index for them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.core.devices import CPU, Device, override
from tapegrad.core.dtypes import is_low_precision
from tapegrad.core.launches import launching
from tapegrad.core.memory import Array, shares
from tapegrad.core.modes import recording
from tapegrad.core.tape import array_function, is_recording, primitive

from .precision import in_float32
from .ravel_index import flat, last_of_each, last_written
from .segments import combined

# ---------------------------------------------------------------------- primitives


@primitive(
    vjp=(lambda xp, g, index, input_shape: xp.getitem_backward(g, index=index, shape=input_shape),),
    into=lambda xp, g, index, buffer: xp.add_at(buffer, index, g),
    view=True,
)
def getitem(xp: Any, x: Array, *, index: Any) -> Array:
    part = x[index]
    # With an int for every dimension NumPy copies one element out; with "..." it is a view.
    if isinstance(part, np.generic):
        return x[index + (...,)]
    # What lists and masks pick is a copy, which NumPy may leave in another order of dimensions.
    return part if part.flags.c_contiguous or shares(part, x) else xp.contiguous(part)


@primitive(vjp="getitem")
@in_float32
def getitem_backward(xp: Any, grad: Array, *, index: Any, shape: tuple[int, ...]) -> Array:
    result = xp.zeros(shape, dtype=grad.dtype)
    xp.add_at(result, index, grad)
    return result


@primitive(vjp="last_only")
def last_only(xp: Any, x: Array, *, index: Any, shape: tuple[int, ...]) -> Array:
    """x, values for the positions of an index, with 0 for those that later ones write over."""
    stays = last_written(xp.library, _positions(xp, shape, index), math.prod(shape))
    return xp.where(stays, x, 0.0)


def _written_rule(xp: Any, g: Array, index: Any) -> Any:
    values = xp.getitem(g, index=index)
    if _names_once(index):
        return values
    return xp.last_only(values, index=index, shape=tuple(g.shape))


@primitive(vjp=(lambda xp, g, index: xp.index_put(g, 0, index=index), _written_rule))
def index_put(xp: Any, x: Array, values: Array, *, index: Any) -> Array:
    result = xp.array(x)  # 0-d gradients may be scalars, which copy() leaves so
    xp.store(result, index, values)
    return result


@array_function
def store(xp: Any, target: Array, index: Any, values: Array) -> None:
    """``target[index] = values`` on arrays. NumPy does not look at the shape of no values."""
    if getattr(values, "size", 1) == 0:
        np.broadcast_to(np.empty(values.shape), target[index].shape)  # or a ValueError
    target[index] = values


@override("store", "cuda", "emulated")
def _store_in_order(device: Device, target: Array, index: Any, values: Array) -> Array:
    """Of several values for one position the last stays, as on the CPU. (With CuPy any may.)"""
    if _names_once(index) or not getattr(values, "size", 0):
        return NotImplemented
    index, values = last_of_each(device.library, target.shape, index, values)
    target[index] = values
    return None


@primitive(vjp=(lambda g: g, "getitem"))
@in_float32
def index_add_at(xp: Any, x: Array, values: Array, *, index: Any) -> Array:
    result = xp.array(x)  # 0-d gradients may be scalars, which copy() leaves so
    xp.add_at(result, index, values)
    return result


@array_function
def add_at(xp: Any, target: Array, index: Any, values: Array) -> None:
    """target[index] += values, where an index that occurs n times adds n times."""
    if _names_once(index):
        target[index] += values
        return
    if is_low_precision(target.dtype):  # many small numbers would stall
        target[...] = xp.index_add_at(target, values, index=index)
        return
    if isinstance(target, np.ndarray) and target.flags.c_contiguous and target.dtype.kind != "V":
        positions = flat(np, target.shape, index)
        if positions is not None:  # up to four times as fast
            values = np.broadcast_to(values, positions.shape)
            np.add.at(target.reshape(-1), positions.reshape(-1), values.reshape(-1))
            return
    xp.library.add.at(target, index, values)


_sort_rows = launching(
    "sort_rows",
    "at[n] -> order[n], sorted[n]; scratch[room]",
    int64="at order sorted scratch",
    asked={"room": "sort_scratch"},
)
_sum_sorted = launching(
    "embedding_backward",
    "lines[n, cols], order[n], sorted[n] -> sums[rows, cols]; "
    "chunks[parts, cols], begins[rows], ends[rows]",
    acc="chunks",
    int64="order sorted begins ends",
    asked={"parts": "embedding_partials"},
)


def sum_in_order(device: Device, lines: Array, at: Array, *, rows: int) -> Array:
    """(rows, cols): of the (n, cols) lines those added up whose ``at`` (int64) is the row, without
    atomics: in the order in which they stand, of many in chunks, always with the same bits."""
    order, ordered = _sort_rows(device, at, rows=rows)
    return _sum_sorted(device, lines, order, ordered, rows=rows)


@override("add_at", "cuda", "emulated")
def _add_at_in_order(device: Device, target: Array, index: Any, values: Array) -> Array:
    """Without atomics: number the targets, sort them, and let a kernel add up each one's values in
    the order they stand (kernels/embedding.cu, rows of one element). Integers, for which there is
    no kernel, are combined in pairs."""
    if _names_once(index):
        return NotImplemented
    if not target.size:
        return None
    xp = device.xp
    positions = _positions(xp, target.shape, index)
    values = xp.contiguous(xp.library.broadcast_to(values, positions.shape))
    positions = positions.reshape(-1)
    if target.dtype.kind not in "fV":
        at, found = combined(xp, xp.library.add, positions, values.reshape(-1))
        sums = xp.zeros(target.size, dtype=target.dtype)
        sums[at] = found
        target += sums.reshape(target.shape)
        return None
    values = values.reshape(-1, 1).astype(target.dtype)
    sums = sum_in_order(device, values, positions, rows=target.size)
    target += sums.reshape(target.shape)
    return None


def _positions(xp: Any, shape: tuple[int, ...], index: Any) -> Any:
    """Where the elements that an index names lie in the flat memory of an array of this shape."""
    found = flat(xp.library, shape, index)
    return xp.arange(math.prod(shape)).reshape(shape)[index] if found is None else found


def _arrays(index: Any) -> list:
    return [p for p in (index if isinstance(index, tuple) else (index,)) if hasattr(p, "dtype")]


def _names_once(index: Any) -> bool:
    """Whether no element can be named twice: by what is basic, and at most one mask."""
    arrays = _arrays(index)
    return not arrays or (len(arrays) == 1 and arrays[0].dtype.kind == "b")


# ---------------------------------------------------------------------- index arrays


def snapshot_index(device: Device, index: Any, *sources: Any) -> Any:
    """An index as an array: a copy if the tape may keep it, for the caller may change theirs. It
    keeps none if an operation on these sources, where they are given, is not recorded."""
    kept = is_recording(*sources) if sources else recording.get()
    return device.ops["array" if kept else "asarray"](index)


@array_function
def least_and_most(xp: Any, x: Array) -> tuple[int, int]:
    """The smallest and the largest of integers, of which there are some."""
    return int(x.min()), int(x.max())


def in_range(op: str, index: Any, low: int, high: int, dim: int) -> None:
    """Raise IndexError unless low <= index < high everywhere. An empty index is in range."""
    if not index.size:
        return
    device = CPU if isinstance(index, np.ndarray) else Device("cuda")
    least, most = device.ops["least_and_most"](index)
    if least < low or most >= high:
        wrong = least if least < low else most
        raise IndexError(
            f"[{op}] index {wrong} is out of range for dim {dim} of size {high}: "
            f"expected {low} to {high - 1}"
        )


def first_outside(indices: Any, size: int) -> int | None:
    """The first index that is not one of 0 to size - 1, or None."""
    if not indices.size or (int(indices.min()) >= 0 and int(indices.max()) < size):
        return None
    return int(indices[(indices < 0) | (indices >= size)][0])
