"""How autocast gets between users and operations: while there is a region in any thread, the public
functions on its lists run functions that cast first. Outside, they are what they always are, and
nobody asks for regions."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import Any

import numpy as np

from tapegrad.core.dtypes import float32, promote_types
from tapegrad.core.tensor import Tensor
from tapegrad.ops.catalog import Operation, doors, loaded, when_loaded
from tapegrad.ops.common.arguments import tensors_in
from tapegrad.ops.common.signatures import function_cell

from .lists import (
    FLOAT32,
    FLOAT32_BY_DEFAULT,
    INSTEAD,
    LISTS,
    LOWER,
    ONLY,
    RECURRENT,
    REFUSED,
    STATE,
)
from .regions import Regions, is_used, regions, when_used
from .values import is_cast, with_casts


def operations(name: str) -> set[Operation]:
    """The operations that a name on a list means. Raises KeyError for a name that leads to none."""
    door, _, own = name.rpartition(".")
    found = {doors[d][own] for d in ([door] if door else ["tg", "F", "x"]) if own in doors[d]}
    if not found:
        raise KeyError(name)
    return found


@cache
def listed() -> dict[Operation, dict[str, tuple[str, str]]]:
    """Operation -> device type -> (its name, what is done)."""
    found: dict[Operation, dict[str, tuple[str, str]]] = {}
    for kind, lists in LISTS.items():
        for rule, names in lists.items():
            for name in names.split():
                for op in operations(name):
                    if found.setdefault(op, {}).setdefault(kind, (name, rule))[1] != rule:
                        raise ValueError(f"{name!r} is twice on the lists for {kind!r}")
    return found


def _dtype(name: str, rule: str, kind: str, now: Regions, args: tuple, options: dict) -> Any:
    """What the inputs of a call become; None: they stay as they are. Raises RuntimeError for an
    operation that is refused."""
    only = ONLY.get((kind, name))
    try:
        if only is not None and not only(*args, **options):
            return None
    except (TypeError, AttributeError):
        return None  # a wrong call, which the operation itself has words for
    if rule == LOWER:
        return now.active[kind]
    if rule == FLOAT32:
        return float32
    if rule == FLOAT32_BY_DEFAULT:
        named = options.get("dtype") is not None or any(isinstance(a, np.dtype) for a in args)
        return None if named else float32
    if rule == STATE:
        *_, state = tensors_in(options["hx"] if "hx" in options else args[1])
        return state.dtype if is_cast(state, kind) else None
    tensors = [t for t in tensors_in((*args, *options.values())) if t._device.type == kind]
    if rule == REFUSED and tensors:
        raise RuntimeError(f"[{name}] is refused within autocast: {INSTEAD[name]}")
    widest = now.active[kind]
    for t in tensors:
        if is_cast(t, kind):
            widest = promote_types(widest, t.dtype)
    return widest


def _casting(rules: dict[str, tuple[str, str]], function: Callable) -> Callable:
    """The function with its inputs cast, within regions."""

    @wraps(function)
    def casts(*args: Any, **options: Any) -> Any:
        now = regions.get()
        kinds = now.enabled.intersection(rules)
        for kind in kinds:
            dtype = _dtype(*rules[kind], kind, now, args, options)
            if dtype is not None:
                args = tuple([with_casts(a, kind, dtype, now.cast) for a in args])
                if options:
                    options = {n: with_casts(v, kind, dtype, now.cast) for n, v in options.items()}
        return _served(now, kinds, function, args, options) if kinds else function(*args, **options)

    return casts


def _uncast(rules: dict[str, tuple[str, str]], method: Callable) -> Callable:
    """A method that changes its tensor in place, which keeps its dtype: as outside of regions."""

    @wraps(method)
    def as_is(self: Tensor, *args: Any, **options: Any) -> Any:
        now = regions.get()
        kinds = now.enabled.intersection(rules)
        return _served(now, kinds, method, (self, *args), options)

    return as_is


def _served(
    now: Regions, kinds: frozenset[str], function: Callable, args: tuple, options: dict
) -> Any:
    try:
        regions.set(now.without(kinds))
        return function(*args, **options)
    finally:
        regions.set(now)


def recurrent_casts(
    mode: str, input: Tensor, hx: Any, weights: list[list[Any]]
) -> tuple[Tensor, Any, list[list[Any]]]:
    """The input, the states and the weights of a recurrent layer as autocast has them."""
    now, kind = regions.get(), input._device.type
    if kind not in now.enabled:
        return input, hx, weights
    state = input if hx is None else hx
    dtype = _dtype(mode, RECURRENT[kind][mode], kind, now, (input, state), {})
    if dtype is None or not all(is_cast(w, kind) for w in tensors_in(weights)):
        return input, hx, weights
    return tuple([with_casts(value, kind, dtype, now.cast) for value in (input, hx, weights)])  # type: ignore[return-value]


# Public functions run another function, with casts, while there are regions: those that are loaded,
# and those that are loaded meanwhile.

_public: list[tuple[Any, Callable, Callable]] = []  # (where the function is, it, and with casts)


def _loaded(op: Operation) -> None:
    if op in listed():
        declared = op.declared()
        cell, within = function_cell(op.load()), _casting(listed()[op], declared)
        _public.append((cell, declared, within))
        if is_used():
            cell.cell_contents = within


# Operators run what their module has, and methods that write in place keep their tensor's dtype:
# both are exchanged themselves, and not loaded for it.


_outside: dict[str, Any] = {}  # methods as they are where there is no region


@cache
def _methods() -> list[tuple[str, Callable]]:
    """(the name of a method or operator, what it is within regions)."""
    found = []
    doors_of = {"operator": _casting, "reflected": _casting, "x_": _uncast, "x_linear": _uncast}
    for door, change in doors_of.items():
        for own, op in doors[door].items():
            if op in listed():
                name = own if change is _casting else f"{own}_"
                found.append((name, change(listed()[op], _called(name))))
    return found


def _called(name: str) -> Callable:
    """A method as a function, which is loaded when it is called first."""

    def method(*args: Any, **options: Any) -> Any:
        found = _outside[name]
        if hasattr(found, "make"):
            found = _outside[name] = found.make()
        return found(*args, **options)

    method.__name__ = method.__qualname__ = name
    return method


def _use(on: bool) -> None:
    for cell, as_is, within in _public:
        cell.cell_contents = within if on else as_is
    for name, method in _methods():
        if on and Tensor.__dict__[name] is not method:
            _outside[name] = Tensor.__dict__[name]
        setattr(Tensor, name, method if on else _outside.get(name, Tensor.__dict__[name]))


when_used.append(_use)
for _op in loaded:
    _loaded(_op)
when_loaded.append(_loaded)
