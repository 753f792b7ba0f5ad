"""Which kernel a matrix product of 16-bit floats is computed by, what is copied for it, and that it
is right, wherever its factors lie; and what its machine code and its bank conflicts are."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.core import kernels
from tapegrad.ops.linalg import matmul_kernels

pytest.importorskip("ml_dtypes", reason="bfloat16 comes from ml_dtypes")

EMULATED = tg.device("emulated")
ROUNDING = {tg.bfloat16: 2.0**-8, tg.float16: 2.0**-11, tg.float32: 2.0**-24}
SIXTEEN = pytest.mark.parametrize("dtype", [tg.bfloat16, tg.float16], ids=str)


@contextmanager
def launches(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The launchers that products call, and "copy" for each factor that is copied."""
    seen: list[str] = []

    def launch(device: Any, name: str, *rest: Any) -> Any:
        seen.append(name)
        return kernels.launch(device, name, *rest)

    factor = matmul_kernels._factor

    def noted(device: Any, x: Any) -> Any:
        found = factor(device, x)
        if x.size and not np.shares_memory(found.array, x):
            seen.append("copy")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(matmul_kernels, "launch", launch)
        patch.setattr(matmul_kernels, "_factor", noted)
        yield seen


def numbers(*shape: int, dtype: Any, seed: int = 0) -> Any:
    drawn = np.random.default_rng(seed).standard_normal(shape)
    return tg.tensor(drawn.astype("float32"), device="emulated").to(dtype)


def wide(x: Any) -> np.ndarray:
    return x.detach().to(tg.float32).numpy().astype("float64")


def close(found: Any, expected: np.ndarray, scale: np.ndarray | float, dtype: Any) -> None:
    """Within a rounding of the result, and of the sums behind it."""
    error = np.abs(wide(found) - expected)
    limit = ROUNDING[dtype] * np.abs(expected) + 2.0**-20 * scale
    assert (error <= limit).all(), (error - limit).max()


# ---- where the factors lie ----

# name: (a and b made of numbers, what is launched)
PLAIN = ["matmul_tensor"]
PLACES: dict[str, tuple[Callable[[Any], tuple[Any, Any]], list[str]]] = {
    "rows": (lambda n: (n(33, 40), n(40, 24)), PLAIN),
    "transposed": (lambda n: (n(40, 32).T, n(24, 40).T), PLAIN),
    "parts of rows": (lambda n: (n(33, 64)[:, 8:21], n(64, 24)[16:29]), PLAIN),
    "one row for all": (lambda n: (n(1, 40).expand(33, 40), n(40, 24)), PLAIN),
    "columns": (lambda n: (n(33, 1), n(1, 24)), PLAIN),
    "odd rows": (lambda n: (n(33, 39), n(39, 24)), ["copy", *PLAIN]),
    "odd rows of both": (lambda n: (n(33, 39), n(39, 21)), ["copy", "copy", *PLAIN]),
    "misaligned": (lambda n: (n(33, 48)[:, 3:43], n(40, 24)), ["copy", *PLAIN]),
    "strided both ways": (lambda n: (n(33, 80)[:, ::2], n(40, 24)), ["copy", *PLAIN]),
    "stacks": (lambda n: (n(3, 33, 40), n(3, 40, 24)), PLAIN),
    "a stack and a matrix": (lambda n: (n(33, 40), n(3, 40, 24)), PLAIN),
    "stacks of stacks": (lambda n: (n(2, 3, 9, 40), n(2, 3, 40, 24)), PLAIN),
    "broadcast stacks": (lambda n: (n(2, 1, 9, 40), n(1, 3, 40, 24)), PLAIN),
    "fewer dimensions": (lambda n: (n(2, 3, 9, 40), n(3, 40, 24)), PLAIN),
    "heads": (
        lambda n: (n(2, 9, 3, 16).transpose(1, 2), n(2, 10, 3, 16).transpose(1, 2).mT),
        PLAIN,
    ),
    "heads of one matrix": (
        lambda n: (n(2, 9, 3 * 16).view(2, 9, 3, 16).transpose(1, 2), n(2, 3, 16, 8)),
        PLAIN,
    ),
    "three strides": (  # brought into two, before anybody asks
        lambda n: (n(2, 3, 9, 2, 16).permute(1, 3, 0, 2, 4), n(3, 2, 2, 16, 8)),
        PLAIN,
    ),
    "k of 0": (lambda n: (n(3, 0), n(0, 8)), PLAIN),
    "no rows": (lambda n: (n(0, 8), n(8, 8)), PLAIN),
    "no matrices": (lambda n: (n(0, 3, 8), n(0, 8, 8)), PLAIN),
}


@SIXTEEN
@pytest.mark.parametrize("place", PLACES)
def test_products_are_right_wherever_factors_lie(
    monkeypatch: pytest.MonkeyPatch, place: str, dtype: Any
) -> None:
    made, expected = PLACES[place]
    seeds = iter(range(9))
    a, b = made(lambda *shape: numbers(*shape, dtype=dtype, seed=next(seeds)))
    before = wide(a), wide(b)
    with launches(monkeypatch) as seen:
        c = tg.matmul(a, b)
    assert seen == expected
    exact = before[0] @ before[1]
    assert c.shape == exact.shape
    assert c.dtype is dtype
    assert c.is_contiguous()
    assert c._array.base is None  # no view, which would be copied to become a gradient
    close(c, exact, np.abs(before[0]) @ np.abs(before[1]), dtype)


@SIXTEEN
def test_linear_with_and_without_bias(monkeypatch: pytest.MonkeyPatch, dtype: Any) -> None:
    x, weight = numbers(2, 9, 40, dtype=dtype), numbers(24, 40, dtype=dtype, seed=1)
    bias = numbers(24, dtype=dtype, seed=2)
    exact = wide(x) @ wide(weight).T
    scale = np.abs(wide(x)) @ np.abs(wide(weight)).T + 1
    for shift in (None, bias):
        with launches(monkeypatch) as seen:
            y = tg.nn.functional.linear(x, weight, shift)
        assert seen == PLAIN
        close(y, exact + (0 if shift is None else wide(shift)), scale, dtype)


@SIXTEEN
def test_both_gradients(dtype: Any) -> None:
    """sum((a b)^2) / 2: its gradients, and those of a product with them, in closed form."""
    a, b = numbers(9, 17, dtype=dtype), numbers(17, 10, dtype=dtype, seed=1)
    for x in (a, b):
        x.requires_grad_()
    c = a @ b
    da, db = tg.autograd.grad((c * c).sum() / 2, (a, b), create_graph=True)
    left, right = wide(a), wide(b)
    product = left @ right
    rounding = 4 * ROUNDING[dtype]
    np.testing.assert_allclose(wide(da), product @ right.T, rounding, rounding * 40)
    np.testing.assert_allclose(wide(db), left.T @ product, rounding, rounding * 40)
    (dda,) = tg.autograd.grad(da.sum(), a)
    np.testing.assert_allclose(
        wide(dda), np.ones_like(left) @ right @ right.T, rounding, rounding * 60
    )


@pytest.mark.parametrize("dtype", ROUNDING, ids=str)
@pytest.mark.parametrize("stack", [(), (3,)], ids=["addmm", "baddbmm"])
def test_what_is_added_to_a_product_costs_no_launch(
    stack: tuple[int, ...], dtype: tg.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A matrix or a row is added before the sum is rounded; and gradients are those of the sum."""
    add = tg.baddbmm if stack else tg.addmm
    x, a, b = (
        numbers(*stack, *shape, dtype=dtype, seed=seed).requires_grad_()
        for seed, shape in enumerate([(128, 136), (128, 64), (64, 136)])
    )
    row = numbers(136, dtype=dtype, seed=3).requires_grad_()
    with launches(monkeypatch) as seen:
        y = add(x, a, b)
    assert seen == ["matmul_tensor"]
    product, sizes = wide(a) @ wide(b), np.abs(wide(a)) @ np.abs(wide(b))
    close(y, wide(x) + product, np.abs(wide(x)) + sizes, dtype)
    y.sum().backward()
    g = np.ones(y.shape)
    np.testing.assert_array_equal(wide(x.grad), g)
    for tensor, slope, factors in (
        (a, g @ wide(b).swapaxes(-1, -2), g @ np.abs(wide(b)).swapaxes(-1, -2)),
        (b, wide(a).swapaxes(-1, -2) @ g, np.abs(wide(a)).swapaxes(-1, -2) @ g),
    ):
        close(tensor.grad, slope, factors, dtype)
    with launches(monkeypatch) as seen:
        biased = add(row, a, b)
    assert seen == ["matmul_tensor"]
    close(biased, wide(row) + product, np.abs(wide(row)) + sizes, dtype)
    biased.sum().backward()
    np.testing.assert_array_equal(wide(row.grad), g.reshape(-1, 136).sum(0))
    for beta, alpha in ((2, 1), (1, 0.5), (0, 1)):  # in float32, and rounded once
        found = add(x, a, b, beta=beta, alpha=alpha)
        close(found, beta * wide(x) + alpha * product, 2 * np.abs(wide(x)) + sizes, dtype)


def test_what_has_no_tensor_cores_multiplies_by_scalars(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = numbers(9, 17, dtype=tg.bfloat16), numbers(17, 10, dtype=tg.bfloat16, seed=1)
    monkeypatch.setattr(matmul_kernels, "has_tensor_cores", lambda device: False)
    with launches(monkeypatch) as seen:
        c = a @ b
    assert seen == ["matmul"]
    close(c, wide(a) @ wide(b), np.abs(wide(a)) @ np.abs(wide(b)), tg.bfloat16)
    for dtype in (tg.float32, tg.float64):
        with launches(monkeypatch) as seen:
            tg.matmul(a.to(dtype), b.to(dtype))
        assert seen == ["matmul"]


def test_who_has_tensor_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gpu:
        type, index = "cuda", 1

        def __init__(self, major: int):
            self.major = major
            self.library = self.cuda = self.runtime = self

        def getDeviceProperties(self, index: int) -> dict:
            assert index == 1
            self.asked = getattr(self, "asked", 0) + 1
            return {"major": self.major}

    for major, has in ((7, False), (8, True), (9, True)):
        gpu = Gpu(major)
        assert [kernels.has_tensor_cores(gpu) for _ in range(3)] == [has] * 3
        assert gpu.asked == 1
    assert kernels.has_tensor_cores(EMULATED)
    assert not kernels.has_tensor_cores(tg.device("cpu"))


# ---- float32 ----


def float32(*shape: int, positive: bool = False, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal(shape).astype("float32")
    return np.abs(drawn) if positive else drawn


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("k", [64, 300])
def test_three_products_are_as_exact_as_one_of_floats(k: int, positive: bool) -> None:
    """The error in terms of |a| |b|, at most and on the average, is no larger than that of the
    kernel that rounds every sum to nearest."""
    a, b = float32(128, k, positive=positive), float32(k, 136, positive=positive, seed=1)
    exact = a.astype("float64") @ b.astype("float64")
    scale = np.abs(a).astype("float64") @ np.abs(b).astype("float64")
    errors = []
    for multiply in (matmul_kernels._by_tensor_cores, matmul_kernels._by_scalars):
        error = np.abs(multiply(EMULATED, (), a, b, None) - exact) / scale
        errors.append((error.max(), np.sqrt((error**2).mean())))
    (most, mean), (scalar_most, scalar_mean) = errors
    assert 0 < most <= scalar_most
    assert mean <= scalar_mean


def test_special_values_of_float32() -> None:
    """As float32 has them: no infinity becomes a NaN because a part of it is one. (Of factors below
    2^-112 the lower part has fewer bits, and those below 2^-137 count as 0.)"""
    inf, nan, most = np.inf, np.nan, np.finfo("float32").max
    values = [inf, -inf, nan, most, -most, 1e38, -1e38, 1e-30, 1e-33, 1.0, -1.0, 0.0, -0.0]
    a = np.zeros((len(values), 64), "float32")
    b = np.zeros((64, len(values)), "float32")
    a[:, 3], b[3] = values, values
    a[:, 40], b[40] = 2.0, 0.5
    with np.errstate(all="ignore"):
        expected = np.float32(np.outer(values, values).astype("float32") + np.float32(1))
        found = matmul_kernels._by_tensor_cores(EMULATED, (), a, b, None)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    np.testing.assert_allclose(found, expected, rtol=2.0**-21)
    for exponent, expected in ((-134, 2.0**-128), (-138, 0)):
        tiny, ones = np.full((64, 1), 2.0**exponent, "float32"), np.ones((1, 64), "float32")
        assert matmul_kernels._by_tensor_cores(EMULATED, (), ones, tiny, None) == expected


def test_rows_beside_what_is_not_finite_keep_their_bits() -> None:
    """A tile with such a number is multiplied again, with care, which changes no other sum; and a
    NaN is one, whatever its other bits are."""
    a, b = float32(192, 80), float32(80, 136, seed=1)
    plain = matmul_kernels._by_tensor_cores(EMULATED, (), a, b, None)
    payloads = np.array([0x7FFFFFFF, 0xFFFFFFFF, 0x7F800001, 0x7FC00000], "uint32")
    special = [*payloads.view("float32"), np.float32("inf"), np.finfo("float32").max]
    for row, value in enumerate(special):
        a[3 + row, 5] = value
    with np.errstate(all="ignore"):
        found = matmul_kernels._by_tensor_cores(EMULATED, (), a, b, None)
        expected = (a.astype("float64") @ b.astype("float64")).astype("float32")
    changed = slice(3, 3 + len(special))
    others = np.delete(np.arange(192), changed)
    np.testing.assert_array_equal(found[others].view("uint32"), plain[others].view("uint32"))
    np.testing.assert_allclose(found[changed], expected[changed], rtol=2.0**-20)
    assert np.isnan(found[3 : 3 + len(payloads)]).all()


def test_large_products_of_float32_are_computed_by_tensor_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a, b = tg.tensor(float32(128, 64), device="emulated"), float32(64, 130, seed=1)
    with launches(monkeypatch) as seen:
        c = a @ tg.tensor(b, device="emulated")
    assert seen == ["copy", "matmul_tensor"]
    exact = wide(a) @ b.astype("float64")
    np.testing.assert_allclose(wide(c), exact, rtol=0, atol=1e-5)
    for m, n, k in ((127, 128, 64), (128, 127, 64), (128, 128, 63)):
        with launches(monkeypatch) as seen:
            tg.zeros(m, k, device="emulated") @ tg.zeros(k, n, device="emulated")
        assert seen == ["matmul"]


# ---- blocks that share a tile ----


@pytest.mark.parametrize("dtype", [tg.float32, tg.float64], ids=str)
def test_sums_of_few_long_rows_are_shared_and_the_same_in_each_run(
    monkeypatch: pytest.MonkeyPatch, dtype: Any
) -> None:
    """With scratch memory for a batch, and none where k is short; gradients too."""
    a, b = numbers(2, 5, 900, dtype=dtype), numbers(900, 7, dtype=dtype, seed=1)
    size = 2 * 5 * 7 * 4  # of four blocks, as many as share a tile here
    assert kernels.ask(EMULATED, "matmul_workspace", 2, 5, 7, 900, a.itemsize) == size
    assert kernels.ask(EMULATED, "matmul_workspace", 2, 5, 7, 128, a.itemsize) == 0
    with launches(monkeypatch) as seen:
        c = a @ b
    assert seen == ["matmul"]
    limit = 2.0**-20 if dtype is tg.float32 else 2.0**-49
    left, right = (x.numpy().astype("float64") for x in (a, b))
    scale = np.abs(left) @ np.abs(right)
    assert (np.abs(c.numpy() - left @ right) <= limit * scale).all()
    assert np.array_equal((a @ b).numpy(), c.numpy())
    x = a.detach().requires_grad_()
    (dx,) = tg.autograd.grad((tg.nn.functional.linear(x, b.T) * c).sum(), x)
    np.testing.assert_allclose(dx.numpy(), c.numpy() @ b.numpy().T, rtol=1e-3, atol=1e-3)


# ---- bank conflicts ----


@pytest.mark.checked
@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize("dtype", [tg.bfloat16, tg.float32], ids=str)
def test_no_access_to_shared_memory_meets_another_in_a_bank(
    dtype: Any, transpose_a: bool, transpose_b: bool
) -> None:
    """Of all sizes of tiles."""
    sizes = {
        tg.bfloat16: [(1, 64, 64, 64), (4, 72, 136, 256), (3, 264, 136, 256)],
        tg.float32: [(1, 128, 128, 64), (2, 128, 128, 128)],
    }
    with kernels.checked() as library:
        for batch, m, n, k in sizes[dtype]:
            shapes = [(batch, k, m) if transpose_a else (batch, m, k)]
            shapes += [(batch, n, k) if transpose_b else (batch, k, n)]
            a, b = (numbers(*shape, dtype=dtype) for shape in shapes)
            library.count_bank_conflicts(True)
            tg.matmul(a.mT if transpose_a else a, b.mT if transpose_b else b)
            found = library.bank_conflicts()
            library.count_bank_conflicts(False)
            lines = {re.sub(r".*/", "", place) for place, *_ in found}
            assert len(lines) >= 5, lines  # copies, two loads of fragments, the strip's
            assert {where.partition(":")[0] for where in lines} <= {
                "tile.cuh", "matmul_tensor.cuh", "device.cuh", "runtime.h",
            }  # fmt: skip
            conflicts = [row for row in found if row[2] != row[3]]
            assert not conflicts


@pytest.mark.checked
@pytest.mark.parametrize("dtype", [tg.bfloat16, tg.float32], ids=str)
def test_sums_of_columns_meet_in_no_bank_either(dtype: Any) -> None:
    deep = 256 if dtype == tg.bfloat16 else 128
    with kernels.checked() as library:
        for m, n, k in ((128, 128, 64), (130, 264, deep), (264, 136, deep)):
            g, weight, x = (numbers(*shape, dtype=dtype) for shape in ((m, k), (k, n), (m, n)))
            library.count_bank_conflicts(True)
            tg.device("emulated").ops["matmul_gelu_backward_sums"](
                g._array, weight._array, x._array, approximate="none"
            )
            found = library.bank_conflicts()
            library.count_bank_conflicts(False)
            assert len(found) >= 6
            assert not [row for row in found if row[2] != row[3] and "matmul" in row[0]]


# ---- machine code ----


def loops_of(ladder: str) -> dict:
    """The innermost loops of a table in docs/kernels.md, which is what the tool writes."""
    benchmarks = Path(__file__).resolve().parents[1] / "benchmarks"
    if not benchmarks.is_dir():
        pytest.skip("the benchmarks are in the source tree")
    sys.path.append(str(benchmarks))
    import machine_code
    import predict

    chosen = getattr(predict, ladder)
    try:
        found = predict.codes(chosen)
    except machine_code.ToolMissing as error:
        pytest.skip(str(error))
    text = (predict.DOCS / "kernels.md").read_text()
    if machine_code.find_tools()[0].version in text:
        assert predict.page(chosen, found) == text
    return found


def test_the_inner_loop_is_what_it_should_be() -> None:
    """A warp of the largest tile multiplies 96 x 64 x 32 in a step: by 96 instructions, from 20
    loads of four matrices, behind one barrier; each thread begins to copy seven packs, or 192 of
    them four of a and all four of b. Nothing is spilled."""
    found = loops_of("TENSOR")
    assert set(found) == {"a b", "a bT", "aT b", "aT bT"}
    for layout, code in found.items():
        (loop,) = code.parts
        counts = {
            name: loop.count(name) for name in ("HMMA", "LDSM", "LDGSTS", "BAR", "LDG", "STL")
        }
        copies = 8 if layout.startswith("aT") else 7
        assert counts == {"HMMA": 96, "LDSM": 20, "LDGSTS": copies, "BAR": 1, "LDG": 0, "STL": 0}
        assert len(loop.instructions) <= 330
        assert code.spills == 0
        assert code.registers <= 255


def test_the_inner_loop_of_floats_is_what_it_should_be() -> None:
    """A warp multiplies 32 x 32 x 16 in a step, by three products each, and splits 32 numbers of
    each lane by four instructions each: two of integers and the float's difference, and one that
    cuts it."""
    found = loops_of("FLOATS")
    for code in found.values():
        (loop,) = code.parts
        counts = {name: loop.count(name) for name in ("HMMA", "FADD", "LDGSTS", "BAR", "STL")}
        assert counts == {"HMMA": 48, "FADD": 32 + 2 * 32, "LDGSTS": 3, "BAR": 1, "STL": 0}
        assert len(loop.instructions) <= 400
        assert code.spills == 0


def test_the_inner_loop_by_scalar_units_is_what_it_should_be() -> None:
    """A thread of the large kernel multiplies 8 x 8 x 16 in a step, behind one barrier, and moves
    two packs of each factor. Nothing is spilled, and two blocks fit on a multiprocessor."""
    found = loops_of("SCALAR")
    for code in found.values():
        (loop,) = code.parts
        counts = {name: loop.count(name) for name in ("FFMA", "LDS", "LDG", "BAR", "STL")}
        assert counts == {"FFMA": 1024, "LDS": 64, "LDG": 4, "BAR": 1, "STL": 0}
        assert len(loop.instructions) <= 1190
        assert code.spills == 0
        assert code.registers <= 128
