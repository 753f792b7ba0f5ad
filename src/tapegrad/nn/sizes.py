"""Sizes of layers: one number, or one a dimension."""

from __future__ import annotations

from collections.abc import Sequence

Size = int | Sequence[int]

_WORDS = {1: "one", 2: "two", 3: "three", 4: "four", 6: "six"}


def sizes(layer: str, name: str, value: Size, count: int) -> tuple[int, ...]:
    """``count`` numbers, of which one, or a sequence of one, stands for all. Raises ValueError for
    another number of them."""
    given = tuple(value) if isinstance(value, Sequence) else (value,)
    if len(given) == 1:
        given *= count
    if len(given) != count:
        raise ValueError(f"{layer}: {name} must be one number or {_WORDS[count]}, not {value!r}")
    return given
