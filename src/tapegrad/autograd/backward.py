"""``backward`` and ``grad``: what users call to start the engine; and hooks on tensors."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from itertools import count
from sys import getrefcount
from typing import Any, NamedTuple

import numpy as np

from tapegrad.core import engine
from tapegrad.core.accelerator import compiled
from tapegrad.core.capture import capturing
from tapegrad.core.devices import Device
from tapegrad.core.engine import _HELD_TWICE, deliver, deliver_to_leaves, run_backward
from tapegrad.core.modes import flag
from tapegrad.core.node import Node
from tapegrad.core.tensor import Leaf, Tensor, wrap, wrap_result

_hook_ids = count()


class GradientEdge(NamedTuple):
    """Where a gradient arrives: a node, or the leaf at the end of the tape, and which of its
    results the gradient is of. ``ownership_token`` keeps the node of one result of several."""

    node: Node | Leaf
    output_nr: int
    ownership_token: Node | Leaf | None = None


class _Walk:
    """One call of ``backward`` or ``grad``: whether only some gradients are asked for, and what is
    to be called once all have arrived."""

    def __init__(self, chosen: bool):
        self.chosen = chosen
        self.at_end: list[Callable[[], None]] = []


walk: ContextVar[_Walk | None] = ContextVar("walk", default=None)  # the one a hook is called by


def _gradients(roots: list, seeds: list, targets: set | None, keep: bool, create: bool) -> Any:
    """``run_backward``, and then what hooks have left to be called at the end."""
    this = _Walk(targets is not None)
    before = walk.get()
    try:
        walk.set(this)
        found = run_backward(roots, seeds, targets=targets, retain_graph=keep, create_graph=create)
        for call in this.at_end:
            call()
        return found
    finally:
        walk.set(before)


def _one(device: Device, dtype: Any, shape: tuple[int, ...]) -> Any:
    """The gradient of a scalar with respect to itself."""
    if capturing() is not None:  # what is made now is no 1 before the recording is replayed
        return device.ops["ones"](shape, dtype=dtype)
    return _shared_one(device, dtype, shape)


@functools.cache
def _shared_one(device: Device, dtype: Any, shape: tuple[int, ...]) -> Any:
    """Shared by all backward passes: nothing is added into an array that is also held elsewhere."""
    one = device.ops["ones"](shape, dtype=dtype)
    if isinstance(one, np.ndarray):
        one.flags.writeable = False  # nor does a hook
    return one


def _listed(value: Any) -> list:
    if value.__class__ is list:
        return value
    if isinstance(value, (Tensor, GradientEdge)) or not hasattr(value, "__iter__"):
        return [value]
    return list(value)


def _seeds(op: str, roots: list[Tensor], gradients: Any, create_graph: bool) -> list:
    """The gradients to start from: ones for scalars where none is given."""
    given = _listed(gradients) if gradients is not None else [None] * len(roots)
    if len(given) != len(roots):
        raise RuntimeError(f"[{op}] got {len(given)} gradients for {len(roots)} tensors")
    seeds = []
    for root, seed in zip(roots, given, strict=True):
        if not isinstance(root, Tensor):
            raise TypeError(f"[{op}] expects Tensors, got {type(root).__name__}")
        if root._node is None:
            raise RuntimeError(
                f"[{op}] the tensor of shape {tuple(root.shape)} does not require grad and has no "
                "history: was it made under no_grad(), or from tensors without requires_grad=True?"
            )
        if seed is None:
            if root._array.size != 1:
                raise RuntimeError(
                    f"[{op}] without a gradient works on scalars only, this tensor has shape "
                    f"{tuple(root.shape)}: reduce it with .sum() or .mean(), or pass gradient="
                )
            if create_graph:
                ones = root._device.ops["ones"](root._array.shape, dtype=root._array.dtype)
                seeds.append(wrap(ones, root._device))
            else:
                seeds.append(_one(root._device, root._array.dtype, root._array.shape))
            continue
        if not isinstance(seed, Tensor) or seed.shape != root.shape:
            raise RuntimeError(
                f"[{op}] the gradient must be a Tensor of the tensor's shape {tuple(root.shape)}, "
                f"got {tuple(getattr(seed, 'shape', ())) or type(seed).__name__}"
            )
        if seed._device is not root._device:
            raise RuntimeError(
                f"[{op}] the tensor is on {root._device}, its gradient on {seed._device}"
            )
        seeds.append(seed if create_graph else seed._array)
    return seeds


def _kept(op: str, retain_graph: Any, create_graph: Any) -> bool:
    """Whether the graph is kept, by the two flags."""
    keep = flag(op, "create_graph", create_graph)
    return keep if retain_graph is None else flag(op, "retain_graph", retain_graph)


def _nodes(op: str, inputs: Sequence[Any]) -> list:
    nodes = []
    for x in inputs:
        if isinstance(x, GradientEdge):
            nodes.append(x.ownership_token or x.node)
            continue
        if not isinstance(x, Tensor) or not x.requires_grad:
            raise RuntimeError(f"[{op}] every one of inputs= must be a Tensor that requires grad")
        nodes.append(x._node)
    return nodes


def _roots(value: Any) -> list:
    """Tensors, and what stands for GradientEdges."""
    roots = _listed(value)
    for root in roots:
        if root.__class__ is GradientEdge:
            return [_at_edge(r) if isinstance(r, GradientEdge) else r for r in roots]
    return roots


def _at_edge(edge: GradientEdge) -> Tensor:
    """What stands for the tensor that an edge is at, whose elements nobody asks for."""
    node = edge.ownership_token or edge.node
    zero = node.device.ops["zeros"]((), dtype=node.dtype)
    root = wrap(node.device.xp.broadcast_to(zero, shape=node.shape), node.device)
    root._node = node
    return root


def _tensor_of(op: str, x: Tensor | GradientEdge) -> Tensor:
    """The tensor that gets a gradient. Raises RuntimeError for an edge that no tensor is at."""
    if isinstance(x, Tensor):
        return x
    tensor = x.node.tensor() if isinstance(x.node, Leaf) else None
    if tensor is None:
        raise RuntimeError(
            f"[{op}] inputs= has the edge at {x.node}, and .grad is a tensor's: pass the tensor, "
            "or ask for the gradient with autograd.grad()"
        )
    return tensor


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Add the gradients of ``tensors`` (weighted by ``grad_tensors``, ones for scalars) to the
    ``.grad`` of the leaves, or only of ``inputs``. If anything raises, no ``.grad`` has changed.
    A GradientEdge stands for the tensor that it was got of.

    retain_graph: keep what the tape saved, for another backward (default: create_graph).
    create_graph: record the backward pass itself, for gradients of gradients. Raises RuntimeError
    for tensors that do not require grad, for a missing gradient of anything but a scalar, for one
    of another shape or device, where what the tape saved was freed by an earlier backward or has
    been changed in place, and for ``inputs`` that are empty or do not require grad.
    """
    keep = _kept("backward", retain_graph, create_graph)
    roots = _roots(tensors)
    seeds = _seeds("backward", roots, grad_tensors, create_graph)
    chosen = None if inputs is None else _listed(inputs)
    if chosen is not None and not chosen:
        raise RuntimeError("[backward] inputs= must not be empty")
    nodes = None if chosen is None else _nodes("backward", chosen)
    if chosen is not None:
        chosen = [_tensor_of("backward", x) for x in chosen]
    targets = None if nodes is None else set(nodes)
    found, retained = _gradients(roots, seeds, targets, keep, create_graph)
    del seeds
    if chosen is None:
        deliver_to_leaves(found, retained, create_graph)
        return
    once = dict(zip(nodes, chosen, strict=True))  # type: ignore[arg-type]
    receivers = [(n, x) for n, x in once.items() if n in found]
    deliver(found, retained, receivers, create_graph)


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of ``outputs`` (weighted by ``grad_outputs``) with respect to ``inputs``, as
    a tuple; no ``.grad`` changes. A GradientEdge stands for the tensor that it was got of.

    allow_unused: None for an input that the outputs do not depend on, instead of an error;
    materialize_grads: zeros. only_inputs changes nothing, as in PyTorch. Raises as ``backward``
    does, ValueError for materialize_grads with allow_unused=False, and NotImplementedError for
    is_grads_batched.
    """
    materialize_grads = flag("grad", "materialize_grads", materialize_grads)
    if flag("grad", "is_grads_batched", is_grads_batched):
        raise NotImplementedError(
            "[grad] is_grads_batched=True does not exist here: use func.jacrev, or call grad() for "
            "each gradient with retain_graph=True"
        )
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "[grad] materialize_grads=True makes zeros for unused inputs, which allow_unused=False "
            "forbids: leave allow_unused out"
        )
    roots, wanted = _roots(outputs), _listed(inputs)
    if not wanted:
        raise ValueError("[grad] inputs must not be empty")
    seeds = _seeds("grad", roots, grad_outputs, create_graph)
    nodes = _nodes("grad", wanted)
    keep = _kept("grad", retain_graph, create_graph)
    earlier = {leaf for n in nodes if type(n) is Leaf for leaf in n.earlier or ()}
    found, retained = _gradients(roots, seeds, {*nodes, *earlier}, keep, create_graph)
    for leaf in earlier:
        if leaf in found:
            raise RuntimeError(f"[grad] {leaf.changed()}")
    if retained:
        deliver(found, retained, (), create_graph)
    results: list[Tensor | None] = []
    for i, node in enumerate(nodes):
        g = found.get(node)
        if g is None and not (allow_unused or materialize_grads):
            raise RuntimeError(
                f"[grad] the outputs do not depend on input {i}, of shape {tuple(node.shape)}: "
                "pass allow_unused=True to get None for it"
            )
        if g is None:
            zeros = node.device.ops["zeros"](node.shape, dtype=node.dtype)
            results.append(wrap(zeros, node.device) if materialize_grads else None)
        elif create_graph:
            results.append(g if g.is_contiguous() else g.contiguous())
        else:
            # A copy where others hold the array too: a seed, another result, a rule, a hook.
            alone = getrefcount(g) == _HELD_TWICE and g.base is None
            results.append(wrap_result(g if alone else g.copy(), node.device))
    return tuple(results)


# ---------------------------------------------------------------------- Tensor's methods


def tensor_backward(
    self: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """``tapegrad.autograd.backward`` of this tensor."""
    if (
        retain_graph is inputs is None
        and create_graph is False
        and compiled is not None
        and engine.inspect is engine.awaited is None
        and compiled.backward(self, gradient, walk, _Walk(False), _one)
    ):
        return
    backward([self], [gradient], retain_graph, create_graph, inputs)


class RemovableHandle:
    """Removes a hook: at ``handle.remove()``, or at the end of ``with handle:``."""

    def __init__(self, hooks: dict, id: int, *flags: dict):
        self.id, self._tables = id, (hooks, *flags)

    def remove(self) -> None:
        """Remove the hook; once more changes nothing."""
        for table in self._tables:
            table.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.remove()


def register_hook(self: Tensor, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
    """Call ``hook(gradient)`` whenever this tensor's gradient has been computed; a returned tensor
    replaces it. Hooks run in the order of their registration. Raises RuntimeError for a tensor that
    does not require grad, TypeError for a hook that cannot be called."""
    _check_hook("register_hook", self, hook)
    if self._node.hooks is None:
        self._node.hooks = {}
    self._node.watched = True
    return add_hook(self._node.hooks, hook)


def register_post_accumulate_grad_hook(
    self: Tensor, hook: Callable[[Tensor], None]
) -> RemovableHandle:
    """Call ``hook(tensor)`` whenever ``backward`` has added to this leaf's ``.grad``: it may step
    an optimizer and drop the gradient, before the next leaf has its own. Raises RuntimeError for
    anything but a leaf that requires grad, and in ``backward`` for a hook that returns anything;
    TypeError for a hook that cannot be called."""
    op = "register_post_accumulate_grad_hook"
    _check_hook(op, self, hook)
    if not self.is_leaf:
        raise RuntimeError(f"[{op}] only leaves keep their gradient: use register_hook")
    if self._node.later_hooks is None:
        self._node.later_hooks = {}
    return add_hook(self._node.later_hooks, hook)


def _check_hook(op: str, tensor: Tensor, hook: Any) -> None:
    if not tensor.requires_grad:
        raise RuntimeError(f"[{op}] this tensor does not require grad")
    if not callable(hook):
        raise TypeError(f"[{op}] a hook must be callable, got {type(hook).__name__}")


def add_hook(hooks: dict, hook: Callable, *flags: dict, prepend: bool = False) -> RemovableHandle:
    """Put ``hook`` last (or first) among ``hooks``, a tensor's or a module's, and its number into
    the tables ``flags``. Raises TypeError for a hook that cannot be called."""
    if not callable(hook):
        raise TypeError(f"a hook must be callable, got {type(hook).__name__}")
    key = next(_hook_ids)
    others = dict(hooks) if prepend else {}
    if prepend:
        hooks.clear()
    hooks[key] = hook
    hooks.update(others)
    for flag_table in flags:
        flag_table[key] = True
    return RemovableHandle(hooks, key, *flags)


def retain_grad(self: Tensor) -> None:
    """Keep this non-leaf tensor's gradient in ``.grad`` too. Raises RuntimeError if it does not
    require grad."""
    if not self.requires_grad:
        raise RuntimeError("[retain_grad] this tensor does not require grad")
    if not self.is_leaf:
        self._node.retained_by = weakref.ref(self)
        self._node.watched = True
        self._retains_grad = True


METHODS: dict[str, Callable] = {
    "backward": tensor_backward,
    "register_hook": register_hook,
    "register_post_accumulate_grad_hook": register_post_accumulate_grad_hook,
    "retain_grad": retain_grad,
}
for _name, _method in METHODS.items():
    setattr(Tensor, _name, _method)
