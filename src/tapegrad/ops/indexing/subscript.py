"""Brackets: ``x[index]`` and ``x[index] = values``, for all that PyTorch takes as an index."""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import EllipsisType, NoneType
from typing import Any

import numpy as np

from tapegrad.core.devices import CPU
from tapegrad.core.memory import Array
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import check_nesting, same_device
from tapegrad.ops.common.index import getitem, in_range, index_add_at, index_put, snapshot_index
from tapegrad.ops.common.scalars import fit_number
from tapegrad.ops.pointwise.elementwise import cast


def subscript(x: Tensor, index: Any) -> Tensor:
    """``x[index]``: ints, slices, None, ..., and integer or bool tensors, lists and arrays. A view
    for the first four, else a copy. Raises IndexError for positions out of range, index tensors
    that do not broadcast and anything else, ValueError for a negative step."""
    if index.__class__ is int:  # a row, and the loop over rows, need no more than this
        shape = x._array.shape
        if shape and -shape[0] <= index < shape[0]:
            return getitem(x, index=(index,))
    ints, arrays = plain_index("getitem", x, index)
    try:
        part = x if ints is None else getitem(x, index=ints)
        return part if arrays is None else getitem(part, index=arrays)
    except IndexError as error:
        raise _indices_differ("getitem", arrays) from error


def setitem_copy(x: Tensor, index: Any, values: Any) -> Tensor:
    """A copy of ``x`` with ``x[index] = values``."""
    steps = plain_index("setitem", x, index)
    values = storable(values, x)
    if isinstance(values, Tensor) and values.dtype != x.dtype:
        values = cast(values, dtype=x.dtype)
    return _changed("setitem", index_put, x, steps, _narrowed(values))


def add_at_copy(x: Tensor, index: Any, values: Tensor) -> Tensor:
    """A copy of ``x`` with ``x[index] += values``, where an index that occurs n times adds n
    times."""
    return _changed("index_put", index_add_at, x, plain_index("index_put", x, index), values)


def _changed(op: str, change: Any, x: Tensor, steps: tuple, values: Any) -> Tensor:
    """``change(x, values, index=...)``, for an index in the two steps that ``plain_index``
    makes."""
    ints, arrays = steps
    with explained(op, arrays, values):
        if ints is None or arrays is None:
            return change(x, values, index=arrays if ints is None else ints)
        part = change(getitem(x, index=ints), values, index=arrays)
        return index_put(x, part, index=ints)


def write(xp: Any, x: Array, index: tuple, values: Array) -> None:
    """``x[index] = values`` on arrays, for an index in the two steps that ``plain_index`` makes."""
    ints, arrays = index
    values = _narrowed(values)
    with explained("setitem", arrays, values):
        if ints is not None and arrays is not None:
            # "..." makes a view of what would be a copy, one element
            xp.store(x[ints if Ellipsis in ints else (*ints, ...)], arrays, values)
        else:
            xp.store(x, arrays if ints is None else ints, values)


def _narrowed(values: Any) -> Any:
    """Values without dimensions of size 1 at the front, which fit everything."""
    shape = getattr(values, "shape", ())
    if not shape or shape[0] != 1:
        return values
    ones = next((i for i, n in enumerate(shape) if n != 1), len(shape))
    return values.reshape(tuple(shape[ones:]))


@contextmanager
def explained(op: str, arrays: Any, values: Any) -> Iterator[None]:
    """The library's errors in tapegrad's words."""
    try:
        yield
    except IndexError as error:
        raise _indices_differ(op, arrays) from error
    except (ValueError, TypeError) as error:
        raise RuntimeError(
            f"[{op}] values of shape {tuple(getattr(values, 'shape', ()))} do not fit the indexed "
            f"part: {error}"
        ) from error


def storable(values: Any, x: Tensor) -> Any:
    """A Tensor on x's device, an array or list of numbers as it is, a number as x's dtype holds it.
    Raises RuntimeError for a Tensor on another device, but for a 0-d one on the CPU; TypeError for
    anything else."""
    if isinstance(values, Tensor):
        if values.ndim or values._device is not CPU:
            same_device("setitem", x, values, "values")
        return values if values._device is x._device else values.to(x._device)
    if isinstance(values, (int, float, np.generic)):
        return fit_number("setitem", values, x.dtype)
    check_nesting("setitem", values)
    if np.asarray(values).dtype.kind not in "biufV":
        raise TypeError(f"[setitem] cannot store {type(values).__name__} in a tensor")
    return values


def _indices_differ(op: str, arrays: Any) -> IndexError:
    shapes = ", ".join(str(p.shape) for p in arrays or () if hasattr(p, "shape"))
    return IndexError(f"[{op}] index tensors of shapes {shapes} do not broadcast")


def plain_index(op: str, x: Tensor, index: Any) -> tuple[tuple | None, tuple | None]:
    """The index in plain arrays, checked: every device refuses what is out of range.

    In two steps, (basic, arrays), either of them None: PyTorch applies ints and slices before index
    arrays, while NumPy takes an int beside an array for an array and moves the dimensions.
    """
    shape = x._array.shape
    if index.__class__ is Tensor and shape and index._array.dtype.kind == "i" and index.ndim:
        rows = _array_index(op, x, index)  # one index tensor needs no more than this
        in_range(op, rows, -shape[0], shape[0], 0)
        return None, (rows,)
    parts = [_plain(op, x, part) for part in _parts(index)]
    used = builtins.sum([_consumes(p) for p in parts])
    if used > len(shape):
        hint = "" if shape else "; x.item() is the number of a tensor without dimensions"
        raise IndexError(f"[{op}] too many indices for shape {shape}: {used}{hint}")
    dots = [i for i, p in enumerate(parts) if p is Ellipsis]
    if len(dots) > 1:
        raise IndexError(f"[{op}] only one ... is possible")
    position = 0
    arrays = ints = False
    for part in parts:
        if part is Ellipsis:
            position += len(shape) - used
        elif isinstance(part, int):
            ints = True
            size = shape[position]
            if not -size <= part < size:
                raise IndexError(
                    f"[{op}] index {part} is out of range for dim {position} of size {size}"
                )
        elif hasattr(part, "shape"):
            arrays = True
            _check_array(op, shape, part, position)
        position += _consumes(part)
    if not arrays:
        return tuple(parts), None
    # To NumPy, "..." separates two arrays even where it stands for no dimension.
    whole = slice(None)
    for i in dots:
        parts[i : i + 1] = [whole] * (len(shape) - used)
    if not ints:
        return None, tuple(parts)
    basic = [q for p in parts for q in ([whole] * _consumes(p) if hasattr(p, "shape") else [p])]
    left = [p if hasattr(p, "shape") else whole for p in parts if not isinstance(p, int)]
    return tuple(basic), tuple(left)


_FEW = 32  # a longer list is one of indices, whatever it holds
_KINDS = (NoneType, EllipsisType, Tensor, slice, Sequence, np.ndarray)


def _parts(index: Any) -> tuple:
    """The parts of an index. As in PyTorch, a list of other than numbers is a tuple."""
    if isinstance(index, tuple):
        return index
    short = isinstance(index, list) and len(index) < _FEW
    if short and builtins.any(isinstance(item, _KINDS) for item in index):
        return tuple(index)
    return (index,)


def _plain(op: str, x: Tensor, part: Any) -> Any:
    """One part of an index as an int, a slice of ints, None, ..., or an array of x's device."""
    if part is None or part is Ellipsis or part.__class__ is int:
        return part
    if isinstance(part, slice):
        if part.step is not None and int(part.step) <= 0:
            raise ValueError(f"[{op}] the step of a slice must be positive, got {part.step}")
        ends = (part.start, part.stop, part.step)  # which may be 0-d tensors
        return slice(*[e if e is None else e.__index__() for e in ends])
    dtype = getattr(part, "dtype", None)
    # A single integer is a position. (A uint8 is a mask, as before there were bools.)
    if getattr(dtype, "kind", None) in _INTEGERS and dtype != np.uint8 and part.ndim == 0:
        return int(part)
    return _array_index(op, x, part)


_INTEGERS = {"i", "u"}  # the kinds of NumPy's dtypes


def _consumes(part: Any) -> int:
    """How many dimensions one part of an index uses up."""
    if part is None or part is Ellipsis:
        return 0
    if part.__class__ is int or part.__class__ is slice or part.dtype.kind != "b":
        return 1
    return part.ndim


def _check_array(op: str, shape: tuple[int, ...], part: Any, position: int) -> None:
    if part.dtype.kind != "b":
        in_range(op, part, -shape[position], shape[position], position)
        return
    have = shape[position : position + part.ndim]
    if have != part.shape:
        raise IndexError(
            f"[{op}] a bool index of shape {part.shape} does not match the indexed dimensions of "
            f"shape {have}"
        )


def _array_index(op: str, x: Tensor, part: Any) -> Any:
    if isinstance(part, Tensor):
        if part._device is not x._device and part.ndim and part._device is not CPU:
            raise RuntimeError(
                f"[{op}] the tensor is on {x._device}, an index tensor on {part._device}"
            )
        part = part._array
    elif isinstance(part, (list, tuple, range)):
        check_nesting(op, part)
        listed = _listed(part)
        try:
            part = np.asarray(listed)
        except ValueError as error:  # lists of different lengths
            raise IndexError(f"[{op}] {error}") from None
        part = part if part.size else part.astype(np.int64)
    try:
        array = snapshot_index(x._device, part)
        name = None if array.dtype.kind in "biu" else array.dtype.name
    except (TypeError, ValueError):  # CuPy makes no arrays of text
        name = type(part).__name__
    if name is not None:
        raise IndexError(
            f"[{op}] indices are ints, slices, None, ..., or integer or bool tensors; got {name}"
        )
    return array.astype(bool) if array.dtype == np.uint8 else array


def _listed(part: Any) -> Any:
    """Nested lists of numbers, which may be 0-d tensors."""
    if isinstance(part, (list, tuple, range)):
        return [_listed(p) for p in part]
    return part.tolist() if isinstance(part, Tensor) else part
