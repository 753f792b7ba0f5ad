"""Values by the position they go to, in a fixed order: without atomics, the same on every run."""

from __future__ import annotations

from typing import Any

from tapegrad.core.memory import Array


def combined(xp: Any, function: Any, positions: Any, values: Array) -> tuple[Any, Any]:
    """The values of equal positions combined, neighbours in pairs until one is left: the distinct
    positions, and one value for each. It takes log2 steps of the longest run of equal positions."""
    library = xp.library
    if not positions.size:
        return positions, values
    order = library.argsort(positions, kind="stable")
    positions, values = positions[order], values[order]
    first = library.concatenate([library.ones(1, dtype=bool), positions[1:] != positions[:-1]])
    starts = first.nonzero()[0]
    rank = library.arange(positions.size) - starts[library.cumsum(first) - 1]
    while positions.size > starts.size:
        second = (rank % 2 == 1).nonzero()[0]
        values[second - 1] = function(values[second - 1], values[second])
        stays = rank % 2 == 0
        positions, values, rank = positions[stays], values[stays], rank[stays] // 2
    return positions, values
