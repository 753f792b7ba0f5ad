"""Reports as files: CSV, JSON lines, TensorBoard."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Mapping
from typing import Any

from .callback import Callback


class _FileLog(Callback):
    """A file that always has the rows of the history, and so, after a resume, none twice."""

    every_rank = False

    def __init__(self, path: Any):
        self.path = os.fspath(path)

    def on_start(self, trainer: Any) -> None:
        folder = os.path.dirname(self.path)
        if folder:
            os.makedirs(folder, exist_ok=True)
        if not self._is_of(trainer):
            raise FileExistsError(
                f"[{type(self).__name__}] {self.path} has the reports of another run: name another "
                "file, remove it, or go on with that run by fit(resume=True)"
            )
        self._replace(trainer)

    def _is_of(self, trainer: Any) -> bool:
        """Whether what is in the file are reports of this run. (Where it was killed between its
        first report and the save, resuming finds no history.)"""
        if not os.path.exists(self.path) or (trainer.resuming and not trainer.history):
            return True
        with open(self.path, encoding="utf-8", newline="") as file:
            first = self._first(file)
        known = {name: str(value) for row in trainer.history[:1] for name, value in row.items()}
        return first is None or (
            bool(known) and all(value == first.get(name) for name, value in known.items())
        )

    def _replace(self, trainer: Any) -> None:
        with open(self.path, "w", encoding="utf-8", newline="") as file:
            self._write(file, trainer.history, first=True)

    def on_report(self, trainer: Any, row: dict[str, Any]) -> None:
        if len(trainer.history) > 1 and row.keys() != trainer.history[-2].keys():
            self._replace(trainer)
            return
        with open(self.path, "a", encoding="utf-8", newline="") as file:
            self._write(file, [row], first=len(trainer.history) == 1)

    def _write(self, file: Any, rows: list[dict[str, Any]], first: bool) -> None:
        raise NotImplementedError

    def _first(self, file: Any) -> Mapping[str, str] | None:
        """The first report in a file, as text; None without any."""
        raise NotImplementedError


class CSVLog(_FileLog):
    """Writes the history to a CSV file, a line for every report. Raises FileExistsError for a file
    that has those of another run."""

    def _write(self, file: Any, rows: list[dict[str, Any]], first: bool) -> None:
        columns = list(dict.fromkeys(name for row in rows for name in row))
        writer = csv.DictWriter(file, columns, restval="")
        if first and rows:
            writer.writeheader()
        writer.writerows(rows)

    def _first(self, file: Any) -> Mapping[str, str] | None:
        return next(csv.DictReader(file), None)


class JSONLog(_FileLog):
    """Writes the history as JSON, a line for every report (nan and infinities, which JSON lacks,
    as text). Raises FileExistsError for a file that has those of another run."""

    def _write(self, file: Any, rows: list[dict[str, Any]], first: bool) -> None:
        for row in rows:
            known = {name: v if math.isfinite(v) else str(v) for name, v in row.items()}
            file.write(json.dumps(known, allow_nan=False) + "\n")

    def _first(self, file: Any) -> Mapping[str, str] | None:
        line = file.readline()
        try:
            return {name: str(value) for name, value in json.loads(line).items()} if line else None
        except (ValueError, AttributeError):  # none of ours
            return {}


class TensorBoard(Callback):
    """Writes every report to a folder that TensorBoard shows. Raises ImportError without
    tensorboardX (extra ``train``)."""

    every_rank = False

    def __init__(self, folder: Any):
        self.folder = os.fspath(folder)
        self._writer: Any = None

    def on_start(self, trainer: Any) -> None:
        from tapegrad.utils.tensorboard import SummaryWriter

        # Of what a killed run wrote after its last save, nothing is shown.
        self._writer = SummaryWriter(self.folder, purge_step=trainer.step + 1)

    def on_report(self, trainer: Any, row: dict[str, Any]) -> None:
        for name, value in row.items():
            if name != "step":
                self._writer.add_scalar(name, value, row["step"])
        self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.__exit__(None, None, None)
            self._writer = None
