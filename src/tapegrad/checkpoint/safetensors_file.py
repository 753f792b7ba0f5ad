"""Checkpoints as safetensors, the format that other libraries read."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import numpy as np

from tapegrad.core import dtypes

from .seal import BLANK, PICKLE, Arrays, CheckpointError, check_seal, seal

_SAFETENSORS = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}

# In the metadata. Two words show whose it is: one may be damaged.
_KEY, _MARK, _TREE = "sha256", "tapegrad", "tapegrad.tree"
_BEFORE = f'"{_KEY}":"'.encode()  # (which no name contains: quotes in names are escaped)
_LARGEST_HEADER = 100_000_000  # safetensors' own limit


def encode(target: str, arrays: Arrays, tree: str | None) -> Any:
    """The bytes of a file. Raises CheckpointError for what safetensors cannot hold, ImportError
    without the package."""
    library = _safetensors()
    if "__metadata__" in arrays:
        raise CheckpointError(
            f"save: {target} cannot hold '__metadata__', which is a name safetensors reserves: "
            "save as .npz instead"
        )
    metadata = {"format": "pt", _MARK: _KEY, _KEY: BLANK.decode()}
    if tree is not None:
        metadata[_TREE] = tree
    try:
        data = bytearray(library.numpy.save(arrays, metadata=metadata))
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # which is no Exception
            raise
        raise CheckpointError(f"save: {target}: safetensors failed: {error}") from error
    if int.from_bytes(data[:8], "little") > _LARGEST_HEADER:
        raise CheckpointError(f"save: {target}: the names are longer than safetensors allows")
    return seal(data, data.index(_BEFORE) + len(_BEFORE))


def decode(data: bytes) -> tuple[Arrays, str | None]:
    """The arrays of a file, and the text that describes what was around them."""
    if data[:1] == b"\x80" and data[1:2] in (b"\2", b"\3", b"\4", b"\5") and data[8:9] != b"{":
        raise CheckpointError(PICKLE)
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(len(data) - 8, _LARGEST_HEADER):
        raise CheckpointError("it is damaged or no checkpoint: its header is longer than it is")
    header = json.loads(data[8 : 8 + length].decode(), object_pairs_hook=_without_repeats)
    metadata = header.pop("__metadata__", {})
    if _KEY in metadata or _MARK in metadata:
        check_seal(data, data.find(_BEFORE) + len(_BEFORE))
    content = memoryview(data)[8 + length :]
    arrays: Arrays = {}
    end = 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        name.encode()
        if entry["dtype"] not in _SAFETENSORS:
            raise CheckpointError(f"{name!r} in it has the unsupported dtype {entry['dtype']}")
        dtype, shape = dtypes.dtype(_SAFETENSORS[entry["dtype"]]), entry["shape"]
        start, stop = entry["data_offsets"]
        whole = all(type(n) is int and n >= 0 for n in (*shape, stop))
        if len(entry) != 3 or start != end or not whole or stop > len(content):
            raise CheckpointError(f"{name!r} in it is damaged")
        if math.prod(shape) * dtype.itemsize != stop - start:
            raise CheckpointError(f"{name!r} in it does not have the size its shape says")
        arrays[name] = np.ndarray(shape, dtype, content, start).copy()
        end = stop
    if end != len(content):
        raise CheckpointError("it is damaged: there is more in it than its header says")
    _check_each(arrays, metadata)
    return arrays, metadata.get(_TREE) if _KEY in metadata else None


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice")
    return found


def _check_each(arrays: Arrays, metadata: dict[str, str]) -> None:
    """What was written before files had one checksum: that of each tensor, under its name."""
    digests = {key[7:]: value for key, value in metadata.items() if key.startswith("sha256.")}
    if digests and digests.keys() != arrays.keys():
        raise CheckpointError("it is damaged: its names are not those of its checksums")
    for name, expected in digests.items():
        array = arrays[name]
        described = hashlib.sha256(f"{array.dtype.name} {list(array.shape)} ".encode())
        described.update(array.reshape(-1).view(np.uint8).data)
        if expected != described.hexdigest():
            raise CheckpointError(f"{name!r} in it is damaged: it does not match its SHA-256")


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        raise ImportError(
            "safetensors files need the package safetensors: pip install 'tapegrad[io]'; "
            "a name ending in .npz needs nothing but NumPy"
        ) from None
    return safetensors
