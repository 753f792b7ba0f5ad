"""ldmatrix, mma.sync and cp.async on the emulator: what they compute, that products have the bits
of tensor_core_model.py, what is an error, and what the checked build reports.

The kernels are in kernels/tensor_cases.cu, where the lines that a report has to name bear the name
of the case.
"""

from __future__ import annotations

import re
from pathlib import Path

import emulated_cases
import numpy as np
import pytest
import tensor_core_model as model
from emulated_cases import SCHEDULES, aligned

CASES = Path(__file__).parent / "kernels" / "tensor_cases.cu"
KINDS = {"half": 16, "bfloat16": 16, "tfloat32": 32}  # bits of a number
THREADS = 64


emulator, checked = emulated_cases.builds(CASES)


def lines_of(case):
    return emulated_cases.lines_of(CASES, case)


# ---- products ----


def fragments(matrices, width, rows):
    """What each lane holds of (count, rows, depth) matrices, registers of ``width`` numbers: as the
    PTX manual draws it, quarter by quarter."""
    count, _, depth = matrices.shape
    lanes = np.arange(32)
    registers = []
    for half in range(2):
        for below in range(rows // 8):
            row = lanes // 4 + 8 * below
            first = width * (lanes % 4) + depth // 2 * half
            parts = [matrices[:, row, first + i].astype("uint32") << (16 * i) for i in range(width)]
            registers.append(np.bitwise_or.reduce(parts))
    return np.ascontiguousarray(np.stack(registers, -1)).reshape(count, 32, rows // 4)


def multiplied(emulator, kind, a, b, c):
    """The bits of c + a b for (count, 16, depth), (count, depth, 8) and (count, 16, 8) bits."""
    width, lanes = 32 // KINDS[kind], np.arange(32)
    rows = (lanes // 4)[:, None] + 8 * (np.arange(4) // 2)
    columns = 2 * (lanes % 4)[:, None] + np.arange(4) % 2
    d = np.ascontiguousarray(c[:, rows, columns])
    left = fragments(a, width, 16)
    right = fragments(b.swapaxes(1, 2), width, 8)
    assert emulator(f"product_{kind}", d, left, right, len(a)) is None
    result = np.empty_like(c)
    result[:, rows, columns] = d
    return result


def bits_of(values, kind):
    """Numbers as bits, those of 16 bits cut off."""
    bits = np.asarray(values, "float32").view("uint32")
    if kind == "half":
        return np.asarray(values, "float16").view("uint16").astype("uint32")
    return bits >> 16 if kind == "bfloat16" else bits


def draws(kind, count, random):
    """Operands by the kind of trouble that they make."""
    size, depth = KINDS[kind], 8 if kind == "tfloat32" else 16
    shapes = ((count, 16, depth), (count, depth, 8), (count, 16, 8))

    def normal(spread):
        def draw(shape):
            return random.standard_normal(shape) * 2.0 ** random.integers(
                -spread, spread + 1, shape
            )

        a, b, c = (draw(shape) for shape in shapes)
        return bits_of(a, kind), bits_of(b, kind), c.astype("float32").view("uint32")

    yield "near", normal(0)
    yield "far", normal(7)
    yield "very far", normal(7 if kind == "half" else 40)
    a, b, c = normal(3)
    a[:, :, 1::2], b[:, 1::2] = a[:, :, ::2], b[:, ::2] ^ (1 << (size - 1))
    yield "cancelled but for c", (a, b, c)
    a, b, c = normal(3)
    a[:, :, 1::2], b[:, 1::2] = a[:, :, ::2], b[:, ::2] ^ (1 << (size - 1))
    b[:, 1] ^= 1
    yield "cancelled but for a bit", (a, b, np.zeros_like(c))
    a, b, c = normal(2)
    a[random.random(a.shape) < 0.9] = 0
    c[random.random(c.shape) < 0.5] = 0
    yield "many zeros", (a, b, c)
    any_bits = [random.integers(0, 1 << size, shape, "uint64").astype("uint32")
                for shape in shapes[:2]]  # fmt: skip
    c = random.integers(0, 1 << 32, shapes[2], "uint64").astype("uint32")
    yield "any bits", (*any_bits, c)
    tiny = [bits & ~np.uint32(0x7C00 if kind == "half" else 0x7F80 << (size - 16))
            for bits in any_bits]  # fmt: skip
    yield "subnormal", (*tiny, c & np.uint32(0x807FFFFF))
    one = bits_of(np.float32(1), kind)
    yield "subnormal times one", (tiny[0], np.full_like(tiny[1], one), c & np.uint32(0x807FFFFF))
    if kind != "half":
        small = bits_of(2.0 ** random.integers(-80, -60, shapes[0]), kind)
        signs = random.integers(0, 2, shapes[1], "uint32") << np.uint32(size - 1)
        b = bits_of(2.0 ** random.integers(-80, -60, shapes[1]) * 1.9, kind) | signs
        yield "below subnormal", (small, b, np.zeros_like(c))
        large = bits_of(np.full(shapes[0], 2.0**64), kind)
        b = bits_of(2.0 ** random.integers(60, 64, shapes[1]) * 1.9, kind) | signs
        yield "overflowing", (large, b, c & np.uint32(0x807FFFFF))
    for name, special in (("inf", 31 << 10), ("nan", 63 << 9)):
        special = special if kind == "half" else (0x7F80 | (name == "nan") << 6) << (size - 16)
        a, b, c = normal(1)
        a[random.random(a.shape) < 0.02] = special
        b[random.random(b.shape) < 0.02] = special | 1 << (size - 1)
        b[random.random(b.shape) < 0.1] = 0
        c[random.random(c.shape) < 0.1] = 0xFF800000
        yield name, (a, b, c)


@pytest.mark.parametrize("cores", model.CORES)
@pytest.mark.parametrize("kind", KINDS)
def test_products_have_the_bits_of_the_model(emulator, kind, cores):
    emulator.library.set_tensor_cores(cores == "ampere")
    random = np.random.default_rng(3)
    seen = set()
    for name, (a, b, c) in draws(kind, 2, random):
        found = multiplied(emulator, kind, a, b, c)
        expected = np.empty_like(c)
        for at in np.ndindex(c.shape):
            item, row, column = at
            left, right = a[item, row].tolist(), b[item, :, column].tolist()
            expected[at] = model.add(int(c[at]), left, right, kind, cores)
        np.testing.assert_array_equal(found, expected, f"{name}: bits", strict=True)
        seen |= set(found.ravel().tolist())
    assert {model.NAN, model.INFINITY, model.INFINITY | 1 << 31, 0} <= seen
    # (Of half's products none is so small.)
    assert kind == "half" or any(0 < bits < 1 << 23 for bits in seen)
    emulator.library.set_tensor_cores(False)


@pytest.mark.parametrize("kind", KINDS)
def test_products_of_whole_numbers_are_exact(emulator, kind):
    random = np.random.default_rng(4)
    depth = 8 if kind == "tfloat32" else 16
    a, b = random.integers(-9, 10, (5, 16, depth)), random.integers(-9, 10, (5, depth, 8))
    c = random.integers(-1000, 1000, (5, 16, 8))
    found = multiplied(emulator, kind, bits_of(a, kind), bits_of(b, kind), bits_of(c, "tfloat32"))
    np.testing.assert_array_equal(found.view("float32"), c + a @ b)


def test_architectures_differ(emulator):
    """Of 1 + 4 * 2^-25, Hopper keeps two bits below the last of 1, Ampere one."""
    a, b = np.zeros((1, 16, 16)), np.ones((1, 16, 8))
    a[:, :, 0], a[:, :, 1:5] = 1, 2.0**-12
    b[:, 1:5] = 2.0**-13
    found = {}
    for cores in model.CORES:
        emulator.library.set_tensor_cores(cores == "ampere")
        bits = multiplied(emulator, "half", bits_of(a, "half"), bits_of(b, "half"),
                          np.zeros((1, 16, 8), "uint32"))  # fmt: skip
        (found[cores],) = set(bits.view("float32").ravel().tolist())
    emulator.library.set_tensor_cores(False)
    assert found == {"hopper": 1 + 2.0**-23, "ampere": 1.0}


def test_rounding_to_tfloat32(emulator):
    random = np.random.default_rng(5)
    bits = random.integers(0, 1 << 32, 3000, "uint64").astype("uint32")
    bits[::3] = bits[::3] & np.uint32(0xFFFFE000) | 0x1000  # ties
    bits[:3] = 0x7F800000, 0xFF800000, 0x7F7FFFFF
    rounded = np.empty_like(bits)
    assert emulator("round_tfloat32", rounded, bits.view("float32"), len(bits)) is None
    with np.errstate(invalid="ignore"):
        x, y = (v.view("float32").astype("float64") for v in (bits, rounded))
        assert not (rounded[np.isfinite(x)] & 0x1FFF).any()
        below = (bits & np.uint32(0xFFFFE000)).view("float32").astype("float64")
        above = ((bits & np.uint32(0xFFFFE000)) + 0x2000).view("float32").astype("float64")
        nearer = np.where(np.abs(x - below) < np.abs(above - x), below, above)  # ties: away
    regular = np.isfinite(x) & np.isfinite(above)
    np.testing.assert_array_equal(y[regular], nearer[regular])
    assert np.isinf(y[:3]).all()
    assert np.isnan(y[np.isnan(x)]).all()


# ---- ldmatrix ----


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_ldmatrix(emulator, count, transposed):
    random = np.random.default_rng(6)
    x = aligned(32, 8, dtype="uint16")
    x[:] = random.integers(0, 1 << 16, x.shape)
    rows = random.permutation(32).astype("int32")
    y = np.empty((32, count), "uint32")
    assert emulator("load", count, transposed, y, x, rows) is None
    matrices = x[rows].reshape(4, 8, 8)[:count]
    matrices = matrices.swapaxes(1, 2) if transposed else matrices
    words = np.ascontiguousarray(matrices).view("uint32").reshape(count, 32)
    np.testing.assert_array_equal(y, words.T)


# ---- warps ----

MISTAKES = [
    ("exited", "needs all 32 lanes of its warp; only lanes 0x55555555 are there"),
    ("waits", "for lanes of its warp that never come|waits at the barrier"),
    ("other_operation", "(ldmatrix|mma.sync) at .*, while lane 0 of its warp calls"),
    ("other_count", "ldmatrix at .*, while lane 0 of its warp calls ldmatrix at"),
    ("other_type", "mma.sync at .*, while lane 0 of its warp calls mma.sync at"),
    ("other_place", "mma.sync at .*, while lane 0 of its warp calls mma.sync at"),
]


def test_a_warp_multiplies_as_one(emulator):
    y = np.zeros(64, "float32")
    for schedule in SCHEDULES:
        emulator.schedule(schedule)
        assert emulator("together", y, 64, 0) is None
        assert y.tolist() == [1, 2, 3, 4] * 16


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(("number", "words"), [*enumerate((w for _, w in MISTAKES), 1)])
def test_a_warp_that_does_not_act_as_one_is_an_error(emulator, schedule, number, words):
    emulator.schedule(schedule, 2)
    message = emulator("together", np.zeros(64, "float32"), 64, number)
    assert message is not None
    assert message.startswith("KernelError: together_kernel [")
    assert re.search(words, message), message
    assert "tensor_cases.cu:" in message


def test_a_warp_of_a_narrow_block_is_an_error(emulator):
    message = emulator("together", np.zeros(48, "float32"), 48, 0)
    assert "mma.sync at" in message
    assert "only lanes 0x0000ffff are there" in message


# ---- addresses ----


def test_addresses_of_ldmatrix(emulator):
    x, y = aligned(4, dtype="uint32"), np.zeros(32, "uint32")
    assert emulator("row", y, x, 0) is None
    message = emulator("row", y, x, 1)
    assert "thread (3, 0, 0): 128-bit access" in message
    message = emulator("row", y, x, 2)
    assert "thread (3, 0, 0): ldmatrix at" in message
    assert "not shared memory" in message


def test_addresses_of_copies(emulator):
    x, y = aligned(8, dtype="uint32"), aligned(8, dtype="uint32")
    x[:] = np.arange(1, 9) * 0x01010101
    for size in range(17):
        assert emulator("copy", y, x, 0, 0, size) is None
        assert y[:4].tobytes() == x.tobytes()[:size] + bytes(16 - size)
    assert "128-bit access" in emulator("copy", y, x, 1, 0, 16)
    assert "128-bit access" in emulator("copy", y, x, 0, 1, 16)
    assert "to memory that is not shared memory" in emulator("copy", y, x, 2, 0, 16)
    for size in (-1, 17):
        assert f"copies {size} bytes asynchronously" in emulator("copy", y, x, 0, 0, size)


# ---- copies ----


def copied(inside):
    x = aligned(2, THREADS, 4)
    x[:] = np.arange(1, x.size + 1).reshape(x.shape)
    expected = np.where((np.arange(THREADS) < inside)[None, :, None], x, 0)
    return x, np.roll(expected, -1, 1).swapaxes(0, 1).reshape(THREADS, 8)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_copies_are_there_once_waited_for(emulator, schedule):
    emulator.schedule(schedule)
    for inside in (THREADS, 9, 0):
        x, expected = copied(inside)
        y = aligned(THREADS, 8)
        assert emulator("groups", y, x, inside, 0, True) is None
        np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("left", [1, 2])
def test_copies_that_nobody_waited_for_are_nan_or_early(emulator, left):
    x, expected = copied(THREADS)
    y = aligned(THREADS, 8)
    late = 4 * (2 - left)
    emulator.schedule("ascending")
    assert emulator("groups", y, x, THREADS, left, True) is None
    np.testing.assert_array_equal(y[:, :late], expected[:, :late])
    assert np.isnan(y[:, late:]).all()
    emulator.schedule("descending")
    assert emulator("groups", y, x, THREADS, left, True) is None
    np.testing.assert_array_equal(y, expected)
    seen = set()
    for seed in range(9):
        emulator.schedule("random", seed)
        assert emulator("groups", y, x, THREADS, left, True) is None
        np.testing.assert_array_equal(y[:, :late], expected[:, :late])
        seen.add(np.isnan(y[:, late:]).mean())
    assert len(seen) > 3
    assert all(0.5 < part < 1 for part in seen)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_thread_that_exits_without_waiting_is_an_error(emulator, schedule):
    x, y = aligned(THREADS, 4), np.zeros(THREADS, "float32")
    emulator.schedule(schedule)
    line = lines_of("flight")[0]
    for fault in (5, 6):  # nobody waits; nobody commits
        message = emulator("flight", y, x, fault)
        assert "exits without having waited for a copy that it began at" in message
        assert f"tensor_cases.cu:{line}" in message
    assert emulator("flight", y, x, 0) is None  # and the next launch is not concerned


# ---- the checked build ----


def reports(checked, message, *lines):
    assert message is not None
    named = [int(n) for n in re.findall(r"tensor_cases\.cu:(\d+)", message)]
    assert set(named) == {lines_of(line)[0] for line in lines}, message
    return message


@pytest.mark.checked
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_what_is_right_is_not_reported(checked, schedule):
    checked.schedule(schedule)
    x, expected = copied(THREADS)
    y = aligned(THREADS, 8)
    assert checked("groups", y, x, THREADS, 0, True) is None
    np.testing.assert_array_equal(y, expected)
    assert checked("flight", np.zeros(THREADS, "float32"), aligned(THREADS, 4), 0) is None
    assert checked("rows", np.zeros(32, "uint32"), True) is None
    assert checked("together", np.zeros(64, "float32"), 64, 0) is None
    ones = np.full((1, 16, 16), 0x3C00, "uint32")
    found = multiplied(checked, "half", ones, ones[:, :, :8], np.zeros((1, 16, 8), "uint32"))
    assert (found.view("float32") == 16).all()


@pytest.mark.checked
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_missing_wait_is_reported(checked, schedule):
    checked.schedule(schedule)
    x, _ = copied(THREADS)
    copy = lines_of("groups")[0]
    reads = lines_of("groups_read")
    for left, read in ((1, reads[1:]), (2, reads)):
        message = checked("groups", aligned(THREADS, 8), x, THREADS, left, True)
        assert message.startswith("RaceError: ")
        assert "began an asynchronous copy to it" in message
        named = {int(n) for n in re.findall(r"tensor_cases\.cu:(\d+)", message)}
        assert named == {copy, *read}


@pytest.mark.checked
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_missing_barrier_behind_the_wait_is_reported(checked, schedule):
    checked.schedule(schedule)
    x, _ = copied(THREADS)
    message = checked("groups", aligned(THREADS, 8), x, THREADS, 0, False)
    assert message.startswith("RaceError: ")
    assert "race on byte" in message


FLIGHTS = [(1, "flight_own_read"), (2, "flight_overwritten"), (3, "flight_twice"),
           (4, "flight_source"), (7, "flight_vector_read")]  # fmt: skip


@pytest.mark.checked
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(("fault", "line"), FLIGHTS)
def test_what_meets_a_copy_in_flight_is_reported(checked, schedule, fault, line):
    checked.schedule(schedule)
    message = checked("flight", np.zeros(THREADS, "float32"), aligned(THREADS, 4), fault)
    assert message.startswith("RaceError: ")
    assert reports(checked, message, "flight", line)


@pytest.mark.checked
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_reads_of_ldmatrix_are_seen(checked, schedule):
    checked.schedule(schedule)
    y = np.zeros(32, "uint32")
    message = reports(checked, checked("rows", y, False), "rows", "rows_write")
    assert message.startswith("RaceError: ")
    message = reports(checked, checked("unwritten_rows", y), "unwritten_rows")
    assert "AccessError" in message
    assert "nothing wrote" in message


@pytest.mark.checked
def test_bank_conflicts_of_128_bits_are_counted_by_line(checked):
    """Eight lanes are served together: their rows fill the banks once, or meet in some of them."""
    x, y = aligned(4, dtype="uint32"), np.zeros(32, "uint32")
    for apart, times in ((1, 1), (9, 1), (2, 2), (4, 4), (8, 8)):
        checked.library.count_bank_conflicts()
        assert checked("banks", y, x, apart) is None
        found = {}
        for row in checked("bank_conflicts").splitlines():
            line, *counts = re.search(r"tensor_cases\.cu:(\d+) (\d+) (\d+) (\d+)", row).groups()
            found[int(line)] = [int(n) for n in counts]
        for line in ("banks_store", "banks", "banks_load", "banks_copy"):
            assert found[lines_of(line)[0]] == [1, 4 * times, 4], (line, apart)
