"""Elements at places in flattened images: read, added up, or written.

x: (batch, channels, size); places: (batch, channels or 1, count), integers in 0..size-1, which
callers have made or checked.
"""

from __future__ import annotations

from typing import Any

from tapegrad.core.memory import Array
from tapegrad.core.tape import primitive
from tapegrad.ops.common.precision import in_float32


def _flat(xp: Any, places: Any, channels: int, size: int) -> Any:
    """Places in the whole flattened tensor: (batch, channels, count)."""
    images = len(places) * channels
    return places + xp.arange(0, images * size, max(size, 1)).reshape(-1, channels, 1)


@primitive(
    vjp=(lambda xp, g, places, input_shape: xp.add_places(g, places, size=input_shape[2]), None)
)
def read_places(xp: Any, x: Array, places: Any) -> Array:
    """The elements there: (batch, channels, count)."""
    if not places.size or not x.size:
        return xp.zeros((*x.shape[:2], places.shape[2]), dtype=x.dtype)
    return x.reshape(-1)[_flat(xp, places, *x.shape[1:])]


@primitive(vjp=("read_places", None))
@in_float32
def add_places(xp: Any, x: Array, places: Any, *, size: int) -> Array:
    """(batch, channels, count) -> (batch, channels, size): each element added there."""
    result = xp.zeros((*x.shape[:2], size), dtype=x.dtype)
    if x.size:
        flat = _flat(xp, places, x.shape[1], size).reshape(-1)
        xp.add_at(result.reshape(-1), (flat,), x.reshape(-1))
    return result


@primitive(vjp=("read_places", None))
def write_places(xp: Any, x: Array, places: Any, *, size: int) -> Array:
    """(batch, channels, count) -> (batch, channels, size): each element written there, zeros
    elsewhere; of several with one place, one."""
    result = xp.zeros((*x.shape[:2], size), dtype=x.dtype)
    if x.size:
        result.reshape(-1)[_flat(xp, places, x.shape[1], size)] = x
    return result
