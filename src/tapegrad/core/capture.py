"""The recording of a device's work that is being made, if one is.

Work that is recorded (``tapegrad.cuda.graph``) does not run, and is replayed later with the same
launches on the same arrays. What is Python's runs once, while it is recorded: so a number that the
host gives to a launch is the same in every replay, and a number that the device computes cannot
decide what is launched. Who works with either asks ``capturing()``, and then

- puts numbers that change from replay to replay into an array, ``live``, which each replay writes
  anew before its launches: the rows of an optimizer's steps, the key of random numbers;
- refuses, with ``refuse``, what needs a value now.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, NoReturn

import numpy as np


class CaptureError(RuntimeError):
    """An operation that cannot be recorded, or a recording that cannot be replayed any more; the
    message names the operation, and the line that called it."""


class Capture:
    """A recording of a device's work. ``array_type`` is that of its arrays, ``empty(shape, dtype)``
    makes one, ``write(array, host)`` fills it, ``insert(call)`` lets replays call something where
    it is now; none where a replay goes on while the host does."""

    def __init__(
        self,
        device: Any,
        array_type: type,
        empty: Callable,
        write: Callable,
        insert: Callable | None = None,
    ) -> None:
        self.device, self.array_type, self.insert = device, array_type, insert
        self._empty, self._write = empty, write
        # What the host does before a replay; each returns what takes it back, or None.
        self.before_each: list[Callable[[], Callable[[], Any] | None]] = []
        self.at_end: list[Callable[[], Any]] = []
        self.shared: dict[Any, Any] = {}  # for those who keep something while it is made

    def live(self, first: np.ndarray, later: Callable[[], np.ndarray]) -> Any:
        """An array of the device that each replay begins by filling with ``later()``. While it is
        recorded it has the numbers ``first``, where anything has numbers then."""
        array = self._empty(first.shape, first.dtype)
        if self.insert is not None:
            self._write(array, first)
        self.before_each.append(lambda: self._write(array, later()))
        return array

    def holds(self, array: Any) -> bool:
        """Whether it is an array of the device that is recorded."""
        return isinstance(array, self.array_type)


_current: ContextVar[Capture | None] = ContextVar("recording of launches", default=None)


def capturing() -> Capture | None:
    """The recording that this thread makes now."""
    return _current.get()


def set_capturing(capture: Capture | None) -> None:
    """Let this thread make a recording, or none."""
    _current.set(capture)


def refuse(why: str) -> NoReturn:
    """Raise CaptureError; where it happened is added by what makes the recording."""
    raise CaptureError(why)
