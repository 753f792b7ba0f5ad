"""Modules that hold modules, by position or by name."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import (
    Callable,
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    MutableMapping,
    ValuesView,
)
from contextlib import contextmanager
from functools import partial
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any, overload
from warnings import warn

from tapegrad.core.commit import commit
from tapegrad.core.tensor import Tensor

from .conv_relu import conv_relu, is_conv_relu
from .feed_forward import feed_forward, is_feed_forward
from .module import Module
from .tables import MODULE

if TYPE_CHECKING:
    from typing_extensions import Self


class _Ordered(Module):
    """Children named "0", "1", ... (or by given names), reached by position."""

    def _items(self) -> list[tuple[str, Module]]:
        return list(self._registered(MODULE))

    def _name_at(self, index: int) -> str:
        children = self._items()
        index = operator.index(index)
        if not -len(children) <= index < len(children):
            raise IndexError(f"{type(self).__name__} has {len(children)} modules, no index {index}")
        return children[index][0]

    def __len__(self) -> int:
        return len(self._items())

    def __iter__(self) -> Iterator[Module]:
        return (module for _, module in self._registered(MODULE))

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not name.isdigit()]

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._name_at(index), module)

    def __delitem__(self, index: int | slice) -> None:
        """Take out the module at a position, or those of a slice; the others are numbered anew."""
        items = self._items()
        if isinstance(index, slice):
            gone = {name for name, _ in items[index]}
        else:
            gone = {self._name_at(index)}
        self._arrange([item for item in items if item[0] not in gone], renumber=True)

    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        self.add_module(self._free_name(), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end, one after the other; none if there is anything else among
        them."""
        if not isinstance(modules, Iterable):
            raise TypeError(
                f"{type(self).__name__}.extend needs modules to go through, got a "
                f"{type(modules).__name__}"
            )
        added = list(modules)
        for i, module in enumerate(added, len(self)):
            self._require_kind("register {} as", MODULE, str(i), module)
            self._refuse_cycle(str(i), module)
        for module in added:
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

    def pop(self, key: int | slice = -1) -> Any:
        """Take out and return the module (or, for a slice, the modules) at a position."""
        popped = self[key]  # type: ignore[index]
        del self[key]
        return popped

    def _free_name(self) -> str:
        number = len(self)
        while str(number) in self._kinds:
            number += 1
        return str(number)

    def _arrange(self, items: list[tuple[str, Module]], renumber: bool = False) -> None:
        """Let these be the children; numbered, if those so far are, or if asked to."""
        before = [name for name, _ in self._items()]
        if renumber or before == [str(i) for i in range(len(before))]:
            items = [(str(i), module) for i, (_, module) in enumerate(items)]
        kinds = {name: kind for name, kind in self._kinds.items() if name not in before}
        kinds.update(dict.fromkeys(dict(items), MODULE))
        attributes = {**dict(items), "_kinds": kinds}
        gone = [partial(self.__dict__.pop, name) for name in before if name not in attributes]
        commit([partial(self.__dict__.update, attributes), *gone])


class Container(Module):
    """A module whose children are given by name. Deprecated: subclass Module."""

    def __init__(self, **modules: Module) -> None:
        warn("Container is deprecated: subclass Module", FutureWarning, stacklevel=2)
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)


# So many modules, if they are such ones, are one operation where there are kernels.
_JOINED: tuple[tuple[int, Callable, Callable], ...] = (
    (3, is_feed_forward, feed_forward),
    (2, is_conv_relu, conv_relu),
)


class Sequential(_Ordered):
    """Calls its modules one after the other: ``Sequential(Linear(4, 8), ReLU(), Linear(8, 2))``.

    A single dict in place of the modules names them. ``a + b`` and ``2 * a`` are other Sequentials
    of the same modules.
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
        if isinstance(input, Tensor) and input._device.type != "cpu":
            return self._joined(input)
        for name, kind in tuple(self._kinds.items()):
            if kind == MODULE:
                input = self.__dict__[name](input)
        return input

    def _joined(self, input: Any) -> Any:
        """With kernels: what ``_JOINED`` knows as one operation."""
        modules = list(self)
        at = 0
        while at < len(modules):
            for count, fits, call in _JOINED:
                if fits(*modules[at : at + count]):
                    input = call(input, *modules[at : at + count])
                    at += count
                    break
            else:
                input = modules[at](input)
                at += 1
        return input

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Module | Self:
        if isinstance(index, slice):
            return type(self)(OrderedDict(self._items()[index]))
        return getattr(self, self._name_at(index))

    def insert(self, index: int, module: Module) -> Self:
        """Put a module before position ``index``. Those behind it get the next numbers; where
        modules have names of their own, all keep theirs. Raises IndexError for a position that is
        not there."""
        if not -len(self) <= index <= len(self):
            raise IndexError(f"Sequential has {len(self)} modules, no place {index} to insert at")
        return super().insert(index, module)

    def __add__(self, other: Sequential) -> Sequential:
        _require_sequential("+", other)
        return Sequential(*self, *other)

    def __iadd__(self, other: Sequential) -> Self:
        _require_sequential("+=", other)
        return self.extend(other)

    def __mul__(self, times: int) -> Sequential:
        _require_count("*", times)
        return Sequential(*(list(self) * times))

    __rmul__ = __mul__

    def __imul__(self, times: int) -> Self:
        _require_count("*=", times)
        return self.extend(list(self) * (times - 1))


def _require_sequential(op: str, other: Any) -> None:
    if not isinstance(other, Sequential):
        raise ValueError(f"Sequential {op} needs another Sequential, got {type(other).__name__}")


def _require_count(op: str, times: Any) -> None:
    if not isinstance(times, int):
        raise TypeError(f"Sequential {op} needs an int, got {type(times).__name__}")
    if times <= 0:
        raise ValueError(f"Sequential {op} needs a positive number, got {times}")


class ModuleList(_Ordered):
    """A list whose modules are registered; it defines no forward."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(() if modules is None else modules)

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Module | Self:
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return getattr(self, self._name_at(index))

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList(chain(self, other))

    def __iadd__(self, other: Iterable[Module]) -> Self:
        return self.extend(other)

    def __repr__(self) -> str:
        """Neighbours that look alike are shown once: ``(0-2): 3 x ReLU()``."""
        lines, start = [], 0
        for text, alike in groupby(repr(module) for module in self):
            count = sum(1 for _ in alike)
            end = start + count
            place = f"({start}): " if count == 1 else f"({start}-{end - 1}): {count} x "
            lines.append(f"  {place}{text}".replace("\n", "\n  "))
            start = end
        body = "".join(f"\n{line}" for line in lines)
        return f"{self._get_name()}({body}\n)" if lines else f"{self._get_name()}()"


# ---------------------------------------------------------------------- by name

Entries = Mapping[str, Any] | Iterable[tuple[str, Any]]


def pairs_of(owner: Module, entries: Any) -> list[tuple[str, Any]]:
    """What a mapping, or an iterable of pairs, holds. Raises TypeError or ValueError, as dicts do,
    for anything else."""
    name = type(owner).__name__
    if isinstance(entries, (Mapping, Named)):
        return list(entries.items())
    if not isinstance(entries, Iterable):
        raise TypeError(
            f"{name}.update needs a mapping or pairs of a name and a value, got a "
            f"{type(entries).__name__}"
        )
    pairs = list(entries)
    for i, pair in enumerate(pairs):
        if not isinstance(pair, Iterable):
            raise TypeError(
                f"{name}.update needs pairs of a name and a value, entry {i} is a "
                f"{type(pair).__name__}"
            )
        if len(tuple(pair)) != 2:
            raise ValueError(
                f"{name}.update needs pairs of a name and a value, entry {i} has length "
                f"{len(tuple(pair))}"
            )
    return [tuple(pair) for pair in pairs]


@contextmanager
def all_or_none(owner: Module) -> Iterator[None]:
    """Let what is put into a module within this be there whole, or, if it raises, not at all."""
    tables = {"_kinds": dict(owner._kinds), "_names": dict(vars(owner).get("_names", {}))}
    before = {name: tables.get(name, value) for name, value in vars(owner).items()}
    try:
        yield
    except BaseException:
        commit([partial(vars(owner).clear), partial(vars(owner).update, before)])
        raise


class Named(Module):
    """A dict whose values are registered."""

    def _entries(self) -> MutableMapping[str, Any]:
        raise NotImplementedError

    def __getitem__(self, key: str) -> Any:
        return self._entries()[key]

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
        """Put in, or replace, what a mapping or pairs of names and values hold; nothing of it if
        something else is among it."""
        self._put(pairs_of(self, entries))

    def _put(self, pairs: list[tuple[str, Any]]) -> None:
        with all_or_none(self):
            for key, value in pairs:
                self[key] = value

    def pop(self, key: str) -> Any:
        """Take out and return. Raises KeyError for a name that is not there."""
        value = self[key]
        del self[key]
        return value

    def clear(self) -> None:
        """Take everything out."""
        for key in list(self):
            del self[key]


class ModuleDict(Named):
    """A dict whose modules are registered; it defines no forward."""

    def __init__(self, modules: Entries | None = None) -> None:
        super().__init__()
        self.update({} if modules is None else modules)

    def _entries(self) -> dict[str, Any]:
        return dict(self._registered(MODULE))

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)
