"""The walk back over the tape.

Nodes are visited newest first: a node's consumers are all newer than it, so when it comes off the
heap its gradient is complete. No recursion, no search, and each gradient is dropped as soon as it
has been used. The engine, not the rules, undoes broadcasting and type promotion and adds up what
arrives, for 16-bit floats in float32, so that each gradient is rounded once; nothing is written to
any ``.grad`` until the whole walk has succeeded.
"""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from heapq import heappop, heappush
from sys import getrefcount
from typing import Any

import numpy as np

from .accelerator import compiled
from .caller import result_node, result_of, tensor_xp
from .commit import commit, fork_safe_lock
from .devices import Device, make_current
from .dtypes import accumulator, float32
from .fields import last_change, serials
from .memory import Array, shares
from .modes import recording
from .node import Node
from .node_hooks import Caught, run_posthooks, run_prehooks
from .pending import Pair, Parts
from .quiet import error_state, first_filter, noisy, quiet, usual_state
from .tensor import Alias, Leaf, Storage, Tensor, wrap, wrap_result

# Called with each node, edge and gradient that a rule has made (see autograd.anomaly).
inspect: Callable[[Node, Any, Any], None] | None = None

# Called with the roots of a walk, while there is someone who waits for leaves: pairs (serial,
# function), by increasing serial. ``function(pending)`` is called before nodes older than that,
# when what it waits for in ``pending`` is complete (see autograd.completed).
Due = list[tuple[int, Callable[[dict], None]]]
awaited: Callable[[Sequence[Tensor]], Due] | None = None

_delivering = fork_safe_lock()  # threads may share leaves: one adds to .grad at a time


Gradients = dict["Node | Leaf", Any]  # by the nodes and leaves that they have reached
Retained = list[tuple[Tensor, Tensor]]  # what retain_grad() asked for


def run_backward(
    roots: Sequence[Tensor],
    seeds: Sequence[Any],
    *,
    targets: set[Node | Leaf] | None,
    retain_graph: bool,
    create_graph: bool,
) -> tuple[Gradients, Retained]:
    """Gradients at the leaves, or only at ``targets`` (visiting only the nodes that lead there),
    and those for retain_grad().

    Seeds and results are arrays; Tensors under ``create_graph``. Raises RuntimeError where what a
    node saved was freed or has been changed in place since, and where a rule or a hook returns
    another shape, dtype or device than the input has.
    """
    walk = quiet(_walk) if noisy() else _walk
    before = recording.get()
    try:
        recording.set(create_graph)  # (in here, or an interrupt behind it would leave it so)
        return walk(roots, seeds, targets, retain_graph, create_graph)
    finally:
        recording.set(before)


def _walk(
    roots: Sequence[Tensor],
    seeds: Sequence[Any],
    targets: set[Node | Leaf] | None,
    retain_graph: bool,
    create_graph: bool,
) -> tuple[Gradients, Retained]:
    pending: Gradients = {}
    captured: Gradients = {}
    retained: Retained = []
    wide: set[Node | Leaf] = set()  # of 16-bit floats, with gradients that are float32 until whole
    whole = targets is None and not create_graph
    due = awaited(roots) if awaited is not None and whole else []
    if compiled is not None and whole and inspect is None:
        nodes = tuple([root._node for root in roots])
        compiled.visit(nodes, tuple(seeds), pending, wide, retained, retain_graph, due)
    else:
        flags = retain_graph, create_graph
        _visit(roots, seeds, targets, pending, captured, wide, retained, *flags, due)
    _settle(pending, wide, retained, create_graph)
    pending.update(captured)
    return pending, retained


def _settle(pending: Gradients, wide: set, retained: Retained, create_graph: bool = False) -> None:
    """Round what leaves have got in float32, and show it to their hooks."""
    for edge in wide:
        pending[edge] = _rounded(edge, pending[edge], create_graph)
    for leaf, g in pending.items():
        if leaf.hooks:
            pending[leaf] = _run_hooks(leaf, g, create_graph, retained)


def _visit(
    roots: Sequence[Tensor],
    seeds: Sequence[Any],
    targets: set[Node | Leaf] | None,
    pending: Gradients,
    captured: Gradients,
    wide: set[Node | Leaf],
    retained: Retained,
    retain_graph: bool,
    create_graph: bool,
    due: Due,
) -> None:
    """Visit the nodes; ``pending`` has the leaves' gradients then. (csrc/tape/visit.cpp does the
    same, where neither targets nor gradients of gradients are wanted.)"""
    heap: list[tuple[int, Node]] = []
    node: Node | None = None
    xp: Any = tensor_xp

    def arrive(edge: Any, gradient: Any) -> None:
        """Add a gradient to what has reached ``edge`` so far."""
        if gradient.shape != edge.shape or gradient.dtype is not edge.dtype:
            gradient = _fitted(xp, gradient, edge, node, wide)
        have = pending.get(edge)
        if have is None:
            pending[edge] = gradient
            serial = edge.serial
            if serial:  # leaves wait in pending until the walk is over
                heappush(heap, (-serial, edge))
        elif edge.dtype is not float32 and edge.dtype.itemsize == 2:
            pending[edge] = _wide_sum(xp, have, gradient, edge, wide)
        elif create_graph:
            pending[edge] = have + gradient
        else:  # an array that nobody else can see is the engine's own
            own = getrefcount(have) == _HELD_TWICE and getattr(have, "base", have) is None
            pending[edge] = _sum_of(xp, have, gradient, own)

    def push(reached: Node) -> None:
        heappush(heap, (-reached.serial, reached))

    hand_over = arrive
    if inspect is not None:

        def hand_over(edge: Any, gradient: Any) -> None:
            inspect(node, edge, gradient)  # type: ignore[misc, arg-type]
            arrive(edge, gradient)

    leading = None if targets is None else _leading_to(targets, roots)
    for root, seed in zip(roots, seeds, strict=True):
        if leading is None or root._node in leading or root._node in targets:  # type: ignore
            xp = tensor_xp if create_graph else root._device.xp
            arrive(root._node, seed)
    while heap:
        node = heappop(heap)[1]
        while due and node.serial < due[-1][0]:
            due.pop()[1](pending)
        g = pending.pop(node)
        if wide and node in wide:
            wide.remove(node)
            g = _rounded(node, g, create_graph)
        if node.watched:
            g = _run_hooks(node, g, create_graph, retained)
        edges = node.edges
        if leading is not None:
            if node in targets:  # type: ignore[operator]
                captured[node] = g
            if node not in leading:  # nothing is wanted beyond it
                continue
            edges = tuple([e if e in leading or e in targets else None for e in edges])  # type: ignore
        if node.watched:
            g = run_prehooks(node, g)
            if g is None:
                continue
        primitive = node.primitive
        saved = node.saved
        if saved is None:
            raise _freed(node)
        if last_change() > node.serial:
            _check(node, create_graph)
        if primitive is result_of:
            _collect_result(pending, push, edges[0], saved[2], g)  # type: ignore
        elif node.watched and node.aside is not None and node.aside.posthooks:
            xp = tensor_xp if create_graph else node.device.xp
            _with_posthooks(xp, node, g, edges, hand_over)
        elif create_graph:
            _rule_on_tape(node, g, edges, hand_over)
        elif primitive.into is None:
            xp = node.device.xp
            primitive.backward(xp, g, saved, edges, hand_over)
        else:
            _add_into(pending, push, edges[0], node, g, wide)  # type: ignore[arg-type]
        if primitive.saves_any and not retain_graph:
            node.saved, node.inputs, node.storage = None, (), None
        g = saved = None


def _fitted(xp: Any, gradient: Any, edge: Node | Leaf, node: Node | None, wide: set) -> Any:
    """A gradient in the shape of its edge, and in its dtype, or, of 16-bit floats, in float32."""
    if gradient.shape != edge.shape:
        gradient = unbroadcast(xp, gradient, edge, node)
    if gradient.dtype != edge.dtype:
        if accumulator(edge.dtype) != gradient.dtype:
            return xp.cast(gradient, dtype=edge.dtype)
        wide.add(edge)
    return gradient


def _wide_sum(xp: Any, have: Any, gradient: Any, edge: Node | Leaf, wide: set) -> Any:
    """Of a gradient of 16 bits, in float32 from the third summand on."""
    wide.add(edge)
    if have.__class__ in _WAITING:
        have = have.wide(xp)
    elif have.dtype == gradient.dtype == edge.dtype:
        return Pair(have, gradient)
    return xp.cast(have, dtype=float32) + xp.cast(gradient, dtype=float32)


def _sum_of(xp: Any, have: Any, gradient: Any, own: bool) -> Any:
    """Of other gradients, in the place of the first where it is the engine's own."""
    if have.__class__ is Parts:
        return have + gradient
    return xp.accumulate(have, gradient) if own else xp.add(have, gradient)


_WAITING = (Pair, Parts)


def _rounded(edge: Node | Leaf, gradient: Any, create_graph: bool) -> Any:
    """A gradient that was added up in float32, or is to be added up, in the edge's dtype."""
    xp = tensor_xp if create_graph else edge.device.xp
    if gradient.__class__ in _WAITING:
        gradient = gradient.total(xp)
    return gradient if gradient.dtype == edge.dtype else xp.cast(gradient, dtype=edge.dtype)


def _check(node: Node, create_graph: bool) -> None:
    """Raise RuntimeError if what the node saved has been changed in place since. (What it saved for
    gradients of gradients alone matters only to those.)"""
    asked = None if create_graph else node.primitive.asked
    for i, t in enumerate(node.inputs):
        if t is not None and (asked is None or i in asked):
            storage = t._storage
            if storage is not None and storage.changed_at > node.serial:
                raise _stale(node, storage, t._array.shape, "input")
    storage = node.storage
    if isinstance(storage, tuple):
        for own, y in zip(storage, node.saved[0], strict=True):  # type: ignore[index]
            if own.changed_at > node.serial:
                raise _stale(node, own, y.shape, "result")
    elif storage is not None and storage.changed_at > node.serial:
        raise _stale(node, storage, node.shape, "result")


def _collect_result(pending: dict, push: Callable, whole: Node, index: int, g: Any) -> None:
    """Add the gradient of one result to the list of the gradients of all results."""
    gradients = pending.get(whole)
    if gradients is None:
        gradients = pending[whole] = [None] * len(whole.results)
        push(whole)
    have = gradients[index]
    gradients[index] = g if have is None else have + g


def _add_into(
    pending: dict, push: Callable, edge: Node | Leaf, node: Node, g: Any, wide: set
) -> None:
    """Let the gradient of a part (a slice, gathered rows) be added into the whole's gradient, so
    that n parts cost the size of the parts and not n times the size of the whole."""
    xp = node.device.xp
    buffer, dtype = pending.get(edge), edge.dtype
    # (On the CPU, zeros that are in its caches cost less than to wait.)
    if buffer is None and (dtype.itemsize == 2 or not isinstance(g, np.ndarray)):
        buffer = pending[edge] = Parts(xp, edge.shape, dtype)
        wide.add(edge)
        if edge.serial:
            push(edge)
    if buffer.__class__ is Parts:
        if not buffer.add(node.primitive, node.saved, g):
            pending[edge] = buffer.wide(xp)
        return
    if buffer.__class__ is Pair:
        buffer = pending[edge] = buffer.wide(xp)
    if dtype.itemsize == 2:
        wide.add(edge)
        dtype, g = float32, xp.cast(g, dtype=float32)
        if buffer is not None and buffer.dtype != dtype:
            buffer = pending[edge] = xp.cast(buffer, dtype=dtype)
    if buffer is None:
        buffer = xp.zeros(edge.shape, dtype=dtype)
        if edge.serial:
            push(edge)
    elif getrefcount(buffer) != _HELD_TWICE or buffer.base is not None or not buffer.shape:
        buffer = xp.array(buffer)
    pending[edge] = buffer
    node.primitive.add_into(xp, g, node.saved, buffer)  # type: ignore[misc]


def _held_twice() -> int:
    """What getrefcount says of an object that one dictionary and one local variable hold. It
    depends on how the Python version counts its own temporaries, so it is measured."""
    pending = {0: object()}
    have = pending.get(0)
    return getrefcount(have)


_HELD_TWICE = _held_twice()


def unbroadcast(xp: Any, g: Array, edge: Node | Leaf, node: Node | None) -> Any:
    """Sum a gradient over the dimensions that broadcasting added or stretched. Raises RuntimeError
    where broadcasting could not have made its shape of the input's."""
    shape, target = tuple(g.shape), tuple(edge.shape)
    lead = len(shape) - len(target)
    broadcast = lead >= 0 and all(t in (1, s) for s, t in zip(shape[lead:], target, strict=True))
    if not broadcast:
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
    if node.saved.__class__ is not tuple:  # hooks keep it: see autograd.saved_tensors
        return node.saved.as_tensors(node)  # type: ignore[union-attr]
    y, *rest = node.saved  # type: ignore[misc]
    if isinstance(y, tuple):
        y = tuple(wrap(array, node.device) for array in y)
        for i, (t, storage) in enumerate(zip(y, node.storage, strict=True)):  # type: ignore
            t._node, t._storage = result_node(node, i, t), storage
    elif y is not None:
        y = wrap(y, node.device)
        y._node, y._storage = node, node.storage
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


def _rule_on_tape(node: Node, g: Any, edges: tuple, arrive: Callable) -> None:
    """Call a node's rule with Tensors, so that it is recorded."""
    tensors = _saved_as_tensors(node)
    if node.primitive.plain is None:
        node.primitive.backward(tensor_xp, g, tensors, edges, arrive)
    else:
        _through_plain(node, g, tensors, edges, arrive)


def _with_posthooks(xp: Any, node: Node, g: Any, edges: tuple, arrive: Callable) -> None:
    """Call a node's rule, show what it makes to the hooks on the node, and hand that on."""
    caught = Caught(edges)
    if xp is tensor_xp:
        _rule_on_tape(node, g, caught.places, caught)
    else:
        node.primitive.backward(xp, g, node.saved, caught.places, caught)
    made = caught.gradients
    whole: list[Any] = []
    for edge, gradient in zip(edges, made, strict=True):
        if gradient is not None and gradient.shape != edge.shape:
            gradient = unbroadcast(xp, gradient, edge, node)
        if gradient is not None and gradient.dtype != edge.dtype:
            gradient = xp.cast(gradient, dtype=edge.dtype)
        whole.append(gradient)
    for edge, gradient in zip(edges, run_posthooks(node, edges, made, whole, g), strict=True):
        if gradient is not None:
            arrive(edge, gradient)


def _through_plain(node: Node, g: Tensor, saved: list, edges: tuple, arrive: Callable) -> None:
    """The gradients of a primitive whose rules cannot be differentiated again: record what it is
    in plain operations and walk back over that."""
    primitive = node.primitive
    count = len(primitive.inputs)
    # Aliases are the walk's targets, so that it stops at this node's inputs even where one input
    # was computed from another.
    inputs = [
        tensor_xp.alias(t) if edge is not None else t
        for t, edge in zip(saved[1 : count + 1], edges, strict=True)
    ]
    names = primitive.parameters
    parameters = dict(zip(names, saved[count + 1 : count + 1 + len(names)], strict=True))
    y = primitive.plain(*inputs, **parameters)  # type: ignore[misc]
    aliases = {t._node: edge for t, edge in zip(inputs, edges, strict=True) if edge is not None}
    results = zip(y, g, strict=True) if primitive.results > 1 else [(y, g)]
    # (Not all results need depend on an input with a history.)
    arrived = [
        (t, gradient) for t, gradient in results if gradient is not None and t._node is not None
    ]
    if not arrived:
        return
    roots, seeds = zip(*arrived, strict=True)
    found, _ = run_backward(
        roots, seeds, targets=set(aliases), retain_graph=True, create_graph=True
    )
    for alias, edge in aliases.items():
        if alias in found:
            arrive(edge, found[alias])


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


def _run_hooks(edge: Node | Leaf, g: Any, create_graph: bool, retained: list) -> Any:
    """Show the complete gradient to the hooks; each may return a replacement. Note in
    ``retained`` what retain_grad() asks for."""
    retained_by = getattr(edge, "retained_by", None)
    if not edge.hooks and retained_by is None:
        return g
    given = g if create_graph else wrap_result(g, edge.device)
    if edge.hooks and not given.is_contiguous():
        given = given.contiguous()
    for hook in tuple((edge.hooks or {}).values()):
        returned = hook(given)
        if returned is None:
            continue
        if not isinstance(returned, Tensor) or returned.shape != tuple(edge.shape):
            kind = RuntimeError if isinstance(returned, Tensor) else TypeError
            raise kind(
                f"[{edge.name()}] a hook returns None or a Tensor of shape {tuple(edge.shape)}, "
                f"got {getattr(returned, 'shape', type(returned).__name__)}"
            )
        if returned.dtype != edge.dtype or returned._device is not edge.device:
            raise RuntimeError(
                f"[{edge.name()}] a hook got a gradient of {edge.dtype.name} on {edge.device} and "
                f"returned one of {returned.dtype.name} on {returned._device}"
            )
        given = returned
    if retained_by is not None and (tensor := retained_by()) is not None:
        kept = given if create_graph else wrap(given._array.copy(), edge.device)
        retained.append((tensor, kept))
    return given if create_graph else given._array


def _run_all_hooks(node: Node, g: Any, retained: list) -> Any:
    """What is called before a node's rule, in order; None if no gradient is left."""
    return run_prehooks(node, _run_hooks(node, g, False, retained))


def _freed(node: Node) -> RuntimeError:
    return RuntimeError(
        f"[{node.name()}] cannot go backward a second time: what '{node.primitive.name}' saved was "
        "freed by the first backward; pass retain_graph=True to the first one to keep it"
    )


def _stale(node: Node, storage: Any, shape: tuple, role: str) -> RuntimeError:
    name = node.primitive.name
    return RuntimeError(
        f"[{node.name()}] '{name}' saved its {role} of shape {tuple(shape)} for the backward pass, "
        f"and '{storage.changed_by}' has changed it in place since (version "
        f"{storage.version}): use an out-of-place operation, or clone() before the change"
    )


def deliver_to_leaves(found: Gradients, retained: Retained, create_graph: bool = False) -> None:
    """``deliver`` what was found to the leaves whose tensors still ask for it."""
    receivers = [
        (leaf, t)
        for leaf in found
        if (t := leaf.tensor()) is not None and t._node is not None  # type: ignore[union-attr]
    ]
    deliver(found, retained, receivers, create_graph)


def deliver(
    found: Gradients,
    retained: Retained,
    receivers: Sequence[tuple[Node | Leaf, Tensor]],
    create_graph: bool,
) -> None:
    """Add the gradients found to the ``.grad`` of their tensors: of all, or, if anything raises, of
    none. Then call the hooks that wait for it.

    Raises RuntimeError for a tensor that has another shape, dtype or device than it had in the
    forward pass, and for a ``.grad`` in read-only memory.
    """
    hooked = {e: e.aside for e, _ in receivers if e.aside is not None and type(e) is Leaf}
    for leaf in hooked:
        found[leaf] = run_prehooks(leaf, found[leaf])
    if hooked:
        receivers = [pair for pair in receivers if found[pair[0]] is not None]
    with _delivering:
        steps = [_accumulation(found, edge, tensor, create_graph) for edge, tensor in receivers]
        for tensor, gradient in retained:
            have = tensor._grad
            total = gradient if have is None else have + gradient
            steps.append(partial(setattr, tensor, "_grad", total))
        commit(steps)
    for edge, tensor in receivers:
        if edge.later_hooks:
            for hook in tuple(edge.later_hooks.values()):
                if (returned := hook(tensor)) is not None:
                    raise RuntimeError(
                        "[register_post_accumulate_grad_hook] a hook returns None: .grad is added "
                        f"already and cannot be replaced; got {type(returned).__name__}"
                    )
        if edge in hooked and hooked[edge].posthooks:
            run_posthooks(edge, (), [], [], found[edge])


def _accumulation(
    found: Gradients, edge: Node | Leaf, tensor: Tensor, create_graph: bool
) -> partial:
    """What adds a gradient to ``tensor.grad``; everything that can fail is behind us then."""
    gradient, have = found[edge], tensor._grad
    array, device = tensor._array, tensor._device
    dtype = edge.of if type(edge) is Leaf else edge.dtype
    if edge.shape != array.shape or dtype != array.dtype or edge.device is not device:
        raise RuntimeError(f"[backward] {edge.changed()}")  # type: ignore[union-attr]
    if device.type == "cuda":
        make_current(device)
    if create_graph:
        return partial(setattr, tensor, "_grad", gradient if have is None else have + gradient)
    if have is None:
        # Gradients must not share memory with each other or with the caller's seed.
        if getrefcount(gradient) != _HELD_TWICE or gradient.base is not None:
            gradient = device.ops["copy"](gradient)
        return partial(setattr, tensor, "_grad", wrap_result(gradient, device))
    if have.requires_grad or 0 in have._array.strides:  # a history, or expanded
        total = wrap_result(have._array + gradient, device)
        return partial(setattr, tensor, "_grad", total)
    if not getattr(have._array.flags, "writeable", True):  # (CuPy has no such flag)
        raise RuntimeError(
            f"[backward] the .grad of a tensor of shape {tuple(array.shape)} shares the memory of "
            "a read-only array: set it to None, or to a clone()"
        )
    have._bump("backward")
    if device.type == "cuda":
        return partial(_add_on, device, have._array, gradient)
    return partial(np.add, have._array, gradient, have._array)


def _add_on(gpu: Device, total: Array, gradient: Array) -> None:
    make_current(gpu)
    gpu.ops["accumulate"](total, gradient)


if compiled is not None:
    compiled.configure(
        tensor=Tensor,
        node=Node,
        leaf=Leaf,
        storage=Storage,
        alias=Alias,
        result_of=result_of,
        fitted=_fitted,
        wide_sum=_wide_sum,
        sum_of=_sum_of,
        rounded=_rounded,
        run_hooks=_run_all_hooks,
        with_posthooks=_with_posthooks,
        freed=_freed,
        check=_check,
        collect_result=_collect_result,
        add_into=_add_into,
        shares=shares,
        settle=_settle,
        deliver=deliver_to_leaves,
        error_state=error_state,
        usual_state=usual_state,
        first_filter=first_filter,
        warnings=vars(warnings),
        serials=serials,
    )
    gc.callbacks.append(compiled.before_collection)
