"""Indexing: reading, writing and adding at positions.

Everything is one of three primitives over NumPy's indexing: ``getitem`` reads, ``index_put``
writes, ``index_add_at`` adds. Gathering and scattering along a dimension build the index for them.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..backend import Device, override
from ..kernels import launch
from ..modes import recording
from ..tape import array_function, primitive
from ..tensor import Tensor
from .elementwise import cast
from .precision import in_float32

# ---------------------------------------------------------------------- primitives


@primitive(
    vjp=(lambda xp, g, index, input_shape: xp.getitem_backward(g, index=index, shape=input_shape),),
    into=lambda xp, g, index, buffer: xp.add_at(buffer, index, g),
    view=True,
)
def getitem(xp: Any, x: Any, *, index: Any) -> Any:
    part = x[index]
    # With an int for every dimension NumPy copies one element out; with "..." it is a view.
    return x[index + (...,)] if isinstance(part, np.generic) else part


@primitive(vjp=(lambda xp, g, index: xp.getitem(g, index=index),))
def getitem_backward(xp: Any, grad: Any, *, index: Any, shape: tuple[int, ...]) -> Any:
    result = xp.zeros(shape, dtype=grad.dtype)
    xp.add_at(result, index, grad)
    return result


@primitive(
    vjp=(
        lambda xp, g, index: xp.index_put(g, 0, index=index),
        lambda xp, g, index: xp.getitem(g, index=index),
    )
)
def index_put(xp: Any, x: Any, values: Any, *, index: Any) -> Any:
    result = xp.array(x)  # 0-d gradients may be scalars, which copy() leaves so
    result[index] = values
    return result


@primitive(vjp=(lambda g: g, lambda xp, g, index: xp.getitem(g, index=index)))
@in_float32
def index_add_at(xp: Any, x: Any, values: Any, *, index: Any) -> Any:
    result = xp.array(x)  # 0-d gradients may be scalars, which copy() leaves so
    xp.add_at(result, index, values)
    return result


@array_function
def add_at(xp: Any, target: Any, index: Any, values: Any) -> None:
    """target[index] += values, where an index that occurs n times adds n times."""
    if _names_once(index):
        target[index] += values
    else:
        xp.library.add.at(target, index, values)


@override("add_at", "cuda", "emulated")
def _add_at_in_order(device: Device, target: Any, index: Any, values: Any) -> Any:
    """Without atomics: number the targets, sort them, and let a kernel add up each one's values in
    the order they stand (kernels/embedding.cu, rows of one element)."""
    if _names_once(index) or target.dtype.kind not in "fV" or not target.size:
        return NotImplemented
    xp = device.xp
    places = xp.arange(target.size).reshape(target.shape)[index]
    values = xp.contiguous(xp.library.broadcast_to(values, places.shape))
    places = places.reshape(-1)
    order = xp.argsort(places, kind="stable")
    sums = xp.empty(target.shape, dtype=target.dtype)
    launch(device, "embedding_backward", target.dtype, sums, values.astype(target.dtype),
           order, places[order], places.size, target.size, 1)  # fmt: skip
    target += sums
    return None


def _names_once(index: Any) -> bool:
    """Whether no element can be named twice: by ints, slices, None, ..., and at most one mask."""
    parts = index if isinstance(index, tuple) else (index,)
    arrays = [p for p in parts if hasattr(p, "dtype")]
    return not arrays or (len(arrays) == 1 and arrays[0].dtype.kind == "b")


# ---------------------------------------------------------------------- brackets


def subscript(x: Tensor, index: Any) -> Tensor:
    """``x[index]``: ints, slices, None, ..., and integer or bool tensors, lists and arrays."""
    ints, place = _index("getitem", x, index)
    try:
        part = x if ints is None else getitem(x, index=ints)
        return part if place is None else getitem(part, index=place)
    except IndexError as error:
        raise _indices_differ("getitem", place) from error


def put(x: Tensor, index: Any, values: Any) -> Tensor:
    """A copy of ``x`` with ``x[index] = values``."""
    ints, place = _index("setitem", x, index)
    check_values(values)
    if isinstance(values, Tensor):
        if values._device is not x._device:
            raise RuntimeError(
                f"[setitem] the tensor is on {x._device}, the values on {values._device}"
            )
        if values.dtype != x.dtype:
            values = cast(values, dtype=x.dtype)
    with explained("setitem", place, values):
        if ints is None:
            return index_put(x, values, index=place)
        if place is not None:
            values = index_put(getitem(x, index=ints), values, index=place)
        return index_put(x, values, index=ints)


def add(x: Tensor, index: Any, values: Tensor) -> Tensor:
    """A copy of ``x`` with ``x[index] += values``, where an index that occurs n times adds n
    times."""
    ints, place = _index("index_put", x, index)
    with explained("index_put", place, values):
        if ints is None:
            return index_add_at(x, values, index=place)
        if place is not None:
            values = index_add_at(getitem(x, index=ints), values, index=place)
            return index_put(x, values, index=ints)
        return index_add_at(x, values, index=ints)


def write(x: Any, index: tuple, values: Any) -> None:
    """``x[index] = values`` on arrays, for an index in the two steps that ``_index`` makes."""
    ints, place = index
    with explained("setitem", place, values):
        if ints is not None and place is not None:
            x[ints][place] = values
        else:
            x[place if ints is None else ints] = values


@contextmanager
def explained(op: str, place: Any, values: Any) -> Iterator[None]:
    """The library's errors in tapegrad's words."""
    try:
        yield
    except IndexError as error:
        raise _indices_differ(op, place) from error
    except ValueError as error:
        raise RuntimeError(
            f"[{op}] values of shape {tuple(getattr(values, 'shape', ()))} do not fit the indexed "
            f"part: {error}"
        ) from error


def check_values(values: Any) -> None:
    """Raise TypeError for what cannot be stored."""
    if not isinstance(values, Tensor) and np.asarray(values).dtype.kind not in "biufV":
        raise TypeError(f"[setitem] cannot store {type(values).__name__} in a tensor")


def _indices_differ(op: str, place: Any) -> IndexError:
    shapes = ", ".join(str(p.shape) for p in place or () if hasattr(p, "shape"))
    return IndexError(f"[{op}] index tensors of shapes {shapes} do not broadcast")


def _index(op: str, x: Tensor, index: Any) -> tuple[tuple | None, tuple | None]:
    """The index in plain arrays, checked: every device refuses what is out of range.

    In two steps, (basic, arrays), either of them None: PyTorch applies ints and slices before index
    arrays, while NumPy takes an int beside an array for an array and moves the dimensions.
    """
    parts = index if isinstance(index, tuple) else (index,)
    result: list[Any] = []
    position = 0
    used = builtins.sum(_consumes(p) for p in parts)
    if used > x.ndim:
        raise IndexError(f"[{op}] too many indices for shape {tuple(x.shape)}: {used}")
    if builtins.sum(p is Ellipsis for p in parts) > 1:
        raise IndexError(f"[{op}] only one ... is possible")
    for part in parts:
        if part is Ellipsis:
            result.append(part)
            position += x.ndim - used
            continue
        if part is None or isinstance(part, slice):
            if part is not None and part.step is not None and int(part.step) <= 0:
                raise ValueError(f"[{op}] the step of a slice must be positive, got {part.step}")
            result.append(part if part is None else _plain_slice(part))
            position += part is not None
            continue
        if isinstance(part, bool) or not isinstance(part, int):
            part = _array_index(op, x, part)
        n = 1
        if isinstance(part, int):
            size = x.shape[position]
            if not -size <= part < size:
                raise IndexError(
                    f"[{op}] index {part} is out of range for dim {position} of size {size}"
                )
        elif part.dtype.kind == "b":
            n = part.ndim
            have = tuple(x.shape[position : position + n])
            if have != part.shape:
                raise IndexError(
                    f"[{op}] a bool index of shape {part.shape} does not match the indexed "
                    f"dimensions of shape {have}"
                )
        elif part.size:
            in_range(op, part, -x.shape[position], x.shape[position], position)
        result.append(part)
        position += n
    if not builtins.any(hasattr(p, "shape") for p in result):
        return tuple(result), None
    if not builtins.any(isinstance(p, int) for p in result):
        return None, tuple(result)
    basic: list[Any] = []
    arrays: list[Any] = []
    whole = slice(None)
    for p in result:
        if hasattr(p, "shape"):
            basic += [whole] * (p.ndim if p.dtype.kind == "b" else 1)
            arrays.append(p)
        else:
            basic.append(p)
            arrays += [] if isinstance(p, int) else [p if p is Ellipsis else whole]
    return tuple(basic), tuple(arrays)


def _plain_slice(s: slice) -> slice:
    """Slice ends may be 0-d tensors."""
    ends = [e if e is None else e.__index__() for e in (s.start, s.stop, s.step)]
    return slice(*ends)


def _consumes(part: Any) -> int:
    """How many dimensions one part of an index uses up."""
    if part is None or part is Ellipsis:
        return 0
    kind = getattr(getattr(part, "dtype", None), "kind", "")
    if kind == "b" or isinstance(part, bool):
        return getattr(part, "ndim", 0)
    if isinstance(part, list) and np.asarray(_listed(part)).dtype.kind == "b":
        return np.asarray(_listed(part)).ndim
    return 1


def _listed(part: Any) -> Any:
    return [p.item() if isinstance(p, Tensor) else p for p in part]


def _array_index(op: str, x: Tensor, part: Any) -> Any:
    if isinstance(part, Tensor) and part.ndim == 0 and part.dtype.kind in "iu":
        return int(part)
    if isinstance(part, Tensor):
        if part._device is not x._device and part.ndim:
            raise RuntimeError(
                f"[{op}] the tensor is on {x._device}, an index tensor on {part._device}"
            )
        part = part._array if part._device is x._device else part.item()
    elif isinstance(part, list):
        part = np.asarray(_listed(part), dtype=None if part else np.int64)
    if isinstance(part, np.generic) and part.dtype.kind in "iu":
        return int(part)
    try:
        array = kept(x._device, part)
        kind, name = array.dtype.kind, array.dtype.name
    except (TypeError, ValueError):  # CuPy makes no arrays of text
        kind, name = "O", type(part).__name__
    if kind not in "biu":
        raise IndexError(
            f"[{op}] indices are ints, slices, None, ..., or integer or bool tensors; got {name}"
        )
    return int(array) if array.ndim == 0 and array.dtype.kind != "b" else array


def kept(device: Device, index: Any) -> Any:
    """An index as an array: a copy if the tape may keep it, for the caller may change theirs."""
    return device.ops["array" if recording.get() else "asarray"](index)


def in_range(op: str, index: Any, low: int, high: int, dim: int) -> None:
    """Raise IndexError unless low <= index < high everywhere. An empty index is in range."""
    if not index.size:
        return
    least, most = int(index.min()), int(index.max())
    if least < low or most >= high:
        wrong = least if least < low else most
        raise IndexError(
            f"[{op}] index {wrong} is out of range for dim {dim} of size {high}: "
            f"expected {low} to {high - 1}"
        )
