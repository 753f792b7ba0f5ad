"""Expressions of elements, in Python's syntax, as functions of tensors: ``a * b / (1 + exp(-a))``,
``a if a > 0 else slope * a``, ``max(a, 0) ** 2``; and of elements and their rows: ``a / sum(a)``.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from numbers import Real
from typing import Any

from tapegrad.core.dtypes import is_low_precision, promote_types
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.catalog import doors

CONSTANTS = {"pi": math.pi, "e": math.e, "inf": math.inf}

_OF_ONE = "abs cos erf exp expm1 log log1p relu rsqrt sigmoid sin sqrt square tanh"
# word: the function of tensors that it means, and of how many
FUNCTIONS = {name: (name, 1) for name in _OF_ONE.split()}
FUNCTIONS |= {"max": ("maximum", 2), "min": ("minimum", 2)}

# The same with one operand: of a row, along the last dimension, which stays.
OF_ROWS = {"max": "amax", "mean": "mean", "min": "amin", "sum": "sum"}

OPERATORS: dict[type, Callable] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
COMPARISONS: dict[type, Callable] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}

Values = Mapping[str, Any]  # of names: tensors and numbers
Part = Callable[[Values], Any]


class Expression:
    """An expression of elements; rows: also of what is one number for a row. Raises SyntaxError
    where it is none, ValueError for words that it cannot use, with those that it can.

    of_rows: whether it is one number for a row itself.
    """

    def __init__(self, text: str, numbers: Sequence[str] = (), rows: bool = False):
        if not isinstance(text, str):
            raise TypeError(f"an expression must be a string, got {type(text).__name__}")
        self.text, self.numbers = text, tuple(numbers)
        try:
            tree = ast.parse(text.strip(), "<expression>", "eval").body
        except SyntaxError as error:
            raise SyntaxError(
                f"{text!r} is no expression of Python's ({error.msg}): a choice is "
                "'a if a > 0 else 0', a power a**2"
            ) from None
        names = [n for n in ast.walk(tree) if isinstance(n, ast.Name)]
        names.sort(key=lambda n: (n.lineno, n.col_offset))
        called = {id(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)}
        known = {*numbers, *CONSTANTS}
        self.inputs = tuple(
            dict.fromkeys(n.id for n in names if id(n) not in called and n.id not in known)
        )
        functions = {n.id for n in names if id(n) in called}
        words = {*FUNCTIONS, *(OF_ROWS if rows else ())}
        if not self.inputs:
            raise ValueError(f"{text!r} names no input")
        if functions - words:
            raise ValueError(
                f"{text!r} calls {sorted(functions - words)}; there are {sorted(words)}"
            )
        unused = {*numbers} - {n.id for n in names}
        if unused:
            raise ValueError(f"{text!r} does not use the numbers {sorted(unused)}")
        in_rows: set[int] = set()
        for call in (n for n in ast.walk(tree) if rows and _is_of_row(n)):
            within = [*ast.walk(call)]
            if not any(isinstance(n, ast.Name) and n.id in self.inputs for n in within):
                raise ValueError(f"{ast.unparse(call)!r} in {text!r} is of no input")
            in_rows |= {id(n) for n in within}
        self.of_rows = all(id(n) in in_rows for n in names if n.id in self.inputs)
        self._value = _value(tree, rows)

    def function(self, name: str, numbers: Values) -> Callable:
        """The function of tensors f(a, b, *, slope=...) that computes it; floats of 16 bits in
        float32, rounded once. Raises TypeError for tensors of other kinds than floats."""

        def compute(given: dict[str, Any]) -> Any:
            tensors = {n: v for n, v in given.items() if isinstance(v, Tensor)}
            for n, value in given.items():
                if n not in tensors and (n in self.inputs or not isinstance(value, Real)):
                    wanted = "Tensor" if n in self.inputs else "number"
                    raise TypeError(f"[{name}] {n} must be a {wanted}, got {type(value).__name__}")
                if n in tensors and not value.is_floating_point():
                    raise TypeError(f"[{name}] {n} is {value.dtype}: convert with .float()")
            dtype = reduce(promote_types, [t.dtype for t in tensors.values()])
            if not is_low_precision(dtype):
                return self._value({**CONSTANTS, **given})
            widened = {n: t.float() for n, t in tensors.items()}
            return self._value({**CONSTANTS, **given, **widened}).to(dtype)

        options = ", ".join(["", "*", *(f"{n}={n}" for n in numbers)]) if numbers else ""
        code = f"lambda {', '.join(self.inputs)}{options}: _compute(locals())"
        made = eval(code, {"_compute": compute, **numbers})
        made.__name__ = made.__qualname__ = name
        made.__doc__ = f"``{self.text}``, element by element."
        return made


def _is_of_row(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in OF_ROWS
        and len(node.args) == 1
        and not node.keywords
    )


def _value(node: ast.expr, rows: bool) -> Part:
    """What computes a node. Raises ValueError for what is no expression of elements."""
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return lambda values: node.value
    if isinstance(node, ast.Name):
        return lambda values: values[node.id]
    if isinstance(node, ast.IfExp):
        sides = [_value(node.body, rows), _value(node.orelse, rows)]
        return _call("where", [_condition(node.test, rows), *sides])
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        return _apply(OPERATORS[type(node.op)], _value(node.left, rows), _value(node.right, rows))
    if isinstance(node, ast.UnaryOp) and type(node.op) in OPERATORS:
        return _apply(OPERATORS[type(node.op)], _value(node.operand, rows))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if rows and _is_of_row(node):
            return _of_row(OF_ROWS[node.func.id], _value(node.args[0], rows))
        function, count = FUNCTIONS.get(node.func.id, ("", 1))
        if len(node.args) != count or node.keywords:
            raise ValueError(f"{node.func.id} takes {count} elements, got {ast.unparse(node)!r}")
        return _call(function, [_value(argument, rows) for argument in node.args])
    raise ValueError(
        f"{ast.unparse(node)!r} is no expression of elements: use + - * / **, comparisons in "
        f"'a if ... else b', numbers, and {sorted(FUNCTIONS)}"
    )


def _condition(node: ast.expr, rows: bool) -> Part:
    """What computes a condition. Raises ValueError for what is none."""
    if isinstance(node, ast.BoolOp):
        word = "logical_and" if isinstance(node.op, ast.And) else "logical_or"
        return _chain(word, [_condition(part, rows) for part in node.values])
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return _call("logical_not", [_condition(node.operand, rows)])
    if isinstance(node, ast.Compare) and all(type(op) in COMPARISONS for op in node.ops):
        sides = [_value(side, rows) for side in (node.left, *node.comparators)]
        words = [COMPARISONS[type(op)] for op in node.ops]
        pairs = zip(words, sides, sides[1:], strict=False)
        return _chain("logical_and", [_apply(word, a, b) for word, a, b in pairs])
    raise ValueError(f"{ast.unparse(node)!r} is no condition: compare elements, like 'a > 0'")


def _of_row(function: str, part: Part) -> Part:
    return lambda values: doors["tg"][function].load()(part(values), -1, keepdim=True)


def _apply(function: Callable, *parts: Part) -> Part:
    return lambda values: function(*[part(values) for part in parts])


def _chain(function: str, parts: Sequence[Part]) -> Part:
    return reduce(lambda a, b: _call(function, [a, b]), parts)


def _call(function: str, parts: Sequence[Part]) -> Part:
    """A function of tensors, as which numbers among its operands are taken."""

    def call(values: Values) -> Any:
        like = next(value for value in values.values() if isinstance(value, Tensor))
        given = [part(values) for part in parts]
        tensors = [v if isinstance(v, Tensor) else _constant(v, like) for v in given]
        return doors["tg"][function].load()(*tensors)

    return call


def _constant(value: float, like: Tensor) -> Tensor:
    """A number as a tensor, where the others are; also of a device that only traces."""
    dtype = bool if isinstance(value, bool) else like.dtype
    return wrap(like._device.ops["full"]((), value, dtype=dtype), like._device)
