"""Hooks between the tape and what it keeps for the backward pass: ``autograd.graph`` has their
names.

While a hook is set, operations record nodes that notice when they are complete: then ``pack`` gets
what they keep, and what stands in its place calls ``unpack`` when a rule asks. Without hooks nodes
are what they always are, and nobody asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import partial
from typing import Any, NamedTuple

from tapegrad.core import caller
from tapegrad.core.caller import result_node
from tapegrad.core.commit import Users
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


def active() -> Hooks | None:
    """The hooks to use for what is kept now, if any are set."""
    hooks = current.get()
    return None if hooks is None or hooks.refused is not None else hooks


def exchange(hooks: Hooks | None) -> Hooks | None:
    """Set the hooks of this thread; returns those that were set."""
    before = current.get()
    _users.change(_is_set(hooks) - _is_set(before), partial(current.set, hooks))
    return before


def _is_set(hooks: Hooks | None) -> int:
    return hooks is not None and hooks.refused is None


def _new_node() -> Node:
    return Node() if active() is None else _Incomplete()


# The tape looks for hooks while there are any in some thread.
_users = Users(lambda on: caller.make_nodes(_new_node if on else Node))


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

    def array(self) -> Any:
        """The array of that."""
        return self.open()._array


class _Incomplete(Node):
    """A node that an operation is recording. Once it is complete, what it keeps goes to the hooks,
    and it is a Node as others are."""

    __slots__ = ()

    def _complete(self, storage: Any) -> None:
        """Set ``storage``, as callers do last (see core/caller.py). Nothing is checked for changes
        in place since: what is unpacked is what is used, as in PyTorch."""
        keeping: Any = active()
        self.saved, self.inputs = Packed(keeping, self), ()  # type: ignore[assignment]
        Node.storage.__set__(self, None)  # type: ignore[attr-defined]
        self.__class__ = Node  # type: ignore[assignment]

    storage = property(fset=_complete)


class Packed:
    """What a node keeps, in the care of hooks, in the place of ``Node.saved``: iterating opens it.
    Hooks see inputs as they are, and results and further arrays off the tape."""

    __slots__ = ("_kept",)

    def __init__(self, hooks: Hooks, node: Node):
        """Hand what ``node`` has in ``saved`` to the hooks."""
        y, *rest = node.saved  # type: ignore[misc]
        primitive, device = node.primitive, node.device

        def keep(array: Any, tensor: Tensor | None = None) -> Any:
            if array.__class__ is not device.array_type:
                return array
            if tensor is None:
                return Kept(hooks, wrap(array, device))
            shown = tensor if tensor._array is array else wrap(array, device)
            return Kept(hooks, shown, tensor._node)

        kept = [tuple([keep(v) for v in y]) if isinstance(y, tuple) else keep(y)]
        if primitive.variadic:
            if rest[0] is not None:
                pairs = zip(rest[0], node.inputs, strict=True)
                rest[0] = tuple([a if t is None else keep(a, t) for a, t in pairs])
        else:
            for i, t in enumerate(node.inputs):
                if t is not None:
                    rest[i] = keep(rest[i], t)
        first = len(primitive.inputs) + len(primitive.parameters)  # of the further results
        self._kept = kept + rest[:first] + [keep(value) for value in rest[first:]]

    def __iter__(self) -> Iterator[Any]:
        """What rules ask for, as arrays."""
        for value in self._kept:
            yield _opened(value, Kept.array)

    def as_tensors(self, node: Node) -> list:
        """What they ask for, as Tensors at their places on the tape."""
        opened = [_opened(value, Kept.open) for value in self._kept]
        y = opened[0]
        if isinstance(y, tuple):
            for i, t in enumerate(y):
                t._node = result_node(node, i, t)
        elif y is not None:
            y._node = node
        return opened


def _opened(value: Any, how: Callable[[Kept], Any]) -> Any:
    if isinstance(value, Kept):
        return how(value)
    return tuple([_opened(v, how) for v in value]) if value.__class__ is tuple else value
