"""Checkpoints as NumPy's npz, which need nothing but NumPy: archives that are not compressed."""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from typing import Any

import numpy as np

from tapegrad.core import dtypes

from .seal import BLANK, PICKLE, Arrays, CheckpointError, check_seal, seal

# The archive's comment, its last bytes. Two words show whose it is: one may be damaged.
_COMMENT = (b"tapegrad sha256 ", b" tapegrad")
_ENTRY = ".npy"
_RESERVED = ("file", "allow_pickle")  # np.savez's own parameters cannot name an array
TREE = "__tree__"


def encode(target: str, arrays: Arrays, tree: str | None) -> Any:
    """The bytes of an archive. Raises CheckpointError for what npz cannot hold."""
    if TREE in arrays:
        raise CheckpointError(f"save: {target} cannot hold a tensor named {TREE!r}")
    if tree is not None:
        arrays = {TREE: np.frombuffer(tree.encode(), np.uint8), **arrays}
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
        archive.comment = BLANK.join(_COMMENT)
    data = buffer.getbuffer()
    return seal(data, len(data) - len(BLANK) - len(_COMMENT[1]))


def decode(data: bytes) -> tuple[Arrays, str | None]:
    """The arrays of an archive, and the text that describes what was around them."""
    at = len(data) - len(BLANK) - len(_COMMENT[1])
    ours = data[:at].endswith(_COMMENT[0]), data.endswith(_COMMENT[1])
    if any(ours):
        check_seal(data, at)
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
            if name.endswith("data.pkl"):
                raise CheckpointError(PICKLE)
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
    tree = arrays.pop(TREE, None) if any(ours) else None
    return arrays, None if tree is None else tree.tobytes().decode()


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
