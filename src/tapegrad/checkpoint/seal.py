"""SHA-256 of what holds its own checksum: computed with zeros in place of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from .errors import CheckpointError

BLANK = b"0" * 64
KEY = "sha256"  # its name, in JSON
_BEFORE = f'"{KEY}":"'.encode()


def place_in_json(text: bytes | bytearray) -> int:
    """Where the checksum is in JSON. (No other name or text holds what is before it: quotes in them
    are escaped.)"""
    return text.find(_BEFORE) + len(_BEFORE)


def digest(before: Iterable[Any], after: Iterable[Any]) -> bytes:
    """The checksum, from the pieces before and after it."""
    total = hashlib.sha256()
    for pieces in (before, (BLANK,), after):
        for piece in pieces:
            total.update(piece)
    return total.hexdigest().encode()


def seal(data: Any, at: int) -> Any:
    """Put the checksum into its place in a bytearray."""
    whole = memoryview(data)
    data[at : at + len(BLANK)] = digest([whole[:at]], [whole[at + len(BLANK) :]])
    return data


def check_seal(data: bytes, at: int, what: str) -> None:
    """Raise CheckpointError unless the checksum at this place is that of the data."""
    whole, end = memoryview(data), at + len(BLANK)
    if data[at:end] != digest([whole[:at]], [whole[end:]]):
        raise CheckpointError(f"{what} is damaged: it does not match its SHA-256")
