"""The tape: how an operation is declared, run and recorded.

A *primitive* is a forward body and, beside it, its gradient rule. Calling it on Tensors runs the
body on their arrays and, if a gradient may be asked for, hangs a Node on the result. The walk back
over the nodes is in ``engine.py``.

Declaring one::

    exp = unary("exp", lambda g, y: g * y)                                 # body: xp.exp

    @primitive(vjp=lambda xp, g, input_shape: xp.broadcast_to(g, shape=input_shape))
    def total(xp, x): ...

In a body, inputs are positional and parameters keyword-only. A rule asks for what it needs by
name, and only that is kept alive for the backward pass: ``g`` (the gradient of the result), ``y``
(the result), any input or parameter by its own name, any name in ``extras``, ``input_shape``
(of the input whose gradient this is), ``xp`` (the namespace to compute with). Rules see plain
arrays; under ``create_graph=True`` they see Tensors, and ``xp`` is the primitives themselves.
A rule that only calls another function is that function's name (see ``primitive.py``).
Of a primitive with several results, ``g`` is a list (None where no gradient arrived) and ``y`` the
tuple of results.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from .caller import compile_caller, on_one_device, registry, tensor_xp
from .devices import bodies, forget, implementations
from .modes import recording
from .primitive import Primitive, Rule, joint_rule, signature
from .promotion import promote
from .tensor import Tensor


def primitive(
    name: str | None = None,
    *,
    vjp: Sequence[Rule] | str = (),
    vjp_all: Callable | str | None = None,
    into: Callable | None = None,
    plain: Callable | bool = False,
    extras: Sequence[str] = (),
    view: bool = False,
    target: str = "",
    results: int = 1,
) -> Callable[[Callable], Callable]:
    """Declare a primitive from its body ``f(xp, *inputs, **parameters)``.

    vjp: one rule per input (None: no gradient), or that of the only one. vjp_all: instead, one rule
    for all inputs that returns a sequence of gradients and may ask for ``needs``, the tuple of
    inputs that want one. into: a rule that *adds* the gradient into ``buffer`` (an array of the
    input's shape), for results that are a small part of their input. plain=True: the body runs on
    Tensors, too, with ``xp`` the primitives; then the rules may use any array code, as gradients of
    gradients go through the body. Where it cannot, ``plain`` is the same function of Tensors.
    extras: names of further results of the body, kept for the rules only. view: the result may
    share the first input's memory. target: the parameter that names the result's device, where that
    is another one. results: how many arrays the body returns, as a tuple; each becomes a Tensor, of
    which the floats have gradients.

    Raises ValueError for a name that is declared already, TypeError as ``Primitive`` does.
    """

    def declare(body: Callable) -> Callable:
        own = name or body.__name__
        inputs, parameters, variadic = signature(body)
        bodies[own] = body
        declared = Primitive(
            own,
            inputs[1:],
            parameters,
            vjp=vjp,
            vjp_all=vjp_all,
            into=into,
            plain=_on_tensors(body, bool(extras)) if plain is True else plain or None,
            extras=extras,
            variadic=variadic,
            results=results,
        )
        return _register(own, compile_caller(declared, view=view, target=target))

    return declare


def _on_tensors(body: Callable, has_extras: bool) -> Callable:
    def plain(*inputs: Any, **parameters: Any) -> Any:
        y = body(tensor_xp, *inputs, **parameters)
        return y[0] if has_extras else y

    return plain


def array_function(body: Callable) -> Callable:
    """Register ``f(xp, *arrays, **parameters)`` as ``xp.f``: a function of arrays, not of Tensors,
    that rules and bodies call and kernels may override."""
    bodies[body.__name__] = body
    return body


def unary(
    name: str, rule: Rule = None, body: Callable | None = None, floating: bool = True, doc: str = ""
) -> Callable:
    """Declare an elementwise primitive of one input. ``floating``: where there is a rule, integers
    become the default float dtype first. ``doc``: what it is, as the body's docstring may say, too,
    where the name does not say enough. Raises as ``primitive`` does."""
    if body:
        bodies[name] = body
    declared = Primitive(name, ["x"], vjp=(rule,))
    floating = floating and rule is not None
    apply = compile_caller(declared, elementwise=True, floating=floating)
    first = "; integers and bools become the default float dtype first" if floating else ""
    apply.__doc__ = f"{_meaning(doc, body, f'{name}(input)')}. Element by element{first}."
    return _register(name, apply)


def binary(
    name: str,
    rule_a: Rule = None,
    rule_b: Rule = None,
    body: Callable | None = None,
    floating: bool = False,
    bools: bool = True,
    extras: Sequence[str] = (),
    doc: str = "",
) -> Callable:
    """Declare an elementwise primitive of two inputs, with broadcasting and type promotion; rules
    ignore both: the engine sums and casts gradients back. ``floating``: integers become floats;
    ``bools=False``: an operand of bools is refused. ``extras``: as in ``primitive``; ``doc``: as in
    ``unary``. Raises as ``primitive`` does."""
    if body:
        bodies[name] = body
    declared = Primitive(name, ["a", "b"], vjp=(rule_a, rule_b), extras=extras)
    apply = compile_caller(declared, elementwise=True, floating=floating, bools=bools)
    common = "a floating-point" if floating else "the common"
    refused = "" if bools else " Raises RuntimeError for bools."
    apply.__doc__ = (
        f"{_meaning(doc, body, f'{name}(input, other)')}. Element by element, broadcast and "
        f"promoted to {common} dtype.{refused}"
    )
    return _register(name, apply)


def _meaning(doc: str, body: Callable | None, call: str) -> str:
    return doc or (getattr(body, "__doc__", None) or call).removesuffix(".")


_declared_in: dict[str, dict] = {}  # the namespace of the module that declares a primitive


def _register(name: str, apply: Callable) -> Callable:
    module = sys._getframe(2).f_globals
    before = _declared_in.setdefault(name, module)
    # An import that was interrupted runs the module again, in a namespace of the same name.
    if name in registry and (before is module or before["__name__"] != module["__name__"]):
        raise ValueError(f"primitive {name!r} is declared twice")
    registry[name], _declared_in[name] = apply, module
    return apply


def is_recording(*tensors: Any) -> bool:
    """Whether an operation on these tensors would be recorded."""
    return recording.get() and any(isinstance(t, Tensor) and t._node is not None for t in tensors)


def align(name: str, a: Any, b: Any, wide: bool = False) -> tuple[Any, Any]:
    """Two operands (at least one of them a Tensor) as Tensors or numbers of their common dtype, on
    one device. wide: of int64 where an integer lies outside the range of that."""
    if isinstance(a, Tensor) and isinstance(b, Tensor) and a._device is not b._device:
        a, b = on_one_device(name, (a, b))
    _, x, y, stored = promote(name, a, b, floating=False)
    common = (x if isinstance(a, Tensor) else y).dtype
    if stored is not None and not wide:
        common = stored
    return tuple(  # type: ignore[return-value]
        (t if t.dtype == common else tensor_xp.cast(t, dtype=common))
        if isinstance(t, Tensor)
        else raw.astype(common, copy=False)
        if hasattr(raw, "dtype")
        else raw
        for t, raw in ((a, x), (b, y))
    )


_serials = count()


def own_primitive(
    name: str,
    inputs: int,
    parameter: str,
    body: Callable,
    gradient: Callable,
    asked: Sequence[str],
    plain: Callable,
    results: int,
    owner: Any = None,
) -> tuple[str, Callable]:
    """A primitive that no list names, of so many inputs and results, and one parameter: the name by
    which it may be overridden, and the function of Tensors that runs it. ``name`` is what the tape
    shows; ``gradient``, ``asked``: as ``joint_rule`` takes them. ``owner``: with it, the primitive
    and that of its name and ``_backward`` are forgotten; ``plain`` keeps it, so nodes do, and
    nothing else here may."""
    key, names = f"{name}#{next(_serials)}", [f"x{i}" for i in range(inputs)]
    bodies[key] = body
    rule = joint_rule(gradient, names, asked)
    declared = Primitive(key, names, [parameter], vjp_all=rule, plain=plain, results=results)
    known = implementations()
    apply = compile_caller(declared, implementations=known)
    declared.name = name
    if owner is not None:
        weakref.finalize(owner, forget, known, key, f"{key}_backward").atexit = False
    return key, apply
