"""A bar for a person who watches, a line now and then for a log."""

from __future__ import annotations

import sys
import time
from importlib.util import find_spec
from typing import Any

_LOG_EVERY = 30.0  # seconds


class Progress:
    """Counts steps on standard error: with tqdm where it is installed, else in one line; where
    standard error is not a terminal, by a line every half minute."""

    def __init__(self, total: int, enabled: bool = True):
        self._total, self._done, self._enabled = total, 0, enabled
        self._bar: Any = None
        self._watched = enabled and sys.stderr.isatty()
        self._logged = time.monotonic()

    def __enter__(self) -> Progress:
        if self._watched and find_spec("tqdm"):
            from tqdm import tqdm

            self._bar = tqdm(total=self._total, leave=False, dynamic_ncols=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self._watched:
            self._write("\r\x1b[K")

    def show(self, what: str) -> None:
        """Say what is being done now."""
        if self._bar is not None:
            self._bar.set_description_str(what)
        elif self._watched:
            self._write(f"\r\x1b[K[{self._done}/{self._total}] {what}")
        elif self._enabled and time.monotonic() - self._logged > _LOG_EVERY:
            self._logged = time.monotonic()
            self._write(f"[{self._done}/{self._total}] {what}\n")

    def step(self) -> None:
        """One more is done."""
        self._done += 1
        if self._bar is not None:
            self._bar.update()

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()
