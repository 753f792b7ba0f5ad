"""Compiles loops for the CPU, each a file of its own, for the level of instructions in use, and
keeps them in the user's cache, by content."""

from __future__ import annotations

import ctypes
import hashlib

from tapegrad import _build
from tapegrad.core import native
from tapegrad.core.commit import fork_safe_lock

_loaded: dict[str, ctypes.CDLL] = {}
_compiling = fork_safe_lock()


def address_of(text: str) -> int:
    """Where the function ``fused`` of this source is in memory. Raises BuildError where it cannot
    be compiled."""
    with _compiling:
        if text not in _loaded:
            digest = hashlib.sha256(text.encode()).hexdigest()[:20]
            path = _build.build_loop(text, f"fused-{digest}", native.compiled.level())
            _loaded[text] = ctypes.CDLL(str(path))
        return ctypes.cast(_loaded[text].fused, ctypes.c_void_p).value or 0
