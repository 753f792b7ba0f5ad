"""When a kernel counts as endless: told apart from a slow one by how far its threads come, and by
how long the other launches took."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tapegrad.core.kernels import KernelError, library

SECONDS = 3.0
TICK = 0.1  # how often it looks, in seconds of processor time
TIMES_OTHERS = 20
TIMES_MEETING = 4


class Endless(KernelError):
    """A launch that was ended, as it would not have."""


class Patience:
    """Ends launches of the emulated device that have no end.

    seconds: of processor time, so that a busy machine makes no difference, in which at least one
    thread must end or meet others; or 20 times as long as the longest launch before, if that is
    more. Threads that only meet, and never end, get four times that. A slow kernel, whose threads
    end one after another, runs on; ``running`` is called again and again while a launch does.
    """

    def __init__(self, seconds: float, longest: float = 0.0, running: Callable[[], object] = bool):
        self.seconds, self.longest, self._running = seconds, longest, running
        self._launch = -1
        self._began = self._ended_at = self._met_at = 0.0
        self._ended = self._met = 0

    @contextmanager
    def on_guard(self) -> Iterator[None]:
        """Within it, in the process's first thread, launches raise Endless."""
        before = signal.signal(signal.SIGVTALRM, self._look)
        signal.setitimer(signal.ITIMER_VIRTUAL, TICK, TICK)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            signal.signal(signal.SIGVTALRM, before)

    def _look(self, *_: Any) -> None:
        """Called by the emulator while a kernel runs, too: it asks Python for signals."""
        emulated = library("emulated")
        running, ended, met = emulated.progress()
        if not running:
            return
        self._running()
        now, launch = time.process_time(), emulated.work_done()[0]
        if launch != self._launch:
            self._launch = launch
            self._began = self._ended_at = self._met_at = now
        if ended != self._ended:
            self._ended_at = now
            self.longest = max(self.longest, now - self._began)
        if met != self._met:
            self._met_at = now
        self._ended, self._met = ended, met
        limit = max(self.seconds, TIMES_OTHERS * self.longest)
        since, did = now - max(self._ended_at, self._met_at), "ended or met others"
        if since <= limit:
            since, did = now - self._ended_at, "ended, though they meet"
            limit *= TIMES_MEETING
        if since > limit:
            raise Endless(
                f"{emulated.describe_progress()}: did not end: no thread {did}, for {since:.0f} s "
                "of processor time (seconds= allows more)"
            )
