"""Steps as lines of C++, the same for loops on the CPU and for CUDA."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.core.dtypes import is_low_precision

from .axes import INPUT, NUMBER, VIEW, Step, Unfusable
from .functions import FUNCTIONS, REDUCTIONS, TYPES, WITH_NUMBER
from .kernel import Kernel, layout
from .open_numbers import is_open, text_of, value_of


class Writer:
    """Lines of C++ for one kernel. Its arrays are ``a0``, ``a1``, ...: inputs, then results."""

    def __init__(self, kernel: Kernel):
        self.kernel = kernel
        self.arrays = [*kernel.inputs, *kernel.results]
        self.lies = layout(kernel.space, self.arrays)
        self.reduces = any(step.op in REDUCTIONS for step in kernel.steps)
        self.numbers: list[Any] = []
        self._told: dict[str, int] = {}  # by their texts, where they are among those
        self.sizes: list[int] = []
        self.lines: list[str] = []
        self.names: dict[int, str] = {}  # of the variables that steps are in
        self._defined = 0
        self._of_inputs = {id(t): i for i, t in enumerate(kernel.inputs)}
        self.of_results = {id(t): len(kernel.inputs) + i for i, t in enumerate(kernel.results)}

    def write(self, line: str, depth: int) -> None:
        self.lines.append("    " * depth + line if line else "")

    # ---- values

    def number_name(self, index: int) -> str:
        """How the ``index``-th of the numbers is called that the kernel is told."""
        return f"number{index}"

    def number(self, value: Any, kind: str) -> str:
        """A literal, if it is an integer or a simple fraction; else a number that the kernel is
        told, so that one text serves many; as it is those that the trace has left open."""
        if is_open(value):
            if kind in ("float", "double", "Float16", "BFloat16"):
                return self._told_number(value)
            value = value.pin()
        if isinstance(value, bool):
            return "true" if value else "false"
        if kind == "bool" or kind.endswith("_t"):
            return f"{value!r}ll" if isinstance(value, int) else repr(value)
        if abs(value) <= 16 and value * 8 == int(value * 8):
            return repr(value)
        return self._told_number(value)

    def _told_number(self, value: Any) -> str:
        index = self._told.setdefault(text_of(value), len(self.numbers))
        if index == len(self.numbers):
            self.numbers.append(value)
        return self.number_name(index)

    def operand(self, given: object, kind: str) -> str:
        if not isinstance(given, Step):
            return f"{kind}({self.number(given, kind)})"
        name = self.names[id(given)]
        if given.dtype == bool and kind != "bool":  # of a cast g++ makes no vectors
            return f"({name} ? {kind}(1) : {kind}(0))"
        return name if type_of(given.dtype) == kind else f"{kind}({name})"

    def operands(self, given: Sequence[object], dtype: np.dtype) -> list[str]:
        """As values of a dtype to compute with; those of 16 bits as floats."""
        kind = type_of(dtype)
        values = [self.operand(t, kind) for t in given]
        return [f"float({v})" for v in values] if is_low_precision(dtype) else values

    def expression(self, step: Step) -> str:
        kind = type_of(step.dtype)
        if step.op in (NUMBER, VIEW, "cast"):
            return self.operand(step.inputs[0], kind)
        function = FUNCTIONS[step.op]
        if step.op == "where":
            condition, *chosen = step.inputs
            given = [self.operand(condition, "bool"), *self.operands(chosen, step.dtype)]
        else:
            dtype = common_dtype(step) if function.compares else step.dtype
            given = self.operands(step.inputs, dtype)
        numbers = [not isinstance(t, Step) and value_of(t) == value_of(t) for t in step.inputs]
        if step.op in WITH_NUMBER and any(numbers):
            return WITH_NUMBER[step.op].format(*(given[::-1] if numbers[0] else given))
        return function.text.format(*given)

    def name(self, step: Step, value: str, depth: int) -> None:
        """Define a variable for the step."""
        name, kind = f"v{self._defined}", type_of(step.dtype)
        self._defined += 1
        value = f"{kind}({value})" if is_low_precision(step.dtype) else value
        self.write(f"const {kind} {name} = {value};", depth)
        self.names[id(step)] = name

    def define(self, step: Step, depth: int) -> None:
        """The step's variable: what is read, or computed of others."""
        read = step.op == INPUT
        value = self.at(self._of_inputs[id(step)], "j") if read else self.expression(step)
        self.name(step, value, depth)

    # ---- where arrays lie

    def restrict(self, index: int, word: str) -> str:
        """The word, where no other array lies at the same place."""
        steps = {*self.kernel.changed, *self.kernel.changed.values()}
        return "" if id(self.arrays[index]) in steps else word

    def pointer(self, index: int) -> str:
        """The type of an array, as a pointer."""
        kept = "const " if index < len(self.kernel.inputs) else ""
        return f"{kept}{type_of(self.arrays[index].dtype)}*"

    def stride(self, index: int) -> str:
        """How the stride along columns of an array is called, which is neither 0 nor 1."""
        return f"along{index}"

    def at(self, index: int, column: str) -> str:
        stride = self.lies.column_strides[index]
        place = (
            "0" if stride == 0 else column if stride == 1 else f"{column} * {self.stride(index)}"
        )
        return f"a{index}[{place}]"

    def store(self, step: Step, column: str, depth: int) -> None:
        self.put(self.at(self.of_results[id(step)], column), step, depth)

    def put(self, place: str, step: Step, depth: int) -> None:
        self.write(f"{place} = {self.names[id(step)]};", depth)

    # ---- sizes and strides

    def size_name(self, index: int) -> str:
        """How the ``index``-th of the sizes and strides is called that the kernel is told."""
        raise NotImplementedError

    def size(self, value: int) -> str:
        """A size or stride that the kernel is told."""
        self.sizes.append(value)
        return self.size_name(len(self.sizes) - 1)

    # ---- rows

    def row_starts(self, declared: str) -> None:
        """Where ``row`` begins in each array: a pointer, ``declared`` as the text says."""
        for d in reversed(range(len(self.lies.rows))):
            size = self.size(self.lies.rows[d])
            self.write(f"const int64_t i{d} = row{f' % {size}' if d else ''};", 2)
            if d:
                self.write(f"row /= {size};", 2)
        for i in range(len(self.arrays)):
            strides = enumerate(self.lies.row_strides[i])
            offset = "".join(f" + i{d} * {self.size(stride)}" for d, stride in strides if stride)
            pointer = declared.format(pointer=self.pointer(i), word=self.restrict(i, "__restrict "))
            self.write(f"{pointer} a{i} = start{i}{offset};", 2)

    def row_and_passes(self) -> None:
        """What is computed of a row: its own inputs and steps, and the passes over its columns."""
        for i, t in enumerate(self.kernel.inputs):
            if id(t) not in self.kernel.of_elements:
                self.name(t, f"a{i}[0]", 2)
        self.row_steps(2)
        for number in range(self.kernel.last_pass + 1):
            self.one_pass(number)
            self.row_steps(2)

    def row_steps(self, depth: int) -> None:
        """The steps of rows whose inputs are known by now."""
        for step in self.kernel.steps:
            if id(step) in self.names or id(step) in self.kernel.of_elements:
                continue
            given = [t for t in step.inputs if isinstance(t, Step)]
            if step.op not in REDUCTIONS and all(id(t) in self.names for t in given):
                self.define(step, depth)

    def row_results(self) -> list[Step]:
        return [r for r in self.kernel.results if id(r) not in self.kernel.of_elements]

    # ---- passes

    def one_pass(self, number: int) -> None:
        """A walk over the columns: the reductions and results that can be made in this pass."""
        raise NotImplementedError

    def wanted_in(self, number: int) -> tuple[list[Step], list[Step]]:
        """The reductions and the results that a pass over the columns makes."""
        passes, elements = self.kernel.passes, self.kernel.of_elements
        here = [t for t in self.kernel.steps if passes.get(id(t)) == number]
        reductions = [t for t in here if t.op in REDUCTIONS]
        return reductions, [t for t in self.kernel.results if id(t) in elements and t in here]

    def leading_to(self, reductions: list[Step], results: list[Step]) -> list[Step]:
        """The steps of elements that these are made of."""
        needed = {id(t.inputs[0]) for t in reductions} | {id(t) for t in results}
        chosen = []
        for step in reversed(self.kernel.steps):
            if id(step) in needed and id(step) in self.kernel.of_elements:
                chosen.append(step)
                needed |= {id(t) for t in step.inputs if isinstance(t, Step)}
        return chosen[::-1]

    def accumulator(self, step: Step) -> str:
        """The class that a reduction is made by."""
        return f"Row{step.op.capitalize()}<{type_of(step.dtype)}>"


def type_of(dtype: np.dtype) -> str:
    """What C++ calls it. Raises Unfusable for what kernels do not know."""
    try:
        return TYPES[dtype.name]
    except KeyError:
        raise Unfusable(f"an array of {dtype.name}") from None


def common_dtype(step: Step) -> np.dtype:
    """What the operands of a comparison are compared as."""
    given = [np.empty(0, t.dtype) if isinstance(t, Step) else value_of(t) for t in step.inputs]
    return np.result_type(*given)
