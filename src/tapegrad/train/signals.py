"""SIGINT and SIGTERM, noted until a loop has time for them."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

from . import together


class Signals:
    """Within it, SIGINT (CTRL-C) and SIGTERM are noted, and ``caught``; of several ranks, once
    ``share`` has told them that one of them has noted it. A second SIGINT raises KeyboardInterrupt
    at once. Afterwards the handlers are those that were there before, and
    ``deliver`` hands on what was noted.

    Only the main thread can do this; in others nothing is noted. Signals that are ignored stay so.
    """

    def __init__(self) -> None:
        self.noted: int | None = None
        self.caught: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                handler = signal.getsignal(number)
                if handler not in (signal.SIG_IGN, None):  # (None: it is not Python's)
                    self._before[number] = handler
                    signal.signal(number, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        while self._before:
            signal.signal(*self._before.popitem())

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.noted is not None and number == signal.SIGINT:
            self.__exit__()
            raise KeyboardInterrupt
        if self.noted is None:
            self.noted = number
            if not together.are_several():
                self.caught = number
            name = signal.Signals(number).name
            text = f"\n{name}: this step is finished first; CTRL-C ends at once\n"
            os.write(2, text.encode())  # print() must not be entered twice

    def share(self, ranks: float) -> None:
        """So many ranks have noted a signal: if there are any, this one has caught it."""
        if ranks:
            self.caught = self.noted or signal.SIGTERM

    def deliver(self) -> None:
        """After the end: do what the program does on that signal, which now need not be shared. Of
        a SIGTERM that it does not handle, SystemExit(143), by which open files and workers are
        closed."""
        number = self.caught or self.noted
        if number is None:
            return
        if number == signal.SIGTERM and signal.getsignal(number) is signal.SIG_DFL:
            raise SystemExit(128 + number)
        signal.raise_signal(number)
