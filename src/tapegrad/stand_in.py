"""Functions that stand under PyTorch's names where there is nothing for them to do: what they
return, or the error that says what to use instead, always at the call and never at the import.

A module of such names says ``__getattr__, __all__ = publish(__name__, {...})``. Each function knows
its kind and the reason, from which ``tools/write_names.py`` writes docs/names.md.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ContextDecorator, nullcontext
from types import ModuleType
from typing import Any, NamedTuple

from tapegrad.ops.common.hints import unknown_names


class Kind(NamedTuple):
    """What a stand-in does, a heading of docs/names.md, and why, or what to do instead."""

    does: str
    why: str


RETURNS = "return what they are given, also as decorators"
NOTHING = "do nothing"
ANSWERS = "have one answer"
REFUSED = "raise NotImplementedError"


class Nothing(nullcontext, ContextDecorator):
    """A context in which nothing changes, and a decorator."""


def _functions(names: str, kind: Kind, make: Callable[[str], Callable]) -> dict[str, Any]:
    made = {}
    for name in names.split():
        function = make(name)
        function.__name__ = function.__qualname__ = name
        function.__doc__ = f"{kind.why[:1].upper()}{kind.why[1:]}."
        function.stand_in = kind  # type: ignore[attr-defined]
        made[name] = function
    return made


def returning(names: str, why: str) -> dict[str, Any]:
    """Functions that return their first argument; without one, or with nothing but settings
    (``compile(mode="max-autotune")``, ``optimize("inductor")``), they are decorators that do."""

    def make(name: str) -> Callable:
        def returned(function: Any = None, *args: Any, **options: Any) -> Any:
            if function is None or isinstance(function, (str, bool)):
                return lambda decorated: decorated
            return function

        return returned

    return _functions(names, Kind(RETURNS, why), make)


def doing_nothing(names: str, why: str) -> dict[str, Any]:
    """Functions whose result, a context in which nothing changes, may be left alone, too."""

    def make(name: str) -> Callable:
        def nothing(*args: Any, **options: Any) -> Any:
            return Nothing()

        return nothing

    return _functions(names, Kind(NOTHING, why), make)


def answering(value: Any, names: str, why: str) -> dict[str, Any]:
    """Functions that return one value, whatever they are asked."""

    def make(name: str) -> Callable:
        def answer(*args: Any, **options: Any) -> Any:
            return value

        return answer

    return _functions(names, Kind(f"{ANSWERS}, {value!r}", why), make)


def refusing(names: str, instead: str) -> dict[str, Any]:
    """Functions, and under capitalized names classes, of which there is nothing here: a call raises
    NotImplementedError, which says what to do instead. (Nothing is an instance of such a class, as
    scripts ask, and they may derive from it.)"""

    def make(name: str) -> Callable:
        def refuse(*args: Any, **options: Any) -> Any:
            where = made.__module__.removeprefix("tapegrad.")
            raise NotImplementedError(f"[{where}.{name}] there is nothing like it here: {instead}")

        made = type(name, (), {"__new__": refuse}) if name[0].isupper() else refuse
        return made

    return _functions(names, Kind(REFUSED, instead), make)


class _Settings(ModuleType):
    stand_in = Kind(NOTHING, "settings that nobody reads")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"{self.__name__} has no attribute {name!r}")
        group = settings(f"{self.__name__}.{name}")
        setattr(self, name, group)
        return group

    def __bool__(self) -> bool:
        return False

    def __call__(self, *args: Any, **options: Any) -> Any:
        return Nothing()


def settings(name: str) -> ModuleType:
    """A module of settings that nobody reads: all may be assigned, in groups, too. What was not is
    false, and as a call does nothing (``config.patch(max_autotune=True)``)."""
    module = sys.modules[name] = _Settings(name, "Settings that nobody reads.")
    return module


def new_module(name: str, doc: str, names: dict[str, Any]) -> ModuleType:
    """A module that is no file, with these names."""
    made = sys.modules[name] = ModuleType(name, doc)
    getter, _ = publish(name, names)
    made.__dict__.update(__getattr__=getter, __all__=[*names])
    return made


def publish(module: str, names: dict[str, Any]) -> tuple[Callable[[str], Any], list[str]]:
    """The ``__getattr__`` and ``__all__`` of a module that gets these names."""
    for value in names.values():
        if hasattr(value, "stand_in"):
            value.__module__ = module
    vars(sys.modules[module]).update(names)
    return unknown_names(module), [name for name in names if not name.startswith("_")]
