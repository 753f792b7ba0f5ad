"""A function of tapegrad's tensors as one of PyTorch's, which have the same names."""

from __future__ import annotations

import itertools
import sys
from types import FunctionType, ModuleType
from typing import Any

_serials = itertools.count()


def translated(function: Any) -> Any:
    """The function with PyTorch's modules where its file's names, or those around it, mean
    tapegrad's; functions of the same file that it calls as well. What has no counterpart stays as
    it is: whoever calls the result compares what it computes."""
    return _Translation().of(function)


class _Translation:
    def __init__(self) -> None:
        self._globals: dict[int, dict[str, Any]] = {}

    def of(self, value: Any) -> Any:
        if isinstance(value, ModuleType) and _is_ours(value):
            return _counterpart(value.__name__)
        if callable(value) and _is_ours(value):
            homes = [
                _counterpart(name) for name in (value.__module__, "tapegrad.nn.functional", "")
            ]
            found = (getattr(home, value.__name__, None) for home in homes)
            return next((f for f in found if f is not None), value)
        return self._function(value) if isinstance(value, FunctionType) else value

    def _function(self, function: FunctionType) -> FunctionType:
        cells = function.__closure__
        found = FunctionType(
            function.__code__,
            self._file(function.__globals__),
            function.__name__,
            function.__defaults__,
            cells and tuple(type(c)(self.of(c.cell_contents)) for c in cells),
        )
        found.__kwdefaults__ = function.__kwdefaults__
        return found

    def _file(self, names: dict[str, Any]) -> dict[str, Any]:
        """The names of a file, each translated when it is there; a function may call itself."""
        known = self._globals.get(id(names))
        if known is None:
            # torch.compile looks for a function's names in the module of this name.
            module = ModuleType(f"{names.get('__name__', '')}_for_torch_{next(_serials)}")
            sys.modules[module.__name__] = module
            known = self._globals[id(names)] = module.__dict__
            known.update({**names, "__name__": module.__name__})
            for name, value in names.items():
                own = isinstance(value, FunctionType) and value.__globals__ is names
                if own or _is_ours(value):
                    known[name] = self.of(value)
        return known


def _is_ours(value: Any) -> bool:
    """Whether it is a module of tapegrad, or of one."""
    name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", "")
    return str(name).partition(".")[0] == "tapegrad"


def _counterpart(name: str) -> Any:
    """PyTorch's module for one of tapegrad's: the nearest that there is around it."""
    import torch

    parts = name.split(".")[1:]
    while parts:
        found = sys.modules.get(".".join(["torch", *parts]))
        if found is not None:
            return found
        parts.pop()
    return torch
