"""Modules that hold modules or parameters, by position or by name."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from functools import partial
from typing import TYPE_CHECKING, Any, overload

from tapegrad.core.commit import commit
from tapegrad.core.tensor import Tensor

from .module import Module
from .parameter import Parameter
from .tables import MODULE, PARAMETER

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
        self._arrange([item for item in self._items() if item[0] != name])

    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        self.add_module(self._free_name(), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end, one after the other."""
        for module in modules:
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Self:
        """Put a module before position ``index``. Those behind it get the next numbers; where
        modules have names of their own, all keep theirs."""
        name = self._free_name()
        self._require_kind("insert {} as", MODULE, name, module)
        self._refuse_cycle(name, module)
        items = self._items()
        items.insert(index, (name, module))
        self._arrange(items)
        return self

    def _free_name(self) -> str:
        number = len(self)
        while str(number) in self._kinds:
            number += 1
        return str(number)

    def _arrange(self, items: list[tuple[str, Module]]) -> None:
        """Let these be the children; numbered, if those so far are."""
        before = [name for name, _ in self._items()]
        if before == [str(i) for i in range(len(before))]:
            items = [(str(i), module) for i, (_, module) in enumerate(items)]
        kinds = {name: kind for name, kind in self._kinds.items() if name not in before}
        kinds.update(dict.fromkeys(dict(items), MODULE))
        attributes = {**dict(items), "_kinds": kinds}
        gone = [partial(self.__dict__.pop, name) for name in before if name not in attributes]
        commit([partial(self.__dict__.update, attributes), *gone])


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
    """A list whose modules are registered; it defines no forward."""

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


# ---------------------------------------------------------------------- by name

Entries = Mapping[str, Any] | Iterable[tuple[str, Any]]


def _parameter(value: Any) -> Any:
    """Tensors become parameters, as in PyTorch."""
    is_plain = isinstance(value, Tensor) and not isinstance(value, Parameter)
    return Parameter(value) if is_plain else value


def _described(module: Module) -> str:
    return ", ".join(
        f"({name}): {value.dtype.name} {tuple(value.shape)}"
        for name, value in module._registered(PARAMETER)
    )


class _Named(Module):
    """A dict whose values are registered."""

    _kind = MODULE

    def _entries(self) -> dict[str, Any]:
        return dict(self._registered(self._kind))

    def __getitem__(self, key: str) -> Any:
        return self._entries()[key]

    def __setitem__(self, key: str, value: Any) -> None:
        if key in self._kinds:
            setattr(self, key, value)
        else:
            self._register(self._kind, key, value)

    def __delitem__(self, key: str) -> None:
        self._entries()[key]  # (only what was put in can be taken out)
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._entries())

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries())

    def __contains__(self, key: object) -> bool:
        return key in self._entries()

    def keys(self) -> KeysView[str]:
        """The names."""
        return self._entries().keys()

    def values(self) -> ValuesView[Any]:
        """The values, in the order of their names."""
        return self._entries().values()

    def items(self) -> ItemsView[str, Any]:
        """Pairs of name and value."""
        return self._entries().items()

    def update(self, entries: Entries) -> None:
        """Put in, or replace, what a mapping or pairs of names and values hold."""
        for key, value in dict(entries).items():
            self[key] = value

    def pop(self, key: str) -> Any:
        """Take out and return. Raises KeyError for a name that is not there."""
        value = self[key]
        del self[key]
        return value

    def clear(self) -> None:
        """Take everything out."""
        for key in self._entries():
            del self[key]


class ModuleDict(_Named):
    """A dict whose modules are registered; it defines no forward."""

    def __init__(self, modules: Entries | None = None) -> None:
        super().__init__()
        self.update(modules or {})


class ParameterDict(_Named):
    """A dict whose parameters are registered. Tensors put in become parameters."""

    _kind = PARAMETER

    def __init__(self, parameters: Entries | None = None) -> None:
        super().__init__()
        self.update(parameters or {})

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, _parameter(value))

    def extra_repr(self) -> str:
        return _described(self)


class ParameterList(Module):
    """A list whose parameters are registered as "0", "1", ... Tensors put in become parameters."""

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self.extend(values or ())

    def _values(self) -> list[Any]:
        return [value for _, value in self._registered(PARAMETER)]

    @overload
    def __getitem__(self, index: int) -> Parameter: ...
    @overload
    def __getitem__(self, index: slice) -> ParameterList: ...
    def __getitem__(self, index: int | slice) -> Parameter | ParameterList:
        if isinstance(index, slice):
            return ParameterList(self._values()[index])
        return self._values()[index]

    def __setitem__(self, index: int, value: Any) -> None:
        setattr(self, str(range(len(self))[index]), _parameter(value))

    def __len__(self) -> int:
        return len(self._values())

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self._values())

    def append(self, value: Any) -> Self:
        """Add a parameter at the end."""
        self._register(PARAMETER, str(len(self)), _parameter(value))
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add parameters at the end, one after the other."""
        for value in values:
            self.append(value)
        return self

    def extra_repr(self) -> str:
        return _described(self)
