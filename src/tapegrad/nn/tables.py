"""What an attribute of a module can be registered as, and the tables that show it so."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

PARAMETER = "parameter"
BUFFER = "buffer"
TRANSIENT_BUFFER = "transient buffer"  # moves with the module, stays out of its state_dict
MODULE = "module"


class Table(MutableMapping):
    """A module's parameters, buffers or modules by name; changing it changes the module."""

    def __init__(self, module: Any, *kinds: str) -> None:
        self._module, self._kinds = module, kinds

    def __getitem__(self, name: str) -> Any:
        if self._module._kinds.get(name) not in self._kinds:
            raise KeyError(name)
        return self._module.__dict__[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if name in self:
            setattr(self._module, name, value)
        else:
            self._module._register(self._kinds[0], name, value)

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        delattr(self._module, name)

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._module._registered(*self._kinds))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return repr(dict(self))

    def copy(self) -> dict[str, Any]:
        """A dict of the same entries, which is no table any more."""
        return dict(self)
