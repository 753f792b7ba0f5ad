"""Saving and loading state dicts: safetensors or NumPy's npz, chosen by the file's suffix.

Both hold plain numbers: nothing in a file is ever executed, nothing is unpickled, nothing is
decompressed. A save either replaces the old file completely or leaves it as it was. A file holds
the SHA-256 of itself, of every byte and so of names, order and number; files without one (other
libraries') are checked as far as their format allows.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import IO, Any

import numpy as np

from .core import dtypes
from .core.devices import to_numpy
from .core.tensor import Tensor
from .ops.common.refusals import retelling
from .ops.creation.create import from_numpy

try:
    import fcntl
except ImportError:  # Windows, which lets nobody remove a file that is open
    fcntl = None  # type: ignore[assignment]

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


@retelling
def save(state: Mapping[str, Tensor], path: str | os.PathLike[str]) -> None:
    """Write a state dict, e.g. ``save(model.state_dict(), "model.safetensors")``.

    The file keeps its permissions; whatever happens, the old file or the new one is there. Raises
    CheckpointError for anything but Tensors by name and for what the format cannot hold, TypeError
    for anything but a dict, ValueError for another ending than .safetensors or .npz, ImportError
    without safetensors.
    """
    if not isinstance(state, Mapping):
        raise TypeError(f"save: expected a dict of Tensors by name, got {type(state).__name__}")
    target = os.path.realpath(path)
    suffix = _suffix(target)
    arrays: Arrays = {}
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise CheckpointError(
                f"save: {target} holds tensors by name; {name!r} is a {type(value).__name__}"
            )
        try:
            name.encode()
        except UnicodeEncodeError:
            raise CheckpointError(f"save: {target}: the name {name!r} is no valid text") from None
        arrays[name] = np.array(to_numpy(value._array), order="C", copy=None)
    encode = _to_npz if suffix == ".npz" else _to_safetensors
    _replace(target, encode(target, arrays))


@retelling
def load(
    path: str | os.PathLike[str],
    map_location: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
) -> dict[str, Tensor]:
    """Read what ``save`` wrote, onto the device ``map_location`` (by default the CPU). Files that
    other libraries wrote are read too; of npz, those that are not compressed.

    As in PyTorch, ``map_location`` may be a dict from devices to devices, or a function of a
    storage and its device, "cpu", that returns the storage. Whatever ``weights_only`` says, there
    are only numbers in a file; nor does ``mmap`` matter. Raises CheckpointError, naming the file,
    if it is damaged or something else, ValueError as ``save`` does, and TypeError for a function
    that returns something else.
    """
    source = os.fspath(path)
    decode = _from_npz if _suffix(source) == ".npz" else _from_safetensors
    with open(source, "rb") as file:
        data = file.read()
    try:
        arrays = decode(data)
    except MemoryError:
        raise
    except Exception as error:  # whatever the bytes provoke in a parser
        known = isinstance(error, CheckpointError)
        what = error if known else f"it is damaged or no checkpoint: {error}"
        raise CheckpointError(f"load: {source}: {what}") from (None if known else error)
    del data
    state = {name: from_numpy(array) for name, array in arrays.items()}
    if isinstance(map_location, Mapping):
        map_location = map_location.get("cpu")
    if map_location is None:
        return state
    if callable(map_location):
        return {name: _left(tensor, map_location) for name, tensor in state.items()}
    return {name: tensor.to(map_location) for name, tensor in state.items()}


def _left(tensor: Tensor, map_location: Callable) -> Tensor:
    """The tensor where it is, if that is what the function says."""
    storage = tensor.storage()
    if map_location(storage, "cpu") in (storage, None):
        return tensor
    raise TypeError("load: map_location must return the storage that it is given: name the device")


def _suffix(path: str) -> str:
    suffix = os.path.splitext(path)[1]
    if suffix not in _SUFFIXES:
        raise ValueError(f"a checkpoint's name ends in {' or '.join(_SUFFIXES)}, not {path!r}")
    return suffix


# ---- the checksum: of the whole file, with zeros in place of itself -----------------------

_BLANK = b"0" * 64


def _sha256(data: Any, at: int) -> bytes:
    whole = memoryview(data)
    digest = hashlib.sha256(whole[:at])
    digest.update(_BLANK)
    digest.update(whole[at + len(_BLANK) :])
    return digest.hexdigest().encode()


def _seal(data: Any, at: int) -> Any:
    data[at : at + len(_BLANK)] = _sha256(data, at)
    return data


def _check_seal(data: bytes, at: int) -> None:
    if data[at : at + len(_BLANK)] != _sha256(data, at):
        raise CheckpointError("it is damaged: its bytes do not match its SHA-256")


# ---- NumPy's npz: needs nothing but NumPy -------------------------------------------------

# The archive's comment, its last bytes. Two words show whose it is: one may be damaged.
_COMMENT = (b"tapegrad sha256 ", b" tapegrad")
_ENTRY = ".npy"


def _to_npz(target: str, arrays: Arrays) -> Any:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(name + _ENTRY)
            problem = None
            if array.dtype.kind == "V":
                problem = "is bfloat16"
            elif name in _RESERVED:
                problem = "has a name npz reserves"
            elif entry.filename != name + _ENTRY or len(entry.filename.encode()) > 0xFFFF:
                problem = "has a name that zip archives do not hold"
            if problem is not None:
                raise CheckpointError(
                    f"save: {target} cannot hold {name[:100]!r}, which {problem}: "
                    "save as .safetensors instead"
                )
            with archive.open(entry, "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
        archive.comment = _BLANK.join(_COMMENT)
    data = buffer.getbuffer()
    return _seal(data, len(data) - len(_BLANK) - len(_COMMENT[1]))


def _from_npz(data: bytes) -> Arrays:
    at = len(data) - len(_BLANK) - len(_COMMENT[1])
    ours = data[:at].endswith(_COMMENT[0]), data.endswith(_COMMENT[1])
    if any(ours):
        _check_seal(data, at)
    end = data.rfind(b"PK\5\6")  # the archive's last record, with its comment and its length
    if len(data) != end + 22 + int.from_bytes(data[end + 20 : end + 22], "little"):
        raise CheckpointError("it is no npz archive, or its end is missing")
    arrays: Arrays = {}
    left = len(data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        number = int.from_bytes(data[end + 10 : end + 12], "little")  # 0xFFFF: or more
        if number not in (len(archive.infolist()), 0xFFFF):
            raise CheckpointError(f"it is damaged: it should hold {number} arrays")
        for entry in archive.infolist():
            name, size = entry.filename, entry.file_size
            if not name.endswith(_ENTRY) or name[: -len(_ENTRY)] in arrays:
                raise CheckpointError(f"{name!r} in it is not an array, or there twice")
            if entry.compress_type != zipfile.ZIP_STORED:
                raise CheckpointError(
                    f"{name!r} in it is compressed, and could be of any size: write the archive "
                    "with numpy.savez"
                )
            archive.open(entry).close()  # compares the name and other words with the directory's
            head = entry.header_offset + 30  # then the name and more, of the lengths before it
            start = head + sum(struct.unpack("<HH", data[head - 4 : head]))
            left -= size
            content = memoryview(data)[start : start + size]
            if left < 0 or len(content) != size or zlib.crc32(content) != entry.CRC:
                raise CheckpointError(f"{name!r} in it is damaged")
            arrays[name[: -len(_ENTRY)]] = _from_npy(name, content)
    return arrays


def _from_npy(name: str, content: memoryview) -> np.ndarray:
    form = np.lib.format
    stream = io.BytesIO(content[:20_000])  # NumPy takes a header of at most 10,000
    readers = {(1, 0): form.read_array_header_1_0, (2, 0): form.read_array_header_2_0}
    try:
        shape, fortran, dtype = readers[form.read_magic(stream)](stream)
    except MemoryError:  # what Python's parser says of text that is nested too deep
        raise CheckpointError(f"the header of {name!r} in it is damaged") from None
    kind, start = dtypes.dtype(dtype), stream.tell()
    if math.prod(shape) * dtype.itemsize != len(content) - start:
        raise CheckpointError(f"{name!r} in it does not have the size its header says")
    array = np.ndarray(shape, dtype, content, start, order="F" if fortran else "C")
    return array.astype(kind, order="C")


# ---- safetensors: the format other libraries read -----------------------------------------

# In the metadata. Two words show whose it is: one may be damaged.
_KEY, _MARK = "sha256", "tapegrad"
_BEFORE = f'"{_KEY}":"'.encode()  # (which no name contains: quotes in names are escaped)
_LARGEST_HEADER = 100_000_000  # safetensors' own limit


def _to_safetensors(target: str, arrays: Arrays) -> Any:
    library = _safetensors()
    if "__metadata__" in arrays:
        raise CheckpointError(
            f"save: {target} cannot hold '__metadata__', which is a name safetensors reserves: "
            "save as .npz instead"
        )
    metadata = {"format": "pt", _MARK: _KEY, _KEY: _BLANK.decode()}
    try:
        data = bytearray(library.numpy.save(arrays, metadata=metadata))
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # which is no Exception
            raise
        raise CheckpointError(f"save: {target}: safetensors failed: {error}") from error
    if int.from_bytes(data[:8], "little") > _LARGEST_HEADER:
        raise CheckpointError(f"save: {target}: the names are longer than safetensors allows")
    return _seal(data, data.index(_BEFORE) + len(_BEFORE))


def _from_safetensors(data: bytes) -> Arrays:
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(len(data) - 8, _LARGEST_HEADER):
        raise CheckpointError("it is damaged or no checkpoint: its header is longer than it is")
    header = json.loads(data[8 : 8 + length].decode(), object_pairs_hook=_without_repeats)
    metadata = header.pop("__metadata__", {})
    if _KEY in metadata or _MARK in metadata:
        _check_seal(data, data.find(_BEFORE) + len(_BEFORE))
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
    return arrays


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


# ---- all or nothing -----------------------------------------------------------------------


def _replace(target: str, data: Any) -> None:
    """Write a file such that a crash at any moment leaves the old one or the new one, with the
    rights that the old one had."""
    _remove_leftovers(target)
    unfinished, file = _unfinished(target)
    try:
        with file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            if fcntl is not None:  # while it is locked
                os.replace(unfinished, target)
        if fcntl is None:
            os.replace(unfinished, target)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(unfinished)
    if os.name == "posix":  # the rename itself must reach the disk too
        descriptor = os.open(os.path.dirname(target), os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _unfinished(target: str) -> tuple[str, IO[bytes]]:
    """A new file beside the target, as only within one file system a rename is atomic; locked, by
    which others see that it is in use."""
    folder, name = os.path.split(target)
    try:
        old = os.stat(target)
    except FileNotFoundError:
        old = None
    opener = partial(os.open, mode=0o666 if old is None else 0o600)
    while True:
        path = os.path.join(folder, f".{name}.{os.urandom(4).hex()}{os.path.splitext(name)[1]}")
        file = open(path, "xb", opener=opener)  # noqa: SIM115
        if fcntl is None:
            return path, file
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        new = os.fstat(file.fileno())
        if new.st_nlink:  # else someone took it for a leftover before it was locked
            break
        file.close()
    if old is not None:
        if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
            with suppress(OSError):  # as far as we may
                os.fchown(file.fileno(), old.st_uid, old.st_gid)
        os.fchmod(file.fileno(), stat.S_IMODE(old.st_mode))
    return path, file


def _remove_leftovers(target: str) -> None:
    """Remove what killed saves to this target left behind: what nobody holds a lock on."""
    folder, name = os.path.split(target)
    ours = rf"\.{re.escape(name)}\.[0-9a-f]{{8}}{re.escape(os.path.splitext(name)[1])}"
    with suppress(OSError):
        for found in os.listdir(folder):
            if re.fullmatch(ours, found):
                _remove_if_unused(os.path.join(folder, found))


def _remove_if_unused(path: str) -> None:
    with suppress(OSError):
        if fcntl is None:
            os.unlink(path)
            return
        with open(path, "rb", opener=_open_as_it_is) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(path)


def _open_as_it_is(path: str, flags: int) -> int:
    """Without waiting for a pipe's other end, and without following links."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW)
