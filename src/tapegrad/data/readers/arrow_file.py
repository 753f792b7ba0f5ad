"""Arrow and Parquet files (pyarrow, extra ``data``), of which no more is read than is asked for."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.core.files import require_regular_file

from .place import held_dtype
from .table import Table


def _pyarrow(owner: str) -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(f"[{owner}] needs pyarrow: pip install 'tapegrad[data]'") from error
    return pyarrow


class _Groups(Table):
    """Rows that a file keeps in groups, each of which is read whole."""

    _cache: int | None = None  # how many groups are kept; None: all

    def __init__(
        self,
        path: str | os.PathLike,
        features: Sequence[str] | str | None = None,
        target: str | None = None,
        *,
        columns: Sequence[str] | None = None,
        missing: float | None = float("nan"),
        classes: Sequence[str] | None = None,
    ) -> None:
        self.path = os.fspath(path)
        self._missing = missing
        require_regular_file(self.path)
        with open(self.path, "rb"):  # an OSError of the usual kind where it cannot be read
            pass
        file = self._opened()
        self._ends = np.cumsum(self._sizes(file), dtype=np.int64)
        schema = self._schema(file)
        known = list(columns) if columns is not None else list(schema.names)
        if absent := [name for name in known if name not in schema.names]:
            raise ValueError(
                f"[{self._name}] {self.path} has no column {absent[0]!r}: its columns are "
                f"{', '.join(map(repr, schema.names))}"
            )
        if twice := sorted({name for name in schema.names if schema.names.count(name) > 1}):
            raise ValueError(f"[{self._name}] {self.path}: two columns are called {twice[0]!r}")
        types = _pyarrow(self._name).types
        fields = {name: schema.field(name).type for name in known}
        self._types = {n: t.value_type if types.is_dictionary(t) else t for n, t in fields.items()}
        self._with_gaps = self._columns_with_gaps(file)
        self._choose(known, features, target, classes)
        for name in self.columns:
            self._require_held(name)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getstate__(self) -> dict[str, Any]:
        """Without the open file and what was read of it: another process opens its own."""
        return {k: v for k, v in self.__dict__.items() if k not in ("_file", "_kept", "_process")}

    def _is_text(self, name: str) -> bool:
        types, kind = _pyarrow(self._name).types, self._types[name]
        return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)

    def _is_list(self, name: str) -> bool:
        types, kind = _pyarrow(self._name).types, self._types[name]
        return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)

    def _require_held(self, name: str) -> None:
        if self._is_text(name) or self._is_list(name):
            return
        where = f"[{self._name}] {self.path}: column {name!r}"
        try:
            held_dtype(np.dtype(self._types[name].to_pandas_dtype()), where)
        except (ValueError, NotImplementedError):
            raise ValueError(
                f"{where} is of type {self._types[name]}, which no tensor holds: choose others by "
                "columns="
            ) from None

    def _distinct(self, name: str) -> set[str]:
        groups = (self._read(number, [name]) for number in range(len(self._ends)))
        return {word or "" for group in groups for word in group.column(name).unique().to_pylist()}

    # ---- what a kind of file defines ------------------------------------------------------

    def _open(self) -> Any:
        raise NotImplementedError

    def _sizes(self, file: Any) -> list[int]:
        """The number of rows of each group."""
        raise NotImplementedError

    def _schema(self, file: Any) -> Any:
        raise NotImplementedError

    def _columns_with_gaps(self, file: Any) -> set[str]:
        """Those that may have missing values anywhere, of which integers are floats throughout."""
        raise NotImplementedError

    def _group(self, file: Any, number: int, columns: list[str]) -> Any:
        """These columns of one group, as a table."""
        raise NotImplementedError

    # ---- reading --------------------------------------------------------------------------

    def _opened(self) -> Any:
        """The file, opened in this process."""
        if self.__dict__.get("_process") != os.getpid():
            pyarrow = _pyarrow(self._name)
            try:
                self._file = self._open()
            except (pyarrow.ArrowException, OSError) as error:
                raise ValueError(f"[{self._name}] {self.path}: {error}") from error
            self._kept: OrderedDict[int, dict[str, np.ndarray]] = OrderedDict()
            self._process = os.getpid()
        return self._file

    def _take(self, names: Sequence[str], rows: np.ndarray) -> list[np.ndarray]:
        groups = np.searchsorted(self._ends, rows, side="right")
        taken: list[np.ndarray] = []
        for number in np.unique(groups).tolist():
            values, inside = self._values(number), groups == number
            own = rows[inside] - self._start(number)
            parts = [values[name][own] for name in names]
            if len(own) == len(rows):
                return parts
            taken = taken or [np.empty(len(rows), part.dtype) for part in parts]
            for column, part in zip(taken, parts, strict=True):
                column[inside] = part
        return taken or [np.empty(0)] * len(names)

    def _start(self, number: int) -> int:
        return int(self._ends[number - 1]) if number else 0

    def _values(self, number: int) -> dict[str, np.ndarray]:
        """The columns of a group as arrays."""
        self._opened()
        kept = self._kept
        if number in kept:
            kept.move_to_end(number)
            return kept[number]
        pyarrow, group = _pyarrow(self._name), self._read(number, self.columns)
        kept[number] = {
            name: self._array(
                pyarrow, name, group.column(name).combine_chunks(), self._start(number)
            )
            for name in self.columns
        }
        if self._cache is not None:
            while len(kept) > self._cache:
                kept.popitem(last=False)
        return kept[number]

    def _read(self, number: int, columns: list[str]) -> Any:
        """Columns of a group. Raises ValueError where the file is damaged."""
        file, pyarrow = self._opened(), _pyarrow(self._name)
        try:
            return self._group(file, number, columns)
        except (pyarrow.ArrowException, OSError) as error:
            raise ValueError(f"[{self._name}] {self.path}, group {number}: {error}") from error

    def _array(self, pyarrow: Any, name: str, column: Any, start: int) -> np.ndarray:
        if pyarrow.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if self._is_text(name):
            # (Of the newest kind of strings, Polars's, nulls are not filled.)
            words = column.cast(pyarrow.large_string()).fill_null("")
            return words.to_numpy(zero_copy_only=False)
        if column.null_count and (self._missing is None or self._is_list(name)):
            row = start + column.is_null().to_numpy(zero_copy_only=False).tolist().index(True)
            raise ValueError(
                f"[{self._name}] {self.path}, row {row}, column {name!r}: the value is missing"
            )
        if self._is_list(name):
            return column.to_numpy(zero_copy_only=False)
        if name in self._with_gaps and not pyarrow.types.is_floating(column.type):
            column = column.cast(pyarrow.float64())
        if column.null_count:
            column = column.fill_null(pyarrow.scalar(self._missing, column.type))
        array = column.to_numpy(zero_copy_only=False)
        return array.astype(held_dtype(array.dtype, name), copy=False)


class ParquetDataset(_Groups):
    """The rows of a Parquet file, read by row group, of the chosen columns only.

    Groups are kept once read: the ``cache`` that were used last (None: all). Shuffled reading goes
    from group to group; keep all that fit into memory, or shuffle within blocks.

    Integers with missing values anywhere in the file are float64; what is missing becomes
    ``missing``, in text "". ``missing=None`` refuses it, as missing lists always are. features,
    target and classes: see ``Table``. Lists are NumPy arrays.

    Raises OSError where the file cannot be read, ImportError without pyarrow, ValueError for a file
    that is no Parquet or cut off, and for columns of types that tensors lack.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        features: Sequence[str] | str | None = None,
        target: str | None = None,
        *,
        columns: Sequence[str] | None = None,
        missing: float | None = float("nan"),
        classes: Sequence[str] | None = None,
        cache: int | None = 4,
    ) -> None:
        if cache is not None and cache < 1:
            raise ValueError(f"[ParquetDataset] cache must be None or at least 1, got {cache}")
        self._cache = cache
        super().__init__(path, features, target, columns=columns, missing=missing, classes=classes)

    def _open(self) -> Any:
        return _pyarrow(self._name).parquet.ParquetFile(self.path, memory_map=True)

    def _sizes(self, file: Any) -> list[int]:
        return [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]

    def _schema(self, file: Any) -> Any:
        return file.schema_arrow

    def _columns_with_gaps(self, file: Any) -> set[str]:
        found = set()
        for i in range(file.num_row_groups):
            group = file.metadata.row_group(i)
            for column in map(group.column, range(group.num_columns)):
                known = column.is_stats_set and column.statistics.has_null_count
                if not known or column.statistics.null_count:
                    found.add(column.path_in_schema)
        return found

    def _group(self, file: Any, number: int, columns: list[str]) -> Any:
        return file.read_row_group(number, columns=columns, use_threads=False)


class ArrowDataset(_Groups):
    """The rows of an Arrow file (Feather, the files of Hugging Face's datasets; of both formats,
    file and stream), mapped into memory and, unless it is compressed, read where it lies.

    The rest as in ``ParquetDataset``.
    """

    def _open(self) -> Any:
        pyarrow = _pyarrow(self._name)
        with open(self.path, "rb") as file:
            is_file = file.read(6) == b"ARROW1"
        source = pyarrow.memory_map(self.path)
        reader = pyarrow.ipc.open_file if is_file else pyarrow.ipc.open_stream
        table = reader(source).read_all()
        return table, table.to_batches()

    def _sizes(self, file: Any) -> list[int]:
        return [batch.num_rows for batch in file[1]]

    def _schema(self, file: Any) -> Any:
        return file[0].schema

    def _columns_with_gaps(self, file: Any) -> set[str]:
        return {name for name in file[0].column_names if file[0].column(name).null_count}

    def _group(self, file: Any, number: int, columns: list[str]) -> Any:
        return _pyarrow(self._name).Table.from_batches([file[1][number].select(columns)])
