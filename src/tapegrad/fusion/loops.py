"""A kernel as a loop for the CPU: C++, of which a compiler makes vectors (csrc/fused/loop.h).

The loop has the signature of those of the package: ``arrays``, ``numbers``, from unit ``begin`` to
unit ``end``. ``arrays[0]`` are sizes and strides, so that one text serves all shapes; then come the
inputs and the results. A unit is a row; where nothing is reduced, up to ``BLOCK`` columns. What is
compiled serves several kernels of one text at once: a table says where the units of each begin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tapegrad.core.dtypes import is_low_precision

from .axes import Step
from .called_loops import call_of
from .groups import grouped
from .kernel import Kernel
from .text import Writer, type_of

BLOCK = 8192
AT_ONCE = 256  # columns of which values are kept, for the next loop over them or for a sum


@dataclass
class Loop:
    """``text``: the source, a function ``fused``; ``sizes`` and ``numbers``: what it is told beside
    arrays; ``units``: how many there are; ``each``: of how many elements."""

    text: str
    sizes: np.ndarray
    numbers: list
    units: int
    each: int


def write_loop(kernel: Kernel) -> Loop:
    """The loop that computes a kernel."""
    writer = _LoopWriter(kernel)
    text = writer.text()
    lies = writer.lies
    return Loop(
        text,
        np.array(writer.sizes, np.int64),
        writer.numbers,
        lies.row_count * (1 if writer.reduces else -(-lies.columns // BLOCK)),
        lies.columns if writer.reduces else min(BLOCK, lies.columns),
    )


class _LoopWriter(Writer):
    def __init__(self, kernel: Kernel):
        super().__init__(kernel)
        self._used: dict[int, None] = {}  # which numbers the lines of the scope at hand are told

    def number_name(self, index: int) -> str:
        self._used[index] = None
        return super().number_name(index)

    def _numbers_used(self, depth: int) -> list[str]:
        """What makes variables of them. (For all g++ knows, what is written could lie among the
        numbers. All at once would be more than there are registers.)"""
        space = "    " * depth
        return [f"{space}const double number{i} = numbers[{i}];" for i in self._used]

    def size_name(self, index: int) -> str:
        return f"sizes[{index}]"

    def put(self, place: str, step: Step, depth: int) -> None:
        """Floats of 16 bits as their bits: of structs g++ makes no vectors."""
        part = ".stored.bits" if is_low_precision(step.dtype) else ""
        self.write(f"{place}{part} = {self.names[id(step)]}{part};", depth)

    def text(self) -> str:
        self.write(f"const int64_t columns = {self.size(self.lies.columns)};", 1)
        for i in range(len(self.arrays)):
            pointer = self.pointer(i)
            self.write(f"{pointer} const start{i} = static_cast<{pointer}>(arrays[{i + 1}]);", 1)
            if self.lies.column_strides[i] not in (0, 1):
                value = self.size(self.lies.column_strides[i])
                self.write(f"const int64_t {self.stride(i)} = {value};", 1)
        self.write("for (int64_t unit = begin; unit < end; ++unit) {", 1)
        self._find_rows()
        self.row_and_passes()
        for step in self.row_results():
            self.store(step, "0", 2)
        self.write("}", 1)
        return "\n".join(
            [
                '#include "csrc/fused/loop.h"',
                "",
                "namespace loop {",
                "inline void one(void* const* arrays, const double* numbers, int64_t begin,",
                "                int64_t end) {",
                "    const int64_t* const sizes = static_cast<const int64_t*>(arrays[0]);",
                *self._numbers_used(1),
                *self.lines,
                "}",
                "FUSED void fused(void* const* arrays, const double* numbers, int64_t begin,",
                "                 int64_t end) {",
                "    each_of_table<one>(arrays, numbers, begin, end);",
                "}",
                "}  // namespace loop",
                "",
            ]
        )

    def _find_rows(self) -> None:
        """Where the unit's row begins in each array; its columns, if it has not all of them."""
        row = "unit"
        if not self.reduces:
            blocks = self.size(-(-self.lies.columns // BLOCK))
            self.write(f"const int64_t first = unit % {blocks} * {BLOCK};", 2)
            self.write(f"const int64_t last = least(first + {BLOCK}, columns);", 2)
            row = f"unit / {blocks}"
        self.write(f"int64_t row = {row};", 2)
        self.row_starts("{pointer} {word}const")

    def one_pass(self, number: int) -> None:
        reductions, results = self.wanted_in(number)
        if not reductions and not results:
            return
        first, last = ("0", "columns") if self.reduces else ("first", "last")
        before, depth = dict(self.names), 2
        ends = [*results, *(t.inputs[0] for t in reductions)]
        groups = grouped(self.leading_to(reductions, results), ends)
        kept = {id(t): f"c{k}" for k, t in enumerate(t for group in groups for t in group.keeps)}
        for k, t in enumerate(reductions):
            self.write(f"{self.accumulator(t)} r{number}_{k};", 2)
        if reductions or kept:
            self.write(f"for (int64_t from = {first}; from < {last}; from += {AT_ONCE}) {{", 2)
            self.write(f"const int64_t to = least(from + {AT_ONCE}, {last});", 3)
            for k, t in enumerate(reductions):
                self.write(f"{type_of(t.dtype)} t{k}[{AT_ONCE}];", 3)
            for t in (t for group in groups for t in group.keeps):
                self.write(f"{type_of(t.dtype)} {kept[id(t)]}[{AT_ONCE}];", 3)
            first, last, depth = "from", "to", 3
        for group in groups:
            if group.call:
                self._call(group.steps[0], before, kept)
                continue
            outside, self._used, begin = self._used, {}, len(self.lines)
            self.lines.append("#pragma GCC ivdep")
            self.write(f"for (int64_t j = {first}; j < {last}; ++j) {{", depth)
            self.names = dict(before)
            for t in group.reads:
                self.name(t, f"{kept[id(t)]}[j - from]", depth + 1)
            for t in group.steps:
                self.define(t, depth + 1)
            for t in group.keeps:
                self.put(f"{kept[id(t)]}[j - from]", t, depth + 1)
            if group is groups[-1]:  # behind all reads, as results may lie where inputs do
                for k, t in enumerate(reductions):
                    term = self.operand(t.inputs[0], type_of(t.dtype))
                    self.write(f"t{k}[j - from] = {term};", depth + 1)
                for t in results:
                    self.store(t, "j", depth + 1)
            self.write("}", depth)
            if self._used:
                self.lines[begin:begin] = ["    " * depth + "{", *self._numbers_used(depth)]
                self.write("}", depth)
            self._used = outside
        if depth == 3:
            for k in range(len(reductions)):
                self.write(f"r{number}_{k}.add(t{k}, to - from);", 3)
            self.write("}", 2)
        self.names = before
        for k, t in enumerate(reductions):
            self.name(t, f"r{number}_{k}.value()", 2)

    def _call(self, step: Step, known: dict[int, str], kept: dict[int, str]) -> None:
        """Let a loop of its own compute a strip of one step, of what is kept, or is one for all."""
        kind = type_of(step.dtype)
        self.names, given = known, []
        for i, t in enumerate(step.inputs):
            name = kept.get(id(t))
            if name is None:
                name = f"&{kept[id(step)]}_{i}"
                self.write(f"const {kind} {name[1:]} = {self.operand(t, kind)};", 3)
            given.append(f"{{{name}, {0 if name[0] == '&' else step.dtype.itemsize}}}")
        called = call_of(step, self.size)
        self.write(f"{called}to - from, {kept[id(step)]}, {', '.join(given)});", 3)
