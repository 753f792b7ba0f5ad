"""Checkpoints as safetensors, the format that other libraries read: the header's length in eight
bytes, a header in JSON, and the tensors' bytes one after the other.

The header holds the SHA-256 of each tensor, and its own: so every byte is covered once, one tensor
can be checked without the others, and damage is told by name. (Before, the header held the SHA-256
of the whole file, and before that, those of the tensors only. Such files are read, too.)
"""

from __future__ import annotations

import hashlib
import json
from itertools import chain
from typing import Any

import numpy as np

from tapegrad.core import dtypes

from .errors import CheckpointError
from .seal import BLANK, KEY, check_seal, digest, place_in_json, seal
from .source import Arrays, Source, bytes_of, nbytes

_NAMES = {
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
_CODES = {name: code for code, name in _NAMES.items()}

# In the metadata. Two words show whose it is: one may be damaged.
_MARK, _TREE = "tapegrad", "tapegrad.tree"
_HEADER, _WHOLE = "header", "sha256"  # what the checksum covers, as the second word says
_OF_EACH = "sha256."
_LARGEST_HEADER = 100_000_000  # safetensors' own limit


def encode(target: str, arrays: Arrays, tree: str | None) -> list[Any]:
    """The bytes of a file, in parts. Raises CheckpointError for what safetensors cannot hold."""
    if "__metadata__" in arrays:
        raise CheckpointError(
            f"save: {target} cannot hold '__metadata__', which is a name safetensors reserves: "
            "save as .npz instead"
        )
    metadata = {"format": "pt", _MARK: _HEADER, KEY: BLANK.decode()}
    if tree is not None:
        metadata[_TREE] = tree
    # The largest elements first, by which all are aligned; the header keeps the names' order.
    inside = sorted(arrays, key=lambda name: -arrays[name].itemsize)
    places, end = {}, 0
    for name in inside:
        start, end = end, end + arrays[name].nbytes
        places[name] = [start, end]
    header: dict[str, Any] = {"__metadata__": metadata}
    for name, array in arrays.items():
        metadata[_OF_EACH + name] = _sha256(array)
        code = _CODES[array.dtype.name]
        header[name] = {"dtype": code, "shape": array.shape, "data_offsets": places[name]}
    text = bytearray(json.dumps(header, separators=(",", ":")).encode())
    text += b" " * (-len(text) % 8)
    if len(text) > _LARGEST_HEADER:
        raise CheckpointError(f"save: {target}: the names are longer than safetensors allows")
    seal(text, place_in_json(text))
    return [len(text).to_bytes(8, "little"), text, *(bytes_of(arrays[name]) for name in inside)]


def decode(source: Source) -> tuple[Arrays, str | None]:
    """The arrays of a file, and the text that describes what was around them."""
    raw, header, metadata = _read_header(source)
    sealed = KEY in metadata or _MARK in metadata
    if sealed:
        _check_seal(source, raw, metadata)
    digests = {
        key[len(_OF_EACH) :]: value for key, value in metadata.items() if key.startswith(_OF_EACH)
    }
    first = end = 8 + len(raw)
    places: dict[str, tuple[int, np.dtype, list]] = {}
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        name.encode()
        offsets = entry["data_offsets"]
        if len(entry) != 3 or len(offsets) != 2 or not all(type(n) is int for n in offsets):
            raise CheckpointError(f"{name!r}: its part of the header is damaged")
        start, stop = (first + n for n in offsets)
        where = f"{name!r} at byte {start}"
        if entry["dtype"] not in _NAMES:
            raise CheckpointError(f"{where} has the unsupported dtype {entry['dtype']}")
        dtype, shape = dtypes.dtype(_NAMES[entry["dtype"]]), entry["shape"]
        if not start == end <= stop:
            raise CheckpointError(f"{where} does not begin where the one before ends, at {end}")
        if stop > source.size:
            raise CheckpointError(f"{where}: the file ends before it does, at {source.size}")
        if nbytes(shape, dtype) != stop - start:
            raise CheckpointError(f"{where} does not have the size its shape says")
        places[name] = start, dtype, shape
        end = stop
    if end != source.size:
        raise CheckpointError(f"it is damaged: its header says nothing of what follows byte {end}")
    if digests and digests.keys() != header.keys():
        raise CheckpointError("it is damaged: its names are not those of its checksums")
    arrays = {}
    for name in header:
        start = places[name][0]
        arrays[name] = source.array(*places[name])
        if digests and digests[name] != _sha256(arrays[name]):
            raise CheckpointError(
                f"{name!r} at byte {start} is damaged: it does not match its SHA-256"
            )
    return arrays, metadata.get(_TREE) if sealed else None


def seal_of(header: bytes) -> str:
    """The checksum that a header has of itself, and so of all."""
    at = place_in_json(header)
    return header[at : at + len(BLANK)].decode("ascii", "replace")


def _read_header(source: Source) -> tuple[bytes, dict[str, Any], dict[str, str]]:
    """The header's bytes, what they say of tensors, and the metadata."""
    length = int.from_bytes(source.read(0, min(8, source.size)), "little")
    if source.size < 8 or length > min(source.size - 8, _LARGEST_HEADER):
        raise CheckpointError("it is damaged or no checkpoint: its header is longer than it is")
    raw = source.read(8, 8 + length)
    source.budget.spend_on_json(raw)  # and on the tree in it
    header = json.loads(raw.decode(), object_pairs_hook=_without_repeats)
    metadata = header.pop("__metadata__", {})
    if not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata are not text")
    return raw, header, metadata


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice")
    return found


def _check_seal(source: Source, raw: bytes, metadata: dict[str, str]) -> None:
    at = place_in_json(raw)
    if metadata.get(_MARK) != _WHOLE:
        check_seal(raw, at, f"its header, bytes 8 to {8 + len(raw)},")
        return
    end = at + len(BLANK)
    rest = chain([raw[end:]], source.pieces(8 + len(raw), source.size))
    whole = digest([source.read(0, 8), raw[:at]], rest)
    if raw[at:end] != whole:
        raise CheckpointError("it is damaged: its bytes do not match its SHA-256")


def _sha256(array: np.ndarray) -> str:
    """Of an array with its dtype and shape."""
    described = hashlib.sha256(f"{array.dtype.name} {list(array.shape)} ".encode())
    described.update(bytes_of(array))
    return described.hexdigest()
