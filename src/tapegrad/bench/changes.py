"""Two runs against each other: what became faster, what slower, beyond the noise."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass, field

from .results import Results
from .row import Row
from .timing import Timing

# From one run to the next the same code differs by more than within a run: memory lies elsewhere,
# the machine is in another mood.
_LEAST = 0.05


@dataclass
class Change:
    """A row of both runs. factor: NEW's time divided by OLD's. noise: the relative difference of
    times that still means nothing. verdict: "faster", "slower", "same", "wrong", "fixed",
    "missing", "new"."""

    case: str
    shape: tuple[int, ...]
    dtype: str
    verdict: str
    factor: float | None = None
    noise: float = 0.0
    message: str = ""

    def __str__(self) -> str:
        told = [f"{self.verdict:8}{self.case}", "x".join(map(str, self.shape)), self.dtype]
        if self.factor is not None:
            told.append(f"{self.factor:.2f} times as long (noise: {self.noise:.0%})")
        return "  ".join([*told, *filter(None, [self.message])])


@dataclass
class Changes:
    """What ``compare_results`` found; ``print`` shows it, row by row."""

    rows: list[Change] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    compared: int = 0  # rows that are in both

    def of(self, *verdicts: str) -> list[Change]:
        """The rows with one of these verdicts."""
        return [row for row in self.rows if row.verdict in verdicts]

    @property
    def ok(self) -> bool:
        """Whether rows were compared, and none is slower or wrong."""
        return self.compared > 0 and not self.of("slower", "wrong")

    def __str__(self) -> str:
        order = ("wrong", "slower", "faster", "fixed", "missing", "new")
        lines = [str(row) for verdict in order for row in self.of(verdict)]
        counts = Counter(row.verdict for row in self.rows)
        numbers = [f"{counts[v]} {v}" for v in (*order, "same") if counts[v]]
        return "\n".join([*lines, *self.notes, ", ".join(numbers) or "no rows"])


def compare_results(old: Results, new: Results) -> Changes:
    """What changed from one run to another, by rows of the same case, shape and dtype.

    A row is slower only where the interquartile ranges do not touch, its best round is slower than
    the other run's median, and the medians differ by more than the noise: 5%, the mean of both
    spreads, or what the times of the row's peers changed by: a peer of the same version runs the
    same code. Likewise faster.
    """
    changes = Changes(notes=_notes(old, new))
    before = {row.key: row for row in old.rows}
    constant = _unchanged_peers(old, new)
    drifts = []
    for row in new.rows:
        was = before.pop(row.key, None)
        change = _change(was, row, constant)
        changes.rows.append(change)
        changes.compared += was is not None
        if was is not None:
            drifts += _drifts(was, row, constant)
    # Rows of cases that NEW was not asked for are not missing.
    asked = {row.case for row in new.rows}
    complete = not new.settings.get("cases")
    changes.rows += [
        Change(row.case, row.shape, row.dtype, "missing", message="it is in OLD only")
        for row in before.values()
        if complete or row.case in asked
    ]
    if not changes.compared:
        changes.notes.append("no row is in both: nothing was compared")
    if drifts:
        changes.notes.append(
            f"the peers, whose code is the same, took {statistics.median(drifts):.2f} times as "
            "long in NEW (median of the rows)"
        )
    return changes


def _change(was: Row | None, row: Row, constant: set[str]) -> Change:
    change = Change(row.case, row.shape, row.dtype, "same")
    if row.status in ("wrong", "failed"):
        change.verdict, change.message = "wrong", f"{row.status}: {row.message}"
    elif row.timing is None:
        change.verdict, change.message = "missing", f"{row.status}: {row.message}"
    elif was is None:
        change.verdict = "new"
    elif was.timing is None:
        change.verdict, change.message = "fixed", f"it was {was.status}"
    else:
        # Half the time is as much of a change as twice the time.
        drift = [max(d, 1 / d) - 1 for d in _drifts(was, row, constant)]
        spread = (was.timing.spread + row.timing.spread) / 2
        change.noise = max(_LEAST, spread, statistics.median(drift) if drift else 0.0)
        change.factor = row.timing.median / was.timing.median
        if change.factor > 1 + change.noise and _beyond(row.timing, was.timing):
            change.verdict = "slower"
        elif change.factor < 1 / (1 + change.noise) and _beyond(was.timing, row.timing):
            change.verdict = "faster"
    return change


def _beyond(slow: Timing, fast: Timing) -> bool:
    """Whether the quartiles do not touch and even the best round of the slow one is slower than
    the usual one of the fast: what only waits for the processor has good rounds too."""
    return not slow.ties_with(fast) and min(slow.samples) > fast.median


def _unchanged_peers(old: Results, new: Results) -> set[str]:
    """The libraries that have the same version in both runs."""
    return {
        name
        for name in ("numpy", "cupy", "torch")
        if old.machine.get(name) and old.machine.get(name) == new.machine.get(name)
    }


def _drifts(was: Row, row: Row, constant: set[str]) -> list[float]:
    """By what factor each peer's time changed, of those that run the same code."""
    return [
        row.rivals[name].median / was.rivals[name].median
        for name in row.rivals
        if name in was.rivals and name.partition(".")[0] in constant
    ]


def _notes(old: Results, new: Results) -> list[str]:
    notes = []
    for name in ("device", "processor", "cores"):
        a, b = old.machine.get(name), new.machine.get(name)
        if a != b:
            notes.append(f"another machine: {name} was {a}, is {b}")
    a, b = (r.machine.get("gpu", {}).get("name") for r in (old, new))
    if a != b:
        notes.append(f"another machine: the GPU was {a}, is {b}")
    for name in ("python", "numpy", "numpy_blas", "torch", "cupy", "threads"):
        a, b = old.machine.get(name), new.machine.get(name)
        if a and b and a != b:
            notes.append(f"other software or settings: {name} was {a}, is {b}")
    for name, results in (("OLD", old), ("NEW", new)):
        if results.disturbed:
            notes.append(f"{name}: {results.disturbed}; what changed may be that")
    if new.interrupted:
        notes.append("NEW was interrupted: some rows are missing")
    return notes
