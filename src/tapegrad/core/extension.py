"""Extensions that make what Python's code does faster, where they were compiled into the package.

Python's code is the definition and serves where there is no compiler.
"""

from __future__ import annotations

import os
import warnings
from importlib import import_module
from types import ModuleType

from tapegrad._version import __version__


def load(name: str, without: str, *folders: str) -> tuple[ModuleType | None, str]:
    """``tapegrad._<name>``, if it may be used, and what ``tapegrad doctor`` says of it. ``without``
    says what happens where it was not built. One that was compiled from other sources than those in
    ``folders`` is not used, of which a warning tells."""
    again = f"python -m tapegrad._build {name} compiles it"
    try:
        module = import_module(f"tapegrad._{name}")
    except ModuleNotFoundError:
        return None, f"not built, {without}: {again}"
    except ImportError as error:
        return None, _warned(name, f"cannot be loaded ({error}): {again} again")
    if module.__version__ != __version__ or _is_older(str(module.__file__), folders):
        return None, _warned(name, f"of other sources than these: {again} again")
    return module, "compiled"


def _warned(name: str, status: str) -> str:
    warnings.warn(f"tapegrad._{name} is {status}", stacklevel=4)
    return status


def _is_older(extension: str, folders: tuple[str, ...]) -> bool:
    """Whether a checkout's sources have changed since the extension was compiled from them."""
    root = os.path.realpath(__file__)
    for _ in range(4):  # (pathlib would take a twentieth of the time of ``import tapegrad``)
        root = os.path.dirname(root)
    compiled_at = os.stat(extension).st_mtime
    paths = [os.path.join(root, *folder.split("/")) for folder in folders]
    return any(
        source.stat().st_mtime > compiled_at
        for path in paths
        if os.path.isdir(path)
        for source in list(os.scandir(path))  # all of it: what is left open is warned of
        if source.name.endswith((".h", ".cpp"))
    )
