"""Values by the place they go to, in a fixed order: without atomics, the same on every run."""

from __future__ import annotations

from typing import Any

from tapegrad.core.memory import Array


def combined(xp: Any, function: Any, places: Any, values: Array) -> tuple[Any, Any]:
    """The values of equal places combined, neighbours in pairs until one is left: the distinct
    places, and one value for each. It takes log2 steps of the longest run of equal places."""
    library = xp.library
    if not places.size:
        return places, values
    order = library.argsort(places, kind="stable")
    places, values = places[order], values[order]
    first = library.concatenate([library.ones(1, dtype=bool), places[1:] != places[:-1]])
    starts = first.nonzero()[0]
    rank = library.arange(places.size) - starts[library.cumsum(first) - 1]
    while places.size > starts.size:
        second = (rank % 2 == 1).nonzero()[0]
        values[second - 1] = function(values[second - 1], values[second])
        stays = rank % 2 == 0
        places, values, rank = places[stays], values[stays], rank[stays] // 2
    return places, values
