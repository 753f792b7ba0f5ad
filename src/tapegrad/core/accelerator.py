"""The tape's inner loop in C, where it was compiled (csrc/tape).

Python's code is the definition and serves where there is no compiler, or if the environment
variable ``TAPEGRAD_TAPE`` is ``python``; the extension does the same, faster.
"""

from __future__ import annotations

import os
import warnings
from importlib import import_module
from types import ModuleType

from tapegrad._version import __version__

_AGAIN = "python -m tapegrad._build tape compiles it"


def _load() -> tuple[ModuleType | None, str]:
    """The extension, if it may be used, and what is to be said of it."""
    if os.environ.get("TAPEGRAD_TAPE") == "python":
        return None, "not used: TAPEGRAD_TAPE=python"
    try:
        tape = import_module("tapegrad._tape")
    except ModuleNotFoundError:
        return None, f"not built, the tape runs in Python: {_AGAIN}"
    except ImportError as error:
        return None, f"cannot be loaded ({error}): {_AGAIN} again"
    if tape.__version__ != __version__ or _is_older(str(tape.__file__)):
        return None, f"of other sources than these: {_AGAIN} again"
    return tape, "compiled"


def _is_older(extension: str) -> bool:
    """Whether a checkout's sources have changed since the extension was compiled from them."""
    root = os.path.realpath(__file__)
    for _ in range(4):  # (pathlib would take a twentieth of the time of ``import tapegrad``)
        root = os.path.dirname(root)
    folder, compiled_at = os.path.join(root, "csrc", "tape"), os.stat(extension).st_mtime
    if not os.path.isdir(folder):
        return False
    return any(source.stat().st_mtime > compiled_at for source in os.scandir(folder))


compiled, status = _load()
if compiled is None and not status.startswith("not "):
    warnings.warn(f"tapegrad._tape is {status}", stacklevel=1)
