"""CSV files: text with a row per line and a delimiter between columns."""

from __future__ import annotations

import csv
import os
from array import array
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from .table import Table

_KINDS = {int: "an integer", float: "a number", str: "text"}


class CSVDataset(Table):
    """The rows of a CSV file, which is read whole: quoted fields, any delimiter, any encoding.

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
        names, rows, self._lines = self._read(header, delimiter, encoding)
        types = dict(types or {})
        if wrong := [n for n, t in types.items() if n not in names or t not in _KINDS]:
            raise ValueError(
                f"[CSVDataset] types= names columns with int, float or str, got {wrong[0]!r}: "
                f"{types[wrong[0]]!r}; the columns are {names}"
            )
        self._length = len(rows)
        words = zip(*rows, strict=True) if rows else [()] * len(names)
        self._values = {
            name: self._typed(name, column, types.get(name))
            for name, column in zip(names, words, strict=True)
        }
        self._choose(names, features, target, classes)

    def __len__(self) -> int:
        return self._length

    def _take(self, name: str, rows: np.ndarray) -> np.ndarray:
        return self._values[name][rows]

    def _is_text(self, name: str) -> bool:
        return self._values[name].dtype.kind == "O"

    def _place(self, row: int) -> str:
        return f"line {self._lines[row]}"

    # ---- reading --------------------------------------------------------------------------

    def _read(
        self, header: bool | Sequence[str], delimiter: str, encoding: str
    ) -> tuple[list[str], list[list[str]], array]:
        """The names of the columns, the fields of all rows, and the line on which each ends."""
        rows, lines = [], array("q")
        with open(self.path, newline="", encoding=encoding) as file:
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            try:
                for row in reader:
                    if row:
                        rows.append(row)
                        lines.append(reader.line_num)
            except csv.Error as error:
                raise self._wrong(f"line {reader.line_num}", f"{error}") from error
            except UnicodeDecodeError as error:
                wrong = f"the bytes after it are not {encoding}: {error.reason}; give encoding="
                raise self._wrong(f"line {reader.line_num}", wrong) from error
        if not rows:
            raise ValueError(f"[CSVDataset] {self.path} is empty: there is not even a header")
        if header is True:
            names = rows.pop(0)
            lines.pop(0)
        else:
            names = [str(i) for i in range(len(rows[0]))] if header is False else list(header)
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise self._wrong("the header", f"two columns are called {twice[0]!r}")
        for row, line in zip(rows, lines, strict=True):
            if len(row) != len(names):
                wrong = f"{len(row)} fields, where there are {len(names)} columns: {names}"
                raise self._wrong(f"line {line}", wrong)
        return names, rows, lines

    def _typed(self, name: str, words: Sequence[str], kind: type | None) -> np.ndarray:
        """A column as int64, float64, or objects that are str."""
        if kind is None:
            for kind in (int, float):
                try:
                    return self._numbers(words, kind)
                except ValueError:
                    pass
        elif kind is not str:
            try:
                return self._numbers(words, kind)
            except ValueError:
                raise ValueError(f"[CSVDataset] {self._first_wrong(name, words, kind)}") from None
        return np.array(words, dtype=object)

    def _numbers(self, words: Sequence[str], kind: type) -> np.ndarray:
        """Raises ValueError where a word is no such number."""
        values = []
        for word in words:
            if word in self._absent:
                if self._missing is None:
                    raise ValueError(word)
                values.append(kind(self._missing))  # no integer is nan
            elif "_" in word:  # which only Python takes for digits
                raise ValueError(word)
            else:
                values.append(kind(word))
        try:
            return np.array(values, dtype=np.int64 if kind is int else np.float64)
        except OverflowError as error:
            raise ValueError(str(error)) from None

    def _why_text(self, name: str) -> str:
        return self._first_wrong(name, self._values[name].tolist(), float)

    def _first_wrong(self, name: str, words: Sequence[str], kind: type) -> str:
        for row, word in enumerate(words):
            try:
                self._numbers([word], kind)
            except ValueError:
                what = "is missing" if word in self._absent else f"is not {_KINDS[kind]}"
                return f"{self.path}, {self._place(row)}, column {name!r}: {word!r} {what}"
        return f"{self.path}: column {name!r} is text"

    def _wrong(self, where: str, what: Any) -> ValueError:
        return ValueError(f"[CSVDataset] {self.path}, {where}: {what}")
