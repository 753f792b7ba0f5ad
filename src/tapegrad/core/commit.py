"""Changes that are made whole or not at all, and locks that survive a fork."""

from __future__ import annotations

import os
import threading
from collections import deque
from functools import partial


def commit(steps: list[partial]) -> None:
    """Make prepared changes, all of them: no interrupt and no other thread comes between.

    Each is a ``partial`` of a function written in C (``setattr``, ``dict.update``, a ufunc with its
    ``out``), for which everything that could fail was checked before. One call in C runs them all,
    and Python looks at signals and other threads only between its own instructions. (CuPy's
    functions are Python's: an interrupt between two of them is served.)
    """
    deque(map(partial.__call__, steps), maxlen=0)


def fork_safe_lock() -> threading.Lock:
    """A lock that is open in the child of a fork, whoever held it in the parent."""
    lock = threading.Lock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lock._at_fork_reinit)  # type: ignore[attr-defined]
    return lock
