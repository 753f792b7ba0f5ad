"""What nvcc makes of the kernels for convolution, batch norm, pooling and embedding, and the table
of docs/performance.md that predict.py makes of it. Needs nvcc and nvdisasm, no GPU."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("the benchmarks are in the source tree", allow_module_level=True)
sys.path.append(str(BENCHMARKS))

import machine_code  # noqa: E402
import operation_kernels  # noqa: E402
import predict  # noqa: E402
from operation_kernels import HEADER, Block, Layer, for_rows, for_rows_of  # noqa: E402

ARCHITECTURES = pytest.mark.parametrize("architecture", ["sm_80", "sm_90a"])
ROWS = "Pixels<bfloat16>, {}, Patches<bfloat16, true>, Weights<bfloat16>"
ACROSS = "Filters<bfloat16>, {}, Matrices<bfloat16, false>, Patches<bfloat16, false>"


@cache
def made(architecture: str, file: str, *kernels: str, **how: Any) -> list:
    """Of each kernel what it is compiled to, in no order."""
    used = ", ".join(f"(void*){kernel}" for kernel in kernels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine_code, "ARCHITECTURE", architecture)
        try:
            text = f'{HEADER}#include "{file}"\nvoid* const used[] = {{{used}}};\n'
            return list(machine_code.machine_code(text, **how).values())
        except machine_code.ToolMissing as error:
            pytest.skip(str(error))


def product(factors: str, block: Block, dtype: str = "bfloat16") -> str:
    named = f"Block<{block.side}, {block.down}, {block.across}>"
    kernel = f"matmul_tensor_kernel<bfloat16, {factors.format(named)}>"
    return kernel.replace("bfloat16", dtype)


@pytest.mark.parametrize(
    ("factors", "block", "copies", "most"),
    [
        (ROWS, for_rows_of(256, 64), 6, 340),
        (ROWS, for_rows_of(128, 64), 6, 420),
        (ROWS, for_rows_of(64, 64), 10, 560),
        (ACROSS, for_rows(256, 64), 6, 500),
        (ACROSS, for_rows(64, 64), 10, 760),
    ],
)
def test_the_loop_of_a_convolution(factors: str, block: Block, copies: int, most: int) -> None:
    """As a product's (test_matmul_kernels.py), but for the places of the packs that are copied,
    for which there is no division."""
    (code,) = made("sm_90a", "conv.cu", product(factors, block), loop="HMMA")
    (loop,) = code.parts
    counts = {n: loop.count(n) for n in ("HMMA", "LDSM", "LDGSTS", "BAR", "LDG", "STL", "MUFU")}
    assert counts == {
        "HMMA": 64, "LDSM": 16, "LDGSTS": copies, "BAR": 1, "LDG": 0, "STL": 0, "MUFU": 0,
    }  # fmt: skip
    assert len(loop.instructions) <= most


BLOCKS = {
    dtype: [
        product(factors, block, dtype)
        for factors, blocks in (
            (ROWS, [for_rows_of(n * side, side) for n in (1, 2, 4)]),
            (ACROSS, [for_rows(n * side, side) for n in (1, 2)]),
        )
        for block in (*blocks, operation_kernels.SMALL)
    ]
    for dtype, side in (("bfloat16", 64), ("float", 32))
}
KERNELS = {
    "conv.cu": [*BLOCKS["bfloat16"], *BLOCKS["float"]],
    "batch_norm.cu": [
        f"{kernel}_kernel<{dtype}, Lying<{last}, {width}>>"
        for kernel in ("batch_moments", "batch_norm", "batch_norm_sums", "batch_norm_gradient")
        for dtype, width in (("bfloat16", 8), ("float", 4), ("double", 2), ("float", 1))
        for last in ("true", "false")
    ],
    "pooling.cu": [
        f"{kernel}_kernel<{dtype}, {width}>"
        for kernel in ("max_pool", "max_pool_backward", "avg_pool", "avg_pool_backward")
        for dtype, width in (("bfloat16", 8), ("float", 4), ("double", 2), ("float", 1))
    ],
    "embedding.cu": [
        f"embedding_{kernel}_kernel<bfloat16, Layout::{layout}>"
        for kernel in ("forward", "chunks", "backward")
        for layout in ("packs", "single")
    ],
}


@ARCHITECTURES
@pytest.mark.parametrize("file", KERNELS)
def test_nothing_is_spilled(architecture: str, file: str) -> None:
    found = made(architecture, file, *KERNELS[file], nested=True)
    assert len(found) >= len(KERNELS[file])
    assert not [code.kernel for code in found if code.spills]


def test_batch_norm_reads_packs() -> None:
    """All of a thread's are asked for by loads of 16 bytes."""
    for last in ("true", "false"):
        kernel = f"batch_moments_kernel<bfloat16, Lying<{last}, 8>>"
        (code,) = made("sm_90a", "batch_norm.cu", kernel, nested=True)
        (grid,) = (part for part in code.parts[0].body if isinstance(part, machine_code.Part))
        assert [i.bytes for i in grid.instructions if i.operation == "LDG"] == [16] * 8


# ---- the table ----


def test_blocks_are_chosen_as_the_kernels_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the scratch memory that the extension asks for."""
    from tapegrad import tensor
    from tapegrad.core.kernels import ask

    device = tensor([0.0], device="emulated")._device
    # (The emulated device's grid is small: eight blocks are enough.)
    monkeypatch.setattr(operation_kernels, "ENOUGH", 8)
    monkeypatch.setattr(operation_kernels, "MOST_SPLITS", 4)
    for m, n, k in ((64, 576, 9000), (256, 2304, 3136), (128, 1152, 100), (33, 8, 4096)):
        for size in (2, 4):
            big = for_rows(m, operation_kernels.SIDES[size])
            _, _, splits = operation_kernels.plan_for(big, m, n, -(-k * size // 64))
            sizes = (1, 1, n, m, 1, 1, 1, 1, 1, 1, 1, 1, k, 1, 1, 1, 0, 0, 0, 1, 1, 1)
            floats = ask(device, "convolution_weight_workspace", *sizes, size)
            assert floats == (splits * m * n if splits > 1 else 0), (m, n, k, size)
    _, splits = operation_kernels.shared(8, -(-700 // 32), 2 * 8)  # of eight small tiles
    assert ask(device, "matmul_workspace", 2, 65, 66, 700, 4) == splits * 2 * 65 * 66


def test_a_strided_gradient_multiplies_nothing_in_vain() -> None:
    """As many products as forward, though they are four."""
    layer = Layer(2, 16, 64, 64, 3, 2)
    with pytest.MonkeyPatch.context() as patch:
        asked: list = []
        patch.setattr(operation_kernels, "_product", lambda *a: asked.append(a[4]) or [])
        layer.operation("forward")
        layer.operation("gradient")
    forward, *phases = (m * n * k for m, n, k in asked)
    assert len(phases) == 4
    assert sum(phases) == forward


def test_the_table_is_what_the_tool_writes() -> None:
    try:
        version = machine_code.find_tools()[0].version
        text = (predict.DOCS / predict.OPERATIONS_PAGE).read_text()
        if version not in text:
            pytest.skip(f"the table was made with another compiler than {version}")
        found = operation_kernels.codes(op for _, op in operation_kernels.OPERATIONS)
    except machine_code.ToolMissing as error:
        pytest.skip(str(error))
    assert predict.operations_page(found) == text


def test_a_loop_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="no loop in conv begins 'for \\(;;\\)'"):
        operation_kernels.turns(conv={"for (;;)": 1})
