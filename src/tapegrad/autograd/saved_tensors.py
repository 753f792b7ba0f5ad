"""Hooks between the tape and what it keeps for the backward pass: ``autograd.graph`` has their
names.

While a hook is set, the tape's nodes are of a class of their own, ``PackedNode``, which hands what
it keeps to ``pack`` once it is complete, and calls ``unpack`` when the engine reads it. Without
hooks nodes are what they always are, and nobody asks.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, NamedTuple

from tapegrad.core import caller
from tapegrad.core.caller import result_node
from tapegrad.core.commit import fork_safe_lock
from tapegrad.core.modes import recording
from tapegrad.core.node import Node
from tapegrad.core.tensor import Tensor, wrap


class Hooks(NamedTuple):
    """What is called with each tensor that is kept, and what makes a tensor of what that returned.
    ``refused``: instead, the message of ``disable_saved_tensors_hooks``."""

    pack: Callable[[Tensor], Any]
    unpack: Callable[[Any], Tensor]
    refused: str | None = None


# The innermost hooks of this thread, or why there may be none.
current: ContextVar[Hooks | None] = ContextVar("saved tensors hooks", default=None)

_entered = 0  # by all threads; the tape looks for hooks while there are any
_counting = fork_safe_lock()


def active() -> Hooks | None:
    """The hooks to use for what is kept now, if any are set."""
    hooks = current.get()
    return None if hooks is None or hooks.refused is not None else hooks


def exchange(hooks: Hooks | None) -> Hooks | None:
    """Set the hooks of this thread; returns those that were set."""
    global _entered
    before = current.get()
    change = _is_set(hooks) - _is_set(before)
    with _counting:
        _entered += change
        caller.make_nodes(_new_node if _entered else Node.__new__)
    current.set(hooks)
    return before


def _is_set(hooks: Hooks | None) -> int:
    return hooks is not None and hooks.refused is None


def _new_node(kind: type[Node]) -> Node:
    return kind.__new__(kind if active() is None else PackedNode)


class Kept:
    """A tensor in the care of hooks."""

    __slots__ = ("_node", "_packed", "_unpack")

    def __init__(self, hooks: Hooks, tensor: Tensor, node: Any = None):
        """Hand ``tensor`` to ``hooks.pack``. node: where what comes back has its place on the tape.
        Raises RuntimeError where the hook changes the tensor in place."""
        version = tensor._version
        before = recording.get()
        try:
            recording.set(False)
            self._packed = hooks.pack(tensor)
        finally:
            recording.set(before)
        if tensor._version != version:
            raise RuntimeError(
                f"[saved_tensors_hooks] the pack hook has changed in place the tensor of shape "
                f"{tuple(tensor.shape)} that it was given: let it return another one"
            )
        self._unpack, self._node = hooks.unpack, node

    def open(self) -> Tensor:
        """What ``unpack`` makes of it, at its place on the tape. Raises TypeError for anything but
        a Tensor."""
        tensor = self._unpack(self._packed)
        if not isinstance(tensor, Tensor):
            raise TypeError(
                "[saved_tensors_hooks] the unpack hook must return a Tensor, got "
                f"{type(tensor).__name__}"
            )
        again = wrap(tensor._array, tensor._device)
        again._node = self._node
        return again


class PackedNode(Node):
    """A node that keeps what its rules ask for as hooks see fit. They see inputs as they are, and
    results and further arrays off the tape."""

    # A caller stores all of these, ``device`` behind ``saved`` and ``inputs`` (see core/caller.py).
    # Nothing is checked for changes in place since: what is unpacked is what is used, as in PyTorch.
    storage = property(lambda self: None, lambda self, value: None)
    inputs = property(lambda self: (), lambda self, value: setattr(self, "_inputs", value))  # type: ignore

    @property
    def device(self) -> Any:  # type: ignore[override]
        """Where the result is. Setting it hands what the node keeps to the hooks."""
        return self.__dict__["device"]

    @device.setter
    def device(self, value: Any) -> None:
        self.__dict__["device"] = value
        if self._kept is not None:
            self._kept = self._packed(self._kept, self.__dict__.pop("_inputs"))

    @property
    def saved(self) -> Any:  # type: ignore[override]
        """What the rules ask for: arrays; a list of Tensors where the walk is recorded."""
        if self._kept is None:
            return None
        as_tensors = recording.get()
        opened = [_opened(value, as_tensors) for value in self._kept]
        if not as_tensors:
            return tuple(opened)
        self._place(opened[0])
        return opened

    @saved.setter
    def saved(self, value: tuple | None) -> None:
        self._kept: Any = value

    def _packed(self, saved: tuple, inputs: tuple) -> list:
        hooks: Any = active()
        y, *rest = saved
        primitive, device = self.primitive, self.device

        def keep(array: Any, tensor: Tensor | None = None) -> Any:
            if array.__class__ is not device.array_type:
                return array
            if tensor is None:
                return Kept(hooks, wrap(array, device))
            shown = tensor if tensor._array is array else wrap(array, device)
            return Kept(hooks, shown, tensor._node)

        kept = [tuple([keep(v) for v in y]) if isinstance(y, tuple) else keep(y)]
        count = len(primitive.inputs)
        if primitive.variadic:
            if rest[0] is not None:
                pairs = zip(rest[0], inputs, strict=True)
                rest[0] = tuple([a if t is None else keep(a, t) for a, t in pairs])
        else:
            for i, t in enumerate(inputs):
                if t is not None:
                    rest[i] = keep(rest[i], t)
        first = count + len(primitive.parameters)  # of the further results
        return kept + rest[:first] + [keep(value) for value in rest[first:]]

    def _place(self, y: Any) -> None:
        """Let the result (or each of several), as a Tensor, be this node's."""
        if isinstance(y, tuple):
            for i, t in enumerate(y):
                t._node = result_node(self, i, t)
        elif y is not None:
            y._node = self


def _opened(value: Any, as_tensors: bool) -> Any:
    if isinstance(value, Kept):
        tensor = value.open()
        return tensor if as_tensors else tensor._array
    return tuple([_opened(v, as_tensors) for v in value]) if value.__class__ is tuple else value
