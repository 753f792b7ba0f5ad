"""How much memory a file may make its reader take."""

from __future__ import annotations

from .errors import CheckpointError

FREE = 128 << 20
# At most so many bytes of memory for each of these characters of JSON: an empty list, a dict with
# its first keys, a further value, an entry of a dict, half of a text's head.
_OF_JSON = {"[": 72, "{": 248, ",": 40, ":": 104, '"': 32}


class TooMuch(CheckpointError):
    """What a file describes would take much more memory than the file."""


class Budget:
    """What the objects that a file describes may take beside its arrays and text, which are no
    larger than the file: the file's size, and ``FREE`` bytes. So reading takes at most twice the
    file and ``FREE``, though one byte may describe an object of a hundred."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.left = size + FREE

    def spend(self, count: int) -> None:
        """Note so many bytes before they are taken. Raises TooMuch where there are fewer."""
        self.left -= count
        if self.left < 0:
            raise TooMuch(
                f"what it describes would take more than {(self.size + FREE) >> 20} MiB of memory "
                f"beside its tensors, and it has {self.size} bytes: save long lists of numbers as "
                "tensors"
            )

    def spend_on_json(self, text: bytes | str) -> None:
        """The same for what a JSON parser makes, also of JSON inside of its texts."""
        for character, count in _OF_JSON.items():
            sign = character.encode() if isinstance(text, bytes) else character
            self.spend(count * text.count(sign))  # type: ignore[arg-type]
