"""What is on its way between ranks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol


class Pending(Protocol):
    """Something on its way."""

    def done(self) -> bool:
        """Whether it has arrived; asking is what lets it go on."""


class Steps:
    """Several things on their way, one after the other, with what is computed between them: an
    iterator over what is to be waited for. It begins at once."""

    def __init__(self, steps: Iterator[Pending]):
        self._steps = steps
        self._current: Pending | None = None
        self._over = False
        self.done()

    def done(self) -> bool:
        while not self._over:
            if self._current is not None and not self._current.done():
                return False
            self._current = next(self._steps, None)
            self._over = self._current is None
        return True


class Arrived:
    """What needed no way."""

    def done(self) -> bool:
        return True
