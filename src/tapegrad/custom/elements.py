"""Functions of tensors out of an expression of their elements."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from tapegrad.core.devices import EMULATED, Device
from tapegrad.core.signature import Item, Signature, Sizes
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.fusion import Computation, Fused
from tapegrad.units import Function, Source, Unit

from .checkable import Checkable, Launching
from .expression import Expression
from .rows import loops_compile, rows
from .samples import Draws


def elementwise(expression: str, *, name: str = "elementwise", **numbers: float) -> Elementwise:
    """A function of tensors, from an expression of their elements in Python's syntax.

    expression: such as ``"a * b / (1 + exp(-a))"``, ``"a if a > 0 else slope * a"``; names are
    inputs, in the order in which they first stand there, but for those of ``numbers``, keyword
    arguments with these defaults. Functions: abs, cos, erf, exp, expm1, log, log1p, max, min, relu,
    rsqrt, sigmoid, sin, sqrt, square, tanh; constants: pi, e, inf. At ties and kinks slopes are
    PyTorch's.

    It is the same as ``tapegrad.fuse`` of the function that you would write with tensors: inputs
    are broadcast, and one kernel computes the values, one the gradients; but floats of 16 bits are
    computed in float32 and rounded once. Raises SyntaxError or ValueError for what is no such
    expression; the function raises TypeError for what is no tensor of floats.

        >>> swiglu = tg.kernel.elementwise("a * b / (1 + exp(-a))")
        >>> swiglu(tg.ones(2), tg.tensor([1.0, 2.0]))
        tensor([0.7311, 1.4621], shape=(2,))
    """
    return _function(Expression(expression, list(numbers)), name, numbers, "*n", "*n")


def row(
    expression: str,
    signature: str | None = None,
    *,
    name: str | None = None,
    gradient: str | Callable | None = None,
    inputs: Draws | None = None,
    **numbers: float,
) -> Any:
    """The same of rows, along the last dimension: ``sum``, ``mean``, ``max`` and ``min`` of one
    operand, over its own last dimension, are one number for a row; ``max`` and ``min`` of two are
    of elements.

    Where all of the expression is one number for a row, the last dimension of the result is 1.

        >>> rms_norm = tg.kernel.row("x * rsqrt(mean(x * x) + eps) * weight", eps=1e-6)
        >>> rms_norm(tg.tensor([[3.0, 4.0]]), tg.ones(2))
        tensor([[0.8485, 1.1314]], shape=(1, 2))

    With a ``signature`` it is C++ instead, what is computed of one row in the words of
    ``kernels/row.cuh``, and ``row`` a decorator of the plain body, as ``tg.kernel``. Arrays are of
    one float dtype T and of sizes ``[*rows, cols]`` (in the text a ``Row`` where they go in, a
    pointer to the row's start where they come out), ``[cols]`` (one for all rows) or ``[*rows]`` (a
    number of type A, or a pointer to one). ``columns`` are those of a thread, A is what T is
    computed in, sizes and numbers (the body's keyword arguments) are there by name. It is compiled
    for GPUs, for ``emulated`` and, as a loop that computes in double, for ``cpu``.

        @tg.kernel.row(
            \"\"\"
            A sum = 0;
            columns.each([&](auto, A v) { sum += v * v; }, x);
            const A scale = rsqrt(columns.reduce(sum, Sum()) / A(cols) + eps);
            columns.write(y, [&](auto, A v, A w) { return v * scale * w; }, x, weight);
            \"\"\",
            "x[*rows, cols], weight[cols] -> y[*rows, cols]",
        )
        def rms_norm(x, weight, *, eps=1e-6):
            return x * (x.square().mean(-1, keepdim=True) + eps).rsqrt() * weight

    gradient: C++ for the gradients of arrays that have rows, from ``dy`` and the inputs (and ``y``)
    to ``dx``; or a function of tensors, or None, as in ``tg.kernel``, and so are ``name`` and
    ``inputs``. Raises ValueError for a signature without rows.
    """
    if signature is not None:
        if numbers:
            raise TypeError(
                f"[row] {[*numbers]} are numbers of an expression: those of C++ are the keyword "
                "arguments of the body"
            )
        return rows(expression, signature, sys._getframe(1), name, gradient, inputs)
    if gradient is not None or inputs is not None:
        raise TypeError("[row] gradient= and inputs= are for C++, which needs a signature")
    read = Expression(expression, list(numbers), rows=True)
    made = "*rows, 1" if read.of_rows else "*rows, cols"
    return _function(read, name or "row", numbers, "*rows, cols", made)


def _function(
    read: Expression, name: str, numbers: Mapping[str, float], sizes: str, made: str
) -> Elementwise:
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"name={name!r} must be a name, as it is that of a function")
    for n, default in numbers.items():
        if not isinstance(default, (Real, np.generic, Tensor)):
            raise TypeError(f"[{name}] {n}={default!r} must be a number")
    body = read.function(name, numbers)
    body.__module__ = sys._getframe(2).f_globals["__name__"]  # where pickles look for it
    return Elementwise(body, read.inputs, numbers, sizes, made)


class Elementwise(Fused, Checkable):
    """A fused function of elements or rows, which ``tg.kernel.check`` calls with tensors of one
    shape. sizes, made: of the inputs and of the result, as in a signature."""

    def __init__(
        self,
        body: Callable,
        inputs: Sequence[str],
        numbers: Mapping[str, float],
        sizes: str,
        made: str,
    ):
        super().__init__(body)
        self.body, self.name, self.numbers = body, body.__name__, numbers
        own = {*inputs, *(f"d{i}" for i in inputs)}
        result = next(r for r in ("y", "out", "result_") if not own & {r, f"d{r}"})
        arrays = ", ".join(f"{i}[{sizes}]" for i in inputs)
        self.signature = Signature(f"{arrays} -> {result}[{made}]")
        self.forward: _Way = _Way(self, backward=False)
        self.backward: _Way = _Way(self, backward=True)

    def __reduce__(self) -> str:
        return self.body.__qualname__  # by name, as functions are

    def sources(self, dtype: Any, sizes: Sizes, numbers: Mapping[str, Any]) -> list[Source]:
        shape = self.signature.shape(self.signature.inputs[0], sizes)
        arrays = [EMULATED.ops["empty"](shape, dtype) for _ in self.signature.inputs]
        ways = (self.forward, self.backward)
        made = [way.computation(EMULATED, arrays, numbers)[0] for way in ways]
        return [run.source for one in made for run in one.runners]

    def compiled(self, checked: bool, changed: Mapping[str, str] | None = None) -> _Units:
        return _Units(checked, changed or {})

    def loops(self) -> dict[str, Any] | None:
        """Of no units: what was fused has the loop that it runs on ``cpu``."""
        return {} if loops_compile() else None


class _Units:
    """(text of a source) -> its unit, by device."""

    def __init__(self, checked: bool, changed: Mapping[str, str]):
        self._checked, self._changed = checked, changed
        self._known: dict[str, dict[str, Unit]] = {}

    def __getitem__(self, text: str) -> dict[str, Unit]:
        if text not in self._known:
            source = Source(self._changed.get(text, text), "<fused kernel>", 1, ".")
            self._known[text] = {"emulated": Unit(source, "emulated", self._checked)}
        return self._known[text]


class _Way(Launching):
    """The kernel that was fused for the values, or for the gradients, launched on given arrays."""

    def __init__(self, fused: Elementwise, backward: bool):
        self.fused, self.is_backward = fused, backward
        signature, name = fused.signature, fused.name
        inputs, results = [*signature.inputs], [*signature.results]
        if backward:
            name = f"{name}_backward"
            arrived = [Item(f"d{i.name}", i.sizes) for i in results]
            inputs, results = inputs + arrived, [Item(f"d{i.name}", i.sizes) for i in inputs]
        self.function = Function(name, "T", True, (), "")
        self.inputs = [Item(i.name, i.sizes, "T") for i in inputs]
        self.results = [Item(r.name, r.sizes, "T") for r in results]

    def computation(
        self, device: Device, arrays: Sequence[Any], numbers: Mapping[str, Any]
    ) -> tuple[Computation, Sequence[float]]:
        """What computes the results for inputs like these, those of the function first; and the
        numbers that it is told."""
        count = len(self.fused.signature.inputs)
        tensors = [wrap(a, device) for a in arrays[:count]]
        plan, values = self.fused.plan(tuple(tensors), dict(numbers))
        if self.is_backward:
            return plan.backward_for([True] * count, [True], values), values
        return plan.forward, values

    def __call__(
        self,
        device: Device,
        units: Mapping[str, Any] | _Units,
        dtype: Any,
        arrays: Mapping[str, Any],
        sizes: Sizes,
        numbers: Mapping[str, Any],
        new: Callable | None = None,
    ) -> dict[str, Any]:
        """As a Launch; what is no kernel's result, such as an input as it is, is copied."""

        def make(name: str, shape: Sequence[int], of: Any, zero: bool) -> Any:
            return device.ops["zeros" if zero else "empty"](shape, of)

        make = new or make
        given = [arrays[item.name] for item in self.inputs]
        shapes = {r.name: self.fused.signature.shape(r, sizes) for r in self.results}
        names = [*shapes]
        if 0 in given[0].shape:
            return {name: make(name, shape, dtype, True) for name, shape in shapes.items()}
        computation, values = self.computation(device, given, numbers)
        wanted = computation.wanted or [True]
        made = [name for name, is_made in zip(names, wanted, strict=True) if is_made]
        of_steps = {id(s): n for s, n in zip(computation.steps[::-1], made[::-1], strict=True)}

        def run(given: Sequence[Any]) -> list:
            (launched,), (kernel,) = computation.runners, computation.kernels
            steps = kernel.results
            results = [make(of_steps[id(s)], s.shape, s.dtype, False) for s in steps]
            among = None if device.type == "cpu" else units[launched.source.text]
            launched.launch(given, results, among, values)
            return results

        found = computation(given, values, run=run if computation.kernels else None)
        zeros = {n: make(n, shapes[n], dtype, True) for n in names if n not in made}
        return zeros | dict(zip(made, found, strict=True))
