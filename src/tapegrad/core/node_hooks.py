"""Hooks on nodes of the tape themselves: called before a node's rule with the gradients of its
results, and after it with those of its inputs too. (Hooks on tensors see one gradient: engine.py.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .tensor import Leaf, Tensor, wrap

if TYPE_CHECKING:
    from .devices import Device
    from .node import Node


class Aside:
    """What few nodes have: hooks of their own, and what users keep with them."""

    __slots__ = ("metadata", "posthooks", "prehooks")

    def __init__(self) -> None:
        self.prehooks: dict[int, Callable] = {}
        self.posthooks: dict[int, Callable] = {}
        self.metadata: dict[Any, Any] = {}


class _Place:
    """Stands for an edge before a rule, which asks for no more than its shape and dtype."""

    __slots__ = ("dtype", "index", "shape")

    def __init__(self, index: int, edge: Any):
        self.index, self.shape, self.dtype = index, edge.shape, edge.dtype


class Caught:
    """Takes what a rule makes for each edge, in the engine's place."""

    def __init__(self, edges: tuple):
        self.places = tuple([e if e is None else _Place(i, e) for i, e in enumerate(edges)])
        self.gradients: list[Any] = [None] * len(edges)

    def __call__(self, place: _Place, gradient: Any) -> None:
        self.gradients[place.index] = gradient


def run_prehooks(node: Node | Leaf, g: Any) -> Any:
    """Show the gradient of a node's result, or the list of those of its several results, to the
    hooks that wait for it; the gradients to go on with: None if there are none left."""
    if node.aside is None or not node.aside.prehooks:
        return g
    several = isinstance(g, list)
    given = g if several else [g]
    was = now = _shown(given, node.device)
    for hook in tuple(node.aside.prehooks.values()):
        now = _answered(node, hook, hook(now), now)
    values = _values(given, was, now)
    if all(v is None for v in values):
        return None
    return values if several else values[0]


def run_posthooks(node: Node | Leaf, edges: tuple, made: list, whole: list, g: Any) -> list:
    """Show what a rule has made, as ``whole`` has it, to the hooks that wait for it; the gradients
    to go on with, which are those of ``made`` where they are not replaced."""
    outer = _shown(g if isinstance(g, list) else [g], node.device)
    pairs = zip(whole, edges, strict=True)
    was = now = tuple([None if x is None else _shown([x], e.device)[0] for x, e in pairs])
    for hook in tuple(node.aside.posthooks.values()):
        now = _answered(node, hook, hook(now, outer), now)
    return _values(made, was, now)


def _shown(gradients: list, device: Device) -> tuple[Tensor | None, ...]:
    """Gradients, arrays or Tensors, as Tensors."""
    shown = []
    for g in gradients:
        if g is not None:
            g = g if isinstance(g, Tensor) else wrap(device.asarray(g), device)
            g = g if g.is_contiguous() else g.contiguous()
        shown.append(g)
    return tuple(shown)


def _values(given: list, was: tuple, now: tuple) -> list:
    """The gradients as they were given, but for those that were replaced."""
    on_tape = any(isinstance(g, Tensor) for g in given)
    return [
        g if new is old else new if on_tape or new is None else new._array
        for g, old, new in zip(given, was, now, strict=True)
    ]


def _answered(node: Node | Leaf, hook: Callable, returned: Any, shown: tuple) -> tuple:
    """The gradients after a hook that was shown these has returned that.

    Raises TypeError for anything but a tuple of Tensors and None, RuntimeError for another length,
    and for a gradient of another shape, dtype or device than it replaces, or in the place of None.
    """
    if returned is None:
        return shown
    what = f"[{node.name()}] the hook {getattr(hook, '__name__', type(hook).__name__)!r}"
    if not isinstance(returned, tuple):
        raise TypeError(
            f"{what} returned {type(returned).__name__}: expected None, or a tuple with a Tensor "
            f"(or None) for each of the {len(shown)} gradients"
        )
    if len(returned) != len(shown):
        raise RuntimeError(
            f"{what} returned {len(returned)} gradients, expected as many as it was given, "
            f"{len(shown)}"
        )
    for i, (new, old) in enumerate(zip(returned, shown, strict=True)):
        if new is None or new is old:
            continue
        if not isinstance(new, Tensor):
            raise TypeError(
                f"{what} returned {type(new).__name__} as gradient {i}: expected a Tensor or None"
            )
        if old is None:
            raise RuntimeError(
                f"{what} returned a Tensor as gradient {i}, where there is none: leave it None"
            )
        if (new.shape, new.dtype, new._device) != (old.shape, old.dtype, old._device):
            raise RuntimeError(
                f"{what} was given {_described(old)} as gradient {i} and returned {_described(new)}"
            )
    return returned


def _described(tensor: Tensor) -> str:
    return f"{tensor.dtype.name} {tuple(tensor.shape)} on {tensor._device}"
