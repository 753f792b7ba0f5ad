"""What a run found, and how it is kept: rows, the machine, and a JSON file."""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .check import BenchmarkError
from .timing import Timing

SCHEMA, VERSION = "tapegrad-bench", 1
_DIGITS = 4  # of samples in the file
_LIST = re.compile(r"\[[-+.e\d\s,]+\]")  # of numbers
_OBJECTS = ("machine", "settings", "ceilings", "before", "after")


@dataclass
class Row:
    """One case at one shape and dtype.

    status: "ok"; "wrong" (the result is, so nothing was timed); "failed" (it raised); or "skipped"
    (not enough memory). times: seconds by contestant, the first being the one that the row is
    about. peers: what is the matter with those that were not timed. error: the largest found, as a
    part of |expected| + rms(expected), where at most ``tolerance`` is accepted. kernel: whether the
    hand-written kernel ran; None where there is none for the device.
    """

    case: str
    primitive: str
    shape: tuple[int, ...]
    dtype: str
    size: str = ""
    status: str = "ok"
    message: str = ""
    reference: str = ""
    error: float = 0.0
    tolerance: float = 0.0
    kernel: bool | None = None
    bytes: float = 0.0
    flops: float = 0.0
    of_ceiling: float | None = None
    times: dict[str, Timing] = field(default_factory=dict)
    peers: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> tuple:
        """What makes it the same row in another run."""
        return self.case, self.shape, self.dtype

    @property
    def timing(self) -> Timing | None:
        """Of the contestant that the row is about."""
        return next(iter(self.times.values()), None)

    @property
    def rivals(self) -> dict[str, Timing]:
        """Of the others."""
        return dict(list(self.times.items())[1:])

    @property
    def flops_per_second(self) -> float | None:
        return self.flops / self.timing.median if self.timing and self.flops else None

    def ratio(self, peer: str) -> float | None:
        """The peer's time by ours: above 1, ours is the faster."""
        if self.timing is None or peer not in self.times:
            return None
        return self.times[peer].median / self.timing.median


@dataclass
class Results:
    """Everything a run found. ``print(results)`` shows the table.

    machine: see ``machine.describe``; before, after: its clocks, temperatures and load (see
    ``machine.state``). interrupted: stopped by Ctrl-C, so some rows are missing.
    """

    rows: list[Row] = field(default_factory=list)
    machine: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    ceilings: dict[str, Any] = field(default_factory=dict)
    date: str = ""
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    interrupted: bool = False

    @property
    def bad(self) -> list[Row]:
        """The rows that are wrong or failed."""
        return [row for row in self.rows if row.status in ("wrong", "failed")]

    @property
    def disturbed(self) -> str:
        """How busy others kept the processor meanwhile, or "" if it was ours. Programs that take
        turns on a core make times doubtful that a run's own spread does not show."""
        cores = self.machine.get("cores")
        before, after = (state.get("load", 0.0) for state in (self.before, self.after))
        if not cores or (before <= cores / 2 and after <= cores + 1):
            return ""
        return f"the machine was busy: load {before} before and {after} after, on {cores} cores"

    def table(self) -> str:
        """For a terminal."""
        from .table import text

        return text(self)

    def markdown(self) -> str:
        """The same as a Markdown table."""
        from .table import markdown

        return markdown(self)

    __str__ = table

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write everything, samples included; the file is replaced only once it is whole."""
        content = {"schema": SCHEMA, "version": VERSION, **asdict(self)}
        for row in content["rows"]:
            for timing in row["times"].values():
                timing["samples"] = [_short(s) for s in timing["samples"]]
        target = Path(path)
        unfinished = target.with_name(f"{target.name}.{os.getpid()}.tmp")
        try:
            text = json.dumps(content, indent=1, allow_nan=False)
            unfinished.write_text(_LIST.sub(_on_one_line, text) + "\n")
            unfinished.replace(target)
        finally:
            unfinished.unlink(missing_ok=True)

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> Results:
        """Read what ``to_json`` wrote.

        Raises BenchmarkError for a file that is none of ours, or damaged; OSError as usual.
        """
        try:
            content = json.loads(Path(path).read_text())
        except ValueError as error:  # of JSON, and of UTF-8
            raise BenchmarkError(f"{path} is no JSON file: {error}") from error
        if not isinstance(content, dict) or content.pop("schema", None) != SCHEMA:
            raise BenchmarkError(f"{path} holds no results of 'tapegrad bench --json'")
        version = content.pop("version", None)
        if version != VERSION:
            raise BenchmarkError(
                f"{path} has version {version!r} of the results' format, this tapegrad reads "
                f"{VERSION}: measure again, or use the tapegrad that wrote it"
            )
        try:
            rows = [_row(row) for row in content.pop("rows")]
            results = cls(rows=rows, **content)
            if not all(isinstance(getattr(results, name), dict) for name in _OBJECTS):
                raise TypeError(f"{', '.join(_OBJECTS)} must be objects")
            return results
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise BenchmarkError(f"{path} is damaged: {error!r}") from error


def _on_one_line(numbers: re.Match[str]) -> str:
    return " ".join(numbers[0].split()).replace("[ ", "[").replace(" ]", "]")


def _short(seconds: float) -> float:
    return float(f"{seconds:.{_DIGITS}g}")


def _row(content: dict[str, Any]) -> Row:
    times = {name: _timing(timing) for name, timing in content.pop("times").items()}
    return Row(**{**content, "shape": tuple(content["shape"]), "times": times})


def _timing(content: dict[str, Any]) -> Timing:
    timing = Timing(**content)
    numbers = (timing.median, timing.low, timing.high, *timing.samples)
    if not all(isinstance(n, (int, float)) and 0 < n < math.inf for n in numbers):
        raise ValueError(f"no times: {numbers[:3]}")
    return Timing(timing.median, timing.low, timing.high, tuple(timing.samples))
