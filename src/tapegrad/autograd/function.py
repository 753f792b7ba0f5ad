"""Custom operations: a forward and a backward written by the user."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

import numpy as np

from tapegrad.core import caller
from tapegrad.core.caller import record_results, result_node
from tapegrad.core.devices import to_numpy
from tapegrad.core.modes import no_grad, recording
from tapegrad.core.node import Node
from tapegrad.core.primitive import Primitive
from tapegrad.core.tensor import Tensor, wrap, wrap_result
from tapegrad.ops.common.hints import unknown_names

from .saved_tensors import Kept, active


class Context:
    """What ``forward`` keeps for ``backward``: the argument called ``ctx``."""

    def __init__(self, needs: tuple[bool, ...]):
        self.needs_input_grad = needs
        self._saved: tuple[Any, ...] = ()  # Tensors and None, or what hooks keep of them
        self._constant: tuple[Tensor, ...] = ()
        self._changed: tuple[Tensor, ...] = ()
        self._materialize = True
        self._results: dict[int, int] = {}  # saved position -> which result it is
        self._node: Any = None  # weak reference to the node of the call
        self._like: list[tuple | None] = []  # the results' shapes, dtypes and devices
        self._made: list[int] = []  # positions of what was saved and is neither input nor result
        self._call: tuple | None = None  # what made them: the Function, args, kwargs
        self._devices: tuple[Any, ...] = ()  # of the arguments that want a gradient

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep inputs, results or others for ``backward``, which raises if they have been changed
        in place since. Raises TypeError for anything but Tensors and None."""
        for t in tensors:
            if t is not None and not isinstance(t, Tensor):
                raise TypeError(
                    f"save_for_backward takes Tensors or None, got {type(t).__name__}: "
                    "keep other values as attributes of ctx"
                )
        self._saved = tensors

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """What was saved, still connected to the tape.

        What ``forward`` made and saved that is neither an input nor a result has no history. Where
        the backward pass is recorded, ``forward`` runs once more to give it one; raises
        RuntimeError where it then makes other values, or has changed an input in place.
        """
        tensors = [t.open() if isinstance(t, Kept) else t for t in self._saved]
        whole = self._node() if self._results and self._node is not None else None
        for position, result in self._results.items():
            # Results are kept without their node (node -> ctx -> result -> node is a cycle).
            t = wrap(tensors[position]._array, tensors[position]._device)
            if whole is not None:
                t._node = result_node(whole, result, t)
            tensors[position] = t
        if self._made and recording.get():
            self._connect(tensors)
        return tuple(tensors)

    def _connect(self, tensors: list) -> None:
        """Put what ``forward`` made of its inputs, recorded, in the place of what it made then."""
        if self._call is None:
            raise RuntimeError(
                "gradients of gradients need the history of what forward made, saved and did not "
                "return, and forward cannot run again after changing an input in place: return it"
            )
        cls, args, kwargs = self._call
        again = Context(self.needs_input_grad)
        _call_forward(cls, again, args, kwargs)
        for position in self._made:
            t, before = again._saved[position], tensors[position]
            if t is None or not t.requires_grad:
                continue  # a constant
            if not np.array_equal(to_numpy(t._array), to_numpy(before._array), equal_nan=True):
                raise RuntimeError(
                    f"[{cls.__name__}] gradients of gradients need the history of saved tensor "
                    f"{position}, of shape {tuple(before.shape)}, which forward made and did not "
                    "return; run again, forward has made other values: return it as a result"
                )
            tensors[position] = t

    def mark_non_differentiable(self, *results: Tensor) -> None:
        """These results get no gradient."""
        self._constant = results

    def mark_dirty(self, *inputs: Tensor) -> None:
        """These inputs were changed in place, and are returned."""
        self._changed = inputs

    def set_materialize_grads(self, value: bool) -> None:
        """Whether ``backward`` sees zeros (default) or None for results that are not used."""
        self._materialize = value


class Function:
    """A differentiable operation of your own::

        class Cube(tapegrad.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x ** 3

            @staticmethod
            def backward(ctx, grad):
                (x,) = ctx.saved_tensors
                return 3 * x ** 2 * grad

        y = Cube.apply(x)

    ``forward`` takes any arguments and returns a Tensor or a tuple of them; it is not recorded. If
    the class defines ``setup_context(ctx, inputs, output)``, ``forward`` gets no ``ctx``.
    ``backward`` takes a gradient for each result and returns one (or None) for each argument; it
    is recorded under ``create_graph=True``.
    """

    _primitive: Primitive | None = None

    @staticmethod
    def forward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        """The result, for a subclass to define. Raises NotImplementedError where it does not."""
        raise NotImplementedError("a Function defines a static method forward(ctx, *args)")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Any) -> None:
        """Keep what ``backward`` needs, where ``forward`` takes no ``ctx``."""

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """The gradients, for a subclass to define. Raises NotImplementedError where it does not."""
        raise NotImplementedError("a Function defines a static method backward(ctx, *grads)")

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run ``forward``, and record ``backward`` if an argument requires grad. What ``forward``
        returns beside Tensors is handed through; ``backward`` gets None for it. Raises TypeError if
        it returns no Tensor, RuntimeError if it changes in place a leaf that requires grad, or a
        view of one."""
        wants = tuple(isinstance(a, Tensor) and a.requires_grad for a in args)
        ctx = Context(wants)
        with no_grad():
            returned = _call_forward(cls, ctx, args, kwargs)
        results = list(returned) if isinstance(returned, (tuple, list)) else [returned]
        if not any(isinstance(y, Tensor) for y in results):
            raise TypeError(
                f"[{cls.__name__}] forward must return Tensors, or one among others, got "
                f"({', '.join(type(y).__name__ for y in results)})"
            )
        for i, y in enumerate(results):
            if not isinstance(y, Tensor):  # handed through
                continue
            if any(y is a for a in args) and not any(y is d for d in ctx._changed):
                results[i] = alias = y.detach()
                alias._storage.add_view(y, alias)  # type: ignore[union-attr]
        for changed in ctx._changed:
            changed._bump(cls.__name__)
        if any(wants) and recording.get():
            _record(cls, ctx, args, kwargs, wants, results)
        ctx._changed = ctx._constant = ()  # a result that refers to ctx would be a cycle
        return tuple(results) if isinstance(returned, (tuple, list)) else results[0]


def _call_forward(cls: type[Function], ctx: Context, args: tuple, kwargs: dict) -> Any:
    if cls.setup_context is Function.setup_context:
        return cls.forward(ctx, *args, **kwargs)
    returned = cls.forward(*args, **kwargs)
    cls.setup_context(ctx, args, returned)
    return returned


def _record(
    cls: type[Function], ctx: Context, args: tuple, kwargs: dict, wants: tuple, results: list
) -> None:
    if "_primitive" not in cls.__dict__:
        cls._primitive = Primitive(
            cls.__name__, ["inputs"], ["ctx", "function"], vjp_all=_rule, variadic=True
        )
        cls._primitive.saves_any = True
    for changed in ctx._changed:
        if any(t is not None and t.is_leaf and t.requires_grad for t in (changed, changed._base)):
            raise RuntimeError(
                f"[{cls.__name__}] a leaf that requires grad, or a view of one, cannot be changed "
                "in place"
            )
    node = Node()
    node.primitive = cls._primitive  # type: ignore[assignment]
    node.edges = tuple(a._node if w else None for a, w in zip(args, wants, strict=True))
    node.saved = (None, None, ctx, cls)
    tensors = [y for y in results if isinstance(y, Tensor)]
    node.shape, node.dtype, node.device = (), None, tensors[0]._device
    for position, t in enumerate(ctx._saved):
        for i, y in enumerate(results):
            if t is not None and t is y:
                ctx._results[position] = i
                ctx._saved = (*ctx._saved[:position], t.detach(), *ctx._saved[position + 1 :])
    known = (*args, *kwargs.values(), *ctx._constant)
    ctx._made = [
        position
        for position, t in enumerate(ctx._saved)
        if t is not None and position not in ctx._results and t.is_floating_point()
        if t._node is None and not any(t is k for k in known)
    ]
    if ctx._made and not ctx._changed:
        ctx._call = (cls, args, kwargs)
    hooks = active()
    if hooks is None:
        node.inputs = ctx._saved
    else:
        ctx._saved = tuple([t if t is None else Kept(hooks, t, t._node) for t in ctx._saved])
        node.inputs = ()
    node.serial = next(caller.serials)
    node.storage, node.watched = None, False
    ctx._node = weakref.ref(node)
    ctx._devices = tuple(a._device if w else None for a, w in zip(args, wants, strict=True))
    ctx._like = [
        (y._array.shape, y.dtype, y._device) if isinstance(y, Tensor) else None for y in results
    ]
    # What shares memory with others goes on as the result does, and takes the others along.
    shared = {
        i: wrap(y._array, y._device)
        for i, y in enumerate(results)
        if any(y is c for c in ctx._changed) and (y._base is not None or y._aliased)
    }
    given = [shared.get(i, y) for i, y in enumerate(results)]
    constant = [not isinstance(y, Tensor) or any(y is c for c in ctx._constant) for y in results]
    record_results(node, [None if c else t for c, t in zip(constant, given, strict=True)])
    if shared:
        # (Imported here, as few Functions need it.)
        from tapegrad.ops.indexing.inplace import rebase_history

        for i, result in shared.items():
            rebase_history(results[i], result)


def _rule(g: list, ctx: Context, function: type[Function], needs: tuple[bool, ...]) -> list:
    """Call ``backward`` with the gradients as Tensors, and check and unwrap what it returns."""
    recorded = recording.get()
    shown: list[Tensor | None] = []
    for value, like in zip(g, ctx._like, strict=True):
        if like is None:
            shown.append(None)
            continue
        shape, dtype, device = like
        if value is None:
            zeros = device.ops["zeros"](shape, dtype=dtype) if ctx._materialize else None
            shown.append(None if zeros is None else wrap(zeros, device))
        else:
            shown.append(value if isinstance(value, Tensor) else wrap_result(value, device))
    returned = function.backward(ctx, *shown)
    grads = list(returned) if isinstance(returned, (tuple, list)) else [returned]
    name = function.__name__
    extra = grads[len(needs) :]
    if len(grads) < len(needs) or any(e is not None for e in extra):
        raise RuntimeError(
            f"[{name}] backward must return a gradient (or None) for each of the {len(needs)} "
            f"arguments of forward, it returned {len(grads)}"
        )
    for i, (gradient, need) in enumerate(zip(grads, needs, strict=False)):
        if need and gradient is not None and not isinstance(gradient, Tensor):
            raise TypeError(
                f"[{name}] backward returned {type(gradient).__name__} as gradient {i}: "
                "expected a Tensor or None"
            )
        if need and gradient is not None and gradient._device is not ctx._devices[i]:
            raise RuntimeError(
                f"[{name}] backward returned gradient {i} on {gradient._device}, the input is on "
                f"{ctx._devices[i]}"
            )
    return [t if t is None or recorded else t._array for t in grads[: len(needs)]]


# ---------------------------------------------------------------------- PyTorch's further names

FunctionCtx = Context


class InplaceFunction(Function):
    """A Function that may change its inputs in place: ``ctx.mark_dirty`` says which, as it does in
    any Function. ``inplace`` is kept for those who ask."""

    def __init__(self, inplace: bool = False):
        self.inplace = inplace


class _Twice(Function):
    """Hands gradients through that must not be differentiated again."""

    @staticmethod
    def forward(ctx: Any, name: str, *gradients: Any) -> Any:
        """The gradients."""
        ctx.name = name
        return tuple([g if g is None else g.clone() for g in gradients])

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Raises RuntimeError."""
        raise RuntimeError(
            f"[{ctx.name}] is marked @once_differentiable: its backward computes in ways that the "
            "tape does not see, so there are no gradients of its gradients"
        )


def once_differentiable(backward: Callable) -> Callable:
    """A decorator for the ``backward`` of a Function that the tape cannot see, as it computes with
    NumPy, say: it runs unrecorded, and gradients of the gradients that it returns raise
    RuntimeError."""

    @wraps(backward)
    def once(ctx: Any, *grads: Any) -> Any:
        with no_grad():
            returned = backward(ctx, *grads)
        if not recording.get() or not any(isinstance(g, Tensor) and g.requires_grad for g in grads):
            return returned
        several = isinstance(returned, (tuple, list))
        gradients = list(returned) if several else [returned]
        marked = [
            g.detach().requires_grad_() if isinstance(g, Tensor) and g.is_floating_point() else g
            for g in gradients
        ]
        name = backward.__qualname__.removesuffix(".backward").rpartition(".")[2]
        results = _Twice.apply(name, *marked)
        return results if several else results[0]

    return once


if not TYPE_CHECKING:
    __getattr__ = unknown_names(__name__)
