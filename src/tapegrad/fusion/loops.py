"""A kernel as a loop for the CPU: C++, of which a compiler makes vectors (csrc/fused/loop.h).

The loop has the signature of those of the package: ``arrays``, ``numbers``, from row ``begin`` to
row ``end``. ``arrays[0]`` are sizes and strides, so that one text serves all shapes; then come the
inputs and the results. Where nothing is reduced, a row is a block of ``BLOCK`` columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .functions import FUNCTIONS, TYPES
from .plan import INPUT, NUMBER, REDUCTIONS, VIEW, Kernel, Layout, layout
from .traced import Step, Unfusable

BLOCK = 8192  # columns to a unit of work where rows are not kept whole
AT_ONCE = 512  # columns whose terms of a sum are kept: and Sum is exact for


@dataclass
class Loop:
    """``text``: the source, a function ``fused``; ``sizes`` and ``numbers``: what it is told beside
    arrays; ``units``: how many there are; ``each``: of how many elements."""

    text: str
    sizes: np.ndarray
    numbers: np.ndarray
    units: int
    each: int


class _Writer:
    """Lines of C++ for the steps of one kernel."""

    def __init__(self, kernel: Kernel, lies: Layout):
        self.kernel, self.lies = kernel, lies
        self.numbers: list[float] = []
        self.names: dict[int, str] = {}
        self.lines: list[str] = []
        self.arrays = [*kernel.inputs, *kernel.results]
        self.of_results = {id(t): len(kernel.inputs) + i for i, t in enumerate(kernel.results)}
        self.of_inputs = {id(t): i for i, t in enumerate(kernel.inputs)}

    def write(self, line: str, depth: int) -> None:
        self.lines.append("    " * depth + line)

    # ---- values

    def number(self, value: float | bool) -> str:
        """A literal, if it is a small integer or a simple fraction; else one of ``numbers``."""
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int) or (abs(value) <= 64 and value * 8 == int(value * 8)):
            return f"({value!r})"
        self.numbers.append(value)
        return f"numbers[{len(self.numbers) - 1}]"

    def operand(self, given: object, kind: str) -> str:
        if not isinstance(given, Step):
            return f"{kind}({self.number(given)})"  # type: ignore[arg-type]
        name = self.names[id(given)]
        return name if TYPES[given.dtype] == kind else f"{kind}({name})"

    def expression(self, step: Step) -> str:
        kind = type_of(step.dtype)
        if step.op == NUMBER:
            return self.operand(step.inputs[0], kind)
        if step.op in (VIEW, "cast"):
            given = step.inputs[0]
            if step.dtype == bool and given.dtype != bool:
                return f"{self.names[id(given)]} != 0"
            return self.operand(given, kind)
        function = FUNCTIONS[step.op]
        if step.op == "where":
            return function.text.format(
                self.operand(step.inputs[0], "bool"),
                *(self.operand(t, kind) for t in step.inputs[1:]),
            )
        inner = type_of(common_dtype(step)) if function.compares else kind
        return function.text.format(*(self.operand(t, inner) for t in step.inputs))

    def define(self, step: Step, depth: int) -> None:
        name = f"v{len(self.names)}"
        value = self.expression(step)
        self.names[id(step)] = name
        self.write(f"const {type_of(step.dtype)} {name} = {value};", depth)

    # ---- where arrays lie

    def at(self, array: int, column: str) -> str:
        stride = self.lies.column_strides[array]
        place = "" if stride == 0 else column if stride == 1 else f"{column} * along{array}"
        return f"a{array}[{place or 0}]"

    def read_row_inputs(self, depth: int) -> None:
        for i, t in enumerate(self.kernel.inputs):
            if id(t) not in self.kernel.of_elements:
                name = f"v{len(self.names)}"
                self.names[id(t)] = name
                self.write(f"const {type_of(t.dtype)} {name} = a{i}[0];", depth)

    # ---- passes

    def wanted_in(self, number: int) -> list[Step]:
        passes, elements = self.kernel.passes, self.kernel.of_elements
        reductions = [t for t in self.kernel.steps if t.op in REDUCTIONS and passes[id(t)] == number]
        ends = [r for r in self.kernel.results if id(r) in elements and passes[id(r)] == number]
        return reductions + ends

    def one_pass(self, number: int, depth: int, first: str, last: str) -> None:
        """A walk over the columns from ``first`` to ``last``: what can be told from rows before."""
        wanted = self.wanted_in(number)
        if not wanted:
            return
        reductions = [t for t in wanted if t.op in REDUCTIONS]
        outside = dict(self.names)
        for t in reductions:
            self.write(f"{t.op.capitalize()}<{type_of(t.dtype)}> r{self.index(t)};", depth)
        inner = depth
        if reductions:
            self.write(f"for (int64_t from = {first}; from < {last}; from += {AT_ONCE}) {{", depth)
            self.write(f"const int64_t to = least(from + {AT_ONCE}, {last});", depth + 1)
            for t in reductions:
                self.write(f"{type_of(t.dtype)} t{self.index(t)}[{AT_ONCE}];", depth + 1)
            inner, first, last = depth + 1, "from", "to"
        self.write("#pragma GCC ivdep", 0)
        self.write(f"for (int64_t j = {first}; j < {last}; ++j) {{", inner)
        for step in self.leading_to(wanted):
            if step.op == INPUT:
                name = f"v{len(self.names)}"
                self.names[id(step)] = name
                place = self.at(self.of_inputs[id(step)], "j")
                self.write(f"const {type_of(step.dtype)} {name} = {place};", inner + 1)
            else:
                self.define(step, inner + 1)
        for t in reductions:
            term = self.operand(t.inputs[0], type_of(t.dtype))
            self.write(f"t{self.index(t)}[j - from] = {term};", inner + 1)
        for t in wanted:
            if t.op not in REDUCTIONS:
                self.write(
                    f"{self.at(self.of_results[id(t)], 'j')} = {self.names[id(t)]};", inner + 1
                )
        self.write("}", inner)
        if reductions:
            for t in reductions:
                self.write(f"r{self.index(t)}.add(t{self.index(t)}, to - from);", depth + 1)
            self.write("}", depth)
        self.names = outside
        for t in reductions:
            name = f"v{len(self.names)}"
            self.names[id(t)] = name
            self.write(f"const {type_of(t.dtype)} {name} = r{self.index(t)}.value();", depth)

    def index(self, step: Step) -> int:
        return next(i for i, t in enumerate(self.kernel.steps) if t is step)

    def leading_to(self, wanted: list[Step]) -> list[Step]:
        """The steps of elements that the wanted ones are made of."""
        needed: set[int] = set()
        for t in wanted:
            if t.op not in REDUCTIONS:
                needed.add(id(t))
            else:
                needed.add(id(t.inputs[0]))
        chosen = []
        for step in reversed(self.kernel.steps):
            if id(step) in needed and id(step) in self.kernel.of_elements:
                chosen.append(step)
                needed |= {id(t) for t in step.inputs if isinstance(t, Step)}
        return chosen[::-1]

    def row_steps(self, depth: int) -> None:
        """The steps of rows whose inputs are known by now."""
        for step in self.kernel.steps:
            if id(step) in self.names or id(step) in self.kernel.of_elements:
                continue
            given = [t for t in step.inputs if isinstance(t, Step)]
            if step.op not in (*REDUCTIONS, INPUT) and all(id(t) in self.names for t in given):
                self.define(step, depth)


def type_of(dtype: np.dtype) -> str:
    try:
        return TYPES[dtype]
    except KeyError:
        raise Unfusable(f"an array of {dtype.name}") from None


def common_dtype(step: Step) -> np.dtype:
    """What the operands of a comparison are compared as."""
    kinds = [t.dtype for t in step.inputs if isinstance(t, Step)]
    numbers = [t for t in step.inputs if not isinstance(t, Step)]
    given = [np.empty(0, k) for k in kinds]
    return np.result_type(*given, *numbers)


def write_loop(kernel: Kernel) -> Loop:
    """The loop that computes a kernel."""
    lies = layout(kernel.space, [*kernel.inputs, *kernel.results])
    writer = _Writer(kernel, lies)
    reduces = any(step.op in REDUCTIONS for step in kernel.steps)
    count = len(writer.arrays)
    sizes = [lies.columns, -(-lies.columns // BLOCK), *lies.rows]
    place = len(sizes)
    write = writer.write
    for i, t in enumerate(writer.arrays):
        kind = type_of(t.dtype)
        kept = "const " if i < len(kernel.inputs) else ""
        write(f"{kept}{kind}* const start{i} = static_cast<{kept}{kind}*>(arrays[{i + 1}]);", 1)
        if lies.column_strides[i] not in (0, 1):
            write(f"const int64_t along{i} = sizes[{place}];", 1)
            sizes.append(lies.column_strides[i])
            place += 1
    write("for (int64_t unit = begin; unit < end; ++unit) {", 1)
    if not reduces:
        write("const int64_t first = unit % sizes[1] * " + f"{BLOCK};", 2)
        write(f"const int64_t last = least(first + {BLOCK}, columns);", 2)
    rest = "unit" if reduces else "unit / sizes[1]"
    outer = len(lies.rows)
    if outer > 1:
        write(f"int64_t rest = {rest};", 2)
    for d in reversed(range(outer)):
        here = rest if outer == 1 else f"rest % sizes[{2 + d}]" if d else "rest"
        write(f"const int64_t i{d} = {here};", 2)
        if outer > 1 and d:
            write(f"rest /= sizes[{2 + d}];", 2)
    for i, t in enumerate(writer.arrays):
        offset = ""
        for d in range(outer):
            if lies.row_strides[i][d]:
                offset += f" + i{d} * sizes[{place}]"
                sizes.append(lies.row_strides[i][d])
                place += 1
        kind = type_of(t.dtype)
        kept = "const " if i < len(kernel.inputs) else ""
        write(f"{kept}{kind}* __restrict const a{i} = start{i}{offset};", 2)
    writer.read_row_inputs(2)
    writer.row_steps(2)
    for number in range(kernel.last_pass + 1):
        bounds = ("0", "columns") if reduces else ("first", "last")
        writer.one_pass(number, 2, *bounds)
        writer.row_steps(2)
    for r in kernel.results:
        if id(r) not in kernel.of_elements:
            write(f"a{writer.of_results[id(r)]}[0] = {writer.names[id(r)]};", 2)
    write("}", 1)
    text = "\n".join(
        [
            '#include "csrc/fused/loop.h"',
            "",
            "namespace loop {",
            "FUSED void fused(void* const* arrays, const double* numbers, int64_t begin,",
            "                 int64_t end) {",
            "    const int64_t* const sizes = static_cast<const int64_t*>(arrays[0]);",
            "    const int64_t columns = sizes[0];",
            *writer.lines,
            "}",
            "}  // namespace loop",
            "",
        ]
    )
    units = lies.row_count * (1 if reduces else sizes[1])
    each = lies.columns if reduces else min(BLOCK, lies.columns)
    assert count == len(writer.arrays)
    return Loop(
        text, np.array(sizes, np.int64), np.array(writer.numbers, np.float64), units, each
    )
