"""The tape's inner loops in C, where they were compiled (csrc/tape).

Python's code is the definition and serves where there is no compiler, or if the environment
variable ``TAPEGRAD_TAPE`` is ``python``; the extension does the same, faster.
"""

from __future__ import annotations

import os
import warnings
from importlib import import_module
from pathlib import Path
from types import ModuleType


def _is_older(extension: str, package: Path) -> bool:
    """Whether a checkout's sources have changed since the extension was compiled from them."""
    sources = (package.parents[1] / "csrc" / "tape").glob("*.cpp")
    compiled_at = os.stat(extension).st_mtime
    return any(source.stat().st_mtime > compiled_at for source in sources)


def _load() -> ModuleType | None:
    if os.environ.get("TAPEGRAD_TAPE") == "python":
        return None
    try:
        tape = import_module("tapegrad._tape")
    except ImportError:
        return None
    if _is_older(str(tape.__file__), Path(__file__).resolve().parents[1]):
        warnings.warn(
            "tapegrad._tape is older than csrc/tape and is not used: install again, or run "
            "python -m tapegrad._build tape",
            stacklevel=2,
        )
        return None
    return tape


compiled = _load()
