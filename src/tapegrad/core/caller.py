"""The function that runs a primitive on Tensors and records it, compiled from its declaration.

A Python call costs as much as the rest of a small operation, so nothing that is known when a
primitive is declared is worked out when it is called: which inputs its rules keep, whether it has
parameters, several results, a view to note. As rules are put together once into the function that
the engine calls (see ``primitive.py``), what runs a primitive is put together into one function
without loops. For ``matmul``, of two inputs that each keep the other one, that is::

    def apply(a, b):
        if isinstance(a, Tensor):
            _device, _x0, _n0 = a._device, a._array, a._node
        ...                                                   # and b, on the same device
        _value = _implementations[_device](_x0, _x1)
        _result = _new_tensor(Tensor)
        _result._array, _result._device = _value, _device
        if (_n0 or _n1) and _is_recording():
            _result._node = _node = Node()
            _node.primitive, _node.serial = _declared, next(serials)
            _node.edges = (_n0, _n1)
            _node.saved = (None, _x0 if _n1 else None, _x1 if _n0 else None)
            _node.inputs = (a if _n1 else None, b if _n0 else None)
            _node.shape, _node.dtype, _node.device = _value.shape, _value.dtype, _device
            _node.watched, _node.storage = False, None
        return _result
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Sequence
from functools import cache, update_wrapper
from typing import Any

import numpy as np

from . import devices
from .accelerator import compiled
from .devices import CPU, Device
from .dtypes import get_default_dtype
from .fields import serials
from .memory import shares
from .modes import recording
from .node import Node
from .primitive import Primitive
from .promotion import devices_differ, explain, kinds, promote, refuse_bools
from .quiet import NOISY, noisy, quiet
from .quiet import WORDS as QUIET_WORDS
from .tensor import Storage, Tensor, wrap_result

registry: dict[str, Callable] = {}  # the primitives, as functions of Tensors


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

Between = Callable[[str, Device, Callable], Callable]

_between: dict[Between, None] = {}  # from what computes to what calls


def _implementation(name: str, device: Device, remembered: dict[Device, Callable]) -> Callable:
    found = device.ops[name]
    for between in tuple(_between):
        found = between(name, device, found)
    remembered[device] = found
    return found


def interpose(between: Between, on: bool = True) -> None:
    """Let operations on Tensors run what ``between(name, device, implementation)`` makes of what
    they run else, from now on or no longer. Of several, the first is nearest to what computes.
    (What bodies call among themselves is not seen.)"""
    if on:
        _between[between] = None
    else:
        _between.pop(between, None)
    devices.forget_implementations()


def set_clock(clock: Any = serials) -> None:
    """Take the ticks of the nodes that operations record from ``clock``."""
    global serials
    serials = _WORDS["serials"] = clock
    if compiled is not None:
        compiled.set_clock(clock)
    devices.forget_implementations()


def make_nodes(new: Callable[[], Node] = Node) -> None:
    """Let operations record nodes that ``new()`` has made."""
    _WORDS["Node"] = new
    if compiled is not None:
        compiled.make_nodes(new is Node)


# ---------------------------------------------------------------------- putting a caller together


def compile_caller(
    declared: Primitive,
    *,
    elementwise: bool = False,
    floating: bool = False,
    bools: bool = True,
    view: bool = False,
    target: str = "",
    implementations: dict[Device, Callable] | None = None,
) -> Callable:
    """The function of Tensors that runs a primitive and, if a gradient may be asked for, records
    it.

    elementwise: its inputs are called ``input`` and ``other``; two are broadcast and promoted.
    floating: integers become the default float dtype first. bools: False refuses operands of bools.
    view: the result may share the first input's memory. target: the parameter that names the
    device of the result, if that is another one. implementations: of ``devices.implementations``,
    to be forgotten some day.
    """
    if elementwise:
        inputs: tuple[str, ...] = ("input", "other")[: len(declared.inputs)]
    else:
        inputs = declared.inputs
    if declared.variadic:
        arguments, opening = [f"*{inputs[0]}"], _OPEN_ALL
    elif len(inputs) == 1:
        arguments, opening = [inputs[0]], _open_one(inputs[0], floating, declared.differentiable)
    elif elementwise:
        arguments, opening = [*inputs], _open_two(floating, bools, declared.differentiable)
    else:
        arguments, opening = [*inputs], _open_each(inputs, declared.parameters)
    if declared.parameters:
        arguments += ["*"] * (not declared.variadic) + list(declared.parameters)
    lines = [
        *(line.replace("INPUT", inputs[0]) for line in opening),
        "try:",
        "    _implementation = _implementations[_device]",
        "except KeyError:",
        "    _implementation = _find(_name, _device, _implementations)",
        *([] if view else [f"if {NOISY}:", "    _implementation = quiet(_implementation)"]),
        *_run(declared, elementwise),
        *([f"_device = {target}"] if target else []),
        *_results(declared, inputs, view),
    ]
    if declared.differentiable:
        lines += _record(declared, inputs, elementwise, view)
    lines.append("return _result" if declared.results == 1 else "return _results")
    source = (
        "def make(_name, _declared, _implementations, _find):\n"
        f"    def apply({', '.join(arguments)}):\n"
        + "".join(f"        {line}\n" for line in lines)
        + "    return apply\n"
    )
    if implementations is None:
        implementations = devices.implementations()
    apply = _compiled(source)(declared.name, declared, implementations, _implementation)
    apply.__name__ = apply.__qualname__ = declared.name
    kind = "Any" if elementwise and len(inputs) == 2 else "Tensor"
    apply.__annotations__ = dict.fromkeys(inputs, kind) | {"return": "Tensor"}
    if compiled is None or declared.results > 1 or target or not _has_room(declared):
        return apply
    return _in_c(apply, declared, implementations, elementwise, floating, view)


def _has_room(declared: Primitive) -> bool:
    """Whether a call in C can have so many inputs and parameters."""
    count = len(declared.inputs)
    all_of_them = count + len(declared.parameters)
    return count <= compiled.most_inputs and all_of_them <= compiled.most_arguments  # type: ignore[union-attr]


def _in_c(
    apply: Callable,
    declared: Primitive,
    implementations: dict[Device, Callable],
    elementwise: bool,
    floating: bool,
    view: bool,
) -> Callable:
    """The same in C (csrc/tape/caller.cpp) for NumPy's arrays and tensors that need no promotion;
    what it declines, ``apply`` does: also calls with ``*inputs``, which only doors make in C."""
    ruled = _ruled(declared)
    caller = compiled.Caller(  # type: ignore[union-attr]
        apply,
        declared,
        implementations,
        name=declared.name,
        parameters=declared.parameters,
        ruled=_bits(ruled),
        keeps=[_keeping(needed, ruled) for needed in declared.keeps],
        ufunc=getattr(np, declared.name, None),
        named=tuple([declared.named(i) for i in range(len(declared.inputs))]),
        elementwise=elementwise,
        floating=floating,
        view=view,
        extras=bool(declared.extras),
        saves_output=declared.saves_output,
        saves_any=declared.saves_any,
        variadic=declared.variadic,
    )
    return update_wrapper(caller, apply)


def _bits(inputs: Iterable[int]) -> int:
    return sum(1 << i for i in inputs)


def _keeping(needed: tuple[bool, ...] | bool, ruled: Sequence[int]) -> int:
    """When an input is kept, as in ``_kept_when``: where one of these inputs wants a gradient; -1:
    always."""
    if isinstance(needed, bool):
        return -1 if needed else 0
    return _bits(i for i in ruled if needed[i])


def _ruled(declared: Primitive) -> list[int]:
    """The inputs whose gradients there are rules for."""
    rules = [declared.joint] * len(declared.inputs) if declared.joint else declared.rules
    return [i for i, rule in enumerate(rules) if rule]


@cache
def _compiled(source: str) -> Callable:
    """The maker of callers that a source defines: primitives of one shape share it."""
    namespace: dict[str, Callable] = {}
    exec(compile(source, _FILE, "exec"), _WORDS, namespace)
    return namespace["make"]


def _open_one(name: str, floating: bool, differentiable: bool) -> list[str]:
    lines = [
        "try:",
        f"    _x0 = {name}._array",
        "except AttributeError:",
        f"    raise TypeError(f'[{{_name}}] expects a Tensor, got {{type({name}).__name__}}') "
        "from None",
        f"_device = {name}._device",
    ]
    if floating:
        lines += ["if _x0.dtype.kind in 'iub':", "    _x0 = _x0.astype(get_default_dtype())"]
    return lines + ([f"_n0 = {name}._node"] if differentiable else [])


def _open_two(floating: bool, bools: bool, differentiable: bool) -> list[str]:
    refuse = [] if bools else ["    refuse_bools(_name, input, other)"]
    unlike = "_x0.dtype is not _x1.dtype or other._device is not _device"
    if floating:
        unlike += " or _x0.dtype.kind in 'iub'"
    return [
        "if isinstance(input, Tensor) and isinstance(other, Tensor):",
        "    _device = input._device",
        "    _x0 = input._array",
        "    _x1 = other._array",
        "    _n0 = input._node",
        "    _n1 = other._node",
        "    _stored = None",
        f"    if {unlike}:",
        "        if other._device is not _device:",
        "            return apply(*on_one_device(_name, (input, other)))",
        *(f"    {line}" for line in refuse),
        f"        _device, _x0, _x1, _stored = promote(_name, input, other, {floating})",
        "else:",
        *refuse,
        f"    _device, _x0, _x1, _stored = promote(_name, input, other, {floating}, "
        f"{differentiable})",
        "    _n0 = input._node if isinstance(input, Tensor) else None",
        "    _n1 = other._node if isinstance(other, Tensor) else None",
        "    if not isinstance(input, Tensor): input = None",
        "    if not isinstance(other, Tensor): other = None",
    ]


def _open_each(inputs: Sequence[str], parameters: Sequence[str]) -> list[str]:
    again = ", ".join(f"{p}={p}" for p in parameters)
    lines = []
    for i, name in enumerate(inputs):
        lines.append(f"if isinstance({name}, Tensor):")
        if i == 0:
            lines += [f"    _device = {name}._device"]
        else:
            # (What is no Tensor among those before has been set to None.)
            seen = [f"_x{j} if {n} is None else {n}" for j, n in enumerate(inputs[:i])]
            everything = ", ".join([*seen, *inputs[i:]])
            lines += [
                f"    if {name}._device is not _device:",
                "        if _device is not None:",
                f"            return apply(*on_one_device(_name, ({everything})), {again})",
                f"        _device = {name}._device",
            ]
        lines += [
            f"    _x{i} = {name}._array",
            f"    _n{i} = {name}._node",
            "else:",
            f"    _x{i} = {name}",
            f"    {name} = _n{i} = None",
        ]
        if i == 0:
            lines.append("    _device = None")
    values = ", ".join(f"_x{i}" for i in range(len(inputs)))
    return [
        *lines,
        "if _device is None:",
        f"    raise TypeError(f'[{{_name}}] expects a Tensor, got {{kinds(({values}))}}')",
    ]


_OPEN_ALL = [
    "_device = next((t._device for t in INPUT if isinstance(t, Tensor)), None)",
    "if _device is None:",
    "    raise TypeError(f'[{_name}] expects a Tensor, got {kinds(INPUT)}')",
    "_edges = [t._node if isinstance(t, Tensor) else None for t in INPUT]",
    "_arrays = [t._array if isinstance(t, Tensor) else t for t in INPUT]",
    "if any([isinstance(t, Tensor) and t._device is not _device for t in INPUT]):",
    "    raise devices_differ(_name, INPUT)",
]


def on_one_device(name: str, inputs: Sequence[Any]) -> list:
    """The inputs of an operation with those of its 0-d Tensors that are on the CPU brought to the
    device of the others, as a recorded copy. Raises RuntimeError for other mixtures."""
    tensors = [t for t in inputs if isinstance(t, Tensor)]
    settled = [t for t in tensors if t.ndim or t._device is not CPU] or tensors
    device = settled[0]._device
    if any(t._device is not device for t in settled):
        raise devices_differ(name, inputs)
    return [
        tensor_xp.transfer(t, source=CPU, target=device)
        if isinstance(t, Tensor) and t._device is not device
        else t
        for t in inputs
    ]


def _arrays(declared: Primitive) -> list[str]:
    return ["*_arrays"] if declared.variadic else [f"_x{i}" for i in range(len(declared.inputs))]


def _run(declared: Primitive, elementwise: bool) -> list[str]:
    given = _arrays(declared) + [f"{p}={p}" for p in declared.parameters]
    value = "_value, *_extras" if declared.extras else "_value"
    run = f"{value} = _implementation({', '.join(given)})"
    if not elementwise:
        return [run]
    if len(declared.inputs) == 1:
        explained = "    raise explain(_name, error, _x0) from error"
        return ["try:", f"    {run}", "except TypeError as error:", explained]
    return [
        "try:",
        f"    {run}",
        "except (ValueError, TypeError, OverflowError) as error:",
        "    raise explain(_name, error, _x0, _x1) from error",
        "if _stored is not None and _value.dtype.kind != 'b':",
        "    _value = _value.astype(_stored)",
    ]


def _results(declared: Primitive, inputs: Sequence[str], view: bool) -> list[str]:
    if declared.results > 1:
        return ["_results = tuple([wrap_result(value, _device) for value in _value])"]
    lines = [
        "if _value.__class__ is not _device.array_type:",
        "    _value = _device.asarray(_value)",
    ]
    new = ["_result = _new_tensor(Tensor)", "_result._array = _value", "_result._device = _device"]
    if not view:
        return lines + new
    return [
        *lines,
        "if shares(_value, _x0):",
        f"    _result = {inputs[0]}._alias(_value)",
        f"    _result._storage.add_view({inputs[0]}, _result)",
        "else:",
        *(f"    {line}" for line in new),
    ]


def _record(declared: Primitive, inputs: Sequence[str], elementwise: bool, view: bool) -> list[str]:
    """Hang a node on the result if an input that has a rule requires a gradient."""
    parameters = list(declared.parameters)
    extras = ["*_extras"] if declared.extras else []
    if declared.variadic:
        name = inputs[0]
        wanted, edges = "any(_edges)", "tuple(_edges)"
        arrays = ["tuple(_arrays)" if declared.keeps[0] else "None"]
        tensors = f"tuple([t if isinstance(t, Tensor) else None for t in {name}])"
        kept = tensors if declared.keeps[0] else "()"
    else:
        ruled = _ruled(declared)
        nodes = [f"_n{i}" if i in ruled else "None" for i in range(len(inputs))]
        wanted, edges = " or ".join(f"_n{i}" for i in ruled), _tuple(nodes)
        when = [_kept_when(declared.keeps[i], ruled) for i in range(len(inputs))]
        arrays = [_if(f"_x{i}", condition) for i, condition in enumerate(when)]
        kept = _tuple([_if(name, condition) for name, condition in zip(inputs, when, strict=True)])
        if not any(when):
            kept = "()"
    several = declared.results > 1
    y = "None"
    if declared.saves_output:
        y = "tuple([t._array for t in _results])" if several else "_value"
    lines = [
        "_node = Node()" if several else "_result._node = _node = Node()",
        "_node.primitive = _declared",
        "_node.serial = next(serials)",
        f"_node.edges = {edges}",
        f"_node.saved = {_tuple([y, *arrays, *parameters, *extras])}",
        f"_node.inputs = {kept}",
        f"_node.shape = {'()' if several else '_value.shape'}",
        f"_node.dtype = {'None' if several else '_value.dtype'}",
        "_node.device = _device",
        "_node.watched = False",
    ]
    saved_storage = "None"
    if several:
        if declared.saves_output:
            lines += ["for t in _results:", "    t._storage = Storage()"]
            saved_storage = "tuple([t._storage for t in _results])"
        lines.append("record_results(_node, _results)")
    elif declared.saves_output and view:
        lines += ["if _result._storage is None:", "    _result._storage = Storage()"]
        saved_storage = "_result._storage"
    elif declared.saves_output:
        saved_storage = "_result._storage = Storage()"
    lines.append(f"_node.storage = {saved_storage}")
    return [f"if ({wanted}) and _is_recording():", *(f"    {line}" for line in lines)]


def _tuple(items: Sequence[str]) -> str:
    return f"({', '.join(items)},)"


def _kept_when(needed: tuple[bool, ...] | bool, ruled: Sequence[int]) -> str:
    """When an input is kept: "always", "" for never, or if one of some nodes is there."""
    if isinstance(needed, bool):
        return "always" if needed else ""
    needing = [i for i in ruled if needed[i]]
    return "always" if needing == list(ruled) else " or ".join(f"_n{i}" for i in needing)


def _if(value: str, condition: str) -> str:
    if condition in ("always", ""):
        return value if condition else "None"
    return f"{value} if {condition} else None"


# ---------------------------------------------------------------------- several results

# One result of an operation that has several: its gradient is one entry of the list that is the
# gradient of the whole.
result_of = Primitive("result_of", ["whole"], ["index"])


def record_results(whole: Node, results: Sequence[Tensor | None]) -> None:
    """Hang a node of its own on each result that may have a gradient; None: it has none."""
    nodes: list[Any] = []
    for i, t in enumerate(results):
        if t is None or not t.is_floating_point():
            nodes.append(_nothing)
            continue
        t._node = _result_node(whole, i, t)
        nodes.append(weakref.ref(t._node))
    whole.results = tuple(nodes)


def result_node(whole: Node, index: int, result: Tensor) -> Node | None:
    """The node of one result: made anew if the result it was made for is gone."""
    reference = whole.results[index]
    if reference is _nothing:
        return None
    return reference() or _result_node(whole, index, result)


def _result_node(whole: Node, index: int, result: Tensor) -> Node:
    node = Node()
    node.primitive, node.edges, node.inputs = result_of, (whole,), ()
    node.saved = (None, None, index)
    node.shape, node.dtype, node.device = result._array.shape, result.dtype, result._device
    node.serial = next(serials)
    node.storage, node.watched = None, False
    node.is_result = True
    return node


def _nothing() -> None:
    """Stands for the reference to a node, for a result that has no gradient."""


# Where tracebacks say that compiled callers are: in this package, as anomaly mode must know.
_FILE = __file__.replace("caller.py", "<call of a primitive>")

# What compiled callers use, beside their own primitive.
_WORDS = {
    **QUIET_WORDS,
    "__name__": __name__,
    "Node": Node,
    "Storage": Storage,
    "Tensor": Tensor,
    "devices_differ": devices_differ,
    "explain": explain,
    "get_default_dtype": get_default_dtype,
    "kinds": kinds,
    "on_one_device": on_one_device,
    "noisy": noisy,
    "promote": promote,
    "quiet": quiet,
    "record_results": record_results,
    "refuse_bools": refuse_bools,
    "serials": serials,
    "shares": shares,
    "wrap_result": wrap_result,
    "_is_recording": recording.get,
    "_new_tensor": Tensor.__new__,
}
