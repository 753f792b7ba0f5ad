"""Where a rank's part of an array is: all ranks have equally many elements of the flat array, which
zeros fill up behind its end."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from tapegrad.core.memory import Array
from tapegrad.core.tensor import Tensor, wrap

from .collectives import all_gather_into_tensor


class Layout(NamedTuple):
    """Of a sharded tensor: the shape of the whole, and the group whose ranks have its parts."""

    shape: tuple[int, ...]
    group: Any

    @property
    def numel(self) -> int:
        """How many elements the whole has."""
        return math.prod(self.shape)

    @property
    def length(self) -> int:
        """How many elements each rank has."""
        return -(-self.numel // self.group.size())

    def part(self, whole: Array, library: Any) -> Array:
        """This rank's part of a whole array."""
        start = self.group.rank() * self.length
        found = whole.reshape(-1)[start : start + self.length]
        part = library.zeros((self.length,), whole.dtype)
        part[: found.size] = found
        return part

    def whole(self, parts: Array) -> Array:
        """The array that parts, of shape (ranks, length), make."""
        return parts.reshape(-1)[: self.numel].reshape(self.shape)


def full_tensor(tensor: Tensor) -> Tensor:
    """The whole that a parameter of ``fully_shard`` is a part of, off the tape; other tensors as
    they are. All ranks call it."""
    layout: Layout | None = getattr(tensor, "sharding", None)
    if layout is None:
        return tensor.detach()
    size = layout.group.size()
    parts = tensor._device.ops["zeros"]((size, layout.length), dtype=tensor._array.dtype)
    all_gather_into_tensor(wrap(parts, tensor._device), tensor.detach(), layout.group)
    return wrap(layout.whole(parts), tensor._device)
