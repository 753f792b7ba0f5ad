"""Tensors that change their size in place, off the tape."""

from __future__ import annotations

import math
from typing import Any

from tapegrad.core.memory import address, layout_of, owner, window
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common import arguments
from tapegrad.ops.common.arguments import require_tensor


def resize_(self: Tensor, *sizes: Any, memory_format: Any = None) -> Tensor:
    """Give this tensor another shape, its elements in order in memory from its first one on. Where
    its memory does not suffice it gets new memory, of which the rest is undefined; tensors that
    shared the old memory keep it. Raises RuntimeError for negative sizes, and where the tensor
    requires grad."""
    op = "resize_"
    require_tensor(op, self)
    shape = arguments.shape(op, sizes)
    if self.requires_grad:
        raise RuntimeError(f"[{op}] a tensor that requires grad cannot be resized: detach() it")
    room = _room(self._array)
    count = math.prod(shape)
    if count <= room:
        steps = tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))
        self._array = window(self._array, shape, steps)
    else:
        memory = self._device.ops["empty"](count, dtype=self.dtype)
        memory[:room] = window(self._array, (room,), (1,))
        self._leave_memory()
        self._array = memory.reshape(shape)
    self._bump(op)
    return self


def _room(array: Any) -> int:
    """How many elements its memory holds from the array's first one on."""
    memory = owner(array)
    held = (layout_of(memory).extent[1] + 1) * memory.itemsize
    return (held - address(array) + address(memory)) // array.itemsize


def resize_as_(self: Tensor, other: Tensor, memory_format: Any = None) -> Tensor:
    """``resize_`` to another tensor's shape. Raises what that does."""
    require_tensor("resize_as_", other)
    return resize_(self, tuple(other.shape))
