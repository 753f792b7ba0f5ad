"""A module with other tensors in the place of its own, for the time of a call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tapegrad.core.tensor import Tensor


@contextmanager
def replaced(module: Any, given: dict, tie: bool, strict: bool) -> Iterator[None]:
    """Within this a module has other tensors: see ``functional_call``."""
    modules = dict(module.named_modules(remove_duplicate=False))
    known = {
        f"{prefix}.{name}".lstrip("."): (vars(owner), name)
        for prefix, owner in modules.items()
        for tables in (owner._parameters, owner._buffers)
        for name, tensor in tables.items()
        if tensor is not None
    }
    new = _tied(given, {n: table[name] for n, (table, name) in known.items()}) if tie else given
    unknown, missing = sorted(new.keys() - known.keys()), sorted(known.keys() - new.keys())
    if strict and (unknown or missing):
        wrong = [f"{type(module).__name__} has no {unknown}"] if unknown else []
        wrong += [f"{missing} are not given"] if missing else []
        raise RuntimeError(f"[functional_call] strict=True, and {', '.join(wrong)}")
    places = [(*(known.get(n) or _attribute(module, modules, n)), x) for n, x in new.items()]
    before = [(table, name, table.get(name, _nothing)) for table, name, _ in places]
    try:
        for table, name, value in places:
            table[name] = value
        yield
    finally:
        for table, name, old in before:
            if old is _nothing:
                table.pop(name, None)
            else:
                table[name] = old


_nothing = object()


def _tied(given: dict, tensors: dict) -> dict:
    """The values by all names that their tensors have."""
    values: dict[int, tuple[str, Any]] = {}
    for name, value in given.items():
        if name in tensors:
            first, other = values.setdefault(id(tensors[name]), (name, value))
            if other is not value:
                raise ValueError(
                    f"[functional_call] {first!r} and {name!r} are one tensor and get two values: "
                    "give one, or say tie_weights=False"
                )
    also = {n: values[id(x)][1] for n, x in tensors.items() if id(x) in values}
    return also | given


def _attribute(module: Any, modules: dict, name: Any) -> tuple[dict, str]:
    """Where a tensor is, or will be, that is no parameter and no buffer."""
    if not isinstance(name, str) or not name:
        raise TypeError(f"[functional_call] names are strings, got {name!r}")
    prefix, _, last = name.rpartition(".")
    if prefix not in modules:
        raise AttributeError(
            f"[functional_call] {type(module).__name__} has no submodule {prefix!r}, to have "
            f"{last!r}"
        )
    held = getattr(modules[prefix], last, None)
    if held is not None and not isinstance(held, Tensor):
        raise TypeError(
            f"[functional_call] {name!r} of {type(module).__name__} is no tensor, but a "
            f"{type(held).__name__}"
        )
    return vars(modules[prefix]), last
