"""Freed memory is kept for the next arrays, where the C library is glibc.

Every operation allocates its result and soon frees it. By default glibc returns large blocks to the
system at once, and the system clears each page (a page fault) when the next array is written: of
many training steps a quarter to a third. So from ``import tapegrad`` on, blocks come from the heap
up to 1 GiB, the heap grows by 64 MiB at a time, and up to 2 GiB at its end stay with the process.
Peak memory is what it was; what has been reached once is not given back.

All three settings or none: a heap that grows in large steps, or is not trimmed, without the rest
faults more often than before. Nothing is set where ``TAPEGRAD_KEEP_MEMORY=off`` or where the
environment has settings of its own (``GLIBC_TUNABLES``, ``MALLOC_TRIM_THRESHOLD_`` and its like).
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping
from typing import Any

# Parameters of glibc's mallopt(3).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
# Versions before 2.35 refuse a threshold of more than 32 MiB, up to which it moves by itself.
_MMAP_THRESHOLDS = 1 << 30, 1 << 25
_OWN_SETTINGS = (
    "GLIBC_TUNABLES",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_TOP_PAD_",
    "MALLOC_TRIM_THRESHOLD_",
)


def keep_freed_memory(environ: Mapping[str, str] = os.environ) -> bool:
    """Let glibc's malloc keep what is freed; whether it does."""
    chosen = environ.get("TAPEGRAD_KEEP_MEMORY") == "off"
    if chosen or any(name in environ for name in _OWN_SETTINGS):
        return False
    library = _glibc()
    if library is None:
        return False
    if not any(library.mallopt(_MMAP_THRESHOLD, size) for size in _MMAP_THRESHOLDS):
        return False
    library.mallopt(_TRIM_THRESHOLD, (1 << 31) - 1)
    library.mallopt(_TOP_PAD, 1 << 26)
    return True


def _glibc() -> Any:
    """The C library of this process, if it is glibc."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
