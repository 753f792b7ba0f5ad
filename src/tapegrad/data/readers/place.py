"""Where an index leads, and what dtype the elements of a file become."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.core import dtypes
from tapegrad.core.devices import CPU
from tapegrad.core.tensor import Tensor, wrap

# Integers that no tensor holds, in the next one that holds all of their values.
_WIDER = {np.dtype(np.uint16): dtypes.int32, np.dtype(np.uint32): dtypes.int64}


def positions(owner: Any, indices: Sequence[int], what: str) -> np.ndarray:
    """Indices as int64 positions from the start. Raises IndexError for one that is out of range,
    TypeError for what is none."""
    length, name = len(owner), type(owner).__name__
    given = np.asarray(indices)
    if given.size and given.dtype.kind not in "iu":
        raise TypeError(f"[{name}] an index is an int, got {indices!r}")
    rows = given.astype(np.int64)
    rows[rows < 0] += length
    if wrong := np.flatnonzero((rows < 0) | (rows >= length)).tolist():
        raise IndexError(
            f"[{name}] there is no {what} {given[wrong[0]]}: {owner.path} has {length}"
        )
    return rows


def known_encoding(owner: str, encoding: str) -> str:
    """The usual name of an encoding. Raises ValueError for one that Python does not know."""
    try:
        return codecs.lookup(encoding).name
    except LookupError as error:
        raise ValueError(f"[{owner}] {error}") from error


def held_dtype(dtype: np.dtype, where: str) -> np.dtype:
    """The dtype of tensors that holds all values of ``dtype``. Raises ValueError, beginning with
    ``where``, where there is none."""
    try:
        return dtypes.dtype(_WIDER.get(dtype.newbyteorder("="), dtype))
    except TypeError:
        raise ValueError(f"{where} has dtype {dtype}, which no tensor holds") from None


def rows_of(array: np.ndarray) -> list[Tensor]:
    """The rows of an array that nobody else has, as tensors over its memory."""
    return [wrap(np.asarray(row), CPU) for row in array]
