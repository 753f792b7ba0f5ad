"""Arguments of fused functions: tensors, numbers and other values, in lists, tuples and dicts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tapegrad.core.memory import address, byte_range
from tapegrad.core.tensor import Tensor

from .open_numbers import is_open

PLACE = object()  # of a tensor, in arguments that are kept


def read(given: Any, tensors: list[Tensor], numbers: list[float]) -> Any:
    """What one plan is for, as a key: shapes, dtypes and devices of tensors, types of numbers,
    other values as they are. Tensors and numbers are added to the lists, in order. Raises TypeError
    for values that cannot be keys."""
    kind = type(given)
    if isinstance(given, Tensor):
        tensors.append(given)
        return given._array.shape, given._array.dtype, given._device
    if _may_change(given):
        numbers.append(given)
        return kind
    if isinstance(given, (tuple, list)):
        return kind, *[read(one, tensors, numbers) for one in given]
    if kind is dict:
        return kind, *given, *[read(one, tensors, numbers) for one in given.values()]
    hash(given)
    # Equal numbers are told apart by their types and signs: 2, 2.0 and True; 0.0 and -0.0.
    zero = isinstance(given, (float, complex, np.number)) and (given == 0 or given != given)
    return kind, repr(given) if zero else given


def rebuilt(given: Any, tensors: Iterator, numbers: Iterator) -> Any:
    """The same arguments with other tensors and numbers, taken in the order of ``read``."""
    if given is PLACE or isinstance(given, Tensor):
        return next(tensors)
    if _may_change(given):
        return next(numbers)
    if isinstance(given, (tuple, list)):
        made = [rebuilt(one, tensors, numbers) for one in given]
        return type(given)(*made) if hasattr(given, "_fields") else type(given)(made)
    if type(given) is dict:
        return {name: rebuilt(one, tensors, numbers) for name, one in given.items()}
    return given


def _may_change(given: Any) -> bool:
    """Whether it is a number that a kernel can be told at every call. (Zeros have signs and decide
    what is computed, as do infinities.)"""
    kind = type(given)
    if kind is float:
        return given != 0 and math.isfinite(given)
    return (kind is int and given != 0) or is_open(given)


def _range(array: Any) -> tuple[int, int]:
    """The addresses of the array's first and last byte."""
    if array.flags.c_contiguous:
        start = address(array)
        return start, start + array.nbytes - 1
    low, high = byte_range(array)
    return low, high + array.itemsize - 1


def check_apart(name: str, arrays: Sequence[Any], changed: Sequence[int]) -> None:
    """Raise RuntimeError if an array that is changed may share memory with another argument."""
    ranges = sorted((*_range(a), i) for i, a in enumerate(arrays))
    written = set(changed)
    reach, owner = ranges[0][1], ranges[0][2]
    for low, high, i in ranges[1:]:
        if low <= reach and (i in written or owner in written):
            raise RuntimeError(
                f"[fuse] {name} changes tensor {min(i, owner)} or {max(i, owner)} of its arguments "
                "in place, and they may share memory: pass one of them as a clone()"
            )
        if high > reach:
            reach, owner = high, i
