"""Modules that hold parameters, by position or by name."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, overload

from tapegrad.core.tensor import Tensor

from .container import Entries, Named, all_or_none, pairs_of
from .module import Module
from .parameter import Parameter

if TYPE_CHECKING:
    from typing_extensions import Self


def _parameter(value: Any) -> Any:
    """Tensors become parameters, as in PyTorch."""
    is_plain = isinstance(value, Tensor) and not isinstance(value, Parameter)
    return Parameter(value) if is_plain else value


def _described(entries: Iterable[tuple[Any, Any]]) -> str:
    return ", ".join(
        f"({name}): {value.dtype.name} {tuple(value.shape)}"
        if isinstance(value, Tensor)
        else f"({name}): {type(value).__name__}"
        for name, value in entries
    )


class ParameterDict(Named):
    """A dict whose parameters are registered. Tensors put in become parameters; values of other
    kinds are kept as they are. What a dict holds comes in the order of its names, as in PyTorch."""

    def __init__(self, parameters: Entries | None = None) -> None:
        super().__init__()
        self._names: dict[str, None] = {}
        self.update({} if parameters is None else parameters)

    def _entries(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in self._names}

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise TypeError(f"ParameterDict: a name is a string, not {key!r}")
        value = _parameter(value)
        if key in self._names:
            setattr(self, key, value)
        elif isinstance(value, Parameter) or value is None:
            self.register_parameter(key, value)
        elif hasattr(self, key):
            raise KeyError(f"ParameterDict already has an attribute '{key}'")
        else:
            setattr(self, key, value)
        self._names[key] = None

    def __delitem__(self, key: str) -> None:
        del self._names[key]
        delattr(self, key)

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._names)

    def update(self, entries: Entries) -> None:
        """As ``ModuleDict.update``; what a dict holds in the order of its names."""
        pairs = pairs_of(self, entries)
        if isinstance(entries, Mapping) and not isinstance(entries, OrderedDict):
            pairs.sort(key=operator.itemgetter(0))
        self._put(pairs)

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a name, or ``default``."""
        return self._entries().get(key, default)

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The value of a name, which is put in with ``default`` if it is not there."""
        if key not in self:
            self[key] = default
        return self[key]

    def popitem(self) -> tuple[str, Any]:
        """Take out and return the last name and its value. Raises KeyError if there is none."""
        if not self._names:
            raise KeyError("ParameterDict is empty")
        key = next(reversed(self._names))
        return key, self.pop(key)

    def copy(self) -> ParameterDict:
        """Another one of the same parameters."""
        return ParameterDict(OrderedDict(self.items()))

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> ParameterDict:
        """Another one with ``default`` under each of these names."""
        return ParameterDict((key, default) for key in keys)

    def __or__(self, other: Entries) -> ParameterDict:
        joined = self.copy()
        joined.update(other)
        return joined

    def __ror__(self, other: dict[str, Any]) -> dict[str, Any]:
        return {**other, **self}

    def __ior__(self, other: Entries) -> Self:
        self.update(other)
        return self

    def extra_repr(self) -> str:
        return _described(self.items())

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError(
            "ParameterDict cannot be called: it holds parameters and computes nothing"
        )


class ParameterList(Module):
    """A list whose parameters are registered as "0", "1", ... Tensors put in become parameters;
    values of other kinds are kept as they are."""

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._size = 0
        self.extend(() if values is None else values)

    def _values(self) -> list[Any]:
        return [self.__dict__[str(i)] for i in range(self._size)]

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(self._values()[index])
        return self._values()[index]

    def __setitem__(self, index: int, value: Any) -> None:
        setattr(self, str(range(len(self))[index]), _parameter(value))

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values())

    def __iadd__(self, values: Iterable[Any]) -> Self:
        return self.extend(values)

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not name.isdigit()]

    def append(self, value: Any) -> Self:
        """Add a parameter at the end."""
        setattr(self, str(self._size), _parameter(value))
        self._size += 1
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add parameters at the end, one after the other; none where one cannot be added."""
        if not isinstance(values, Iterable) or isinstance(values, Tensor):
            raise TypeError(
                f"ParameterList.extend needs parameters to go through, got a "
                f"{type(values).__name__}"
            )
        with all_or_none(self):
            for value in list(values):
                self.append(value)
        return self

    def extra_repr(self) -> str:
        return _described(enumerate(self))

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError(
            "ParameterList cannot be called: it holds parameters and computes nothing"
        )
