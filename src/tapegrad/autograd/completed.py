"""Leaves whose gradient is wanted as soon as it is complete, while the walk goes on: to send it to
other processes meanwhile.

A leaf is complete once the oldest node that uses it has been visited. To know which that is, the
nodes that a walk will visit are looked at before it begins; only while someone waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from tapegrad.core import engine
from tapegrad.core.tensor import Leaf, Tensor

_hooks: WeakKeyDictionary[Leaf, Callable[[Any], None]] = WeakKeyDictionary()


class CompleteHandle:
    """Takes a hook away again."""

    def __init__(self, leaf: Leaf, hook: Callable[[Any], None]):
        self._leaf, self._hook = leaf, hook

    def remove(self) -> None:
        """Call it no more; one that has taken its place stays."""
        if _hooks.get(self._leaf) is self._hook:
            del _hooks[self._leaf]


def on_complete(leaf: Tensor, hook: Callable[[Any], None]) -> CompleteHandle:
    """Call ``hook(array)`` in each ``backward`` as soon as nothing more will be added to what has
    reached this leaf: its ``.grad`` gets the array later, when all leaves have theirs, and the
    array must not be changed. 16-bit gradients may still be float32. The hook takes the place of
    another one.

    It is not called where hooks on the leaf may still replace the gradient, where the walk's end
    completes the leaf, and for gradients of gradients: ``register_post_accumulate_grad_hook`` is.
    """
    _hooks[leaf._node] = hook
    engine.awaited = _due
    return CompleteHandle(leaf._node, hook)


def _due(roots: Sequence[Tensor]) -> engine.Due:
    """What to call before nodes of which serial."""
    if not _hooks:
        engine.awaited = None
        return []
    oldest: dict[Leaf, int] = {}
    seen = set()
    stack = [root._node for root in roots]
    while stack:
        node = stack.pop()
        if node in seen or not node.serial:
            continue
        seen.add(node)
        serial = node.serial
        for edge in node.edges:
            if edge is None:
                continue
            if edge.serial:
                stack.append(edge)
            elif serial < oldest.get(edge, serial + 1):
                oldest[edge] = serial
    found = [
        (serial, partial(_call, leaf, _hooks[leaf]))
        for leaf, serial in oldest.items()
        if leaf in _hooks and not leaf.hooks and leaf.aside is None
    ]
    return sorted(found, key=lambda pair: pair[0])


def _call(leaf: Leaf, hook: Callable[[Any], None], pending: dict) -> None:
    if leaf in pending:
        hook(pending[leaf])
