"""Hopper's product (kernels/matmul_hopper.cu): when it is chosen, that its bits are those of
kernels/matmul_tensor.cu, and what its machine code is. Values are compared by test_kernels.py."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_matmul_kernels import EMULATED, SIXTEEN, launches, numbers

import tapegrad as tg
from tapegrad import _build
from tapegrad._build.architectures import Architectures
from tapegrad._build.resources import measure_resources
from tapegrad.core import kernels

CORES = "TAPEGRAD_EMULATOR_TENSOR_CORES"


@pytest.fixture
def hopper(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The emulated device as a Hopper GPU."""
    monkeypatch.setenv(CORES, "hopper")
    kernels.runs_hopper.cache_clear()
    yield
    monkeypatch.undo()
    kernels.runs_hopper.cache_clear()


# (m, n, k), and whether there is enough to multiply
SIZES = [((65, 512, 65), True), ((512, 65, 65), True), ((512, 65, 64), False),
         ((64, 600, 80), False), ((600, 64, 80), False), ((128, 384, 80), False)]  # fmt: skip


@SIXTEEN
@pytest.mark.parametrize(("size", "is_enough"), SIZES)
def test_hoppers_product_is_chosen_where_it_suits(
    monkeypatch: pytest.MonkeyPatch, hopper: None, size: Any, is_enough: bool, dtype: Any
) -> None:
    m, n, k = size
    x, weight, bias = (numbers(*shape, dtype=dtype, seed=m) for shape in ((m, k), (n, k), (n,)))
    with launches(monkeypatch) as seen:
        found = tg.nn.functional.linear(x, weight, bias)
    name = "matmul_hopper" if is_enough else "matmul_tensor"
    assert [one for one in seen if one != "copy"] == [name]
    monkeypatch.delenv(CORES)
    kernels.runs_hopper.cache_clear()
    with launches(monkeypatch) as seen:
        expected = tg.nn.functional.linear(x, weight, bias)
    assert [one for one in seen if one != "copy"] == ["matmul_tensor"]
    np.testing.assert_array_equal(found.float().numpy(), expected.float().numpy())


def test_float32_is_not_its_business(monkeypatch: pytest.MonkeyPatch, hopper: None) -> None:
    with launches(monkeypatch) as seen:
        tg.zeros(512, 128, device="emulated") @ tg.zeros(128, 512, device="emulated")
    assert seen == ["matmul_tensor"]


@pytest.mark.parametrize("cores", [None, "ampere"])
def test_other_devices_do_not_run_it(monkeypatch: pytest.MonkeyPatch, cores: str | None) -> None:
    if cores is None:
        monkeypatch.delenv(CORES, raising=False)
    else:
        monkeypatch.setenv(CORES, cores)
    kernels.runs_hopper.cache_clear()
    assert not kernels.runs_hopper(EMULATED)
    kernels.runs_hopper.cache_clear()


def test_sums_have_the_bits_of_the_other_kernel() -> None:
    """Of numbers that are rounded at every step, along several stages."""
    random = np.random.default_rng(1)
    a = (random.standard_normal((1, 1, 70, 232)) * 9.0 ** random.integers(-2, 3, 232)).astype(
        "float16"
    )
    b = random.standard_normal((1, 1, 80, 232)).astype("float16")
    found = []
    for name, scratch in (("matmul_hopper_wide", ()), ("matmul_tensor_wide", (None,))):
        c = np.ones((70, 80), "float32")
        sizes, lying = (1, 1, 70, 80, 232), (0, 0, 0, 0, 232, 232, False, True)
        kernels.launch(EMULATED, name, a.dtype, c, a, b, *scratch, *sizes, *lying)
        found.append(c)
    np.testing.assert_array_equal(*found)
    assert len(np.unique(found[0])) > 5000


@pytest.mark.parametrize(("change", "words"), [
    (dict(lda=36), "tensor map: stride 72 of dimension 1; it must be a multiple of 16 bytes"),
    (dict(skip=1), "tensor map: the array's address is not a multiple of 16"),
    (dict(k=0), "tensor map: size 0 of dimension 0"),
])  # fmt: skip
def test_what_the_encoder_refuses_is_an_error(change: Any, words: str) -> None:
    a, c = np.zeros(4096, "float16")[change.get("skip", 0) :], np.zeros((8, 8), "float16")
    lying = (0, 0, 0, 0, change.get("lda", 40), 40, False, True)
    arrays = (c, None, a, np.zeros(4096, "float16"), None, None)
    with pytest.raises(kernels.KernelError, match=words):
        kernels.launch(
            EMULATED, "matmul_hopper", a.dtype, *arrays, 1, 1, 8, 8, change.get("k", 40), *lying, 0
        )


# ---- bank conflicts ----


@pytest.mark.checked
@pytest.mark.parametrize(("m", "n"), [(130, 264), (70, 600)])
def test_no_access_to_shared_memory_meets_another_in_a_bank(hopper: None, m: int, n: int) -> None:
    """Of large tiles in a cluster, and of small ones; rows and columns that are outside count."""
    a, b = numbers(m, 72, dtype=tg.bfloat16), numbers(72, n, dtype=tg.bfloat16)
    with kernels.checked() as library:
        library.count_bank_conflicts(True)
        tg.matmul(a, b)
        found = library.bank_conflicts()
        library.count_bank_conflicts(False)
    assert len(found) >= 3  # the strip's: pairs are written, and packs read, two for eight columns
    assert not [row for row in found if row[2] != row[3]]


# ---- machine code ----


def test_the_inner_loops_are_what_they_should_be() -> None:
    """Of the large kernel: four wgmma a stage, waits and arrivals at mbarriers, no barrier, no
    fence of memory, no sums moved between registers; the loader's has one copy for each box, for
    the blocks that share it. With them tensor cores are predicted to be what limits it. Sums go
    through shared memory in pairs."""
    benchmarks = Path(__file__).resolve().parents[1] / "benchmarks"
    if not benchmarks.is_dir():
        pytest.skip("the benchmarks are in the source tree")
    sys.path.append(str(benchmarks))
    import gpu_model
    import machine_code
    import predict

    try:
        loading, found, ends = map(predict.hopper_codes, ("UTMALDG", "HGMMA", "STS"))
    except machine_code.ToolMissing as error:
        pytest.skip(str(error))
    names = ("HGMMA", "UTMALDG", "SYNCS", "BAR", "MEMBAR", "LDS", "LDG", "STL")
    boxes = {"a b": 1 + 2, "a bT": 1 + 1, "aT b": 1 + 2, "aT bT": 1 + 1}
    for layout, code in found.items():
        (loop,), (loads,) = code.parts, loading[layout].parts
        assert [loop.count(name) for name in names] == [4, 0, 2, 0, 0, 0, 0, 0]
        assert len(loop.instructions) <= 80  # so few that none of 128 sums is moved
        assert [loads.count(name) for name in names] == [0, boxes[layout], 2, 0, 0, 0, 0, 0]
        assert all("MULTICAST" in i.name for i in loads.instructions if i.operation == "UTMALDG")
        assert len(loads.instructions) <= 60
        stores = [i.name for part in ends[layout].parts for i in part.instructions]
        assert [name for name in stores if name.startswith("STS")] == ["STS.64"] * 64
        assert code.spills == 0
        assert code.registers == 168
        case = predict.HOPPER.cases[layout]
        prediction = gpu_model.predict(code, case)
        assert case.flops / prediction.seconds > 0.95 * 790e12  # of what cuBLAS reaches
        assert prediction.busiest[0] == "tensor cores"
    text = (predict.DOCS / "kernels.md").read_text()
    if machine_code.find_tools()[0].version in text:
        assert predict.page(predict.HOPPER, found) == text


@pytest.mark.parametrize("architecture", ["80", "90a"])
def test_its_body_is_compiled_for_hopper_alone(architecture: str) -> None:
    if _build.find_nvcc() is None:
        pytest.skip("needs nvcc")
    file = _build.source_root() / "kernels" / "matmul_hopper.cu"
    found = measure_resources([file], Architectures((architecture,), ()))
    assert len(found) == 36
    for kernel in found:
        assert kernel.spill_stores + kernel.spill_loads + kernel.stack == 0
        assert (kernel.shared > 0) == (architecture == "90a")
