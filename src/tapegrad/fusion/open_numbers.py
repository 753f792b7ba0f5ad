"""Numbers that a trace leaves open, so that a kernel is told them at every call.

An int or float among the arguments of a fused function is traced as a ``Number``, which writes
down what is computed of it: ``1 - beta ** step`` is a Number again. Where the function asks which
number it is, the answer is that of this call, and a condition is written down under which the trace
is good for others: ``if rate > 0`` holds for all that are larger, ``range(count)`` for this one
alone.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Values = Sequence[float]
_LONGEST = 500  # text: Python reads no more than 200 parentheses within each other


class Conditions:
    """Under which numbers a trace is good: ``texts`` are expressions in Python of ``n``, the
    numbers among the arguments; ``pinned``: those of which it is good for these values alone."""

    def __init__(self, values: Values, leave_open: bool):
        self.values = values
        self.texts: list[str] = []
        self.pinned = set() if leave_open else {*range(len(values))}
        self.numbers: Sequence[Any] = values
        if leave_open:
            self.numbers = [Number(self, v, f"n[{i}]", {i}) for i, v in enumerate(values)]

    def add(self, text: str) -> None:
        if text not in self.texts:
            self.texts.append(text)

    def compiled(self) -> Callable[[Values], bool]:
        """Whether the trace is good for other numbers. (They have the same types.)"""
        pinned = [f"n[{i}] == {self.values[i]!r}" for i in sorted(self.pinned)]
        holds = evaluator(" and ".join(pinned + self.texts) or "True")

        def fits(values: Values) -> bool:
            try:
                return holds(values)
            except ArithmeticError:  # which the function will raise itself, if it comes to that
                return False

        return fits


def evaluator(text: str) -> Callable[[Values], Any]:
    """The function of the numbers among the arguments that an expression of ``n`` is."""
    return eval(f"lambda n: {text}", {"__builtins__": {}, "inf": math.inf, "nan": math.nan})


class Number:
    """What is known of a number: its ``value`` in this call, and ``text``, the expression in Python
    that makes it of the numbers among the arguments, whose indices are ``of``."""

    __slots__ = ("conditions", "of", "text", "value")
    __array_priority__ = -1000.0  # arrays ask themselves first

    def __init__(self, conditions: Conditions, value: float, text: str, of: set[int]):
        self.conditions, self.value, self.text, self.of = conditions, value, text, of

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """For isinstance, the type of the number."""
        return type(self.value)

    def pin(self) -> float:
        """The value, for which alone the trace is good from now on."""
        self.conditions.pinned |= self.of
        return self.value

    def _compare(self, compare: Callable, word: str, other: Any) -> Any:
        if not isinstance(other, (int, float, bool)):
            return NotImplemented
        found = compare(self.value, value_of(other))
        self.conditions.add(f"({self.text} {word} {text_of(other)}) is {found}")
        return found

    def __abs__(self) -> Any:
        positive = self._compare(operator.ge, ">=", 0)
        return self if positive else _unary(operator.neg, "-", self)

    def __bool__(self) -> bool:
        return self != 0

    def __hash__(self) -> int:
        return hash(self.pin())

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.asarray(self.pin(), dtype)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.value, name)
        self.pin()
        return found


def value_of(given: Any) -> Any:
    """The number's value in this call."""
    return given.value if is_open(given) else given


def text_of(given: Any) -> str:
    """The number as an expression of those among the arguments."""
    if is_open(given):
        return given.text
    return repr(float(given) if isinstance(given, float) else given)  # not as NumPy's float64


def is_open(given: Any) -> bool:
    """Whether it is a number that the trace leaves open. (isinstance would ask for its class.)"""
    return type(given) is Number


_BINARY = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "truediv": "/",
    "floordiv": "//",
    "mod": "%",
    "pow": "**",
}
_COMPARISONS = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}
_UNARY = {"neg": "-", "pos": "+"}
_PINNING = ["int", "float", "index", "complex", "str", "repr", "format", "round", "trunc"]
_PINNING += ["floor", "ceil", "divmod", "rdivmod"]


def _binary(function: Callable, word: str, a: Any, b: Any) -> Any:
    if not (isinstance(a, (int, float)) and isinstance(b, (int, float))):
        return NotImplemented
    value = function(value_of(a), value_of(b))
    open_ones: list[Any] = [v for v in (a, b) if is_open(v)]
    # Of which type a power is may depend on the numbers.
    whole = isinstance(b, int)
    pins = word == "**" and (isinstance(a, int) if whole else not a > 0)
    return _made(value, f"({text_of(a)} {word} {text_of(b)})", open_ones, pins)


def _unary(function: Callable, word: str, a: Number) -> Any:
    return _made(function(a.value), f"({word}{a.text})", [a])


def _made(value: float, text: str, of: Sequence[Number], pins: bool = False) -> Any:
    """A number that is made of others; pinned where its text would grow too long."""
    if pins or len(text) > _LONGEST:
        for v in of:
            v.pin()
        return value
    return Number(of[0].conditions, value, text, set().union(*(v.of for v in of)))


def _give_methods() -> None:
    for name, word in _BINARY.items():
        run = getattr(operator, name)
        setattr(Number, f"__{name}__", lambda a, b, f=run, w=word: _binary(f, w, a, b))
        setattr(Number, f"__r{name}__", lambda a, b, f=run, w=word: _binary(f, w, b, a))
    for name, word in _COMPARISONS.items():
        run = getattr(operator, name)
        setattr(Number, f"__{name}__", lambda a, b, f=run, w=word: a._compare(f, w, b))
    for name, word in _UNARY.items():
        run = getattr(operator, name)
        setattr(Number, f"__{name}__", lambda a, f=run, w=word: _unary(f, w, a))
    for name in _PINNING:
        setattr(Number, f"__{name}__", lambda a, *rest, n=f"__{name}__": getattr(a.pin(), n)(*rest))


_give_methods()
