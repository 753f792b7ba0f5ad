"""docs/ladder_*.md and benchmarks/predict.py: the tables are what the tool writes, the kernels are
what the pages say. (That the pages' code runs is tested in test_docs.py.)"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

import tapegrad as tg
from tapegrad import _build

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"

if not BENCHMARKS.is_dir():
    pytest.skip("the benchmarks are in the source tree", allow_module_level=True)
sys.path.append(str(BENCHMARKS))

import gpu_model  # noqa: E402
import machine_code  # noqa: E402
import predict  # noqa: E402
from gpu_model import GPU, H100, H200, Case  # noqa: E402
from machine_code import Instruction, MachineCode, Part  # noqa: E402
from predict import LADDERS, Ladder  # noqa: E402

PAGES = pytest.mark.parametrize("ladder", LADDERS, ids=lambda ladder: ladder.page)


@cache
def codes(page: str) -> dict[str, MachineCode]:
    (ladder,) = (ladder for ladder in LADDERS if ladder.page == page)
    try:
        return predict.codes(ladder)
    except machine_code.ToolMissing as error:
        pytest.skip(str(error))


# ---- the pages ----


@PAGES
def test_each_kernel_of_a_page_has_a_case(ladder: Ladder) -> None:
    names = [kernel.name for kernel in predict.kernels(ladder.page)]
    assert [name.removesuffix("_kernel") for name in ladder.cases] == names
    assert len(names) == 6


@PAGES
def test_the_table_is_what_the_tool_writes(ladder: Ladder) -> None:
    text = (predict.DOCS / ladder.page).read_text()
    found = codes(ladder.page)
    version = machine_code.find_tools()[0].version
    if version not in text:
        pytest.skip(f"the table was made with another compiler than {version}")
    assert predict.page(ladder, found) == text
    assert not any(found[name].spills for name in ladder.cases)


def test_products_use_nearer_memory_at_every_rung() -> None:
    """What the rungs are about: loads of each kind for a multiplication, in the machine code."""
    found = codes("ladder_matmul.md")
    loops = {
        name: max(found[name].parts, key=lambda part: part.count("FFMA")).mix()
        for name in LADDERS[1].cases
    }
    per = {name: {o: mix[o] / mix["FFMA"] for o in ("LDG", "LDS")} for name, mix in loops.items()}
    assert per["matmul_coalesced"] == {"LDG": 2, "LDS": 0}
    assert per["matmul_tiles"] == {"LDG": 1 / 16, "LDS": 40 / 32}  # a's come four at a time
    assert per["matmul_registers"] == {"LDG": 8 / 512, "LDS": 16 / 64}
    assert per["matmul_packs_kernel"] == {"LDG": 2 / 512, "LDS": 4 / 64}
    assert loops["matmul_packs_kernel"]["BAR"] == 2
    assert loops["matmul_buffers_kernel"]["BAR"] == 1


SIZES = {
    "ladder_softmax.md": {"rows": (5,), "cols": (33, 260, 4100)},
    "ladder_matmul.md": {"m": (130,), "n": (5, 132), "k": (3, 36)},
}
# Bounds of empty launches, which these sizes have none of, and the kernel of the rung before.
NOT_RUN = {
    "softmax_registers": ["rows > 0 -> true"],
    "matmul_buffers": ["__syncthreads(); -> ;"] * 2,
}


@pytest.mark.checked
@PAGES
@pytest.mark.parametrize("rung", range(6), ids="rung{}".format)
def test_every_barrier_shuffle_and_bound_is_needed(ladder: Ladder, rung: int) -> None:
    """(CI runs the last one of matmul: most of the time goes into compiling the mutants.)"""
    kernel = predict.kernels(ladder.page)[rung]
    report = tg.kernel.check(kernel, sizes=SIZES[ladder.page])
    assert report, report
    survivors = report.findings[-1].said.split("\n")[1:]
    assert [s.partition(": ")[2] for s in survivors] == NOT_RUN.get(kernel.name, [])


# ---- the tools ----


def test_missing_tools_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(predict, "DOCS", tmp_path)
    for ladder in LADDERS:
        (tmp_path / ladder.page).write_text((BENCHMARKS.parent / "docs" / ladder.page).read_text())
    monkeypatch.setattr(_build, "find_nvcc", lambda: _build.Compiler(("nvcc",), "nvcc 13"))
    monkeypatch.setattr(machine_code.shutil, "which", lambda name, path=None: None)
    assert predict.main() == 1
    assert "pip install nvidia-cuda-nvdisasm" in capsys.readouterr().err
    monkeypatch.setattr(_build, "find_nvcc", lambda: None)
    assert predict.main() == 1
    assert "nvcc, which is not here" in capsys.readouterr().err


LISTING = """
.text._Z3addPf:
        //## File "add.cu", line 3
        /*0000*/                   LDC R1, c[0x0][0x28] ;
        /*0010*/                   ISETP.GE.U32.AND P0, PT, R2, UR4, PT ;
        /*0020*/              @!P0 BRA `(.L_x_0) ;
.L_x_1:
        //## File "add.cu", line 4
        /*0030*/                   LDG.E.128 R4, desc[UR6][R8.64] ;
        /*0040*/                   FADD R3, R3, R7 ;
        /*0050*/                   IADD3 R8, P1, R8, 0x10, RZ ;
        /*0060*/               @P2 BRA `(.L_x_1) ;
        /*0070*/                   LDG.E R4, desc[UR6][R8.64] ;
        /*0080*/                   BRA `(.L_x_0) ;
.L_x_2:
        /*0090*/                   LDG.E R4, desc[UR6][R8.64] ;
        /*00a0*/               @P2 BRA `(.L_x_2) ;
.L_x_0:
        //## File "add.cu", line 5
        /*00b0*/                   MUFU.RCP R5, R3 ;
        /*00c0*/              @!P0 BRA `(.L_x_3) ;
        /*00d0*/                   CALL.REL.NOINC `($slow) ;
.L_x_3:
        /*00e0*/                   STG.E desc[UR6][R8.64], R5 ;
        /*00f0*/                   EXIT ;
        /*0100*/                   NOP;
$slow:
        /*0110*/                   FADD R3, R3, R7 ;
"""


def read_listing() -> tuple[Part, ...]:
    ((name, body),) = machine_code._functions(LISTING)
    assert machine_code._plain(name) == "add"
    return tuple(machine_code._parts(list(machine_code._read(body))))


def test_of_a_loop_its_most_unrolled_body_counts() -> None:
    """Not what is left over for the last turns (which reads memory at the same line), nor a call
    for rare cases, nor what is called."""
    parts = read_listing()
    assert [part.loop for part in parts] == [False, True, False, False]
    before, loop, between, behind = (sorted(part.mix()) for part in parts)
    assert before == ["BRA", "ISETP", "LDC"]
    assert loop == ["BRA", "FADD", "IADD3", "LDG"]
    assert between == []
    assert behind == ["BRA", "EXIT", "MUFU", "STG"]


def test_instructions_say_what_they_read_and_write() -> None:
    load, add, count, branch = read_listing()[1].instructions
    assert load.bytes == 16
    assert load.writes == {"R4", "R5", "R6", "R7"}
    assert load.reads >= {"R8", "R9"}
    assert (add.reads, add.writes) == ({"R3", "R7"}, {"R3"})
    assert count.writes == {"R8", "P1"}
    assert branch.reads == {"P2"}
    store = read_listing()[3].instructions[-2]
    assert (store.reads & {"R5", "R8", "R9"}, store.writes) == ({"R5", "R8", "R9"}, set())


def test_a_loop_within_a_loop_is_refused() -> None:
    nested = LISTING.replace("CALL.REL.NOINC `($slow)", "@P0 BRA `(.L_x_1)").replace(
        "@P0 @P0", "@P0"
    )
    with pytest.raises(ValueError, match="a loop within a loop"):
        list(machine_code._parts(list(machine_code._read(nested))))


# ---- the model ----


def instruction(name: str, reads: str = "", writes: str = "") -> Instruction:
    words = frozenset(reads.split()), frozenset(writes.split())
    return Instruction(name, (("f.cu", 1),), "", *words)


def kernel(*parts: Part, registers: int = 32, shared: int = 0) -> MachineCode:
    return MachineCode("f", registers, shared, 0, parts)


CASE = Case(132 * 8, 256, ("FFMA", 100), bytes=0.0, flops=0.0, latencies=(500.0,))


@pytest.mark.parametrize(
    ("registers", "shared", "threads", "blocks"),
    [
        (32, 0, 256, 8),  # 2,048 threads
        (33, 0, 256, 6),  # 40 registers a thread
        (128, 0, 256, 2),
        (255, 0, 128, 2),
        (32, 100 << 10, 256, 2),  # 101 KB each, of 228
        (16, 0, 32, 32),
    ],
)
def test_resident_blocks(registers: int, shared: int, threads: int, blocks: int) -> None:
    """As NVIDIA's occupancy calculator has them for compute capability 9.0."""
    code = kernel(registers=registers, shared=shared)
    case = Case(1, threads, ("FFMA", 1), 0.0, 0.0, (0.0,))
    assert gpu_model._resident(code, case, H200) == blocks


def test_a_warp_alone_waits_for_what_it_reads() -> None:
    chain = Part((instruction("FFMA", "R1", "R1"),) * 4, False)
    free = Part(tuple(instruction("FFMA", "R1", f"R{i}") for i in range(2, 6)), False)
    load = Part((instruction("LDG.E", "R8", "R1"),), False)
    programs = [chain], [free], [load, free]
    alone = [gpu_model._alone(parts, CASE, H200) for parts in programs]
    assert alone == [4 * H200.latency + 1, 4 + H200.latency, 500 + 1 + 1 + 3 + H200.latency]


def test_turns_of_a_loop_are_alike() -> None:
    body = (instruction("FFMA", "R1 R2", "R1"), instruction("LDS", "R1", "R2"))
    loop, rolled_out = Part(body, True), Part(body * 50, False)
    case = replace(CASE, turns=("", 50))
    assert gpu_model._alone([loop], case, H200) == gpu_model._alone([rolled_out], case, H200)
    inner, outer = (replace(i, lines=(("f.cu", n),)) for n, i in enumerate((body[1],) * 2))
    nested = Part((Part((body[0], inner), True), outer), True)
    case = replace(CASE, turns={inner.line: 10, outer.line: 5})
    flat = Part((*(body * 10), outer) * 5, False)
    assert gpu_model._alone([nested], case, H200) == gpu_model._alone([flat], case, H200)
    made = gpu_model.predict(kernel(nested), case)
    assert made.executed == flat.mix()
    with pytest.raises(ValueError, match="nobody says how often the loop"):
        gpu_model.predict(kernel(nested), replace(case, turns={}))


def test_rates_of_a_queueing_network() -> None:
    """One customer: the sum of all times. Many: the busiest station's. In between, one station and
    a wait as long: 2 and 3 customers keep it busy for 4/5 and 15/16 of the time, of which
    Schweitzer's approximation finds 0.76 and 0.88. A station for all multiprocessors rests less."""

    def rate(demands: dict[str, float], wait: float, customers: int, sharing: int = 1) -> float:
        return gpu_model._mean_values(demands, wait, customers, sharing)

    assert rate({"a": 3.0, "b": 2.0}, 5.0, 1) == pytest.approx(1 / 10)
    assert rate({"a": 3.0, "b": 2.0}, 5.0, 200) == pytest.approx(1 / 3, rel=1e-2)
    found = [rate({"a": 1.0}, 1.0, n) for n in (1, 2, 3)]
    assert found == pytest.approx([1 / 2, 3 - 5**0.5, 3 / (2 + 2**0.5)], rel=1e-6)
    assert 0.9 < rate({"own": 0.0, "all": 1.0}, 1.0, 1, sharing=132) < 1


def test_clusters_lie_within_groups_of_multiprocessors() -> None:
    assert [H200.in_clusters(blocks) for blocks in (1, 2, 4, 8)] == [132, 132, 128, 128]
    assert GPU("some", groups=(18, 7)).in_clusters(4) == 20


def test_a_kernel_that_only_multiplies_reaches_the_peak() -> None:
    loop = Part(tuple(instruction("FFMA", f"R{i}", f"R{i}") for i in range(100)), True)
    gpu = GPU("one", peak=132 * 128 * 2 * 1.75e9)
    case = Case(132 * 8, 256, ("FFMA", 10000), 0.0, 2.0 * 132 * 8 * 256 * 10000, (0.0,))
    made = gpu_model.predict(kernel(loop), case, gpu)
    assert made.executed == Counter(FFMA=10000)
    assert made.resident == 8
    assert made.seconds == pytest.approx(case.ceiling(gpu), rel=1e-3)
    assert made.busiest == ("issue", pytest.approx(1, rel=1e-3))


@pytest.mark.parametrize("gpu", [H200, H100], ids=lambda gpu: gpu.name)
def test_a_kernel_that_only_loads_reaches_the_copy(gpu: GPU) -> None:
    load = Part((instruction("LDG.E.128", "R1", "R4"),) * 4, False)
    case = Case(132 * 80, 256, ("FFMA", 1), 132 * 80 * 256 * 64.0, 0.0, (gpu.memory_latency,))
    made = gpu_model.predict(kernel(load), case, gpu)
    assert made.seconds == pytest.approx(case.ceiling(gpu), rel=0.02)
    assert made.busiest[0] == "memory"


def test_a_loop_that_nothing_counts_is_refused() -> None:
    loop = Part((instruction("LDS"),), True)
    with pytest.raises(ValueError, match="a loop without FFMA"):
        gpu_model.predict(kernel(loop), CASE)
