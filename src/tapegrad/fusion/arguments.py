"""Arguments of fused functions: tensors, numbers and other values, in lists, tuples, dicts
and attributes of objects."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import is_dataclass
from functools import lru_cache
from types import MemberDescriptorType as SLOT
from types import MethodType
from typing import Any

import numpy as np

from tapegrad.core.devices import Device
from tapegrad.core.memory import address, byte_range
from tapegrad.core.tensor import Tensor

from .open_numbers import is_open

PLACE = object()  # of a tensor, in arguments that are kept
_PLAIN = {str, bool, type(None)}  # of which equal ones are the same


def read(
    given: Any, tensors: list[Tensor], numbers: list[float], seen: dict[int, int] | None = None
) -> Any:
    """What one plan is for, as a key: shapes, dtypes and devices of tensors, types of numbers,
    attributes of objects, other values as they are. Tensors and numbers are added to the lists, in
    order. ``seen``: which objects were read before. Raises TypeError for values that cannot be
    keys."""
    kind = type(given)
    if kind in _PLAIN:
        return kind, given
    if isinstance(given, Tensor):
        array = given._array
        tensors.append(given)
        return array.shape, array.dtype, given._device
    if _may_change(given):
        numbers.append(given)
        return kind
    seen = {} if seen is None else seen
    if isinstance(given, (tuple, list)):
        return kind, *[read(one, tensors, numbers, seen) for one in given]
    if kind is dict:
        if not given:
            return kind
        keys = map(_exact, given)
        return kind, *keys, *[read(one, tensors, numbers, seen) for one in given.values()]
    if kind is MethodType:
        return kind, given.__func__, read(given.__self__, tensors, numbers, seen)
    if _has_state(given):
        if id(given) in seen:
            return kind, seen[id(given)]
        seen[id(given)] = len(seen)
        state = _state(given)
        return kind, *state, *[read(one, tensors, numbers, seen) for one in state.values()]
    return _exact(given)


def rebuilt(
    given: Any, tensors: Iterator, numbers: Iterator, made: dict[int, Any] | None = None
) -> Any:
    """The same arguments with other tensors and numbers, taken in the order of ``read``. ``made``:
    the copies of objects so far."""
    if given is PLACE or isinstance(given, Tensor):
        return next(tensors)
    if _may_change(given):
        return next(numbers)
    made = {} if made is None else made
    if isinstance(given, (tuple, list)):
        items = [rebuilt(one, tensors, numbers, made) for one in given]
        return type(given)(*items) if hasattr(given, "_fields") else type(given)(items)
    if type(given) is dict:
        return {name: rebuilt(one, tensors, numbers, made) for name, one in given.items()}
    if type(given) is set:
        return set(given)
    if type(given) is MethodType:
        return MethodType(given.__func__, rebuilt(given.__self__, tensors, numbers, made))
    if _has_state(given):
        if id(given) not in made:
            copied = made[id(given)] = _blank(type(given))
            for name, value in _state(given).items():
                object.__setattr__(copied, name, rebuilt(value, tensors, numbers, made))
        return made[id(given)]
    return given


def contents(given: Any) -> tuple[Any, list]:
    """What is in lists, dicts and objects: a key, and the tensors and numbers themselves."""
    tensors: list[Tensor] = []
    numbers: list[float] = []
    return read(given, tensors, numbers), [*tensors, *numbers]


def changed(given: dict[str, Any], before: dict[str, tuple[Any, list]]) -> str | None:
    """The name of an argument in which there is something else than there was before."""
    for name, (key, parts) in before.items():
        try:
            now, found = contents(given[name])
        except TypeError:  # of what was put there
            return name
        if now != key or any(a is not b for a, b in zip(found, parts, strict=True)):
            return name
    return None


def _exact(given: Any) -> Any:
    """The value as a key. Equal numbers are told apart by their types and signs: 2, 2.0 and True;
    0.0 and -0.0."""
    kind = type(given)
    if isinstance(given, tuple):
        return kind, *map(_exact, given)
    if isinstance(given, (set, frozenset)):
        return kind, frozenset(map(_exact, given))
    hash(given)
    zero = isinstance(given, (float, complex, np.number)) and (given == 0 or given != given)
    return kind, repr(given) if zero else given


def _has_state(given: Any) -> bool:
    """Whether it is what its attributes are: an object that is equal to no other, though they may
    change, or a dataclass. (Not what is made in C, functions and classes among it, nor what stands
    for a function, nor what has no attributes: it may be there to be told from others.)"""
    if _slots(type(given)) is None:  # type: ignore[arg-type]
        return False
    state = _state(given)
    return bool(state) and "__wrapped__" not in state


@lru_cache(1024)
def _slots(kind: type) -> tuple[str, ...] | None:
    """The attributes of such objects that are in no dict; None, if no objects of the class are."""
    if kind.__hash__ is not object.__hash__ and not is_dataclass(kind):
        return None
    if _blank(kind) is None or issubclass(kind, Device):
        return None
    return tuple(n for c in kind.__mro__ for n, d in vars(c).items() if type(d) is SLOT)


def _blank(kind: type) -> Any:
    """An object of the class without attributes; None, if it is more than those."""
    try:
        return object.__new__(kind)
    except TypeError:
        return None


def _state(given: Any) -> dict[str, Any]:
    own = getattr(given, "__dict__", {})
    slots = _slots(type(given))  # type: ignore[arg-type]
    return {**{n: getattr(given, n) for n in slots if hasattr(given, n)}, **own} if slots else own


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
