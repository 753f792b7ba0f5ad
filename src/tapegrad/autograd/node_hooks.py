"""Hooks on the tape's nodes: methods of ``tensor.grad_fn``, and of the leaves it leads to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tapegrad.core.node import Node, call_of
from tapegrad.core.node_hooks import Aside
from tapegrad.core.tensor import Leaf

from .backward import RemovableHandle, add_hook


def _aside(node: Any) -> Aside:
    """What a node has beside what all have; one of several results shares its operation's."""
    node, _ = call_of(node)
    if node.aside is None:
        node.aside = Aside()
        node.watched = True
    return node.aside


def register_hook(self: Node | Leaf, fn: Callable[[tuple, tuple], tuple | None]) -> RemovableHandle:
    """Call ``fn(grad_inputs, grad_outputs)`` whenever the backward pass has run this node: with the
    gradients that it hands on, one for each of ``next_functions``, and those that it got, one for
    each of its operation's results; None where there is none. A returned tuple replaces
    ``grad_inputs``. Hooks run in the order of their registration.

    At the end of the tape, at a leaf, ``grad_inputs`` is empty, and ``.grad`` has changed already.
    Raises TypeError for a hook that cannot be called.
    """
    return add_hook(_aside(self).posthooks, fn)


def register_prehook(self: Node | Leaf, fn: Callable[[tuple], tuple | None]) -> RemovableHandle:
    """Call ``fn(grad_outputs)`` before the backward pass runs this node, after the hooks of its
    tensor. A returned tuple replaces them. (A gradient that is asked for at this node, by
    ``autograd.grad`` or ``retain_grad``, is what it was before.) Raises TypeError for a hook that
    cannot be called."""
    return add_hook(_aside(self).prehooks, fn)


def _metadata(self: Node | Leaf) -> dict:
    """A dict for the user's own notes on this node."""
    return _aside(self).metadata


METHODS: dict[str, Any] = {
    "metadata": property(_metadata),
    "register_hook": register_hook,
    "register_prehook": register_prehook,
}
for _name, _method in METHODS.items():
    setattr(Node, _name, _method)
    setattr(Leaf, _name, _method)
