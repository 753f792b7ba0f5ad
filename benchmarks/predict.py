"""Writes the tables of docs/ladder_*.md, what each rung should reach on an H200, those of
docs/kernels.md on products by scalar units and tensor cores, rows and elements, and that of
docs/performance.md on whole operations: *predicted* from machine code (gpu_model.py says how).

``python benchmarks/predict.py`` needs nvcc and nvdisasm, and no GPU. It says what is missing.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import memory_kernels
import operation_kernels
from gpu_model import H200, Case, predict
from machine_code import ARCHITECTURE, MachineCode, ToolMissing, find_tools, machine_code
from memory_kernels import ELEMENTS, NUMBERS, ROWS
from operation_kernels import HARDLY, HEADER

from tapegrad.custom import Kernel
from tapegrad.units.unit import unit_text

DOCS = Path(__file__).resolve().parents[1] / "docs"
START = "<!-- benchmarks/predict.py{}: start -->\n"
END = "<!-- benchmarks/predict.py{}: end -->\n"
COUNTED = ("LDG", "LDS, STS, SHFL", "MUFU", "LDSM", "LDGSTS")  # beside all of them
_BLOCK = re.compile(r"^```python\n(.*?)^```$(?:\s*^```\n(.*?)^```$)?", re.S | re.M)


class Ladder(NamedTuple):
    """A page, what its kernels compute, and a case for each of them, in order."""

    page: str
    shape: str  # and dtype
    least: str  # what takes the time that no kernel can be below
    item: str  # what instructions are counted for
    items: int
    cases: Mapping[str, Case]
    mark: str = ""  # of the second table on a page


def _softmax(rows: int, cols: int) -> Ladder:
    size = 4.0 * rows * cols
    first, later = H200.memory_latency, H200.l1_latency  # 8 rows of a multiprocessor fit into L1

    def case(blocks: int, threads: int, *latencies: float, **more: float) -> Case:
        turns = "LDG", rows * cols // blocks // threads
        return Case(blocks, threads, turns, 2 * size, 0.0, latencies, **more)

    # A thread's load brings eight numbers, which two turns of four need. All rows come three times.
    thread = case(rows // 128, 128, (first + later) / 2, memory=4 * size, lines=32)
    block = case(rows, 256, first, later)
    return Ladder(
        "ladder_softmax.md",
        f"float32, {rows:,} rows of {cols:,} numbers",
        "a copy",
        "element",
        rows * cols,
        {
            "softmax_thread": thread,
            "softmax_block": block,
            "softmax_shuffles": block,
            "softmax_online": block,
            "softmax_packs_kernel": block,
            "softmax_registers_kernel": block,
        },
    )


def _matmul(n: int) -> Ladder:
    def case(tile: tuple[int, int], threads: int, **more: float) -> Case:
        blocks = n // tile[0] * (n // tile[1])
        turns = "FFMA", n**3 // blocks // threads
        read = blocks * sum(tile) * n * 4.0  # by the blocks, from L2
        moved = 12.0 * n * n
        return Case(blocks, threads, turns, moved, 2.0 * n**3, (H200.l2_latency,), l2=read, **more)

    # Of the two loads of a turn, one touches 32 lines and one a single line.
    element = case((32, 8), 256, lines=16.5)
    # A load of 16 bytes is the same for a whole warp, or for half of it at least.
    large = case((128, 128), 256, vector=2)
    return Ladder(
        "ladder_matmul.md",
        f"float32, matrices of {n:,} x {n:,} numbers",
        "float32's peak",
        "multiplication",
        n**3,
        {
            "matmul_element": element,
            "matmul_coalesced": case((32, 8), 256),
            "matmul_tiles": case((32, 32), 1024, vector=1),
            "matmul_registers": large,
            "matmul_packs_kernel": large,
            "matmul_buffers_kernel": large,
        },
    )


LADDERS = (_softmax(8192, 4096), _matmul(4096))

# Of products: whether what is contiguous of a, and of b, is along k.
LAYOUTS = {
    "a b": (True, False),
    "a bT": (True, True),
    "aT b": (False, False),
    "aT bT": (False, True),
}

# Of kernels/matmul.cu, as the last rung of its ladder.
SCALAR = _matmul(4096)._replace(
    page="kernels.md",
    cases=dict.fromkeys(LAYOUTS, LADDERS[1].cases["matmul_buffers_kernel"]),
    mark=" (scalars)",
)
SCALAR_KERNELS = f'{HEADER}#include "matmul.cu"\nvoid* const used[] = {{' + ", ".join(
    f"(void*)matmul_kernel<float, Results<float>, 128, {str(a).lower()}, {str(b).lower()}>"
    for a, b in LAYOUTS.values()
) + "};\n"  # fmt: skip


def _large(dtype: str) -> str:
    """The largest of kernels/matmul_tensor.cuh."""
    return '#include "matmul_tensor.cuh"\nvoid* const used[] = {' + ", ".join(
        f"(void*)matmul_tensor_kernel<{dtype}, Epilogue<{dtype}>, Larger<{dtype}>, "
        f"Matrices<{dtype}, {str(a).lower()}>, Matrices<{dtype}, {str(b).lower()}>>"
        for a, b in LAYOUTS.values()
    ) + "};\n"  # fmt: skip


def _products(
    n: int,
    operation: str,
    size: int,
    together: int,
    tile: tuple[int, int],
    threads: int,
    stages: int,
    depth: int,
    mark: str = "",
    beside: tuple[int, int] = (1, 1),
    itemsize: int = 2,
) -> Ladder:
    """Of the threads, ``together`` make ``size`` products by one operation; stages are ``depth``
    numbers deep. ``beside``: the tiles of a cluster, of which each row and column is loaded once
    for all. Of floats, by ``itemsize``, a product is three of tfloat32, at half the rate."""
    dtype, products, slower = ("bfloat16", 1, 1) if itemsize == 2 else ("float32", 3, 2)
    blocks = math.ceil(n / tile[0]) * math.ceil(n / tile[1])
    count = products * math.prod(tile) * n // size  # of a block
    case = Case(
        blocks,
        threads,
        (operation, count * together // threads),
        bytes=3.0 * itemsize * n * n,
        flops=2.0 * n**3 * products * slower,
        latencies=(H200.l2_latency,),
        l2=blocks * (tile[0] / beside[1] + tile[1] / beside[0]) * n * float(itemsize),
        under_way=stages - 1,
        cluster=beside[0] * beside[1],
        shared=stages * depth * sum(tile) * itemsize,
        by_tensor_cores=True,
    )
    return Ladder(
        "kernels.md",
        f"{dtype}, matrices of {n:,} x {n:,} numbers",
        "tensor cores' peak",
        operation,
        blocks * count * together,
        dict.fromkeys(LAYOUTS, case),
        mark,
    )


TENSOR = _products(8192, "HMMA", 16 * 8 * 16, 32, (192, 256), 256, stages=3, depth=32)
FLOATS = _products(
    4096, "HMMA", 16 * 8 * 8, 32, (64, 128), 256, 4, 16, mark=" (float32)", itemsize=4
)

# Of kernels/matmul_hopper.cuh, in the same layouts.
HOPPER_KERNELS = '#include "matmul_hopper.cuh"\nvoid* const used[] = {' + ", ".join(
    "(void*)hopper::matmul_hopper_kernel<bfloat16, Epilogue<bfloat16>, hopper::LargePlan, "
    f"{str(a).lower()}, {str(b).lower()}>"
    for a, b in LAYOUTS.values()
) + "};\n"  # fmt: skip
HOPPER = _products(
    8192, "HGMMA", 64 * 256 * 16, 128, (128, 256), 256, 4, 64, " (Hopper)", beside=(2, 2)
)


def tensor_codes(dtype: str) -> dict[str, MachineCode]:
    """The innermost loops of the large kernels in kernels/matmul_tensor.cuh, of floats that which
    needs no care. Raises ToolMissing."""
    found = machine_code(_large(dtype), loop="HMMA")
    chosen = {}
    for name, code in found.items():  # of equal factors, the second is told by the first
        along_k = [flag == "1" for flag in re.findall(r"Lb([01])E", name)]
        (layout,) = (k for k, v in LAYOUTS.items() if v == (along_k[0], along_k[-1]))
        chosen[layout] = code
    return {layout: chosen[layout] for layout in LAYOUTS}


def scalar_codes() -> dict[str, MachineCode]:
    """The innermost loops of the large kernels in kernels/matmul.cu. Raises ToolMissing."""
    return _by_layout(machine_code(SCALAR_KERNELS, loop="FFMA", rare=HARDLY))


def hopper_codes(operation: str = "HGMMA") -> dict[str, MachineCode]:
    """The innermost loops with it of the large kernels in kernels/matmul_hopper.cuh. Raises
    ToolMissing."""
    return _by_layout(machine_code(HOPPER_KERNELS, loop=operation))


def _by_layout(found: Mapping[str, MachineCode]) -> dict[str, MachineCode]:
    chosen = {}
    for layout, (a, b) in LAYOUTS.items():
        (chosen[layout],) = (code for name, code in found.items() if f"Lb{a:d}ELb{b:d}E" in name)
    return chosen


ROW_KERNELS = Ladder(
    "kernels.md",
    f"bfloat16, some {NUMBERS:,} numbers in rows of so many",
    "a copy",
    "number",
    NUMBERS,
    {name: kernel.case for name, kernel in ROWS.items()},
    " (rows)",
)
ELEMENT_KERNELS = Ladder(
    "kernels.md",
    f"{NUMBERS:,} numbers, bfloat16 where nothing else is said",
    "a copy",
    "number",
    NUMBERS,
    {name: kernel.case for name, kernel in ELEMENTS.items()},
    " (elements)",
)


OPERATIONS_PAGE = "performance.md"


def page(ladder: Ladder, found: Mapping[str, MachineCode]) -> str:
    """The page as it should be, for this machine code."""
    return _with(ladder.page, ladder.mark, table(ladder, found))


def operations_page(found: Mapping[operation_kernels.Key, MachineCode]) -> str:
    """The page on whole operations as it should be."""
    return _with(OPERATIONS_PAGE, " (operations)", operations_table(found))


def _with(name: str, mark: str, lines: Iterator[str]) -> str:
    start, end = START.format(mark), END.format(mark)
    before, _, rest = (DOCS / name).read_text().partition(start)
    _, _, after = rest.partition(end)
    return "".join([before, start, *(f"{line}\n" for line in lines), end, after])


def operations_table(found: Mapping[operation_kernels.Key, MachineCode]) -> Iterator[str]:
    yield (
        f"Predicted for an {H200.name} from the machine code ({find_tools()[0].version}, "
        f"{ARCHITECTURE}) by `benchmarks/predict.py`. The ceiling is a copy of as many bytes, or "
        "the peak of what computes; the kernel named is that which takes longest."
    )
    yield ""
    heads = "launches | registers | predicted | of the ceiling | bound by | measured"
    yield f"| operation | of | {heads} |"
    yield "|---|---|---:|---:|---:|---:|---|---|"
    for name, operation in operation_kernels.OPERATIONS:
        made = operation_kernels.outcome(operation, found)
        ceiling, what = operation.ceiling(H200)
        registers = " ".join(map(str, made.registers))
        unit, part = made.busiest
        cells = [
            name, operation.shape, operation.count, registers, _time(made.seconds),
            f"{ceiling / made.seconds:.0%} of {what}", f"{made.longest}: {unit}, {part:.0%}", "-",
        ]  # fmt: skip
        yield f"| {' | '.join(map(str, cells))} |"


def table(ladder: Ladder, found: Mapping[str, MachineCode]) -> Iterator[str]:
    made = {name: predict(found[name], case) for name, case in ladder.cases.items()}
    used = [o for o in COUNTED if any(set(o.split(", ")) & set(p.executed) for p in made.values())]
    ceiling = next(iter(ladder.cases.values())).ceiling(H200)
    alike = len({case.ceiling(H200) for case in ladder.cases.values()}) == 1
    takes = f" takes {_time(ceiling)}" if alike else ", of as many bytes, takes the rest"
    yield (
        f"Predicted for an {H200.name} from the machine code ({find_tools()[0].version}, "
        f"{ARCHITECTURE}) by `benchmarks/predict.py`; nothing of it was measured on a GPU. "
        f"{ladder.shape}; {ladder.least}{takes}. Instructions are counted for each {ladder.item}."
    )
    heads = ["registers", "blocks at a time", "instructions", *used, "predicted"]
    yield ""
    yield f"| kernel | {' | '.join(heads)} | of {ladder.least} | busiest |"
    yield "|---|" + "---:|" * (len(heads) + 1) + "---|"
    for name, prediction in made.items():
        case, executed = ladder.cases[name], prediction.executed
        each = case.blocks * case.threads / ladder.items
        counts = [executed.total(), *(sum(executed[o] for o in one.split(", ")) for one in used)]
        cells = [f"`{name}`", found[name].registers, prediction.resident]
        cells += [f"{each * count:.2g}" for count in counts]
        cells += [_time(prediction.seconds), f"{case.ceiling(H200) / prediction.seconds:.1%}"]
        busiest, part = prediction.busiest
        cells.append(f"{busiest}, {part:.0%}")
        yield f"| {' | '.join(map(str, cells))} |"


def codes(ladder: Ladder) -> dict[str, MachineCode]:
    """The machine code of the page's kernels, by name. Raises ToolMissing."""
    if ladder is SCALAR:
        return scalar_codes()
    if ladder is TENSOR:
        return tensor_codes("bfloat16")
    if ladder is FLOATS:
        return tensor_codes("float")
    if ladder is HOPPER:
        return hopper_codes()
    if ladder is ROW_KERNELS:
        return memory_kernels.codes(ROWS)
    if ladder is ELEMENT_KERNELS:
        return memory_kernels.codes(ELEMENTS)
    found: dict[str, MachineCode] = {}
    for kernel in reversed(kernels(ladder.page)):  # as later sources contain earlier ones
        if kernel.name not in found and f"{kernel.name}_kernel" not in found:
            function = kernel.source.function(kernel.name)
            found |= machine_code(unit_text(kernel.source, function, None))
    return found


def kernels(name: str) -> list[Kernel]:
    """The kernels that a page declares, in the blocks of Python that print nothing."""
    names: dict = {"__name__": Path(name).stem}
    for code, output in _BLOCK.findall((DOCS / name).read_text()):
        if not output:
            exec(compile(code, str(DOCS / name), "exec"), names)
    return [value for value in names.values() if isinstance(value, Kernel)]


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} us"


def main() -> int:
    try:
        for ladder in (*LADDERS, SCALAR, TENSOR, FLOATS, HOPPER, ROW_KERNELS, ELEMENT_KERNELS):
            (DOCS / ladder.page).write_text(page(ladder, codes(ladder)))
        found = operation_kernels.codes(op for _, op in operation_kernels.OPERATIONS)
        (DOCS / OPERATIONS_PAGE).write_text(operations_page(found))
    except ToolMissing as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
