"""Modules that hold modules or parameters by name, or parameters by position."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import TYPE_CHECKING, Any, overload

from tapegrad.core.tensor import Tensor

from .module import MODULE, PARAMETER, Module
from .parameter import Parameter

if TYPE_CHECKING:
    from typing_extensions import Self

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
        """What has the names."""
        return self._entries().values()

    def items(self) -> ItemsView[str, Any]:
        """Both."""
        return self._entries().items()

    def update(self, entries: Entries) -> None:
        """Put in, or replace, what a mapping or pairs of names and values hold."""
        for key, value in dict(entries).items():
            self[key] = value

    def pop(self, key: str) -> Any:
        """Take out and return. Raises KeyError where there is none."""
        value = self[key]
        del self[key]
        return value

    def clear(self) -> None:
        """Take everything out."""
        for key in self._entries():
            del self[key]


class ModuleDict(_Named):
    """A dict whose modules are registered; it has no forward of its own."""

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
