"""What is on its way between ranks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from .errors import DistBackendError


class Pending(Protocol):
    """Something on its way."""

    def done(self) -> bool:
        """Whether it has arrived; asking is what lets it go on."""


class Steps:
    """Several things on their way, one after the other, with what is computed between them: an
    iterator over what is to be waited for. It begins at once. What goes wrong is raised whenever
    it is asked."""

    def __init__(self, steps: Iterator[Pending]):
        self._steps = steps
        self._current: Pending | None = None
        self._over = False
        self._error: Exception | None = None
        self._go_on()

    def done(self) -> bool:
        self._go_on()
        if self._error is not None:
            raise self._error
        return self._over

    def _go_on(self) -> None:
        try:
            while not self._over and self._error is None:
                if self._current is not None and not self._current.done():
                    return
                self._current = next(self._steps, None)
                self._over = self._current is None
        except Exception as error:
            self._error = error


class Named:
    """Something on its way, whose errors say whose it was."""

    def __init__(self, pending: Pending, name: str):
        self._pending, self._name = pending, name

    def done(self) -> bool:
        try:
            return self._pending.done()
        except DistBackendError as error:
            raise DistBackendError(f"{self._name}: {error}") from None


class Arrived:
    """What needed no way."""

    def done(self) -> bool:
        return True
