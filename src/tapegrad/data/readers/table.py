"""Rows of named columns, whatever file they are in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.core.dtypes import get_default_dtype
from tapegrad.data.dataset import Dataset

from .place import positions, rows_of


class Table(Dataset):
    """Base of datasets of rows with columns.

    Without ``features`` and ``target`` a sample is a dict of the columns: NumPy's numbers, and str.
    With them it is a pair ``(x, y)``: the features, a tensor of the default dtype, and the target,
    of which floats have the default dtype too, and text is the number of its class. ``target``
    alone: all other columns are features; ``features`` alone: a sample is x.

    A subclass calls ``_choose`` once it knows its columns.
    """

    path: str
    columns: list[str]  # those that a sample is made of
    classes: list[str] | None = None  # of a target that is text, in order of their numbers

    def _take(self, names: Sequence[str], rows: np.ndarray) -> list[np.ndarray]:
        """The values of these columns in these rows: numbers, or objects."""
        raise NotImplementedError

    def _is_text(self, name: str) -> bool:
        raise NotImplementedError

    def _distinct(self, name: str) -> set[str]:
        """All words of a column of text."""
        return {*self._take([name], np.arange(len(self)))[0]}

    def _place(self, row: int) -> str:
        """What a row is called in errors."""
        return f"row {row}"

    def _choose(
        self,
        known: Sequence[str],
        features: Sequence[str] | str | None,
        target: str | None,
        classes: Sequence[str] | None,
    ) -> None:
        """Take what the user has chosen. Raises ValueError for columns that are not there, or
        not numbers."""
        if isinstance(features, str):
            features = [features]
        if features is None and target is not None:
            features = [name for name in known if name != target]
        self.features = None if features is None else list(features)
        self.target = target
        asked = [*(self.features or ()), *([] if target is None else [target])]
        if missing := [name for name in asked if name not in known]:
            raise ValueError(
                f"[{self._name}] {self.path} has no column {', '.join(map(repr, missing))}: its "
                f"columns are {', '.join(map(repr, known))}"
            )
        self.columns = asked or list(known)
        for name in self.features or ():
            if self._is_text(name):
                raise ValueError(
                    f"[{self._name}] {self._why_text(name)}: features are numbers; leave the "
                    f"column out of features="
                )
        self._class_numbers: dict[str, int] | None = None
        if target is not None and self._is_text(target):
            if classes is None:
                classes = sorted(self._distinct(target))
            self.classes = list(classes)
            self._class_numbers = {word: i for i, word in enumerate(self.classes)}
        elif classes is not None:
            raise ValueError(f"[{self._name}] classes= are those of a target that is text")

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _why_text(self, name: str) -> str:
        return f"column {name!r} of {self.path} is text"

    def __getitem__(self, index: int) -> Any:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """The samples at these indices, read together."""
        rows = positions(self, indices, "row")
        taken = self._take(self.columns, rows)
        if self.features is None:
            return [
                dict(zip(self.columns, values, strict=True)) for values in zip(*taken, strict=True)
            ]
        x = np.empty((len(rows), len(self.features)), get_default_dtype())
        for i, values in enumerate(taken[: len(self.features)]):
            x[:, i] = values
        samples = rows_of(x)
        if self.target is None:
            return samples
        return list(zip(samples, self._targets(taken[-1], rows), strict=True))

    def _targets(self, values: np.ndarray, rows: np.ndarray) -> Any:
        if self._class_numbers is None:
            return values.astype(get_default_dtype()) if values.dtype.kind == "f" else values
        try:
            return [self._class_numbers[word] for word in values]
        except KeyError as error:
            row = int(rows[[word not in self._class_numbers for word in values].index(True)])
            raise ValueError(
                f"[{self._name}] {self.path}, {self._place(row)}, column {self.target!r}: "
                f"{error.args[0]!r} is none of the classes {self.classes}"
            ) from None
