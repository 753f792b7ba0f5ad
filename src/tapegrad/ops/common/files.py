"""PyTorch's files, where they are divided otherwise here: ``from torch.optim.adamw import AdamW``
and ``torch.autograd.grad_mode.no_grad`` find the names of the package."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

from .hints import UnknownName

made: list[str] = []  # so far


def files(package: str, listed: dict[str, str], source: str = "") -> None:
    """Give a package, which has all its own names, PyTorch's files: file -> the names in it, which
    are looked up in ``source``, by default the package, when they are first asked for. A file in
    a folder, "algorithms.join", comes after the folder. Where the
    package has a function of a file's name, that is found as its attribute, as in PyTorch."""
    for file, names in listed.items():
        module = _file(f"{package}.{file}", names.split(), source or package)
        sys.modules[module.__name__] = module
        made.append(module.__name__)
        parent, _, name = module.__name__.rpartition(".")
        vars(sys.modules[parent]).setdefault(name, module)


def _file(full: str, names: list[str], source: str) -> ModuleType:
    module = ModuleType(full, f"What PyTorch has in its file {full.partition('.')[2]}.")

    def find(name: str) -> Any:
        if name not in names:
            raise UnknownName(f"module {full!r}", name, lambda: names)
        return getattr(import_module(source), name)

    vars(module).update(__all__=names, __getattr__=find, __dir__=lambda: names)
    return module
