"""Saving and loading state dicts: safetensors or NumPy's npz, chosen by the file's suffix.

Both hold plain numbers: nothing in a file is ever executed. A save either replaces the old file
completely or leaves it as it was. Every tensor is checked when it is read: npz has checksums of
its own; in safetensors we keep a SHA-256 of dtype, shape and bytes in the metadata.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ._build import replacing
from .core import dtypes
from .core.devices import to_numpy
from .core.tensor import Tensor
from .ops.creation.create import from_numpy

Arrays = dict[str, np.ndarray]

_SUFFIXES = (".safetensors", ".npz")
_RESERVED = ("file", "allow_pickle")  # np.savez's own parameters cannot name an array
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


class CheckpointError(RuntimeError):
    """A file that cannot be read as a checkpoint, or tensors that cannot be written to one."""


def save(state: Mapping[str, Tensor], path: str | os.PathLike[str]) -> None:
    """Write a state dict, e.g. ``save(model.state_dict(), "model.safetensors")``.

    Raises CheckpointError for anything but Tensors by name and for what the format cannot hold,
    ValueError for another ending than .safetensors or .npz, ImportError without safetensors.
    """
    target = os.path.realpath(path)
    suffix = _suffix(target)
    arrays: Arrays = {}
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise CheckpointError(
                f"save: {target} holds tensors by name; {name!r} is a {type(value).__name__}"
            )
        arrays[name] = np.array(to_numpy(value._array), order="C", copy=None)
    encode = _to_npz if suffix == ".npz" else _to_safetensors
    _replace(target, encode(target, arrays))


def load(path: str | os.PathLike[str], map_location: Any = None) -> dict[str, Tensor]:
    """Read what ``save`` wrote, onto the device ``map_location`` (by default the CPU).

    Raises CheckpointError, naming the file, if it is damaged or something else, ValueError and
    ImportError as ``save`` does.
    """
    source = os.fspath(path)
    decode = _from_npz if _suffix(source) == ".npz" else _from_safetensors
    with open(source, "rb") as file:
        data = file.read()
    try:
        arrays = decode(source, data)
    except (CheckpointError, ImportError):
        raise
    except Exception as error:  # whatever the bytes provoke in a parser
        raise CheckpointError(f"load: {source} is damaged or no checkpoint: {error}") from error
    state = {name: from_numpy(array) for name, array in arrays.items()}
    if map_location is None:
        return state
    return {name: tensor.to(map_location) for name, tensor in state.items()}


def _suffix(path: str) -> str:
    suffix = os.path.splitext(path)[1]
    if suffix not in _SUFFIXES:
        raise ValueError(f"a checkpoint's name ends in {' or '.join(_SUFFIXES)}, not {path!r}")
    return suffix


# ---- NumPy's npz: needs nothing but NumPy -------------------------------------------------


def _to_npz(target: str, arrays: Arrays) -> bytes:
    for name, array in arrays.items():
        if array.dtype.kind == "V" or name in _RESERVED:
            problem = "is bfloat16" if array.dtype.kind == "V" else "has a name npz reserves"
            raise CheckpointError(
                f"save: {target} cannot hold '{name}', which {problem}: "
                "save as .safetensors instead"
            )
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _from_npz(source: str, data: bytes) -> Arrays:
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise CheckpointError(f"load: '{name}' in {source} is not an array")
        dtypes.dtype(array.dtype)
    return arrays


# ---- safetensors: the format other libraries read -----------------------------------------


def _to_safetensors(target: str, arrays: Arrays) -> bytes:
    library = _safetensors()
    digests = {f"sha256.{name}": _digest(array) for name, array in arrays.items()}
    return bytes(library.numpy.save(arrays, metadata={"format": "pt", **digests}))


def _from_safetensors(source: str, data: bytes) -> Arrays:
    library = _safetensors()
    arrays: Arrays = {}
    for name, entry in library.deserialize(data):
        if entry["dtype"] not in _SAFETENSORS:
            raise CheckpointError(
                f"load: '{name}' in {source} has the unsupported dtype {entry['dtype']}"
            )
        dtype = dtypes.dtype(_SAFETENSORS[entry["dtype"]])
        arrays[name] = np.frombuffer(bytearray(entry["data"]), dtype).reshape(entry["shape"])
    header_length = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + header_length]).get("__metadata__", {})
    for name, array in arrays.items():
        expected = metadata.get(f"sha256.{name}")
        if expected is not None and expected != _digest(array):
            raise CheckpointError(
                f"load: '{name}' in {source} is damaged: its bytes do not match its SHA-256"
            )
    return arrays


def _digest(array: np.ndarray) -> str:
    described = hashlib.sha256(f"{array.dtype.name} {list(array.shape)} ".encode())
    described.update(array.reshape(-1).view(np.uint8).data)
    return described.hexdigest()


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        raise ImportError(
            "safetensors files need the package safetensors: pip install 'tapegrad[io]'; "
            "a name ending in .npz needs nothing but NumPy"
        ) from None
    return safetensors


# ---- all or nothing -----------------------------------------------------------------------


def _replace(target: str, data: bytes) -> None:
    """Write a file such that a crash at any moment leaves the old one or the new one."""
    with replacing(Path(target)) as unfinished, unfinished.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    if os.name == "posix":  # the rename itself must reach the disk too
        descriptor = os.open(os.path.dirname(target), os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
