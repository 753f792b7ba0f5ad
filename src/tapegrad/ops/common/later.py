"""Names of a package that are imported when they are first asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from .hints import unknown_names


def later(
    package: str, files: dict[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The ``__getattr__`` and ``__dir__`` of a package, of which some names are in files that are
    read when one of them is first asked for: file -> the names in it, or its own. Any other name
    raises UnknownName."""
    homes = {name: f".{file}" for file, names in files.items() for name in names.split()}
    here, refuse = vars(sys.modules[package]), unknown_names(package)

    def find(name: str) -> Any:
        if name not in homes:
            return refuse(name)
        module = import_module(homes[name], package)
        here[name] = found = getattr(module, name, module)
        return found

    return find, lambda: sorted({*here, *homes})
