"""Let ``import torch`` mean tapegrad in this process, for a script that is to stay as it is::

    import tapegrad.torch_names; tapegrad.torch_names.install()

at its top, or ``python -m tapegrad.run script.py arguments...`` without a change. The modules are
the same objects: ``torch.nn is tapegrad.nn``. Nothing else is touched: ``import torchvision`` finds
torchvision, which asks for more of PyTorch than is here.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType
from typing import Any

import tapegrad

from . import version
from .core import formats

__all__ = ["install", "uninstall"]


class Version(str):
    """A version that is compared by its numbers, with strings and with tuples."""

    __slots__ = ()

    @staticmethod
    def _numbers(version: Any) -> list[int]:
        text = version if isinstance(version, str) else ".".join(map(str, version))
        return [int(number) for number in re.findall(r"\d+", text.partition("+")[0])]

    def __lt__(self, other: Any) -> bool:
        return self._numbers(self) < self._numbers(other)

    def __le__(self, other: Any) -> bool:
        return self._numbers(self) <= self._numbers(other)

    def __gt__(self, other: Any) -> bool:
        return self._numbers(self) > self._numbers(other)

    def __ge__(self, other: Any) -> bool:
        return self._numbers(self) >= self._numbers(other)


# The PyTorch whose names these are, and in the local part whose they are really.
_OWN = tapegrad.__version__
_VERSION = Version(f"2.13.0+tapegrad{_OWN}")


class _Names(MetaPathFinder, Loader):
    """Finds ``torch`` and what is in it. Asked before all others."""

    def __init__(self) -> None:
        self.specs: dict[str, Any] = {}  # of modules on their way
        self.paths: list[ModuleType] = []  # modules that were no packages

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        root, _, name = fullname.partition(".")
        if root != "torch":
            return None
        _found(name)
        # A package, so that what is imported from it is asked of _Missing.
        return spec_from_loader(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = _found(spec.name.partition(".")[2])
        for name, file in [*sys.modules.items()]:
            home, _, last = name.rpartition(".")
            if home == module.__name__ and vars(module).get(last, file) is not file:
                # A function stands before the file: an import of the file must not undo that.
                sys.modules[f"{spec.name}.{last}"] = file
        self.specs[spec.name] = module.__spec__
        if not hasattr(module, "__path__"):
            self.paths.append(module)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """It is executed already; only its own spec is to be put back."""
        assert module.__spec__ is not None
        module.__spec__ = self.specs.pop(module.__spec__.name)


class _Missing(MetaPathFinder):
    """Says what there is instead of a name that nobody else has found. Asked after all others."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> None:
        parent, _, name = fullname.rpartition(".")
        if parent.partition(".")[0] == "tapegrad" and parent in sys.modules:
            raise ImportError(_refusal(sys.modules[parent], name), name=fullname)


_names, _missing = _Names(), _Missing()


def _found(name: str) -> ModuleType:
    """The module of tapegrad's for ``torch.name``. Raises ModuleNotFoundError if there is none."""
    if not name:
        return tapegrad
    full = f"tapegrad.{name}"
    try:
        return import_module(full)
    except ImportError as error:
        if error.name is None or not f"{full}.".startswith(f"{error.name}."):
            raise  # of something that it imports
    parent, _, last = name.rpartition(".")
    home = _found(parent)
    module = getattr(home, last, None)
    if isinstance(module, ModuleType):
        return module
    raise ModuleNotFoundError(_refusal(home, last), name=f"torch.{name}")


def _refusal(home: ModuleType, name: str) -> str:
    """What is said of a name that is not here: what it is called, or the nearest names."""
    try:
        getattr(home, name)
        hint = ""
    except AttributeError as error:
        hint = str(error).partition(repr(name))[2]
    if not hint.startswith(":"):
        close = get_close_matches(name, [n for n in dir(home) if n[0] != "_"], 3, 0.5)
        hint = f": the nearest names are {', '.join(close)}" if close else ""
    called = "torch" + home.__name__.removeprefix("tapegrad")
    return f"cannot import {name!r} from {called!r}, which is tapegrad in this process{hint}"


def install() -> None:
    """From now on ``import torch`` gives tapegrad, and so do imports of and from its modules; a
    line on stderr says so. ``torch.__version__`` names the PyTorch whose names these are, and
    ``x.type()`` says "torch.FloatTensor". Does nothing the second time.

    Raises RuntimeError where PyTorch has been imported.
    """
    if _names in sys.meta_path:
        return
    if "torch" in sys.modules:
        raise RuntimeError(
            "[torch_names.install] PyTorch is imported already, and stays what it is: call this "
            "before anything that imports it"
        )
    sys.meta_path.insert(0, _names)
    sys.meta_path.append(_missing)
    tapegrad.__version__ = version.__version__ = _VERSION
    formats.library = "torch"
    print(f"tapegrad {_OWN}: 'import torch' means tapegrad in this process", file=sys.stderr)


def uninstall() -> None:
    """Undo ``install``: ``import torch`` gives PyTorch again. What the script has imported by then
    it keeps. Does nothing where nothing was installed."""
    if _names not in sys.meta_path:
        return
    sys.meta_path.remove(_names)
    sys.meta_path.remove(_missing)
    for name in [name for name in sys.modules if name.partition(".")[0] == "torch"]:
        del sys.modules[name]
    while _names.paths:
        del _names.paths.pop().__path__
    tapegrad.__version__ = version.__version__ = _OWN
    formats.library = "tapegrad"
