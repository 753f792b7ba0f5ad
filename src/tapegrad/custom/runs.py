"""Work of a check, in processes of its own: how long it may take, and how much of it ran."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tapegrad.core.kernels import library

from .child import Died, in_child
from .patience import Patience
from .report import Report

SECONDS = 300  # from one note to the next, for what is no kernel, and has no end


class Runs:
    """Runs work for a report, and counts launches and threads in it. seconds: how long a launch
    may be stuck (``Patience``)."""

    def __init__(self, report: Report, seconds: float):
        self.report, self.seconds, self.longest = report, seconds, 0.0

    def __call__(self, work: Callable, what: str) -> Any:
        """What ``work(note)`` finds; None where it died, which is reported."""
        try:
            return self.result(work, self.seconds)
        except Died as error:
            self.report.launches += 1
            self.report.add(what, False, str(error))
            return None

    def result(self, work: Callable, seconds: float) -> Any:
        """The same, but it raises Died."""

        def counted(note: Callable[..., None]) -> tuple:
            before = library("emulated").work_done()
            patience = Patience(seconds, self.longest, running=note)
            with patience.on_guard():
                result = work(note)
            after = library("emulated").work_done()
            return result, after[0] - before[0], after[1] - before[1], patience.longest

        result, launches, threads, longest = in_child(counted, SECONDS)
        self.report.launches += launches
        self.report.threads += threads
        self.longest = max(self.longest, longest)
        return result
