"""NumPy's files: ``.npy``, mapped into memory, and ``.npz``."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.core.files import require_regular_file
from tapegrad.core.tensor import Tensor
from tapegrad.data.dataset import Dataset

from .place import held_dtype, positions, rows_of


class _Arrays(Dataset):
    """Arrays of equally many rows: sample i is row i of each, a tuple; of one array, the row."""

    path: str

    def _open(self) -> list[tuple[str, np.ndarray]]:
        """The arrays, and what to call them."""
        raise NotImplementedError

    def _check(self) -> None:
        owner, found = type(self).__name__, self._opened()
        for where, array in found:
            if not array.ndim:
                raise ValueError(f"[{owner}] {where} is a single number: it has no rows")
        lengths = {where: len(array) for where, array in found}
        if len({*lengths.values()}) > 1:
            told = ", ".join(f"{where} has {n}" for where, n in lengths.items())
            raise ValueError(f"[{owner}] the arrays must have equally many rows: {told}")
        self._length = len(found[0][1])

    def _opened(self) -> list[tuple[str, np.ndarray]]:
        if "_arrays" not in self.__dict__:
            self._arrays = self._open()
        return self._arrays

    def __getstate__(self) -> dict[str, Any]:
        """Without the arrays: another process opens the files itself."""
        return {name: value for name, value in self.__dict__.items() if name != "_arrays"}

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Any:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """The samples at these indices, read together."""
        rows = positions(self, indices, "row")
        taken: list[list[Tensor]] = []
        for where, array in self._opened():
            # (Of one row a slice is less work than an array of indices.)
            one = slice(int(rows[0]), int(rows[0]) + 1) if len(rows) == 1 else rows
            taken.append(rows_of(np.array(array[one], dtype=held_dtype(array.dtype, where))))
        return taken[0] if len(taken) == 1 else list(zip(*taken, strict=True))


def _load(owner: str, path: str, **options: Any) -> Any:
    require_regular_file(path)
    try:
        return np.load(path, allow_pickle=False, **options)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        text = str(error)
        if "allow_pickle" in text or "Python objects" in text:
            text = "it is no file of numbers (objects and pickles are not read)"
        raise ValueError(f"[{owner}] {path}: {text}") from error


class NpyDataset(_Arrays):
    """The rows of one or more ``.npy`` files, mapped into memory: only what is asked for is read.
    Of one file a sample is a row, of several a tuple. Python objects are not read.

    Raises OSError where a file cannot be read, ValueError for one that is no ``.npy`` or cut off,
    of a dtype that tensors lack, and for files of different lengths.
    """

    def __init__(self, *paths: str | os.PathLike) -> None:
        if not paths:
            raise ValueError("[NpyDataset] needs at least one file")
        self.paths = [os.fspath(path) for path in paths]
        self.path = self.paths[0]
        self._check()

    def _open(self) -> list[tuple[str, np.ndarray]]:
        found = []
        for path in self.paths:
            array = _load("NpyDataset", path, mmap_mode="r")
            if not isinstance(array, np.ndarray):
                array.close()
                raise ValueError(f"[NpyDataset] {path} holds several arrays: use NpzDataset")
            held_dtype(array.dtype, f"[NpyDataset] {path}")
            found.append((path, array))
        return found


class NpzDataset(_Arrays):
    """The rows of the arrays of an ``.npz`` file with these names (none: all), which are read
    whole. Of one array a sample is a row, of several a tuple. Python objects are not read.

    Raises OSError where the file cannot be read, ValueError for one that is no ``.npz`` or
    damaged, for names that are not in it, dtypes that tensors lack and arrays of different lengths.
    """

    def __init__(self, path: str | os.PathLike, *names: str) -> None:
        self.path = os.fspath(path)
        self.names = list(names)
        self._check()

    def _open(self) -> list[tuple[str, np.ndarray]]:
        file = _load("NpzDataset", self.path)
        if isinstance(file, np.ndarray):
            raise ValueError(f"[NpzDataset] {self.path} holds a single array: use NpyDataset")
        with file:
            self.names = self.names or list(file.files)
            if absent := [name for name in self.names if name not in file.files]:
                raise ValueError(
                    f"[NpzDataset] {self.path} has no array {absent[0]!r}: it has {file.files}"
                )
            if not self.names:
                raise ValueError(f"[NpzDataset] {self.path} holds no arrays")
            return [(f"{self.path}: {name}", self._member(file, name)) for name in self.names]

    def _member(self, file: Any, name: str) -> np.ndarray:
        where = f"[NpzDataset] {self.path}: {name}"
        try:
            array = file[name]
        except Exception as error:  # zlib's, zipfile's and NumPy's own, of damaged files
            raise ValueError(f"{where} cannot be read: {error}") from error
        if not isinstance(array, np.ndarray):
            raise ValueError(f"{where} is no array")
        held_dtype(array.dtype, where)
        return array
