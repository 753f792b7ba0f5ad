"""What a run found: rows, the machine, and the JSON file that keeps them."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tapegrad._build import replacing
from tapegrad.core.devices import Device

from . import machine
from .check import BenchmarkError
from .row import Row
from .shown import Shown
from .timing import Timing

SCHEMA, VERSION = "tapegrad-bench", 1
_DIGITS = 4  # of samples in the file
_LIST = re.compile(r"\[[-+.e\d\s,]+\]")  # of numbers
_OBJECTS = ("machine", "settings", "ceilings", "before", "after")


@dataclass
class Results(Shown):
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

    @classmethod
    def begun(cls, device: Device, settings: dict[str, Any], notes: Sequence[str] = ()) -> Results:
        """Those of a run on the device that begins now."""
        return cls(
            machine=machine.describe(device),
            date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            settings={"device": str(device), **settings},
            notes=list(notes),
            before=machine.state(device),
        )

    @property
    def bad(self) -> list[Row]:
        """The rows that are wrong or failed."""
        return [row for row in self.rows if row.status in ("wrong", "failed")]

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write everything, samples included; an existing file is replaced once all is written."""
        content = {"schema": SCHEMA, "version": VERSION, **asdict(self)}
        for row in content["rows"]:
            for timing in row["times"].values():
                timing["samples"] = [float(f"{s:.{_DIGITS}g}") for s in timing["samples"]]
        text = json.dumps(content, indent=1, allow_nan=False)
        with replacing(Path(path)) as unfinished:
            unfinished.write_text(_LIST.sub(_on_one_line, text) + "\n")

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> Results:
        """Read what ``to_json`` wrote.

        Raises BenchmarkError for a damaged or another kind of file; OSError as usual.
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


def _row(content: dict[str, Any]) -> Row:
    times = {name: _timing(timing) for name, timing in content.pop("times").items()}
    return Row(**{**content, "shape": tuple(content["shape"]), "times": times})


def _timing(content: dict[str, Any]) -> Timing:
    timing = Timing(**content)
    numbers = (timing.median, timing.low, timing.high, *timing.samples)
    if not all(isinstance(n, (int, float)) and 0 < n < math.inf for n in numbers):
        raise ValueError(f"no times: {numbers[:3]}")
    return Timing(timing.median, timing.low, timing.high, tuple(timing.samples))
