"""A kernel in CUDA (kernels/fused.cuh): a block walks over the columns of a row; where nothing is
reduced, a thread takes one element after the other, ``EACH`` at least."""

from __future__ import annotations

from dataclasses import dataclass

from .plan import Kernel
from .text import Writer, type_of

THREADS = 256  # as threads_of_row in kernels/fused.cuh
EACH = 4  # elements of a thread: to start one takes longer than an element or two


@dataclass
class Launch:
    """``text``: the source, a kernel ``fused``; ``arguments``: what it is told behind the arrays;
    ``blocks``: how many there are."""

    text: str
    arguments: list[int | float]
    blocks: int


def write_launch(kernel: Kernel) -> Launch:
    """The kernel in CUDA, and how it is launched."""
    writer = _LaunchWriter(kernel)
    text = writer.text()
    lies = writer.lies
    elements = lies.row_count * lies.columns
    blocks = lies.row_count if writer.reduces else -(-elements // (THREADS * EACH))
    return Launch(text, [*writer.sizes, *writer.numbers], min(blocks, 16384))


class _LaunchWriter(Writer):
    def __init__(self, kernel: Kernel):
        super().__init__(kernel)
        self.stride_names: dict[int, str] = {}

    def number_name(self, index: int) -> str:
        return f"number{index}"

    def size_name(self, index: int) -> str:
        return f"size{index}"

    def stride(self, index: int) -> str:
        if index not in self.stride_names:
            self.stride_names[index] = self.size(self.lies.column_strides[index])
        return self.stride_names[index]

    def text(self) -> str:
        columns = self.columns = self.size(self.lies.columns)
        rows = self.size(self.lies.row_count)
        if self.reduces:
            self.write(f"for (int64_t at = blockIdx.x; at < {rows}; at += gridDim.x) {{", 1)
            self.write("int64_t row = at;", 2)
        else:
            self.write("const int64_t step = int64_t(gridDim.x) * blockDim.x;", 1)
            self.write("int64_t at = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;", 1)
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
        parameters = [
            *(f"{self.pointer(i)} __restrict__ start{i}" for i in range(len(self.arrays))),
            *(f"int64_t size{i}" for i in range(len(self.sizes))),
            *(f"double number{i}" for i in range(len(self.numbers))),
        ]
        return "\n".join(
            [
                '#include "fused.cuh"',
                "",
                "using namespace fused_kernels;",
                "",
                f"__global__ void __launch_bounds__({THREADS})",
                f"    fused({', '.join(parameters)}) {{",
                *self.lines,
                "}",
                "",
            ]
        )

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
