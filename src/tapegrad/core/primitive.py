"""Primitive: a named operation and its gradient rules, compiled into one function.

A rule is a plain function of what it needs, told by the names of its arguments. Looking names up at
every step of every backward pass would cost as much as the arithmetic, so the rules of a primitive
are put together once, at its declaration, into the function that the engine calls. For ``multiply``
with the rules ``lambda g, b: g * b`` and ``lambda g, a: g * a`` that is::

    def backward(xp, g, saved, edges, arrive):
        y, a, b = saved
        edge = edges[0]
        if edge is not None:
            arrive(edge, rule_0(g, b))
        edge = edges[1]
        if edge is not None:
            arrive(edge, rule_1(g, a))

A rule may be a name, too: that of a primitive or array function declared before (or of the
primitive itself), which is called as ``xp.name`` with the gradient and then what its own arguments
name. So ``vjp="elu_backward"``, declared as ``elu_backward(xp, grad, x, *, alpha)``, is the call
``xp.elu_backward(g, x, alpha=alpha)``. An argument ``result`` is the primitive's result, ``y``,
unless an input of the primitive has that name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from . import devices

Rule = Callable | str | None

# Names that rules, or the function they are compiled into, give a meaning of their own.
_SPECIAL = {"input_shape", "needs", "wide", "buffer"}
_WIDE = "edge.dtype.itemsize > g.dtype.itemsize"
_RESERVED = {"xp", "g", "y", "saved", "edges", "edge", "arrive", *_SPECIAL}


class _Named:
    """A rule that is the name of a function: what that is called with, in order and by keyword."""

    def __init__(self, name: str, primitive: str, inputs: Sequence[str]):
        devices.load_primitive(name)
        body = devices.bodies.get(name)
        if body is None:
            raise TypeError(
                f"the gradient rule {name!r} of {primitive!r} is the name of no primitive or array "
                "function declared before it"
            )
        arguments, self.keywords, _ = signature(body)
        others = arguments[2:]  # after xp and the gradient, whatever that is called there
        self.name = name
        result = "result" if "result" in inputs else "y"
        self.given = ["g", *(result if n == "result" else n for n in others)]


class Primitive:
    """A named operation: how it is run (see devices.py) and how its gradient is made.

    Its rules may ask for ``xp``, ``g``, ``y``, any of ``inputs``, ``parameters`` and ``extras``,
    and: ``input_shape`` (one rule per input), ``needs`` (the joint rule), ``wide`` (whether a
    gradient is wanted in a wider dtype than that of ``g``; of each input in the joint rule),
    ``buffer`` (``into``).
    Raises TypeError for a rule that asks for anything else, and for an input or parameter that
    bears one of those names.
    """

    def __init__(
        self,
        name: str,
        inputs: Sequence[str],
        parameters: Sequence[str] = (),
        *,
        vjp: Sequence[Rule] | str = (),
        vjp_all: Callable | str | None = None,
        into: Callable | None = None,
        extras: Sequence[str] = (),
        plain: Callable | None = None,
        variadic: bool = False,
        results: int = 1,
    ):
        taken = _RESERVED & {*inputs, *parameters, *extras}
        if taken:
            raise TypeError(f"primitive {name!r}: {sorted(taken)} mean something else to rules")
        self.name = name
        self.inputs = tuple(inputs)
        self.parameters = tuple(parameters)
        self.extras = tuple(extras)
        self.variadic = variadic
        self.plain = plain
        self.results = results
        self.rules = tuple(map(self._rule, [vjp] if isinstance(vjp, str) else vjp))
        self.joint = vjp_all = self._rule(vjp_all)
        self.differentiable = any(self.rules) or vjp_all is not None
        asked = [_arguments(rule) for rule in (*self.rules, vjp_all) if rule]
        self.saves_output = any("y" in names for names in asked)
        self.saves_any = any({"y", *inputs, *extras} & set(names) for names in asked)
        # With ``plain``, all inputs are kept, and these are what the rules themselves ask for.
        self.asked = (
            {i for i, x in enumerate(inputs) if any(x in names for names in asked)}
            if plain
            else None
        )
        self.keeps = [self._rules_needing(x) for x in inputs]
        self.into = into
        self._saved = ("y", *inputs, *parameters, *extras)  # the layout of Node.saved
        known = {"xp", "g", *self._saved}
        for rule in (*self.rules, vjp_all, into):
            unknown = set(_arguments(rule)) - known - _SPECIAL if rule else set()
            if unknown:
                which = f" {rule.name!r}" if isinstance(rule, _Named) else ""
                raise TypeError(
                    f"a gradient rule{which} of {name!r} asks for {unknown}, not in {known}"
                )

    def _rule(self, rule: Rule) -> Any:
        return _Named(rule, self.name, self.inputs) if isinstance(rule, str) else rule

    @cached_property
    def backward(self) -> Callable:
        """``backward(xp, g, saved, edges, arrive)``: call the rules for the edges that are not
        None, and ``arrive(edge, gradient)`` with what they return. Compiled at first use."""
        return self._compile_joint() if self.joint else self._compile_rules()

    @cached_property
    def add_into(self) -> Callable:
        """``add_into(xp, g, saved, buffer)``: the rule ``into``."""
        return self._compile_into(self.into)

    def named(self, i: int) -> tuple[str, tuple[int, ...], tuple[str, ...]] | None:
        """The rule of input ``i``, if it is the name of a function: that name; what the function is
        called with, as places in ``Node.saved`` (-1: the gradient); and the names of the last of
        these, which are keywords. None for other rules."""
        rule = self.rules[i] if i < len(self.rules) else None
        if not isinstance(rule, _Named) or {*rule.given, *rule.keywords} & _SPECIAL:
            return None
        places = {name: i for i, name in enumerate(self._saved)} | {"g": -1}
        given = tuple([places[name] for name in (*rule.given, *rule.keywords)])
        return rule.name, given, tuple(rule.keywords)

    def _rules_needing(self, name: str) -> tuple[bool, ...] | bool:
        """Which inputs' rules need input ``name``; True or False where one rule serves all."""
        if self.plain:
            return True
        if self.joint:
            return name in _arguments(self.joint)
        return tuple(rule is not None and name in _arguments(rule) for rule in self.rules)

    def _compile_rules(self) -> Callable:
        body = [f"{', '.join(self._saved)}, = saved"]
        for i, rule in enumerate(self.rules):
            if rule:
                call = self._call(f"rule_{i}", rule, {"input_shape": "edge.shape", "wide": _WIDE})
                body += [f"edge = edges[{i}]", "if edge is not None:", f"    arrive(edge, {call})"]
        rules = {f"rule_{i}": rule for i, rule in enumerate(self.rules)}
        return self._compile("backward(xp, g, saved, edges, arrive)", body, rules)

    def _compile_joint(self) -> Callable:
        wide = f"tuple([edge is not None and {_WIDE} for edge in edges])"
        body = [
            f"{', '.join(self._saved)}, = saved",
            "needs = tuple([edge is not None for edge in edges])",
            f"grads = {self._call('rule', self.joint, {'needs': 'needs', 'wide': wide})}",
            "for edge, gradient in zip(edges, grads):",
            "    if edge is not None and gradient is not None:",
            "        arrive(edge, gradient)",
        ]
        return self._compile("backward(xp, g, saved, edges, arrive)", body, {"rule": self.joint})

    def _compile_into(self, rule: Any) -> Callable:
        body = [
            f"{', '.join(self._saved)}, = saved",
            self._call("rule", rule, {"buffer": "buffer"}),
        ]
        return self._compile("add_into(xp, g, saved, buffer)", body, {"rule": rule})

    def _call(self, function: str, rule: Any, special: dict[str, str]) -> str:
        known = {name: name for name in ("xp", "g", *self._saved)} | special
        if not isinstance(rule, _Named):
            return f"{function}({', '.join(known[name] for name in _arguments(rule))})"
        given = [known[name] for name in rule.given]
        given += [f"{name}={known[name]}" for name in rule.keywords]
        return f"xp.{rule.name}({', '.join(given)})"

    def _compile(self, signature: str, body: list[str], rules: dict) -> Callable:
        source = f"def {signature}:\n" + "".join(f"    {line}\n" for line in body)
        namespace = dict(rules)
        exec(compile(source, f"<gradient of {self.name}>", "exec"), namespace)
        return namespace[signature.partition("(")[0]]

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"


def signature(function: Any) -> tuple[list[str], list[str], bool]:
    """The positional and keyword-only arguments of a plain function, behind any decorators, and
    whether the last positional one is ``*variadic``. (inspect.signature would take a fifth of the
    time of ``import tapegrad``.)"""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    code = function.__code__
    names, count, keywords = code.co_varnames, code.co_argcount, code.co_kwonlyargcount
    variadic = bool(code.co_flags & 0x04)
    positional = list(names[:count])
    if variadic:
        positional.append(names[count + keywords])
    return positional, list(names[count : count + keywords]), variadic


def joint_rule(function: Any, inputs: Sequence[str], asked: Sequence[str]) -> Any:
    """A joint rule of any number of inputs: ``function(xp, inputs, g=, needs=, ...)``, which gets
    them as one tuple, and what else is ``asked`` for by name."""
    names = ", ".join([*asked, *inputs])
    given = ", ".join(f"{name}={name}" for name in asked)
    code = f"lambda xp, {names}: function(xp, ({''.join(f'{i}, ' for i in inputs)}), {given})"
    return eval(code, {"function": function})


def _arguments(rule: Any) -> list[str]:
    if isinstance(rule, _Named):
        return ["xp", *rule.given, *rule.keywords]
    return signature(rule)[0]
