"""Modules that hold other modules: Sequential and ModuleList."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, overload

from .module import MODULE, Module

if TYPE_CHECKING:
    from typing_extensions import Self


class _Ordered(Module):
    """Children named "0", "1", ... (or by given names), reached by position."""

    def _items(self) -> list[tuple[str, Module]]:
        return list(self._registered(MODULE))

    def _name_at(self, index: int) -> str:
        children = self._items()
        if not -len(children) <= index < len(children):
            raise IndexError(f"{type(self).__name__} has {len(children)} modules, no index {index}")
        return children[index][0]

    def __len__(self) -> int:
        return len(self._items())

    def __iter__(self) -> Iterator[Module]:
        return (module for _, module in self._registered(MODULE))

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._name_at(index), module)

    def __delitem__(self, index: int) -> None:
        name = self._name_at(index)
        self._renumber([module for other, module in self._items() if other != name])

    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end, one after the other."""
        for module in modules:
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Put a module before position ``index``."""
        modules = list(self)
        modules.insert(index, module)
        self._renumber(modules)
        return self

    def _renumber(self, modules: list[Module]) -> None:
        for name, _ in self._items():
            delattr(self, name)
        self.extend(modules)


class Sequential(_Ordered):
    """Calls its modules one after the other: ``Sequential(Linear(4, 8), ReLU(), Linear(8, 2))``.

    A single dict in place of the modules names them.
    """

    def __init__(self, *args: Module | dict[str, Module]) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], dict):
            for name, module in args[0].items():
                self.add_module(name, module)
            return
        if len(args) == 1 and isinstance(args[0], (list, tuple)):
            raise TypeError("Sequential takes modules one by one: Sequential(*modules)")
        self.extend(args)  # type: ignore[arg-type]

    def forward(self, input: Any) -> Any:
        for _, module in self._registered(MODULE):
            input = module(input)
        return input

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Sequential: ...
    def __getitem__(self, index: int | slice) -> Module | Sequential:
        if isinstance(index, slice):
            return Sequential(dict(self._items()[index]))
        return getattr(self, self._name_at(index))


class ModuleList(_Ordered):
    """A list whose modules are registered; it has no forward of its own."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(modules or ())

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> ModuleList: ...
    def __getitem__(self, index: int | slice) -> Module | ModuleList:
        if isinstance(index, slice):
            return ModuleList(list(self)[index])
        return getattr(self, self._name_at(index))
