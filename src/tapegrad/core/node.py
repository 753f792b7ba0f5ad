"""Node: one recorded call on the tape."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .fields import NodeFields

if TYPE_CHECKING:
    from .devices import Device
    from .primitive import Primitive
    from .tensor import Leaf, Tensor


class Node(NodeFields):
    """One recorded call: what made a tensor, out of what, and what its rule needs."""

    __slots__ = ()

    primitive: Primitive
    serial: int  # the tick of the clock at recording: newest first is the order of the walk
    edges: tuple[Node | Leaf | None, ...]  # one per input; None where no gradient is wanted
    saved: tuple | None  # (y, *inputs, *parameters, *extras) with None for what no rule needs
    inputs: tuple[Tensor | None, ...]  # the saved inputs as Tensors: versions, create_graph
    shape: tuple[int, ...]
    dtype: Any
    device: Device
    storage: Any  # the Storage of the result, when it is saved; one for each of several; else None
    watched: bool  # whether hooks, retained_by or aside are set
    aside: Any = None  # a node_hooks.Aside, where the node itself has hooks
    hooks: dict | None = None
    later_hooks: None = None  # only leaves have any
    is_result: bool = False  # whether it is one result of the several that its edge's node has
    results: tuple = ()  # with several: weak references to their nodes; the gradient is a list
    retained_by: Any = None  # weak reference to a tensor that asked for retain_grad()

    def name(self) -> str:
        """The primitive's name in this form: "LayerNormBackward"."""
        words = call_of(self)[0].primitive.name.split("_")
        return "".join(word[:1].upper() + word[1:] for word in words) + "Backward"

    @property
    def next_functions(self) -> tuple:
        """What this node hands gradients to: pairs of a node (or leaf; None where no gradient is
        wanted) and which of its results the input was."""
        return tuple([call_of(edge) for edge in call_of(self)[0].edges])

    # What autograd.node_hooks attaches.
    register_hook: Callable[..., Any]
    register_prehook: Callable[..., Any]
    metadata: dict[Any, Any]

    def __repr__(self) -> str:
        return f"<{self.name()}>"


def call_of(edge: Any) -> tuple[Any, int]:
    """The call (or leaf, or None) that an edge leads to, and which of its results it is."""
    return (edge.edges[0], edge.saved[2]) if getattr(edge, "is_result", False) else (edge, 0)


class _Remains(threading.local):
    def __init__(self) -> None:
        self.waiting: list[list] = []
        self.being_dropped = False


_remains = _Remains()


def _release_iteratively(node: Node) -> None:
    """Drop what a node held from a loop, not from within the end of the node that held it: the end
    of a long chain would otherwise be as deep as the chain is long."""
    held = [getattr(node, name, None) for name in ("edges", "saved", "inputs", "hooks", "aside")]
    _remains.waiting.append(held)
    if not _remains.being_dropped:
        _remains.being_dropped = True
        while _remains.waiting:
            _remains.waiting.pop()
        _remains.being_dropped = False


# Other Pythons do so themselves, after 50 levels or before the stack ends; 3.13 counts to 10,000,
# for which the stack of a thread may not be large enough.
if sys.version_info[:2] == (3, 13):
    Node.__del__ = _release_iteratively  # type: ignore[attr-defined]
