"""Changes that are made whole or not at all, and locks that survive a fork."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import WeakSet


def commit(steps: list[partial]) -> None:
    """Make prepared changes, all of them: no interrupt and no other thread comes between.

    Each is a ``partial`` of a function written in C (``setattr``, ``dict.update``, a ufunc with its
    ``out``), for which everything that could fail was checked before. One call in C runs them all,
    and Python looks at signals and other threads only between its own instructions. (CuPy's
    functions are Python's: an interrupt between two of them is served.)
    """
    deque(map(partial.__call__, steps), maxlen=0)


_locks: WeakSet[threading.Lock] = WeakSet()


def fork_safe_lock() -> threading.Lock:
    """A lock that is open in the child of a fork, whoever held it in the parent."""
    lock = threading.Lock()
    _locks.add(lock)
    return lock


def _open_locks() -> None:
    for lock in _locks:
        lock._at_fork_reinit()  # type: ignore[attr-defined]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_open_locks)


class Users:
    """How many uses there are, in all threads, of something that is put in between while there are
    any: ``put(True)`` puts it in, ``put(False)`` takes it out. Both may be called again where they
    were interrupted."""

    def __init__(self, put: Callable[[bool], Any]) -> None:
        self._put = put
        self._count = [0]
        self._is_in: bool | None = False  # None: half
        self._lock = fork_safe_lock()

    def __bool__(self) -> bool:
        return self._count[0] > 0

    def change(self, by: int, step: partial) -> None:
        """Count ``by`` more, and make the step: both or, where an interrupt comes, neither."""
        if not by:
            step()
            return
        with self._lock:
            try:
                if by > 0:
                    self._turn(True)
                commit([partial(self._count.__setitem__, 0, self._count[0] + by), step])
            finally:
                self._turn(bool(self))

    def _turn(self, on: bool) -> None:
        if self._is_in is not on:
            self._is_in = None
            self._put(on)
            self._is_in = on
