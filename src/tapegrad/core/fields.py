"""What tensors, nodes and storages hold: the classes that theirs derive from.

Where the tape was compiled, these are types in C (csrc/tape/fields.cpp), which it reads and writes
without asking Python. What was not set is None there; here the defaults stand in the classes.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from .accelerator import compiled
from .commit import fork_safe_lock

# One clock orders everything that happens to tensors: nodes recorded and arrays changed in place.
# A saved array is stale exactly when it changed at a later tick than the node that saved it.
serials = count(1)

if compiled is not None and not TYPE_CHECKING:
    TensorFields = compiled.TensorFields
    NodeFields = compiled.NodeFields
    StorageFields = compiled.StorageFields
    last_change = compiled.last_change
else:

    class TensorFields:
        """Of a Tensor. Class-level defaults keep the making of a result to three stores."""

        _array: Any
        _device: Any = None
        _node: Any = None
        _grad: Any = None
        _storage: Any = None
        _base: Any = None
        _retains_grad: bool = False
        _aliased: bool = False

    class NodeFields:
        """Of a Node. What every node has stands in slots, the rest in ``__dict__``."""

        __slots__ = (
            *("__dict__", "__weakref__", "device", "dtype", "edges", "inputs", "primitive"),
            *("saved", "serial", "shape", "storage", "watched"),
        )

    class StorageFields:
        """Of a Storage."""

        __slots__ = ("aliases", "changed_at", "changed_by", "detached", "version", "whole")

        def __init__(self) -> None:
            self.changed_at = 0
            self.changed_by = ""
            self.version = 0
            self.aliases: list = []
            self.detached = False

        def change(self, op: str) -> None:
            """Note that ``op`` has changed this memory in place."""
            global _last_change
            with _changing:  # or a thread could set the clock back
                self.changed_at = _last_change = next(serials)
            self.changed_by = op
            self.version += 1

    _last_change = 0
    _changing = fork_safe_lock()

    def last_change() -> int:
        """When any memory was last changed in place: what was recorded later needs no check."""
        return _last_change


FIELDS = frozenset(
    (
        *("_array", "_device", "_node", "_grad", "_storage", "_base", "_retains_grad"),
        *("_aliased", "_resting"),
    )
)
