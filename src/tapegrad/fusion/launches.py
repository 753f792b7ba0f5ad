"""A kernel in CUDA (kernels/fused.cuh): a block walks over the columns of a row; where nothing is
reduced, a thread takes one element after the other, ``EACH`` at least."""

from __future__ import annotations

from dataclasses import dataclass

from .kernel import Kernel
from .text import Writer, type_of

THREADS = 256  # as threads_of_row in kernels/fused.cuh
EACH = 4  # elements of a thread: to start one takes longer than an element or two


@dataclass
class Launch:
    """``text``: the source, a kernel ``fused``; ``text_for_many``: one for several at once, which
    finds all it is told in a table; ``sizes`` and ``numbers``: what it is told behind the arrays;
    ``parameters``: how many that are with the arrays; ``blocks``: how many blocks there are."""

    text: str
    text_for_many: str
    sizes: list[int]
    numbers: list
    parameters: int
    blocks: int


def write_launch(kernel: Kernel) -> Launch:
    """The kernel in CUDA, and how it is launched."""
    writer = _LaunchWriter(kernel)
    text, text_for_many = writer.texts()
    lies = writer.lies
    elements = lies.row_count * lies.columns
    blocks = lies.row_count if writer.reduces else -(-elements // (THREADS * EACH))
    told = writer.sizes, writer.numbers
    count = len(writer.arrays) + sum(map(len, told))
    return Launch(text, text_for_many, *told, count, min(blocks, 16384))


class _LaunchWriter(Writer):
    def __init__(self, kernel: Kernel):
        super().__init__(kernel)
        self.stride_names: dict[int, str] = {}

    def size_name(self, index: int) -> str:
        return f"size{index}"

    def stride(self, index: int) -> str:
        if index not in self.stride_names:
            self.stride_names[index] = self.size(self.lies.column_strides[index])
        return self.stride_names[index]

    def texts(self) -> tuple[str, str]:
        """The source of a kernel that is told what it needs, and of one that reads a table."""
        self._write_body()
        kinds = [self.pointer(i) for i in range(len(self.arrays))]
        kinds += ["int64_t"] * len(self.sizes) + ["double"] * len(self.numbers)
        names = [f"start{i}" for i in range(len(self.arrays))]
        names += [self.size_name(i) for i in range(len(self.sizes))]
        names += [self.number_name(i) for i in range(len(self.numbers))]
        words = [self.restrict(i, " __restrict__") for i in range(len(self.arrays))]
        words += [""] * (len(kinds) - len(words))
        told = ", ".join(f"{k}{w} {n}" for k, w, n in zip(kinds, words, names, strict=True))
        found = [
            f"reinterpret_cast<{kind}>(own[{i}])"
            if kind.endswith("*")
            else f"own[{i}]"
            if kind == "int64_t"
            else f"reinterpret_cast<const double*>(own)[{i}]"
            for i, kind in enumerate(kinds, 2)
        ]
        one = [f"__device__ inline void one({told}, int64_t block, int64_t blocks) {{"]
        head = ['#include "fused.cuh"', "", "using namespace fused_kernels;", ""]
        start = f"__global__ void __launch_bounds__({THREADS})"
        alone = [
            start,
            f"    fused({told}) {{",
            f"    one({', '.join(names)}, blockIdx.x, gridDim.x);",
        ]
        many = [
            *(start, "    fused(const int64_t* __restrict__ table, int64_t count) {"),
            f"    const int64_t* own = row_of_block(table, count, {len(kinds) + 2});",
            f"    one({', '.join(found)}, blockIdx.x - own[0], own[1]);",
        ]
        body = [*head, *one, *self.lines, "}", ""]
        return "\n".join([*body, *alone, "}", ""]), "\n".join([*body, *many, "}", ""])

    def _write_body(self) -> None:
        columns = self.columns = self.size(self.lies.columns)
        rows = self.size(self.lies.row_count)
        if self.reduces:
            self.write(f"for (int64_t at = block; at < {rows}; at += blocks) {{", 1)
            self.write("int64_t row = at;", 2)
        else:
            self.write("const int64_t step = blocks * blockDim.x;", 1)
            self.write("int64_t at = block * blockDim.x + threadIdx.x;", 1)
            self.write(f"for (; at < {rows} * {columns}; at += step) {{", 1)
            several = self.lies.row_count > 1
            self.write(f"const int64_t j = at{f' % {columns}' if several else ''};", 2)
            self.write(f"int64_t row = {f'at / {columns}' if several else '0'};", 2)
        self.row_starts("{pointer} const")
        self.row_and_passes()
        for step in self.row_results():
            self.write("if (threadIdx.x == 0) {" if self.reduces else "if (j == 0) {", 2)
            self.store(step, "0", 3)
            self.write("}", 2)
        self.write("}", 1)

    def one_pass(self, number: int) -> None:
        reductions, results = self.wanted_in(number)
        if not reductions and not results:
            return
        before, depth = dict(self.names), 2
        for k, t in enumerate(reductions):
            kind = type_of(t.dtype)
            self.write(f"{kind} r{number}_{k} = {self.accumulator(t)}::nothing;", 2)
        if self.reduces:
            walk = f"for (int64_t j = threadIdx.x; j < {self.columns}; j += {THREADS}) {{"
            self.write(walk, 2)
            depth = 3
        for step in self.leading_to(reductions, results):
            self.define(step, depth)
        for k, t in enumerate(reductions):
            name, term = f"r{number}_{k}", self.operand(t.inputs[0], type_of(t.dtype))
            self.write(f"{name} = {self.accumulator(t)}::of({name}, {term});", depth)
        for t in results:
            self.store(t, "j", depth)
        if self.reduces:
            self.write("}", 2)
        self.names = before
        for k, t in enumerate(reductions):
            self.name(t, f"{self.accumulator(t)}::over_row(r{number}_{k})", 2)
