"""CSV files: text with a row per line and a delimiter between columns."""

from __future__ import annotations

import csv
import os
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np

from tapegrad.core.files import require_regular_file

from .place import known_encoding
from .table import Table

_PIECE = 1 << 13  # rows at once
_KINDS = {int: "an integer", float: "a number", str: "text"}


class _TextAfterNumbers(Exception):
    """A column that began with numbers has words further down: it is read once more, as text."""


class CSVDataset(Table):
    """The rows of a CSV file, kept as arrays: quoted fields, any delimiter, any encoding.

    A column is of integers (int64), of numbers (float64), or of text, whichever first holds all
    that it has; ``types={"zip": str}`` decides it. header: whether the first line names the
    columns; else they are "0", "1", ..., or a list of names. absent: the words for a number that is
    missing, which becomes ``missing``; None refuses it. features, target and classes: see
    ``Table``. Empty lines are left out.

    Raises OSError where the file cannot be read, ValueError with line and column for what is wrong
    in it: other numbers of fields than the first line, a word that is not of its column's type,
    bytes that are not of the encoding.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        features: Sequence[str] | str | None = None,
        target: str | None = None,
        *,
        header: bool | Sequence[str] = True,
        delimiter: str = ",",
        types: Mapping[str, type] | None = None,
        missing: float | None = float("nan"),
        absent: Collection[str] = ("", "NA", "N/A", "NaN", "nan", "null"),
        classes: Sequence[str] | None = None,
        encoding: str = "utf-8-sig",
    ) -> None:
        self.path = os.fspath(path)
        self._missing, self._absent = missing, frozenset(absent)
        known_encoding("CSVDataset", encoding)
        if header is None:
            raise TypeError("[CSVDataset] header is True, False (no line has names) or the names")
        known = dict(types or {})
        while True:
            try:
                self._values = self._read(header, delimiter, encoding, known)
                break
            except _TextAfterNumbers as found:
                known[found.args[0]] = str
        self._choose(list(self._values), features, target, classes)

    def __len__(self) -> int:
        return len(self._lines)

    def _take(self, names: Sequence[str], rows: np.ndarray) -> list[np.ndarray]:
        return [self._values[name][rows] for name in names]

    def _is_text(self, name: str) -> bool:
        return self._values[name].dtype.kind == "O"

    def _place(self, row: int) -> str:
        return f"line {self._lines[row]}"

    # ---- reading --------------------------------------------------------------------------

    def _read(
        self, header: bool | Sequence[str], delimiter: str, encoding: str, types: Mapping[str, type]
    ) -> dict[str, np.ndarray]:
        """All columns. The fields of a piece of the file become arrays before the next is read."""
        self._lines = array("q")
        require_regular_file(self.path)
        with open(self.path, newline="", encoding=encoding) as file:
            rows = self._rows(csv.reader(file, delimiter=delimiter, strict=True), encoding)
            if (first := next(rows, None)) is None:
                raise ValueError(f"[CSVDataset] {self.path} is empty: there is not even a header")
            names = first[1] if header is True else [str(i) for i in range(len(first[1]))]
            if not isinstance(header, bool):
                names = list(header)
            self._check_names(names, types)
            if header is not True:
                rows = chain([first], rows)
            parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
            while piece := [self._fitting(names, *row) for row in islice(rows, _PIECE)]:
                for name, words in zip(names, zip(*piece, strict=True), strict=True):
                    parts[name].append(self._typed(name, words, types.get(name), parts[name]))
        return {
            name: np.concatenate(found) if found else np.empty(0) for name, found in parts.items()
        }

    def _rows(self, reader: Any, encoding: str) -> Iterator[tuple[int, list[str]]]:
        """The line on which each row ends, and its fields."""
        try:
            for row in reader:
                if row:
                    yield reader.line_num, row
        except csv.Error as error:
            raise self._wrong(f"line {reader.line_num}", f"{error}") from error
        except UnicodeDecodeError as error:
            wrong = f"bytes that are not {encoding}: {error.reason}; give encoding="
            raise self._wrong(f"after line {reader.line_num}", wrong) from error

    def _check_names(self, names: list[str], types: Mapping[str, type]) -> None:
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise self._wrong("the header", f"two columns are called {twice[0]!r}")
        if wrong := [n for n, t in types.items() if n not in names or t not in _KINDS]:
            raise ValueError(
                f"[CSVDataset] types= names columns with int, float or str, got {wrong[0]!r}: "
                f"{types[wrong[0]]!r}; the columns are {names}"
            )

    def _fitting(self, names: list[str], line: int, row: list[str]) -> list[str]:
        if len(row) != len(names):
            wrong = f"{len(row)} fields, where there are {len(names)} columns: {names}"
            raise self._wrong(f"line {line}", wrong)
        self._lines.append(line)
        return row

    def _typed(
        self, name: str, words: Sequence[str], kind: type | None, before: list[np.ndarray]
    ) -> np.ndarray:
        """A piece of a column as int64, float64, or objects that are str, after other pieces."""
        if before and before[0].dtype.kind == "O":
            kind = str
        for one in (int, float) if kind is None else (kind,) * (kind is not str):
            try:
                return self._numbers(words, one)
            except ValueError:
                pass
        if kind in (int, float):
            raise ValueError(f"[CSVDataset] {self._first_wrong(name, words, kind)}")
        if before and before[0].dtype.kind != "O":
            raise _TextAfterNumbers(name)
        return np.array(words, dtype=object)

    def _numbers(self, words: Sequence[str], kind: type) -> np.ndarray:
        """Raises ValueError where a word is no such number."""
        if "_" in "".join(words):  # which only Python takes for digits
            raise ValueError("_")
        if self._absent.isdisjoint(words):
            values = list(map(kind, words))
        elif self._missing is None:
            raise ValueError("missing")
        else:  # (No integer is nan.)
            values = [kind(self._missing if w in self._absent else w) for w in words]
        try:
            return np.array(values, dtype=np.int64 if kind is int else np.float64)
        except OverflowError as error:
            raise ValueError(str(error)) from None

    def _why_text(self, name: str) -> str:
        return self._first_wrong(name, self._values[name].tolist(), float)

    def _first_wrong(self, name: str, words: Sequence[str], kind: type) -> str:
        first = len(self._lines) - len(words)
        for row, word in enumerate(words, first):
            try:
                self._numbers([word], kind)
            except ValueError:
                what = "is missing" if word in self._absent else f"is not {_KINDS[kind]}"
                return f"{self.path}, {self._place(row)}, column {name!r}: {word!r} {what}"
        return f"{self.path}: column {name!r} is text"

    def _wrong(self, where: str, what: Any) -> ValueError:
        return ValueError(f"[CSVDataset] {self.path}, {where}: {what}")
