"""The tape: how an operation is declared, run and recorded.

A *primitive* is a forward body and, beside it, its gradient rule. Calling it on Tensors runs the
body on their arrays and, if a gradient may be asked for, hangs a Node on the result. The walk back
over the nodes is in ``engine.py``.

Declaring one::

    exp = unary("exp", lambda g, y: g * y)                                 # body: xp.exp

    @primitive(vjp=(lambda xp, g, shape: xp.broadcast_to(g, shape=shape),))
    def total(xp, x, *, axis): ...

In a body, inputs are positional and parameters keyword-only. A rule asks for what it needs by
name, and only that is kept alive for the backward pass: ``g`` (the gradient of the result), ``y``
(the result), any input or parameter by its own name, any name in ``extras``, ``input_shape``
(of the input whose gradient this is), ``xp`` (the namespace to compute with). Rules see plain
arrays; under ``create_graph=True`` they see Tensors, and ``xp`` is the primitives themselves.
Of a primitive with several results, ``g`` is a list (None where no gradient arrived) and ``y`` the
tuple of results.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad.ops.common.out import write_out

from . import devices, dtypes
from .devices import Device, bodies, cache, memory
from .modes import recording
from .primitive import Primitive, signature
from .tensor import Leaf, Storage, Tensor, serials, wrap


class Node:
    """One recorded call: what made a tensor, out of what, and what its rule needs."""

    primitive: Primitive
    serial: int  # the tick of the clock at recording: newest first is the order of the walk
    edges: tuple[Node | Leaf | None, ...]  # one per input; None where no gradient is wanted
    saved: tuple | None  # (y, *inputs, *parameters, *extras) with None for what no rule needs
    inputs: tuple[Tensor | None, ...]  # the saved inputs as Tensors: versions, create_graph
    shape: tuple[int, ...]
    dtype: Any
    device: Device
    storage: Any = None  # the Storage of the result, when it is saved; one for each of several
    watched: bool = False  # whether hooks or retained_by are set
    hooks: dict | None = None
    parts: int = 1  # how many results: with several, its gradient is a list; 0: it is one of them
    results: tuple = ()  # with several: weak references to their nodes
    retained_by: Any = None  # weak reference to a tensor that asked for retain_grad()

    @property
    def name(self) -> str:
        if self.parts == 0:
            return self.edges[0].name  # type: ignore[union-attr]
        words = self.primitive.name.split("_")
        return "".join(word[:1].upper() + word[1:] for word in words) + "Backward"

    @property
    def next_functions(self) -> tuple:
        """The nodes (and leaves) this one hands gradients to; None where none is wanted."""
        return self.edges

    def __repr__(self) -> str:
        return f"<{self.name}>"


class _Remains(threading.local):
    def __init__(self) -> None:
        self.waiting: list[list] = []
        self.being_dropped = False


_remains = _Remains()


def _release_iteratively(node: Node) -> None:
    """Drop what a node held from a loop, not from within the end of the node that held it: the end
    of a long chain would otherwise be as deep as the chain is long."""
    _remains.waiting.append(list(node.__dict__.values()))
    node.__dict__.clear()
    if not _remains.being_dropped:
        _remains.being_dropped = True
        while _remains.waiting:
            _remains.waiting.pop()
        _remains.being_dropped = False


# Other Pythons do so themselves, after 50 levels or before the stack ends; 3.13 counts to 10,000,
# for which the stack of a thread may not be large enough.
if sys.version_info[:2] == (3, 13):
    Node.__del__ = _release_iteratively  # type: ignore[attr-defined]


registry: dict[str, Callable] = {}


def primitive(
    name: str | None = None,
    *,
    vjp: Sequence[Callable | None] = (),
    vjp_all: Callable | None = None,
    into: Callable | None = None,
    plain: Callable | None = None,
    extras: Sequence[str] = (),
    view: bool = False,
    results: int = 1,
) -> Callable[[Callable], Callable]:
    """Declare a primitive from its body ``f(xp, *inputs, **parameters)``.

    vjp: one rule per input (None: no gradient). vjp_all: instead, one rule for all inputs that
    returns a sequence of gradients and may ask for ``needs``, the tuple of inputs that want one.
    into: a rule that *adds* the gradient into ``buffer`` (an array of the input's shape), for
    results that are a small part of their input. plain: the same function of Tensors written in
    other primitives; with it, the rules may use any array code, and gradients of gradients go
    through ``plain``. extras: names of further results of the body,
    kept for the rules only. view: the result may share the first input's memory. results: how many
    arrays the body returns, as a tuple; each becomes a Tensor, of which the floats have gradients.
    """

    def declare(body: Callable) -> Callable:
        own = name or body.__name__
        inputs, parameters, variadic = signature(body)
        declared = Primitive(
            own,
            inputs[1:],
            parameters,
            vjp=vjp,
            vjp_all=vjp_all,
            into=into,
            plain=plain,
            extras=extras,
            variadic=variadic,
            results=results,
        )
        bodies[own] = body
        if results > 1:
            return _register(declared, _several(declared))
        single = len(declared.inputs) == 1 and not declared.variadic
        return _register(declared, _single(declared, view) if single else _general(declared))

    return declare


def array_function(body: Callable) -> Callable:
    """Register ``f(xp, *arrays, **parameters)`` as ``xp.f``: a function of arrays that rules and
    bodies call and kernels may override, but that is no operation on Tensors."""
    bodies[body.__name__] = body
    return body


def unary(
    name: str,
    rule: Callable | None = None,
    body: Callable | None = None,
    floating: bool = True,
) -> Callable:
    """Declare an elementwise primitive of one input. ``floating``: where there is a rule, integers
    become the default float dtype first."""
    if body:
        bodies[name] = body
    declared = Primitive(name, ["x"], vjp=(rule,))
    return _register(declared, _unary(declared, floating and rule is not None))


def binary(
    name: str,
    rule_a: Callable | None = None,
    rule_b: Callable | None = None,
    body: Callable | None = None,
    floating: bool = False,
    bools: bool = True,
) -> Callable:
    """Declare an elementwise primitive of two inputs, with broadcasting and type promotion; rules
    ignore both: the engine sums and casts gradients back. ``floating``: integers become floats;
    ``bools=False``: an operand of bools is refused."""
    if body:
        bodies[name] = body
    declared = Primitive(name, ["a", "b"], vjp=(rule_a, rule_b))
    return _register(declared, _binary(declared, floating, bools))


def _register(declared: Primitive, apply: Callable) -> Callable:
    if declared.name in registry:
        raise ValueError(f"primitive {declared.name!r} is declared twice")
    apply.__name__ = apply.__qualname__ = declared.name
    apply.primitive = declared  # type: ignore[attr-defined]
    registry[declared.name] = apply
    return apply


class TensorNamespace:
    """The third namespace: what ``xp`` is when rules run on Tensors and record themselves."""

    def __getattr__(self, name: str) -> Callable:
        devices.load_primitive(name)
        try:
            return registry[name]
        except KeyError:
            raise NotImplementedError(
                f"this gradient uses {name!r}, which is no primitive: "
                "it cannot be differentiated a second time (create_graph=True)"
            ) from None


tensor_xp = TensorNamespace()


# ---------------------------------------------------------------------- running and recording
# Every operation is one call of what one of these four makes. The first three are the hot path and
# spell out what helpers would say in fewer lines, because a Python call costs as much as the rest.

_is_recording = recording.get
_new_tensor = Tensor.__new__
_new_node = Node.__new__


# Each operation remembers its implementation for each device; ``watch`` makes all of them forget.
_remembered: list[dict[Device, Callable]] = []
_watcher: Callable[[str, Device], Callable] | None = None


def _implementation(name: str, device: Device, remembered: dict[Device, Callable]) -> Callable:
    found = device.ops[name] if _watcher is None else _watcher(name, device)
    remembered[device] = found
    _remembered.append(remembered)
    return found


def watch(watcher: Callable[[str, Device], Callable] | None, clock: Any = serials) -> None:
    """Let operations on Tensors run what ``watcher(name, device)`` returns, and take the ticks of
    their nodes from ``clock``; None: as usual. (What bodies call among themselves is not watched.)
    """
    global _watcher, serials
    _watcher, serials = watcher, clock
    for remembered in _remembered:
        remembered.clear()
    _remembered.clear()


def _unary(declared: Primitive, floating: bool) -> Callable:
    name = declared.name
    (keep_x,) = (any(k) if isinstance(k, tuple) else k for k in declared.keeps)
    keep_y, differentiable = declared.saves_output, declared.differentiable
    implementations = cache()

    def apply(input: Tensor, *, out: Tensor | None = None) -> Tensor:
        try:
            array = input._array
        except AttributeError:
            raise TypeError(f"[{name}] expects a Tensor, got {type(input).__name__}") from None
        device = input._device
        if floating and array.dtype.kind in "iub":
            array = array.astype(dtypes.get_default_dtype())
        try:
            implementation = implementations[device]
        except KeyError:
            implementation = _implementation(name, device, implementations)
        try:
            value = implementation(array)
        except TypeError as error:
            raise TypeError(f"[{name}] of {array.dtype} {array.shape}: {error}") from error
        if value.__class__ is not device.array_type:
            value = device.asarray(value)
        result = _new_tensor(Tensor)
        result._array = value
        result._device = device
        source = input._node
        if source is not None and differentiable and _is_recording():
            result._node = node = _new_node(Node)
            node.primitive = declared
            node.serial = next(serials)
            node.edges = (source,)
            node.saved = (value if keep_y else None, array if keep_x else None)
            node.inputs = (input,) if keep_x else ()
            node.shape = value.shape
            node.dtype = value.dtype
            node.device = device
            if keep_y:
                result._storage = node.storage = Storage()
        return result if out is None else write_out(name, result, out)

    apply.takes_out = True  # type: ignore[attr-defined]
    return apply


def _binary(declared: Primitive, floating: bool, bools: bool) -> Callable:
    name, differentiable = declared.name, declared.differentiable
    keep_y = declared.saves_output
    implementations = cache()
    (keep_a_for_a, keep_a_for_b), (keep_b_for_a, keep_b_for_b) = declared.keeps  # type: ignore
    keeps = declared.saves_any

    def apply(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
        if isinstance(input, Tensor) and isinstance(other, Tensor):
            device = input._device
            x = input._array
            y = other._array
            node_a = input._node
            node_b = other._node
            stored = None
            if (
                x.dtype is not y.dtype
                or other._device is not device
                or (floating and x.dtype.kind in "iub")
            ):
                if not bools:
                    _refuse_bools(name, input, other)
                device, x, y, stored = _align(name, input, other, floating)
        else:
            if not bools:
                _refuse_bools(name, input, other)
            device, x, y, stored = _align(name, input, other, floating, widen=differentiable)
            input, other = (v if isinstance(v, Tensor) else None for v in (input, other))
            node_a = input._node if input is not None else None
            node_b = other._node if other is not None else None
        try:
            implementation = implementations[device]
        except KeyError:
            implementation = _implementation(name, device, implementations)
        try:
            value = implementation(x, y)
        except (ValueError, TypeError, OverflowError) as error:
            raise _explain(name, error, x, y) from error
        if stored is not None:
            value = value.astype(stored)
        if value.__class__ is not device.array_type:
            value = device.asarray(value)
        result = _new_tensor(Tensor)
        result._array = value
        result._device = device
        if differentiable and (node_a or node_b) and _is_recording():
            result._node = node = _new_node(Node)
            node.primitive = declared
            node.serial = next(serials)
            node.edges = (node_a, node_b)
            if keeps:
                keep_a = (node_a and keep_a_for_a) or (node_b and keep_a_for_b)
                keep_b = (node_a and keep_b_for_a) or (node_b and keep_b_for_b)
                y = y if keep_b else None
                node.saved = (value if keep_y else None, x if keep_a else None, y)
                node.inputs = (input if keep_a else None, other if keep_b else None)
            else:
                node.saved = (None, None, None)
                node.inputs = ()
            node.shape = value.shape
            node.dtype = value.dtype
            node.device = device
            if keep_y:
                result._storage = node.storage = Storage()
        return result if out is None else write_out(name, result, out)

    apply.takes_out = True  # type: ignore[attr-defined]
    return apply


def _single(declared: Primitive, view: bool) -> Callable:
    """One input and any parameters: reductions, changes of shape, indexing."""
    name, names = declared.name, declared.parameters
    keep_y, (keep_x,) = (
        declared.saves_output,
        (any(k) if isinstance(k, tuple) else k for k in declared.keeps),
    )
    differentiable, has_extras = declared.differentiable, bool(declared.extras)
    implementations = cache()

    def apply(x: Tensor, **parameters: Any) -> Tensor:
        if not isinstance(x, Tensor):
            raise TypeError(f"[{name}] expects a Tensor, got {type(x).__name__}")
        array = x._array
        device = x._device
        try:
            implementation = implementations[device]
        except KeyError:
            implementation = _implementation(name, device, implementations)
        out = implementation(array, **parameters)
        extras: tuple = ()
        if has_extras:
            out, *rest = out
            extras = tuple(rest)
        if out.__class__ is not device.array_type:
            out = device.asarray(out)
        if view and shares(out, array):
            result = x._alias(out)
            result._storage.add_view(x, result)  # type: ignore[union-attr]
        else:
            result = _new_tensor(Tensor)
            result._array = out
            result._device = device
        source = x._node
        if source is not None and differentiable and _is_recording():
            result._node = node = _new_node(Node)
            node.primitive = declared
            node.serial = next(serials)
            node.edges = (source,)
            # Rules address parameters by position: in the order of the declaration.
            values = tuple(parameters.values())
            if tuple(parameters) != names:
                values = tuple(parameters[key] for key in names)
            node.saved = (out if keep_y else None, array if keep_x else None, *values, *extras)
            node.inputs = (x,) if keep_x else ()
            node.shape = out.shape
            node.dtype = out.dtype
            node.device = device
            if keep_y:
                if result._storage is None:
                    result._storage = Storage()
                node.storage = result._storage
        return result

    return apply


def _general(declared: Primitive) -> Callable:
    """Several inputs (Tensors, numbers or None), parameters, further results."""
    name, names = declared.name, declared.parameters
    implementations = cache()

    def apply(*inputs: Any, **parameters: Any) -> Tensor:
        device, arrays = _unwrap(name, inputs)
        implementation = implementations.get(device)
        if implementation is None:
            implementation = _implementation(name, device, implementations)
        out = implementation(*arrays, **parameters)
        extras: tuple = ()
        if declared.extras:
            out, *rest = out
            extras = tuple(rest)
        if out.__class__ is not device.array_type:
            out = device.asarray(out)
        result = wrap(out, device)
        if recording.get() and declared.differentiable:
            values = tuple(parameters[key] for key in names)
            record(declared, result, inputs, arrays, values, extras)
        return result

    return apply


def _several(declared: Primitive) -> Callable:
    """A tuple of results, each with its own node."""
    name, names = declared.name, declared.parameters
    implementations = cache()

    def apply(*inputs: Any, **parameters: Any) -> tuple[Tensor, ...]:
        device, arrays = _unwrap(name, inputs)
        implementation = implementations.get(device)
        if implementation is None:
            implementation = _implementation(name, device, implementations)
        outs = implementation(*arrays, **parameters)
        results = tuple(
            wrap(out if out.__class__ is device.array_type else device.asarray(out), device)
            for out in outs
        )
        if recording.get() and declared.differentiable:
            record(declared, results, inputs, arrays, tuple(parameters[key] for key in names))
        return results

    return apply


# One result of an operation that has several: its gradient takes its place in the list that is the
# gradient of the whole.
result_of = Primitive("part", ["whole"], ["index"])


def record_results(whole: Node, results: Sequence[Tensor | None]) -> None:
    """Hang a node of its own on each result that may have a gradient; None: it has none."""
    whole.parts = len(results)
    nodes: list[Any] = []
    for i, t in enumerate(results):
        if t is None or not t.is_floating_point():
            nodes.append(_nothing)
            continue
        t._node = _part_node(whole, i, t)
        nodes.append(weakref.ref(t._node))
    whole.results = tuple(nodes)


def result_node(whole: Node, index: int, result: Tensor) -> Node | None:
    """The node of one result: made anew if the result it was made for is gone."""
    reference = whole.results[index]
    if reference is _nothing:
        return None
    return reference() or _part_node(whole, index, result)


def _part_node(whole: Node, index: int, result: Tensor) -> Node:
    node = _new_node(Node)
    node.primitive, node.edges, node.saved, node.inputs = (
        result_of,
        (whole,),
        (None, None, index),
        (),
    )
    node.shape, node.dtype, node.device = result._array.shape, result.dtype, result._device
    node.serial = next(serials)
    node.parts = 0
    return node


def _nothing() -> None:
    """In the place of a reference to the node of a result that has no gradient."""


def record(
    declared: Primitive,
    result: Tensor | tuple[Tensor, ...],
    inputs: Sequence[Any],
    arrays: Sequence[Any],
    parameters: tuple = (),
    extras: tuple = (),
) -> None:
    """Hang a node on ``result`` (or on each of several) if any input requires a gradient."""
    wanted = [isinstance(t, Tensor) and t._node is not None for t in inputs]
    if declared.rules:  # an input without a rule (indices, targets) asks for nothing
        wanted = [w and r is not None for w, r in zip(wanted, declared.rules, strict=True)]
    if not any(wanted):
        return
    node = _new_node(Node)
    node.primitive = declared
    node.serial = next(serials)
    node.edges = tuple(t._node if w else None for t, w in zip(inputs, wanted, strict=True))
    if declared.variadic:
        kept = [bool(declared.keeps[0])] * len(inputs)
        values: tuple = (tuple(arrays) if kept and kept[0] else None,)
    else:
        kept = [declared.keep(i, wanted) for i in range(len(inputs))]
        values = tuple(a if k else None for a, k in zip(arrays, kept, strict=True))
    node.inputs = tuple(
        t if k and isinstance(t, Tensor) else None for t, k in zip(inputs, kept, strict=True)
    )
    if isinstance(result, tuple):
        y = tuple(t._array for t in result) if declared.saves_output else None
        node.saved = (y, *values, *parameters, *extras)
        node.shape, node.dtype, node.device = (), None, result[0]._device
        if y is not None:
            for t in result:
                t._storage = Storage()
            node.storage = tuple(t._storage for t in result)
        record_results(node, result)
        return
    out = result._array
    node.saved = (out if declared.saves_output else None, *values, *parameters, *extras)
    node.shape, node.dtype, node.device = out.shape, out.dtype, result._device
    if declared.saves_output:
        if result._storage is None:
            result._storage = Storage()
        node.storage = result._storage
    result._node = node


def is_recording(*tensors: Any) -> bool:
    """Whether an operation on these tensors would be recorded."""
    return recording.get() and any(isinstance(t, Tensor) and t._node is not None for t in tensors)


def shares(out: Any, source: Any) -> bool:
    """Whether ``out`` is a view of (part of) the memory of ``source``."""
    base = source if source.base is None else source.base
    if out is source or out.base is base or (out.base is not None and out.base is source):
        return True
    return memory(out) is memory(source)


def _unwrap(name: str, inputs: Sequence[Any]) -> tuple[Device, list]:
    device: Device | None = None
    arrays = []
    for t in inputs:
        if isinstance(t, Tensor):
            if device is None:
                device = t._device
            elif t._device is not device:
                raise _devices_differ(name, inputs)
            arrays.append(t._array)
        else:
            arrays.append(t)
    if device is None:
        raise TypeError(f"[{name}] expects a Tensor, got {_kinds(inputs)}")
    return device, arrays


def _align(
    name: str, a: Any, b: Any, floating: bool, widen: bool = False
) -> tuple[Device, Any, Any, Any]:
    """Both operands on one device and of PyTorch's common dtype. A Python number stays a number
    where NumPy treats it as weak too. widen: 16-bit floats meet a number in float32, so that the
    number is not rounded first; the last result is then the dtype to store in, else None."""
    first, second = isinstance(a, Tensor), isinstance(b, Tensor)
    if first and second:
        if a._device is not b._device:
            raise _devices_differ(name, (a, b))
        pairs = [(a.dtype, a.ndim), (b.dtype, b.ndim)]
        scalars: list = []
    elif first or second:
        number = b if first else a
        tensor = a if first else b
        if isinstance(number, np.ndarray) and number.ndim:
            try:
                dtypes.dtype(number.dtype)
            except TypeError as error:
                raise TypeError(f"[{name}] {error}") from None
            native = number.astype(number.dtype.newbyteorder("="), copy=False)
            other = wrap(tensor._device.asarray(native), tensor._device)
            pair = (a, other) if first else (other, b)
            return _align(name, pair[0], pair[1], floating, widen)
        if hasattr(number, "item"):  # NumPy's; its float64 is a float too, but not a weak one
            number = number.item()
            a, b = (a, number) if first else (number, b)
        pairs, scalars = [(tensor.dtype, tensor.ndim)], [_number(name, number)]
    else:
        raise TypeError(f"[{name}] expects at least one Tensor, got {_kinds((a, b))}")
    common = dtypes.result_type(pairs, scalars)
    if floating and not dtypes.is_floating(common):
        common = dtypes.get_default_dtype()
    device = a._device if first else b._device
    stored = None
    if widen and scalars and dtypes.is_low_precision(common):
        stored, common = common, dtypes.float32
    try:
        return device, _cast(a, common, device), _cast(b, common, device), stored
    except OverflowError as error:
        raise OverflowError(f"[{name}] the number does not fit {common.name}: {error}") from None


def _refuse_bools(name: str, a: Any, b: Any) -> None:
    for operand in (a, b):
        if operand.__class__ is bool or getattr(operand, "dtype", None) == dtypes.bool_:
            raise RuntimeError(
                f"[{name}] is not defined for bools: use logical_xor (^) or logical_not (~), or "
                "convert with .int()"
            )


def align(name: str, a: Any, b: Any) -> tuple[Any, Any]:
    """Two operands (at least one of them a Tensor) as Tensors or numbers of their common dtype."""
    cast = registry["cast"]
    _, x, y, _ = _align(name, a, b, floating=False)
    common = (x if isinstance(a, Tensor) else y).dtype
    return tuple(  # type: ignore[return-value]
        (t if t.dtype == common else cast(t, dtype=common)) if isinstance(t, Tensor) else raw
        for t, raw in ((a, x), (b, y))
    )


def _cast(operand: Any, dtype: Any, device: Device) -> Any:
    if isinstance(operand, Tensor):
        array = operand._array
        return array if array.dtype == dtype else array.astype(dtype)
    if dtype.kind in "Vui":  # bfloat16 is no weak partner for numbers; integers must wrap around
        return device.asarray(operand).astype(dtype)
    return operand


def _number(name: str, value: Any) -> Any:
    try:
        return dtypes.scalar_dtype(value)
    except TypeError:
        raise TypeError(
            f"[{name}] operands must be Tensors or real numbers, got {type(value).__name__}"
        ) from None


def _kinds(values: Sequence[Any]) -> str:
    return ", ".join(type(v).__name__ for v in values)


def _devices_differ(name: str, inputs: Sequence[Any]) -> RuntimeError:
    places = ", ".join(str(t._device) for t in inputs if isinstance(t, Tensor))
    return RuntimeError(
        f"[{name}] all tensors must be on one device, got {places}: move them with .to(device)"
    )


def _explain(name: str, error: Exception, x: Any, y: Any) -> Exception:
    shapes = [tuple(getattr(v, "shape", ())) for v in (x, y)]
    types = [getattr(v, "dtype", type(v).__name__) for v in (x, y)]
    if isinstance(error, ValueError) and "broadcast" in str(error):
        return RuntimeError(
            f"[{name}] shapes {shapes[0]} and {shapes[1]} do not broadcast: from the right, each "
            "pair of sizes must be equal or one of them 1"
        )
    return type(error)(f"[{name}] of {types[0]} {shapes[0]} and {types[1]} {shapes[1]}: {error}")
