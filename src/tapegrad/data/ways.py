"""The ways in which the items of a dataset are fetched.

A class has one or more of them, and that of the nearest class counts, so that a subclass's own
``__getitem__`` is never passed over for something that it inherits:

- ``__getbatch__(indices)`` returns the batch that ``default_collate`` would make of the items;
- ``__getitems__(indices)`` returns a list of the items;
- ``__getitem__(index)`` returns one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .collate import default_collate

_WAYS = ("__getbatch__", "__getitems__", "__getitem__")


def nearest(dataset: Any, ways: Sequence[str] = _WAYS) -> str:
    """The first of these ways that the dataset's nearest class with any of them has."""
    for kind in type(dataset).__mro__:
        own = vars(kind)
        if not own.keys().isdisjoint(ways):
            return next((name for name in ways if own.get(name) is not None), "__getitem__")
    return "__getitem__"


def items_of(dataset: Any, indices: Sequence[Any]) -> list[Any]:
    """The items at these indices. An error tells in ``_sample`` which of them raised it."""
    if nearest(dataset, _WAYS[1:]) == "__getitems__":
        items = dataset.__getitems__(indices)
        if len(items) != len(indices):
            raise ValueError(
                f"{type(dataset).__name__}.__getitems__ was asked for {len(indices)} items and "
                f"returned {len(items)}"
            )
        return items
    found: list[Any] = []
    try:
        for index in indices:
            found.append(dataset[index])
    except Exception as error:
        error.__dict__.setdefault("_sample", len(found))
        raise
    return found


def batch_of(dataset: Any, indices: Sequence[Any]) -> Any:
    """The batch that ``default_collate`` makes of the items at these indices."""
    if nearest(dataset) == "__getbatch__":
        return dataset.__getbatch__(indices)
    return default_collate(items_of(dataset, indices))
