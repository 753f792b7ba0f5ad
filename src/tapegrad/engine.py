"""The walk back over the tape.

Nodes are visited newest first: a node's consumers are all newer than it, so when it comes off the
heap its gradient is complete. No recursion, no search, and each gradient is dropped as soon as it
has been used. The engine, not the rules, undoes broadcasting and type promotion and adds up what
arrives; nothing is written to any ``.grad`` until the whole walk has succeeded.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from heapq import heappop, heappush
from sys import getrefcount
from typing import Any

from .backend import Device
from .modes import mode
from .tape import Node, Primitive, registry, tensor_xp
from .tensor import Leaf, Tensor, wrap

# One result of an operation that has several (see autograd.Function).
part = Primitive("part", ["whole"], ["index"])

_delivering = threading.Lock()  # threads may share leaves: one adds to .grad at a time


def walk(
    roots: Sequence[Tensor],
    seeds: Sequence[Any],
    *,
    targets: set[Node | Leaf] | None,
    retain_graph: bool,
    create_graph: bool,
) -> dict[Node | Leaf, Any]:
    """Gradients at the leaves, or only at ``targets`` (visiting only the nodes that lead there).

    Seeds and results are arrays; Tensors under ``create_graph``.
    """
    leading = None if targets is None else _leading_to(targets, roots)
    needed = None if targets is None else leading | targets  # type: ignore[operator]
    pending: dict[Node | Leaf, Any] = {}
    captured: dict[Node | Leaf, Any] = {}
    heap: list[tuple[int, Node]] = []
    for root, seed in zip(roots, seeds, strict=True):
        edge = root._node
        if needed is None or edge in needed:
            _arrive(pending, heap, edge, seed, root._device.xp)
    before = mode.recording
    mode.recording = create_graph
    try:
        while heap:
            node = heappop(heap)[1]
            g = pending.pop(node)
            if node.watched:
                g = _run_hooks(node, g, create_graph)
            if targets is not None:
                if node in targets:
                    captured[node] = g
                if node not in leading:  # type: ignore[operator]  # nothing is wanted beyond it
                    continue
            _check(node)
            if create_graph:
                _visit_recorded(node, g, pending, heap, needed)
            elif node.primitive.simple:
                # The hot path: one rule for each input. What each rule asks for is picked from
                # one tuple by position.
                xp = node.device.xp
                full = (xp, g, *node.saved)  # type: ignore[misc]
                for edge, rule in zip(node.edges, node.primitive.rules):  # noqa: B905
                    if edge is None or (needed is not None and edge not in needed):
                        continue
                    if rule.wants_last:
                        gradient = rule.function(*rule.pick((*full, edge.shape)))
                    else:
                        gradient = rule.function(*rule.pick(full))
                    _arrive(pending, heap, edge, gradient, xp, node)
                full = gradient = None  # type: ignore[assignment]  # free what they hold
            else:
                _visit_joint(node, g, pending, heap, needed)
            if not retain_graph and node.primitive.saves_any:
                node.saved, node.inputs, node.storage = None, (), None
            g = None
        for leaf, g in pending.items():
            if leaf.hooks:
                pending[leaf] = _run_hooks(leaf, g, create_graph)
    finally:
        mode.recording = before
    pending.update(captured)
    return pending


def _check(node: Node) -> None:
    """Raise RuntimeError if what the node saved was freed, or changed in place since."""
    if node.saved is None:
        raise RuntimeError(
            f"[{node.name}] cannot go backward a second time: what '{node.primitive.name}' saved "
            "was freed by the first backward; pass retain_graph=True to the first one to keep it"
        )
    for t in node.inputs:
        if t is not None:
            storage = t._storage
            if storage is not None and storage.changed_at > node.serial:
                raise _stale(node, storage, t._array.shape, "input")
    storage = node.storage
    if storage is not None and storage.changed_at > node.serial:
        raise _stale(node, storage, node.shape, "result")


def _visit_joint(node: Node, g: Any, pending: dict, heap: list, needed: set | None) -> None:
    """Nodes with one rule for all inputs, with a rule that adds into a buffer, or with parts."""
    primitive, xp = node.primitive, node.device.xp
    if primitive is part:
        _arrive_part(pending, heap, node.edges[0], node.saved[2], g)  # type: ignore
        return
    full = (xp, g, *node.saved)  # type: ignore[misc]
    if primitive.into is not None:
        _add_into(pending, heap, node.edges[0], primitive.into, full, xp)  # type: ignore[arg-type]
        return
    _arrive_all(node, primitive.joint, full, pending, heap, needed, xp)


def _visit_recorded(node: Node, g: Tensor, pending: dict, heap: list, needed: set | None) -> None:
    """Under create_graph: rules see Tensors and record themselves."""
    primitive = node.primitive
    if primitive is part:
        _arrive_part(pending, heap, node.edges[0], node.saved[2], g)  # type: ignore
        return
    saved = _saved_as_tensors(node)
    if primitive.plain is not None:
        for edge, gradient in zip(node.edges, _through_plain(node, g, saved), strict=True):
            if edge is not None and (needed is None or edge in needed):
                _arrive(pending, heap, edge, gradient, tensor_xp, node)
        return
    full = (tensor_xp, g, *saved)
    if primitive.joint is not None:
        _arrive_all(node, primitive.joint, full, pending, heap, needed, tensor_xp)
        return
    for edge, rule in zip(node.edges, primitive.rules, strict=True):
        if edge is not None and (needed is None or edge in needed):
            gradient = rule.function(*rule.pick((*full, edge.shape)))  # type: ignore[union-attr]
            _arrive(pending, heap, edge, gradient, tensor_xp, node)


def _arrive_all(
    node: Node, rule: Any, full: tuple, pending: dict, heap: list, needed: set | None, xp: Any
) -> None:
    needs = tuple(e is not None and (needed is None or e in needed) for e in node.edges)
    grads = rule.function(*rule.pick((*full, needs)))
    for edge, need, gradient in zip(node.edges, needs, grads, strict=True):
        if need:
            _arrive(pending, heap, edge, gradient, xp, node)  # type: ignore[arg-type]


def _arrive(
    pending: dict, heap: list, edge: Node | Leaf, gradient: Any, xp: Any, node: Node | None = None
) -> None:
    """Add a gradient to what has reached ``edge`` so far."""
    if gradient is None:
        return
    if gradient.shape != edge.shape:
        gradient = unbroadcast(xp, gradient, edge, node)
    if gradient.dtype is not edge.dtype and gradient.dtype != edge.dtype:
        gradient = xp.cast(gradient, dtype=edge.dtype)
    have = pending.get(edge)
    if have is None:
        pending[edge] = gradient
        if edge.serial:  # leaves wait in pending until the walk is over
            heappush(heap, (-edge.serial, edge))  # type: ignore[misc]
    elif getrefcount(have) == _HELD_TWICE and have.__class__ is not Tensor and have.base is None:
        have += gradient  # nobody else can see this array: it is the engine's own
        pending[edge] = have  # of 0-d gradients, which may be scalars, += has made a new one
    else:
        pending[edge] = have + gradient


def _arrive_part(pending: dict, heap: list, whole: Node, index: int, g: Any) -> None:
    """Put the gradient of one result in its place among those of all results."""
    gradients = pending.get(whole)
    if gradients is None:
        gradients = pending[whole] = [None] * whole.parts
        heappush(heap, (-whole.serial, whole))
    have = gradients[index]
    gradients[index] = g if have is None else have + g


def _add_into(
    pending: dict, heap: list, edge: Node | Leaf, into: Any, full: tuple, xp: Any
) -> None:
    """Let the gradient of a part (a slice, gathered rows) be added into the whole's gradient, so
    that n parts cost the size of the parts and not n times the size of the whole."""
    buffer = pending.get(edge)
    if buffer is None:
        buffer = xp.zeros(edge.shape, dtype=edge.dtype)
        if edge.serial:
            heappush(heap, (-edge.serial, edge))  # type: ignore[misc]
    elif getrefcount(buffer) != _HELD_TWICE or buffer.base is not None or not buffer.shape:
        buffer = xp.array(buffer)
    pending[edge] = buffer
    into.function(*into.pick((*full, buffer)))


def _held_twice() -> int:
    """What getrefcount says of an object that one dictionary and one local variable hold. It
    depends on how the Python version counts its own temporaries, so it is measured."""
    pending = {0: object()}
    have = pending.get(0)
    return getrefcount(have)


_HELD_TWICE = _held_twice()


def unbroadcast(xp: Any, g: Any, edge: Node | Leaf, node: Node | None) -> Any:
    """Sum a gradient over the dimensions that broadcasting added or stretched."""
    shape, target = tuple(g.shape), tuple(edge.shape)
    lead = len(shape) - len(target)
    fits = lead >= 0 and all(t in (1, s) for s, t in zip(shape[lead:], target, strict=True))
    if not fits:
        name = node.primitive.name if node else "backward"
        raise RuntimeError(
            f"[{name}] its gradient rule returned shape {shape} for an input of shape {target}"
        )
    axes = tuple(range(lead)) + tuple(
        lead + i for i, t in enumerate(target) if t == 1 and shape[lead + i] != 1
    )
    if axes:
        g = xp.sum(g, axis=axes, keepdims=True)
    return g if tuple(g.shape) == target else xp.reshape(g, shape=target)


def _saved_as_tensors(node: Node) -> list:
    """What the rule needs, as Tensors still connected to the tape: for gradients of gradients."""
    y, *rest = node.saved  # type: ignore[misc]
    if y is not None:
        y = wrap(y, node.device)
        y._node, y._requires_grad, y._storage = node, True, node.storage
    count = len(node.primitive.inputs)
    if node.primitive.variadic:
        return [y, node.inputs if rest[0] is not None else None, *rest[1:]]
    inputs = [
        rest[i] if i >= len(node.inputs) or node.inputs[i] is None else node.inputs[i]
        for i in range(count)
    ]
    parameters = rest[count : count + len(node.primitive.parameters)]
    extras = [wrap(value, node.device) for value in rest[count + len(parameters) :]]
    return [y, *inputs, *parameters, *extras]


def _through_plain(node: Node, g: Tensor, saved: list) -> list:
    """The gradients of a primitive whose rules cannot be differentiated again: record what it is
    in plain operations and walk back over that."""
    primitive = node.primitive
    count = len(primitive.inputs)
    # Aliases are the walk's targets, so that it stops at this node's inputs even where one input
    # was computed from another.
    inputs = [
        registry["alias"](t) if edge is not None else t
        for t, edge in zip(saved[1 : count + 1], node.edges, strict=True)
    ]
    parameters = dict(zip(primitive.parameters, saved[count + 1 :]))  # noqa: B905 (extras follow)
    y = primitive.plain(*inputs, **parameters)  # type: ignore[misc]
    targets = {t._node for t, edge in zip(inputs, node.edges, strict=True) if edge is not None}
    found = walk([y], [g], targets=targets, retain_graph=True, create_graph=True)
    return [
        found.get(t._node) if edge is not None else None
        for t, edge in zip(inputs, node.edges, strict=True)
    ]


def _leading_to(targets: set[Node | Leaf], roots: Sequence[Tensor]) -> set:
    """The nodes that the walk must visit: those from which a target can be reached."""
    seen: set[Node | Leaf] = set()
    stack: list[Node | Leaf] = [root._node for root in roots]
    nodes: list[Node] = []
    while stack:
        edge = stack.pop()
        if edge in seen:
            continue
        seen.add(edge)
        if edge.serial:
            nodes.append(edge)  # type: ignore[arg-type]
            stack.extend(e for e in edge.edges if e is not None)  # type: ignore[union-attr]
    leading: set[Node | Leaf] = set()
    for node in sorted(nodes, key=lambda n: n.serial):
        if any(e in leading or e in targets for e in node.edges):
            leading.add(node)
    return leading


def _run_hooks(edge: Node | Leaf, g: Any, create_graph: bool) -> Any:
    """Show the complete gradient to the hooks; each may return a replacement."""
    given = g if create_graph else as_tensor(g, edge.device)
    for hook in tuple((edge.hooks or {}).values()):
        returned = hook(given)
        if returned is None:
            continue
        if not isinstance(returned, Tensor) or returned.shape != tuple(edge.shape):
            raise RuntimeError(
                f"[{edge.name}] a hook returns None or a Tensor of shape {tuple(edge.shape)}, "
                f"got {getattr(returned, 'shape', type(returned).__name__)}"
            )
        given = returned
    retained_by = getattr(edge, "retained_by", None)
    if retained_by is not None and (tensor := retained_by()) is not None:
        kept = given if create_graph else wrap(given._array.copy(), edge.device)
        tensor._grad = kept if tensor._grad is None else tensor._grad + kept
    return given if create_graph else given._array


def as_tensor(g: Any, device: Device) -> Tensor:
    """A gradient as a Tensor. (NumPy gives 0-d results as scalars.)"""
    return wrap(g if g.__class__ is device.array_type else device.asarray(g), device)


def _stale(node: Node, storage: Any, shape: tuple, role: str) -> RuntimeError:
    name = node.primitive.name
    return RuntimeError(
        f"[{node.name}] '{name}' saved its {role} of shape {tuple(shape)} for the backward pass, "
        f"and '{storage.changed_by}' has changed it in place since (version "
        f"{storage.version}): use an out-of-place operation, or clone() before the change"
    )


def deliver(pending: dict, edge: Node | Leaf, tensor: Tensor, create_graph: bool) -> None:
    """Add the gradient that waits at ``edge`` to ``tensor.grad``."""
    gradient = pending[edge]
    with _delivering:
        have = tensor._grad
        if create_graph:
            tensor._grad = gradient if have is None else have + gradient
        elif have is None:
            # Gradients must not share memory with each other or with the caller's seed.
            if getrefcount(gradient) != _HELD_TWICE or gradient.base is not None:
                gradient = gradient.copy()
            tensor._grad = as_tensor(gradient, tensor._device)
        elif have._requires_grad:
            tensor._grad = as_tensor(have._array + gradient, tensor._device)
        else:
            have._array += gradient
            have._bump("backward")
    del pending[edge]
