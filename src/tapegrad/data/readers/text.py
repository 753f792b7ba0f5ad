"""Text: the lines of a file, and blocks of characters or other tokens to predict the next of."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tapegrad.core.devices import CPU
from tapegrad.core.files import require_regular_file
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.data.dataset import Dataset

from .numpy_file import NpyDataset
from .place import known_encoding, positions

_PIECE = 1 << 20  # bytes looked through at once for ends of lines


class TextLines(Dataset):
    """Sample i is line i of a text file, without its end. Where lines begin is found once, in one
    pass; the file is mapped into memory, not kept.

    Raises OSError where the file cannot be read, ValueError with the line for bytes that are not of
    the encoding, and for encodings whose newline is not the one byte 10 (UTF-16, UTF-32).
    """

    def __init__(self, path: str | os.PathLike, encoding: str = "utf-8") -> None:
        self.path = os.fspath(path)
        self.encoding = known_encoding("TextLines", encoding)
        if len("\n".encode(encoding)) != 1:
            raise ValueError(f"[TextLines] {self.path}: {encoding} ends lines with several bytes")
        ends, size = [], 0
        require_regular_file(self.path)
        with open(self.path, "rb") as file:
            while piece := file.read(_PIECE):
                newlines = np.flatnonzero(np.frombuffer(piece, np.uint8) == 10)
                ends.append(newlines + size + 1)
                size += len(piece)
        stops = np.concatenate([np.zeros(1, np.int64), *ends])
        if stops[-1] != size:  # the last line has no end
            stops = np.append(stops, size)
        self._stops = stops

    def __len__(self) -> int:
        return len(self._stops) - 1

    def __getstate__(self) -> dict[str, Any]:
        """Without the mapped file: another process maps it itself."""
        return {name: value for name, value in self.__dict__.items() if name != "_bytes"}

    def __getitem__(self, index: int) -> str:
        row = int(positions(self, [index], "line")[0])
        if "_bytes" not in self.__dict__:
            with open(self.path, "rb") as file:
                self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        line = self._bytes[self._stops[row] : self._stops[row + 1]]
        try:
            return line.decode(self.encoding).removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"[TextLines] {self.path}, line {row + 1}: its byte {error.start} is not "
                f"{self.encoding}; give encoding="
            ) from error


class TokenBlocks(Dataset):
    """Sample i is ``length`` tokens from number ``i * stride`` on, and the same one later: what is
    to be predicted after each. Both int64 tensors.

    tokens: integers of one dimension, a tensor, an array, a list, or the name of a ``.npy`` file,
    which is mapped into memory. stride: ``length`` by default, so that blocks do not overlap; 1
    takes every window. What is left at the end is not used. Raises ValueError for tokens that are
    no integers of one dimension, and for a length or stride below 1.
    """

    def __init__(self, tokens: Any, length: int, stride: int | None = None) -> None:
        owner = type(self).__name__
        stride = length if stride is None else stride
        if length < 1 or stride < 1:
            raise ValueError(
                f"[{owner}] length and stride must be at least 1, got {length} and {stride}"
            )
        self.path = "the text"
        if isinstance(tokens, (str, os.PathLike)):
            self._file: NpyDataset | None = NpyDataset(tokens)
            self.path = self._file.path
        else:
            self._file = None
            host = tokens.numpy(force=True) if isinstance(tokens, Tensor) else np.asarray(tokens)
            self._tokens = host if host.size else host.astype(np.int64)
        given = self._all()
        if given.ndim != 1 or given.dtype.kind not in "iu":
            raise ValueError(
                f"[{owner}] tokens must be integers of one dimension, got {given.dtype} of shape "
                f"{given.shape}"
            )
        self.length, self.stride = length, stride
        self._count = max((len(given) - 1 - length) // stride + 1, 0)

    def _all(self) -> np.ndarray:
        return self._tokens if self._file is None else self._file._opened()[0][1]

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Tensor, Tensor]]:
        """The samples at these indices, read together."""
        starts = positions(self, indices, "block") * self.stride
        every = starts[:, None] + np.arange(self.length + 1)
        blocks = np.asarray(self._all()[every]).astype(np.int64)
        return [(wrap(block[:-1], CPU), wrap(block[1:], CPU)) for block in blocks]


class CharacterBlocks(TokenBlocks):
    """Blocks of the characters of a text, each as its number in ``vocabulary``: the sorted
    characters of the text, unless given. ``encode`` and ``decode`` lead from text to an int64
    tensor and back. Raises ValueError for a character that is not in the vocabulary.
    """

    def __init__(
        self,
        text: str,
        length: int,
        stride: int | None = None,
        vocabulary: Iterable[str] | None = None,
    ) -> None:
        codes = np.unique(_codes(text if vocabulary is None else "".join(vocabulary)))
        self._known = codes
        super().__init__(self.encode(text), length, stride)

    @property
    def vocabulary(self) -> list[str]:
        """The characters, in order of their numbers."""
        return [chr(code) for code in self._known.tolist()]

    def encode(self, text: str) -> Tensor:
        """The numbers of the characters, (len(text),)."""
        codes = _codes(text)
        found = np.searchsorted(self._known, codes)
        same = np.zeros(len(codes), bool)
        inside = found < len(self._known)
        same[inside] = self._known[found[inside]] == codes[inside]
        if not same.all():
            at = int(np.argmin(same))
            raise ValueError(
                f"[CharacterBlocks] character {at} of the text, {text[at]!r}, is not in the "
                "vocabulary"
            )
        return wrap(found.astype(np.int64), CPU)

    def decode(self, numbers: Any) -> str:
        """The characters with these numbers, a tensor or a list of them, as one text."""
        host = numbers.numpy(force=True) if isinstance(numbers, Tensor) else numbers
        chosen = np.asarray(host, np.int64).reshape(-1)
        if chosen.size and not 0 <= chosen.min() <= chosen.max() < len(self._known):
            raise ValueError(
                f"[CharacterBlocks] numbers must lie in 0..{len(self._known) - 1}, got "
                f"{chosen.min()}..{chosen.max()}"
            )
        return "".join(map(chr, self._known[chosen].tolist()))


def _codes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
