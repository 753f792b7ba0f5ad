"""Elements at positions in flattened images: read, added up, or written.

x: (batch, channels, size); positions: (batch, channels or 1, count), integers in 0..size-1, which
callers have made or checked.
"""

from __future__ import annotations

from typing import Any

from tapegrad.core.memory import Array
from tapegrad.core.tape import primitive
from tapegrad.ops.common.precision import in_float32
from tapegrad.ops.common.ravel_index import last_written


def _flat(xp: Any, positions: Any, channels: int, size: int) -> Any:
    """Positions in the whole flattened tensor: (batch, channels, count)."""
    images = len(positions) * channels
    return positions + xp.arange(0, images * size, max(size, 1)).reshape(-1, channels, 1)


def _read_rule(xp: Any, g: Array, positions: Any, input_shape: tuple) -> Array:
    return xp.add_positions(g, positions, size=input_shape[2])


@primitive(vjp=(_read_rule, None))
def read_positions(xp: Any, x: Array, positions: Any) -> Array:
    """The elements there: (batch, channels, count)."""
    if not positions.size or not x.size:
        return xp.zeros((*x.shape[:2], positions.shape[2]), dtype=x.dtype)
    return x.reshape(-1)[_flat(xp, positions, *x.shape[1:])]


@primitive(vjp=("read_positions", None))
@in_float32
def add_positions(xp: Any, x: Array, positions: Any, *, size: int) -> Array:
    """(batch, channels, count) -> (batch, channels, size): each element added there."""
    result = xp.zeros((*x.shape[:2], size), dtype=x.dtype)
    if x.size:
        flat = _flat(xp, positions, x.shape[1], size).reshape(-1)
        xp.add_at(result.reshape(-1), (flat,), x.reshape(-1))
    return result


@primitive(vjp=("last_positions", None))
def last_positions(xp: Any, x: Array, positions: Any, *, size: int) -> Array:
    """The elements, with 0 for those that ``write_positions`` would write over."""
    if not x.size:
        return x.copy()
    flat = _flat(xp, positions, x.shape[1], size)
    return xp.where(last_written(xp.library, flat, x[..., 0].size * size), x, 0.0)


def _write_rule(xp: Any, g: Array, positions: Any, size: int) -> Any:
    return xp.last_positions(xp.read_positions(g, positions), positions, size=size)


@primitive(vjp=(_write_rule, None))
def write_positions(xp: Any, x: Array, positions: Any, *, size: int) -> Array:
    """(batch, channels, count) -> (batch, channels, size): each element written there, zeros
    elsewhere; of several for one position, the last."""
    result = xp.zeros((*x.shape[:2], size), dtype=x.dtype)
    if x.size:
        xp.store(result.reshape(-1), (_flat(xp, positions, x.shape[1], size),), x)
    return result
