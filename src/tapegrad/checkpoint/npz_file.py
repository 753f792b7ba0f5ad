"""Checkpoints as NumPy's npz: archives that are not compressed, with an array in each entry."""

from __future__ import annotations

import io
import zipfile

import numpy as np

from tapegrad.core import dtypes

from .errors import CheckpointError
from .seal import BLANK, digest, seal
from .source import Arrays, Source, nbytes
from .zip_file import Entry

REMEDY = "write the archive with numpy.savez"
# The archive's comment, its last bytes. Two words show whose it is: one may be damaged.
_COMMENT = (b"tapegrad sha256 ", b" tapegrad")
_ENTRY = ".npy"
_RESERVED = ("file", "allow_pickle")  # np.savez's own parameters cannot name an array
_LONGEST_HEADER = 20_000  # NumPy takes one of at most 10,000
TREE = "__tree__"


def encode(target: str, arrays: Arrays, tree: str | None) -> list[bytearray]:
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
    return [seal(data, len(data) - len(BLANK) - len(_COMMENT[1]))]


def decode(source: Source, entries: dict[str, Entry]) -> tuple[Arrays, str | None]:
    """The arrays of an archive, and the text that describes what was around them."""
    arrays: Arrays = {}
    for name, entry in entries.items():
        if not name.endswith(_ENTRY):
            raise CheckpointError(f"{name!r} in it is not an array")
        arrays[name[: -len(_ENTRY)]] = _from_npy(source, entry)
    tree = arrays.pop(TREE, None) if _check_seal(source) else None
    return arrays, None if tree is None else tree.tobytes().decode()


def _check_seal(source: Source) -> bool:
    """Whether it has a checksum of the whole. Raises CheckpointError if that is another."""
    length = len(_COMMENT[0]) + len(BLANK) + len(_COMMENT[1])
    comment = source.read(max(0, source.size - length), source.size)
    if not (comment.startswith(_COMMENT[0]) or comment.endswith(_COMMENT[1])):
        return False
    at = source.size - len(BLANK) - len(_COMMENT[1])
    whole = digest(source.pieces(0, at), [_COMMENT[1]])
    if comment != _COMMENT[0] + whole + _COMMENT[1]:
        raise CheckpointError("it is damaged: its bytes do not match its SHA-256")
    return True


def _from_npy(source: Source, entry: Entry) -> np.ndarray:
    form, name = np.lib.format, entry.name
    head = source.read(entry.start, entry.start + min(entry.size, _LONGEST_HEADER))
    stream = io.BytesIO(head)
    readers = {(1, 0): form.read_array_header_1_0, (2, 0): form.read_array_header_2_0}
    try:
        shape, fortran, dtype = readers[form.read_magic(stream)](stream)
    except MemoryError:  # what Python's parser says of text that is nested too deep
        raise CheckpointError(f"the header of {name!r} at byte {entry.start} is damaged") from None
    kind, start = dtypes.dtype(dtype), stream.tell()
    if nbytes(shape, dtype) != entry.size - start:
        raise CheckpointError(
            f"{name!r} at byte {entry.start} does not have the size its header says"
        )
    array = entry.array(source, dtype, shape[::-1] if fortran else shape, start)
    return (array.T if fortran else array).astype(kind, order="C", copy=False)
