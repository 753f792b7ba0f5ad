"""Archives of entries that are stored as they are: NumPy's npz and PyTorch's files."""

from __future__ import annotations

import struct
import zipfile
import zlib
from typing import NamedTuple

import numpy as np

from .errors import CheckpointError
from .source import Source, bytes_of

_END, _LARGE, _LONGEST_COMMENT = b"PK\5\6", b"PK\6\7", 0xFFFF
_OF_A_BYTE = 12  # bytes that zipfile makes of a byte of the directory, at most


class Entry(NamedTuple):
    """Where in the file the content of an entry is."""

    name: str
    start: int
    size: int
    crc: int

    def read(self, source: Source) -> bytes:
        """The content. Raises CheckpointError if it is damaged."""
        content = source.read(self.start, self.start + self.size)
        self.check(content)
        return content

    def array(
        self, source: Source, dtype: np.dtype, shape: tuple, start: int = 0, what: str = ""
    ) -> np.ndarray:
        """The array that the content is from its byte ``start`` on; ``what`` it is, in errors."""
        array = source.array(self.start + start, dtype, shape)
        self.check(bytes_of(array), source.read(self.start, self.start + start), what)
        return array

    def check(self, content: bytes | memoryview, before: bytes = b"", what: str = "") -> None:
        """Raise CheckpointError unless the checksum is that of the content."""
        if zlib.crc32(content, zlib.crc32(before)) != self.crc:
            raise CheckpointError(
                f"{what or repr(self.name)} at byte {self.start} is damaged: it does not match its "
                "CRC-32"
            )


def entries(source: Source, remedy: str) -> dict[str, Entry]:
    """The entries by name. Raises CheckpointError, with what to do, for one that is compressed and
    could be of any size, and for archives that say one thing here and another there."""
    tail = source.read(max(0, source.size - 22 - _LONGEST_COMMENT), source.size)
    end = tail.rfind(_END)  # the last record, with the archive's comment and its length
    if end < 0 or len(tail) != end + 22 + int.from_bytes(tail[end + 20 : end + 22], "little"):
        raise CheckpointError("it is no whole zip archive: its end is missing or damaged")
    large = tail[max(0, end - 20) :].startswith(_LARGE)  # another record says how large it is
    directory = tail[end - 36 : end - 28] if large else tail[end + 12 : end + 16]
    source.budget.spend(_OF_A_BYTE * int.from_bytes(directory, "little"))
    found: dict[str, Entry] = {}
    left = source.size
    with zipfile.ZipFile(source.file) as archive:
        number = int.from_bytes(tail[end + 10 : end + 12], "little")  # 0xFFFF: or more
        if number not in (len(archive.infolist()), 0xFFFF):
            raise CheckpointError(f"it is damaged: it should hold {number} entries")
        for info in archive.infolist():
            name, size = info.filename, info.file_size
            if name in found:
                raise CheckpointError(f"{name!r} is in it twice")
            if info.compress_type != zipfile.ZIP_STORED:
                raise CheckpointError(
                    f"{name!r} in it is compressed, and could be of any size: {remedy}"
                )
            archive.open(info).close()  # compares the name and other words with the directory's
            head = info.header_offset + 30  # then the name and more, of these lengths
            start = head + sum(struct.unpack("<HH", source.read(head - 4, head)))
            left -= size
            if left < 0 or start + size > source.size:
                raise CheckpointError(
                    f"{name!r} at byte {start} is said to have {size} bytes, for which the file is "
                    "too short"
                )
            found[name] = Entry(name, start, size, info.CRC)
    return found
