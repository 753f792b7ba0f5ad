"""Expressions of elements, in Python's syntax: read, computed with tensors, written as C++, and
differentiated.

``a * b / (1 + exp(-a))``, ``a if a > 0 else slope * a``, ``max(a, 0) ** 2``. The gradient walks
back over the steps that the expression takes (reverse accumulation), with the slopes of the table
below.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tapegrad.core.tensor import Tensor
from tapegrad.ops.catalog import doors

CONSTANTS = {"pi": math.pi, "e": math.e, "inf": math.inf}


@dataclass(frozen=True)
class Step:
    """A function of elements: in C++ (of {0}, {1}), the name of the function of tensors, and its
    slopes (of {0}, {1} and the value {y})."""

    code: str
    function: str
    slopes: tuple[str, ...]


_TIE = "({0} > {1} ? A(%s) : {0} < {1} ? A(%s) : A(0.5))"

FUNCTIONS = {
    "abs": Step("fabs({0})", "abs", ("({0} > 0 ? A(1) : {0} < 0 ? A(-1) : A(0))",)),
    "cos": Step("cos({0})", "cos", ("-sin({0})",)),
    "erf": Step("erf({0})", "erf", ("A(1.1283791670955126) * exp(-{0} * {0})",)),
    "exp": Step("exp({0})", "exp", ("{y}",)),
    "expm1": Step("expm1({0})", "expm1", ("{y} + A(1)",)),
    "log": Step("log({0})", "log", ("A(1) / {0}",)),
    "log1p": Step("log1p({0})", "log1p", ("A(1) / (A(1) + {0})",)),
    "max": Step("({0} > {1} || {0} != {0} ? {0} : {1})", "maximum", (_TIE % (1, 0), _TIE % (0, 1))),
    "min": Step("({0} < {1} || {0} != {0} ? {0} : {1})", "minimum", (_TIE % (0, 1), _TIE % (1, 0))),
    "relu": Step("({0} < 0 ? A(0) : {0})", "relu", ("({0} > 0 ? A(1) : A(0))",)),
    "rsqrt": Step("A(1) / sqrt({0})", "rsqrt", ("A(-0.5) * {y} / {0}",)),
    "sigmoid": Step("A(1) / (A(1) + exp(-{0}))", "sigmoid", ("{y} * (A(1) - {y})",)),
    "sin": Step("sin({0})", "sin", ("cos({0})",)),
    "sqrt": Step("sqrt({0})", "sqrt", ("A(0.5) / {y}",)),
    "square": Step("{0} * {0}", "square", ("A(2) * {0}",)),
    "tanh": Step("tanh({0})", "tanh", ("A(1) - {y} * {y}",)),
}

OPERATORS: dict[type, Step] = {
    ast.Add: Step("{0} + {1}", "add", ("A(1)", "A(1)")),
    ast.Sub: Step("{0} - {1}", "sub", ("A(1)", "A(-1)")),
    ast.Mult: Step("{0} * {1}", "mul", ("{1}", "{0}")),
    ast.Div: Step("{0} / {1}", "truediv", ("A(1) / {1}", "-{y} / {1}")),
    ast.Pow: Step(
        "pow({0}, {1})",
        "pow",
        ("({1} == 0 ? A(0) : {1} * pow({0}, {1} - A(1)))", "({0} == 0 ? A(0) : {y} * log({0}))"),
    ),
    ast.USub: Step("-{0}", "neg", ("A(-1)",)),
}

COMPARISONS: dict[type, tuple[str, str]] = {
    ast.Lt: ("<", "lt"),
    ast.LtE: ("<=", "le"),
    ast.Gt: (">", "gt"),
    ast.GtE: (">=", "ge"),
    ast.Eq: ("==", "eq"),
    ast.NotEq: ("!=", "ne"),
}


class Expression:
    """An expression of elements. Raises SyntaxError where it is none, ValueError for words that it
    cannot use, with those that it can."""

    def __init__(self, text: str, numbers: Sequence[str] = ()):
        self.text, self.numbers = text, tuple(numbers)
        self.tree = ast.parse(text.strip(), "<expression>", "eval").body
        names = [n for n in ast.walk(self.tree) if isinstance(n, ast.Name)]
        names.sort(key=lambda n: (n.lineno, n.col_offset))
        called = {id(n.func) for n in ast.walk(self.tree) if isinstance(n, ast.Call)}
        known = {*numbers, *CONSTANTS}
        self.inputs = tuple(
            dict.fromkeys(n.id for n in names if id(n) not in called and n.id not in known)
        )
        functions = {n.id for n in names if id(n) in called}
        if not self.inputs:
            raise ValueError(f"{text!r} names no input")
        if functions - {*FUNCTIONS}:
            raise ValueError(
                f"{text!r} calls {sorted(functions - {*FUNCTIONS})}; there are {[*FUNCTIONS]}"
            )
        unused = {*numbers} - {n.id for n in names}
        if unused:
            raise ValueError(f"{text!r} does not use the numbers {sorted(unused)}")
        self.code()  # refuses what is no expression of elements

    def body(self) -> Callable:
        """The function of tensors that computes it: f(a, b, *, slope)."""

        def compute(values: Mapping[str, Any]) -> Any:
            return _computed(self.tree, {**CONSTANTS, **values})

        inputs, numbers = ", ".join(self.inputs), ", ".join(f"{n}={n}" for n in self.numbers)
        defined = f"lambda {inputs}{', *, ' if numbers else ''}{numbers}: compute(locals())"
        return lambda **defaults: eval(defined, {"compute": compute, **defaults})

    def code(self) -> tuple[list[str], str]:
        """C++: statements, and the name or number that is then the value. Inputs and numbers are
        ``v_a``, ``v_slope``, of the type A."""
        writer = _Writer()
        value = writer.value(self.tree)
        return writer.statements, value

    def gradient_code(self, of_value: str) -> tuple[list[str], dict[str, str]]:
        """C++: statements, and each input's gradient where that of the value is ``of_value``."""
        writer = _Writer()
        value = writer.value(self.tree)
        arrived = {value: [of_value]}
        for result, arguments, slopes in reversed(writer.steps):
            if result not in arrived:
                continue
            writer.statements.append(f"const A g_{result} = {' + '.join(arrived[result])};")
            for argument, slope in zip(arguments, slopes, strict=True):
                if not argument.startswith("A("):
                    arrived.setdefault(argument, []).append(f"g_{result} * ({slope})")
        zero = ["A(0)"]
        return writer.statements, {
            name: " + ".join(arrived.get(f"v_{name}", zero)) for name in self.inputs
        }


class _Writer:
    """Writes an expression as one C++ statement for each of its steps."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.steps: list[tuple[str, list[str], list[str]]] = []  # result, arguments, slopes

    def value(self, node: ast.expr) -> str:
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
            return f"A({float(node.value)!r})"
        if isinstance(node, ast.Name):
            known = CONSTANTS.get(node.id)
            if known is not None:
                return "A(INFINITY)" if known == math.inf else f"A({known!r})"
            return f"v_{node.id}"
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.UAdd):
            return self.value(node.operand)
        if isinstance(node, ast.IfExp):
            condition = self.condition(node.test)
            arguments = [self.value(node.body), self.value(node.orelse)]
            slopes = [f"{condition} ? A(1) : A(0)", f"{condition} ? A(0) : A(1)"]
            return self.step(f"{condition} ? {arguments[0]} : {arguments[1]}", arguments, slopes)
        step, operands = _step(node)
        arguments = [self.value(operand) for operand in operands]
        result = f"t{len(self.steps)}"
        slopes = [slope.format(*arguments, y=result) for slope in step.slopes]
        if step is OPERATORS[ast.Pow] and arguments[1] in ("A(2.0)", "A(3.0)"):
            square = f"{arguments[0]} * {arguments[0]}"
            cube = arguments[1] == "A(3.0)"
            slopes[0] = f"A(3) * {square}" if cube else f"A(2) * {arguments[0]}"
            return self.step(f"{square} * {arguments[0]}" if cube else square, arguments, slopes)
        return self.step(step.code.format(*arguments), arguments, slopes)

    def step(self, code: str, arguments: list[str], slopes: list[str]) -> str:
        result = f"t{len(self.steps)}"
        self.statements.append(f"const A {result} = {code};")
        self.steps.append((result, arguments, slopes))
        return result

    def condition(self, node: ast.expr) -> str:
        if isinstance(node, ast.BoolOp):
            word = " && " if isinstance(node.op, ast.And) else " || "
            return f"({word.join(self.condition(value) for value in node.values)})"
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return f"!{self.condition(node.operand)}"
        if isinstance(node, ast.Compare):
            sides = [self.value(side) for side in (node.left, *node.comparators)]
            words = [COMPARISONS[type(op)][0] for op in node.ops if type(op) in COMPARISONS]
            if len(words) == len(node.ops):
                pairs = zip(sides, words, sides[1:], strict=False)
                return f"({' && '.join(f'{a} {word} {b}' for a, word, b in pairs)})"
        raise ValueError(f"{ast.unparse(node)!r} is no condition: compare elements, like 'a > 0'")


def _step(node: ast.expr) -> tuple[Step, list[ast.expr]]:
    """The function that a node applies, and to what."""
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        return OPERATORS[type(node.op)], [node.left, node.right]
    if isinstance(node, ast.UnaryOp) and type(node.op) in OPERATORS:
        return OPERATORS[type(node.op)], [node.operand]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        step = FUNCTIONS[node.func.id]
        if len(node.args) != len(step.slopes) or node.keywords:
            raise ValueError(
                f"{node.func.id} takes {len(step.slopes)} elements, got {ast.unparse(node)!r}"
            )
        return step, node.args
    raise ValueError(
        f"{ast.unparse(node)!r} is no expression of elements: use + - * / **, comparisons in "
        f"'a if ... else b', numbers, and {[*FUNCTIONS]}"
    )


def _computed(node: ast.expr, values: Mapping[str, Any]) -> Any:
    """The expression on tensors and numbers."""

    def call(function: str, *operands: ast.expr) -> Any:
        return _called(function, [_computed(o, values) for o in operands], values)

    def chain(function: str, parts: Sequence[Any]) -> Any:
        made = parts[0]
        for part in parts[1:]:
            made = _called(function, [made, part], values)
        return made

    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return values[node.id]
    if isinstance(node, ast.IfExp):
        return call("where", node.test, node.body, node.orelse)
    if isinstance(node, ast.BoolOp):
        word = "logical_and" if isinstance(node.op, ast.And) else "logical_or"
        return chain(word, [_computed(part, values) for part in node.values])
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return call("logical_not", node.operand)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.UAdd):
        return _computed(node.operand, values)
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        pairs = zip(sides, node.ops, sides[1:], strict=False)
        return chain("logical_and", [call(COMPARISONS[type(op)][1], a, b) for a, op, b in pairs])
    step, operands = _step(node)
    return call(step.function, *operands)


_IN_PYTHON = {step.function for step in OPERATORS.values()} | {
    name for _, name in COMPARISONS.values()
}


def _called(function: str, arguments: list[Any], values: Mapping[str, Any]) -> Any:
    """A function of tensors and numbers, among which there are tensors of ``values``."""
    if function in _IN_PYTHON:
        return getattr(operator, function)(*arguments)
    like = next(value for value in values.values() if isinstance(value, Tensor))
    make = doors["tg"]["tensor"].load()
    given = [
        a
        if isinstance(a, Tensor)
        else make(a, dtype=None if isinstance(a, bool) else like.dtype, device=like.device)
        for a in arguments
    ]
    return doors["tg"][function].load()(*given)
