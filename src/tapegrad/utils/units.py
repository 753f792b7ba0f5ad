"""How numbers of things and bytes are written."""

from __future__ import annotations


def count(number: float) -> str:
    """A number of things, as 1,234 or 1.23 M."""
    for size, unit in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M")):
        if number >= size:
            return f"{number / size:.2f} {unit}"
    return f"{number:,.0f}"


def memory(number: float) -> str:
    """A number of bytes, in units of 1,024."""
    for power, unit in ((3, "GiB"), (2, "MiB"), (1, "KiB")):
        if number >= 1024**power:
            return f"{number / 1024**power:.2f} {unit}"
    return f"{number:,.0f} B"
