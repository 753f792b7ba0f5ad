"""What nvcc makes of rows (kernels/row.cuh): all of a row is asked for before the first of it is
looked at, whatever the dtype. Needs nvcc and nvdisasm, no GPU."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))

import predict
from machine_code import Instruction, MachineCode, ToolMissing, find_tools, machine_code

SOURCE = """
#include "row.cuh"

template <class T>
struct Centre {
    T *y;
    const T *x, *shift;

    template <class Own>
    __device__ void operator()(const Own& columns, int64_t, int64_t start) const {
        using A = acc_t<T>;
        const Row<Own> x_row(columns, x + start), shift_row(columns, shift);
        A sum = 0;
        columns.each([&](auto, A x) { sum += x; }, x_row);
        const A mean = columns.reduce(sum, Sum()) / columns.cols;
        columns.write(
            y + start, [&](auto, A x, A s) { return x - mean + s; }, x_row, shift_row);
    }
};

template __global__ void row_kernel<%(type)s, Plan<%(lanes)d, %(packs)d>, Layout::%(layout)s>(
    Centre<%(type)s>, int64_t, int64_t, int);
"""


def compiled(type: str, lanes: int, packs: int, layout: str) -> MachineCode:
    try:
        find_tools()
    except ToolMissing as error:
        pytest.skip(str(error))
    fields = {"type": type, "lanes": lanes, "packs": packs, "layout": layout}
    (code,) = machine_code(SOURCE % fields).values()
    return code


def instructions(code: MachineCode) -> list[Instruction]:
    return [i for part in code.parts for i in part.instructions]


@pytest.mark.parametrize(
    ("type", "lanes", "packs"), [("bfloat16", 32, 4), ("half", 256, 4), ("float", 256, 8)]
)
def test_a_row_is_asked_for_at_once(type: str, lanes: int, packs: int) -> None:
    code = compiled(type, lanes, packs, "packs")
    assert code.spills == 0
    run = instructions(code)
    loads = [at for at, i in enumerate(run) if i.operation == "LDG"]
    assert [run[at].name for at in loads] == ["LDG.E.128"] * 2 * packs
    asked: set[str] = set()
    for i in run[loads[0] : loads[packs - 1]]:  # those of x; the others may come later
        assert not i.reads & asked, f"{i.name} waits for what was asked for"
        asked |= i.writes if i.operation == "LDG" else set()


@pytest.mark.parametrize("type", ["bfloat16", "float"])
def test_rows_that_begin_anywhere_are_read_in_packs(type: str) -> None:
    code = compiled(type, 256, 4, "peeled")
    assert code.spills == 0
    names = [i.name for i in instructions(code) if i.operation == "LDG"]
    assert names.count("LDG.E.128") == 8


@pytest.mark.parametrize("ladder", [predict.ROW_KERNELS, predict.ELEMENT_KERNELS])
def test_the_tables_are_what_the_tool_writes(ladder: predict.Ladder) -> None:
    try:
        version = find_tools()[0].version
        found = predict.codes(ladder)
    except ToolMissing as error:
        pytest.skip(str(error))
    assert not any(code.spills for code in found.values())
    text = (predict.DOCS / "kernels.md").read_text()
    if version in text:
        assert predict.page(ladder, found) == text
