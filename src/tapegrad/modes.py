"""Whether the tape records, thread by thread."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any


class _Mode(threading.local):
    recording = True
    inference = False


mode = _Mode()
_current = mode  # for the classes whose argument is called ``mode``, as in PyTorch


class _Setting:
    """A context manager and decorator that sets the mode for a stretch of code. Re-entrant."""

    recording = True
    inference: bool | None = None

    def __init__(self) -> None:
        self._before: list[tuple[bool, bool]] = []

    def __enter__(self) -> None:
        self._before.append((mode.recording, mode.inference))
        mode.recording = self.recording
        if self.inference is not None:
            mode.inference = self.inference

    def __exit__(self, *exception: Any) -> None:
        mode.recording, mode.inference = self._before.pop()

    def __call__(self, function: Callable) -> Callable:
        recording, kind = self.recording, type(self)

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            # A setting of its own for every call: calls may overlap in threads.
            setting = kind.__new__(kind)
            _Setting.__init__(setting)
            setting.recording, setting.inference = recording, self.inference
            with setting:
                return function(*args, **kwargs)

        return wrapped


class _Undecorated(_Setting):
    def __new__(cls, function: Callable | None = None) -> Any:
        # PyTorch allows @no_grad without parentheses
        return super().__new__(cls) if function is None else cls()(function)

    def __init__(self, function: Callable | None = None):
        super().__init__()


class no_grad(_Undecorated):
    """Nothing is recorded: results do not require grad."""

    recording = False


class enable_grad(_Undecorated):
    """Recording again, inside ``no_grad``."""

    recording = True


class inference_mode(_Setting):
    """``no_grad`` that says its results will never meet the tape."""

    def __init__(self, mode: bool = True):
        super().__init__()
        if callable(mode):
            raise TypeError("use @inference_mode(), with parentheses")
        self.recording, self.inference = not mode, mode


class set_grad_enabled(_Setting):
    """Recording or not, by a bool: at once, and until the end of a ``with``."""

    def __init__(self, mode: bool):
        super().__init__()
        self.recording = bool(mode)
        self._at_once = _current.recording
        _current.recording = self.recording

    def __enter__(self) -> None:
        self._before.append((self._at_once, _current.inference))
        _current.recording = self.recording

    def __call__(self, function: Callable) -> Callable:
        _current.recording = self._at_once  # a decorator changes nothing now
        return super().__call__(function)


def is_grad_enabled() -> bool:
    """Whether operations on tensors that require grad are recorded in this thread."""
    return mode.recording


def is_inference_mode_enabled() -> bool:
    """Whether this thread is inside ``inference_mode``."""
    return mode.inference
