"""The positions that index arrays name, as numbers: which of them are the same?

An index is understood if it is whole dimensions (``:``), then integer arrays for some more.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def _understood(index: Any) -> tuple[int, tuple] | None:
    """How many whole dimensions come first, and the arrays behind them."""
    parts = index if isinstance(index, tuple) else (index,)
    lead = 0
    while lead < len(parts) and isinstance(parts[lead], slice) and parts[lead] == slice(None):
        lead += 1
    arrays = parts[lead:]
    whole = all(hasattr(a, "dtype") and a.dtype.kind in "iu" for a in arrays)
    return (lead, arrays) if arrays and whole else None


def _numbered(library: Any, sizes: tuple[int, ...], arrays: tuple) -> Any:
    """One number for each combination of positions, in row-major order of the dimensions."""
    result = library.zeros((), dtype=library.int64)
    for n, a in zip(sizes, arrays, strict=False):
        a = a.astype(library.int64, copy=False)  # 8 bits may not hold n
        result = result * n + (library.where(a < 0, a + n, a) if a.size and a.min() < 0 else a)
    return result


def flat(library: Any, shape: tuple[int, ...], index: Any) -> Any:
    """Where the elements that an index names lie in the flat memory of an array of this shape, in
    the shape of ``array[index]``; None if the index is not understood."""
    found = _understood(index)
    if found is None:
        return None
    lead, arrays = found
    after = shape[lead + len(arrays) :]
    positions = _numbered(library, shape[lead:], arrays)
    if after:
        rest = library.arange(math.prod(after)).reshape(after)
        positions = positions.reshape(positions.shape + (1,) * len(after)) * rest.size + rest
    if lead:
        first = library.arange(math.prod(shape[:lead])) * math.prod(shape[lead:])
        positions = first.reshape(shape[:lead] + (1,) * positions.ndim) + positions
    return positions


def last_written(library: Any, positions: Any, size: int) -> Any:
    """Of positions (in range of ``size``) that are written to in order, whether each is the last of
    its kind, so that its value stays."""
    flat = positions.reshape(-1)
    stays = library.zeros(flat.size, dtype=bool)
    if library is np:  # where the last of several writes is sure to stay
        at, order = np.empty(size, dtype=np.int64), np.arange(flat.size)
        at[flat] = order
        stays = at[flat] == order
    elif flat.size:
        order = library.argsort(flat, kind="stable")
        last = flat[order]
        last = library.concatenate([last[1:] != last[:-1], library.ones(1, dtype=bool)])
        stays[order[last]] = True
    return stays.reshape(positions.shape)


def last_of_each(library: Any, shape: tuple[int, ...], index: Any, values: Any) -> tuple[Any, Any]:
    """Index and values without those that later ones for the same position would overwrite."""
    found = _understood(index) if getattr(values, "shape", ()) else None
    if found is None:
        return index, values
    lead, arrays = found
    numbers = _numbered(library, shape[lead:], arrays)
    block, before, after = numbers.shape, shape[:lead], shape[lead + len(arrays) :]
    numbers = numbers.reshape(-1)
    if numbers.size < 2:
        return index, values
    order = library.argsort(numbers, kind="stable")
    numbers = numbers[order]
    last = library.concatenate([numbers[1:] != numbers[:-1], library.ones(1, dtype=bool)])
    if bool(last.all()):
        return index, values
    stays = order[last]
    whole = (slice(None),) * lead
    kept = [library.broadcast_to(a, block).reshape(-1)[stays] for a in arrays]
    values = library.broadcast_to(values, before + block + after)
    values = values.reshape((*before, order.size, *after))[whole + (stays,)]
    return (*whole, *kept), values
