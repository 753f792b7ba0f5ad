"""mbarriers, TMA, wgmma and named barriers on the emulator: what they compute, against
hopper_model.py and tensor_core_model.py, and that each way to use them wrongly is an error.

The kernels are in kernels/hopper_cases.cu, where the lines that a report has to name bear the name
of the case.
"""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import emulated_cases
import hopper_model
import numpy as np
import pytest
import tensor_core_model as model
from emulated_cases import SCHEDULES, aligned

CASES = Path(__file__).parent / "kernels" / "hopper_cases.cu"


emulator, checked = emulated_cases.builds(CASES)


def line_of(case):
    (line,) = emulated_cases.lines_of(CASES, case)
    return f"hopper_cases.cu:{line}"


def schedules():
    return [("ascending", 0), ("descending", 0), *(("random", seed) for seed in range(4))]


# ---- mbarriers ----


@pytest.mark.parametrize("threads", [2, 40])
def test_phases_of_an_mbarrier(emulator, threads):
    for schedule in schedules():
        emulator.schedule(*schedule)
        y = np.zeros(threads, "int32")
        assert emulator("phases", y, threads, threads, 5, 0) is None
        assert (y == 5).all()


PHASES = [
    (1, 2, "all 2 arrivals of the phase have come already; 8 bytes are missing"),
    (2, 2, "thread (0, 0, 0) waits at .* for an mbarrier that lacks 1 of 2 arrivals"),
    (3, 2, "no mbarrier was initialised there"),
    (4, 2, "something was written over the mbarrier"),
    (
        5,
        2,
        "thread .* waits at .* for an mbarrier that lacks 2 of 2 arrivals",
    ),  # of the phase after
]


@pytest.mark.parametrize(("arrival", "threads", "words"), PHASES)
def test_arrivals(emulator, arrival, threads, words):
    for schedule in schedules():
        emulator.schedule(*schedule)
        message = emulator("phases", np.zeros(threads, "int32"), threads, threads, 1, arrival)
        assert_says(message, words)


def assert_says(message, words):
    assert message is not None
    assert re.search(words.replace("(0, 0, 0)", r"\(0, 0, 0\)"), message), message


@pytest.mark.parametrize("arrivals", [0, -1, 1 << 20])
def test_arrivals_that_no_mbarrier_has(emulator, arrivals):
    assert_says(emulator("init", arrivals), f"{arrivals} arrivals; it can be 1 to 1048575")


# ---- boxes ----


class Tensor(ctypes.Structure):
    _fields_ = [
        ("sizes", ctypes.c_int64 * 4),
        ("strides", ctypes.c_int64 * 4),
        ("box", ctypes.c_int * 4),
        ("at", ctypes.c_int * 4),
    ]

    @classmethod
    def of(cls, array, corner, box):
        strides = [s // array.itemsize for s in array.strides][::-1]
        lists = (list(array.shape[::-1]), strides, box, corner)
        return cls(*((ctypes.c_int64 * 4)(*x) for x in lists[:2]),
                   *((ctypes.c_int * 4)(*x) for x in lists[2:]))  # fmt: skip


def numbers(*shape):
    """Distinct ones of 16 bits, in rows with gaps."""
    wide = aligned(*shape[:-1], -(-shape[-1] // 8) * 8 + 8, dtype="float16")
    wide.view("uint16")[...] = np.arange(1, wide.size + 1).reshape(wide.shape)
    return wide[..., : shape[-1]]


def loaded(emulator, array, corner, box, swizzle=0, mistake=0):
    size = int(np.prod(box)) * 2
    y = np.zeros(size, "uint8")
    tensor = Tensor.of(array, corner, box)
    message = emulator("load_box", y, ctypes.c_void_p(array.ctypes.data), ctypes.byref(tensor),
                       array.ndim, swizzle, size, mistake)  # fmt: skip
    return y, message


BOXES = [
    ((20, 100), (0, 0), (64, 8), 3),
    ((20, 100), (72, 15), (64, 16), 3),  # over both edges
    ((20, 100), (-5, -3), (64, 16), 3),
    ((20, 100), (100, 0), (64, 8), 3),  # nothing of it inside
    ((20, 100), (40, 3), (32, 12), 2),
    ((20, 100), (90, 3), (16, 20), 1),
    ((20, 100), (3, 3), (8, 20), 0),
    ((20, 100), (3, 3), (40, 5), 0),
    ((3, 9, 70), (64, 2, 1), (64, 8, 2), 3),
    ((3, 9, 70), (6, 7, 2), (16, 4, 3), 1),
    ((2, 3, 9, 70), (3, 4, 1, 1), (64, 6, 1, 1), 3),
]


@pytest.mark.parametrize(("shape", "corner", "box", "swizzle"), BOXES)
def test_boxes_are_loaded(emulator, shape, corner, box, swizzle):
    array = numbers(*shape)
    expected = hopper_model.box_of(array, list(corner), list(box), swizzle)
    for schedule in schedules():
        emulator.schedule(*schedule)
        y, message = loaded(emulator, array, list(corner), list(box), swizzle)
        assert message is None
        np.testing.assert_array_equal(y, expected)


def test_a_box_that_nobody_waited_for_is_nan_or_early(emulator):
    array = numbers(20, 100)
    seen = set()
    for schedule in schedules():
        emulator.schedule(*schedule)
        y, message = loaded(emulator, array, [0, 0], [64, 8], 3, mistake=1)
        assert message is None
        seen.add((y == 0xFF).all())
        assert (y == 0xFF).all() or schedule[0] != "ascending"
    assert len(seen) == 2


BOX_MISTAKES = [
    (2, "no fence made visible to it since it was initialised: fence_mbarrier_init"),
    (3, "waits at .* for an mbarrier that lacks 0 of 1 arrivals, to which 16 bytes more came"),
    (4, "waits at .* for an mbarrier that lacks 0 of 1 arrivals and 16 bytes"),
    (5, "its address in shared memory is not a multiple of 1024"),
]


@pytest.mark.parametrize(("mistake", "words"), BOX_MISTAKES)
def test_boxes_loaded_wrongly(emulator, mistake, words):
    for schedule in schedules():
        emulator.schedule(*schedule)
        _, message = loaded(emulator, numbers(20, 100), [0, 0], [64, 8], 3, mistake)
        assert_says(message, words)
        assert "hopper_cases.cu:" in message


def test_a_block_that_ends_before_its_box_is_there(emulator):
    emulator.schedule("ascending")
    _, message = loaded(emulator, numbers(20, 100), [0, 0], [64, 8], 3, mistake=6)
    assert_says(message, "ends without having waited for the load of a box, begun at ")
    assert line_of("box") in message


MAPS = [
    (dict(box=(257, 8)), 0, r"box 257 of dimension 0; it can be 1 to 256"),
    (dict(box=(64, 0)), 0, r"box 0 of dimension 1"),
    (dict(box=(65, 8)), 0, "rows of 130 bytes, which is not a multiple of 16"),
    (dict(box=(72, 8)), 3, "rows of 144 bytes, more than the 128 of the swizzle"),
    (dict(box=(40, 8)), 2, "rows of 80 bytes, more than the 64 of the swizzle"),
    (dict(box=(32, 8)), 3, "rows of 64 bytes, less than the 128 of the swizzle, which is not emul"),
    (dict(stride=101), 3, "stride 202 of dimension 1; it must be a multiple of 16 bytes"),
    (dict(skip=1), 3, "the array's address is not a multiple of 16"),
    (dict(size=0), 3, r"size 0 of dimension 1; it can be 1 to 2\^32"),
]


@pytest.mark.parametrize(("change", "swizzle", "words"), MAPS)
def test_maps_that_the_driver_refuses(emulator, change, swizzle, words):
    array = numbers(20, 100)
    tensor = Tensor.of(array, [0, 0], list(change.get("box", (64, 8))))
    tensor.strides[1] = change.get("stride", tensor.strides[1])
    tensor.sizes[1] = change.get("size", tensor.sizes[1])
    start = ctypes.c_void_p(array.ctypes.data + 2 * change.get("skip", 0))
    message = emulator(
        "load_box", np.zeros(4096, "uint8"), start, ctypes.byref(tensor), 2, swizzle, 1024, 0
    )
    assert_says(message, "^KernelError: tensor map: .*" + words)


STORES = [
    ((3, 9, 70), (0, 0, 0), (64, 8, 2), 3),
    ((3, 9, 70), (30, 5, 2), (64, 8, 2), 3),
    ((3, 9, 70), (-5, -2, -1), (32, 8, 2), 2),
    ((3, 9, 70), (65, 1, 1), (8, 3, 1), 0),
]


def stored(emulator, array, corner, box, swizzle, source, mistake=0):
    tensor = Tensor.of(array, corner, box)
    return emulator("store_box", ctypes.c_void_p(array.ctypes.data), source, ctypes.byref(tensor),
                    swizzle, source.size, mistake)  # fmt: skip


@pytest.mark.parametrize(("shape", "corner", "box", "swizzle"), STORES)
def test_boxes_are_stored(emulator, shape, corner, box, swizzle):
    """Once more what was loaded: only what is inside, and no gap."""
    whole = numbers(*shape)
    source = hopper_model.box_of(whole, list(corner), list(box), swizzle)
    for schedule in schedules():
        emulator.schedule(*schedule)
        array = numbers(*shape)
        inside = tuple(slice(max(c, 0), max(c + n, 0))
                       for c, n in zip(corner[::-1], box[::-1], strict=True))  # fmt: skip
        array[inside] = 0
        assert stored(emulator, array, list(corner), list(box), swizzle, source) is None
        np.testing.assert_array_equal(array.view("uint16"), whole.view("uint16"))


@pytest.mark.parametrize(("mistake", "words"), [
    (1, "the store of a box at .* reads what threads have written .* and no fence_proxy_async"),
    (2, "exits without having waited for the store of a box that it began at "),
])  # fmt: skip
def test_boxes_stored_wrongly(emulator, mistake, words):
    emulator.schedule("ascending")
    array = numbers(3, 9, 70)
    source = hopper_model.box_of(array, [0, 0, 0], [64, 8, 2], 3)
    message = stored(emulator, array, [0, 0, 0], [64, 8, 2], 3, source, mistake)
    assert_says(message, words)
    assert line_of("store") in message


def ring(emulator, mistake):
    x = numbers(48, 56)
    x = np.ascontiguousarray(x.base.view("float16")[: 48 * 64].reshape(48, 64))
    source = aligned(48, 64, dtype="float16")
    source[...] = x
    y = np.zeros((6, 32), "uint16")
    message = emulator("ring", y, source, 6, mistake)
    sums = source.view("uint16").reshape(6, 8, 64)[:, :, :32].sum(1).astype("uint16")
    return message, (y == sums).all()


def test_a_ring_of_boxes(emulator):
    for schedule in schedules():
        emulator.schedule(*schedule)
        assert ring(emulator, 0) == (None, True)


@pytest.mark.parametrize("mistake", [1, 2])
def test_a_ring_without_one_of_its_waits_is_wrong_in_some_schedule(emulator, mistake):
    found = []
    for schedule in schedules():
        emulator.schedule(*schedule)
        found.append(ring(emulator, mistake))
    assert (None, True) not in found[:1]
    assert any(outcome != (None, True) for outcome in found)


# ---- wgmma ----


class Matrix(ctypes.Structure):
    _fields_ = [
        ("offset", ctypes.c_int),
        ("leading", ctypes.c_int),
        ("stride", ctypes.c_int),
        ("swizzle", ctypes.c_int),
        ("across_k", ctypes.c_bool),
    ]


def layouts(lines):
    """(bytes, layout) of a matrix with so many lines, 16 deep, in every way that it can lie."""
    for across_k in (False, True):
        for leading, stride in ((lines * 16, 128), (128, 256)):
            yield lines * 32, layout(leading, stride, 0, across_k)
    for swizzle in (1, 2, 3):
        span = hopper_model.SPANS[swizzle]
        eight, blocks = 8 * span, lines // (span // 2)
        yield lines * span, layout(0, eight, swizzle, False)
        yield blocks * 2 * eight, layout(2 * eight, eight, swizzle, True)
        yield blocks * 2 * eight, layout(eight, blocks * eight, swizzle, True)


def layout(leading, stride, swizzle, across_k):
    return dict(leading=leading, stride=stride, swizzle=swizzle, across_k=across_k)


def drawn(random, *shape, exact):
    """float32 numbers that both 16-bit types have."""
    if exact:
        return random.integers(-8, 9, shape).astype("float32")
    x = random.standard_normal(shape) * 2.0 ** random.integers(-6, 7, shape)
    return (x.astype("float32").view("uint32") & 0xFFFF0000).view("float32").astype("float16")


def in_16_bits(x, kind):
    if kind == "half":
        return np.asarray(x, "float16").view("uint16")
    return (np.asarray(x, "float32").view("uint32") >> 16).astype("uint16")


def fragments(columns):
    """(row, column) of each thread's sums."""
    thread, i = np.arange(128)[:, None], np.arange(columns // 2)
    lane = thread % 32
    rows = thread // 32 * 16 + lane // 4 + i % 4 // 2 * 8
    return rows, i // 4 * 8 + lane % 4 * 2 + i % 2


def multiplied(emulator, kind, a, b, c, left, right, *, times=1, adds=True, mistake=0):
    """d of 64 x 16 numbers a, and b of 16 columns' lines; left and right: (bytes, layout)."""
    columns = b.shape[0]
    half = -(-(left[0] + 1024) // 1024) * 1024
    size = half + right[0] + 1024
    memory = hopper_model.laid_out(in_16_bits(a, kind), size, **left[1])
    other = hopper_model.laid_out(in_16_bits(b, kind), size, half, **right[1])
    memory[half:] = other[half:]
    rows, places = fragments(columns)
    d = np.ascontiguousarray(c[rows, places], dtype="float32")
    given = [Matrix(start, x["leading"], x["stride"], x["swizzle"], x["across_k"])
             for start, (_, x) in zip((0, half), (left, right), strict=True)]  # fmt: skip
    message = emulator("product", kind == "half", columns, d, memory, size, ctypes.byref(given[0]),
                       ctypes.byref(given[1]), times, adds, mistake)  # fmt: skip
    result = np.zeros((64, columns), "float32")
    result[rows, places] = d
    return result, message


@pytest.mark.parametrize("place", range(len([*layouts(64)])))
@pytest.mark.parametrize("of_a", [True, False])
def test_every_layout_of_a_matrix(emulator, place, of_a):
    random = np.random.default_rng(place)
    a, b, c = (drawn(random, *s, exact=True) for s in ((64, 16), (64, 16), (64, 64)))
    plain = (2048, dict(leading=1024, stride=128, swizzle=0, across_k=False))
    other = [*layouts(64)][place]
    left, right = (other, plain) if of_a else (plain, other)
    emulator.schedule("random", place)
    d, message = multiplied(emulator, "half", a, b, c, left, right)
    assert message is None
    np.testing.assert_array_equal(d, c + a @ b.T)


@pytest.mark.parametrize(("kind", "columns"), [("half", 128), ("bfloat16", 256), ("bfloat16", 64)])
def test_wide_products(emulator, kind, columns):
    random = np.random.default_rng(columns)
    a, b, c = (drawn(random, *s, exact=True) for s in ((64, 16), (columns, 16), (64, columns)))
    for place in (-2, -1):
        left, right = [*layouts(64)][place], [*layouts(columns)][place]
        d, message = multiplied(emulator, kind, a, b, c, left, right, times=3)
        assert message is None
        np.testing.assert_array_equal(d, c + 3 * a @ b.T)
        d, message = multiplied(emulator, kind, a, b, c, left, right, adds=False)
        assert message is None
        np.testing.assert_array_equal(d, a @ b.T)


@pytest.mark.parametrize("kind", ["half", "bfloat16"])
def test_sums_have_the_bits_of_the_model(emulator, kind):
    random = np.random.default_rng(9)
    a, b, c = (drawn(random, *s, exact=False) for s in ((64, 16), (64, 16), (64, 64)))
    c = c.astype("float32") * 3.3
    left = right = [*layouts(64)][-3]
    d, message = multiplied(emulator, kind, a, b, c, left, right)
    assert message is None
    for row, column in zip(random.integers(0, 64, 200), random.integers(0, 64, 200), strict=True):
        bits = [in_16_bits(x, kind).tolist() for x in (a[row], b[column])]
        start = int(c[row, column].view("uint32"))
        assert int(d[row, column].view("uint32")) == model.add(start, *bits, kind, "hopper")


def multiplied_from_registers(emulator, kind, a, b, c, mistake=0):
    """As ``multiplied``, a in registers: of each thread four pairs, as mma.sync has them."""
    thread, i = np.arange(128)[:, None], np.arange(4)
    lane = thread % 32
    left = in_16_bits(a, kind)
    row, k = thread // 32 * 16 + lane // 4 + i % 2 * 8, lane % 4 * 2 + i // 2 * 8
    pairs = np.ascontiguousarray(left[row, k] | left[row, k + 1].astype("uint32") << 16)
    memory = hopper_model.laid_out(in_16_bits(b, kind), 2048, **layout(0, 256, 1, False))
    rows, places = fragments(64)
    d = np.ascontiguousarray(c[rows, places], dtype="float32")
    message = emulator("registers_product", kind == "half", d, pairs, memory, 2048, mistake)
    result = np.zeros((64, 64), "float32")
    result[rows, places] = d
    return result, message


@pytest.mark.parametrize("kind", ["half", "bfloat16"])
def test_a_factor_in_registers(emulator, kind):
    """The bits are those of a factor in shared memory."""
    random = np.random.default_rng(17)
    a, b = (drawn(random, 64, 16, exact=False) for _ in range(2))
    c = drawn(random, 64, 64, exact=False).astype("float32") * 3.3
    left = right = [*layouts(64)][-3]
    for schedule in schedules():
        emulator.schedule(*schedule)
        d, message = multiplied_from_registers(emulator, kind, a, b, c)
        assert message is None
        np.testing.assert_array_equal(d, multiplied(emulator, kind, a, b, c, left, right)[0])


@pytest.mark.parametrize(("mistake", "words"), [
    (1, "differs from that of another warp of its warpgroup"),
    (2, "warps 0 and 3 of a warpgroup have begun 1 and 0 products"),
])  # fmt: skip
def test_a_factor_in_registers_multiplied_wrongly(emulator, mistake, words):
    ones = np.ones((64, 16))
    message = multiplied_from_registers(emulator, "half", ones, ones, np.ones((64, 64)), mistake)[1]
    assert_says(message, words)


def test_a_matrix_that_begins_further_along_k(emulator):
    """As a deeper tile is read: within the swizzle's span."""
    random = np.random.default_rng(4)
    a, b = (drawn(random, 64, 64, exact=True) for _ in range(2))
    layout = dict(leading=0, stride=1024, swizzle=3, across_k=False)
    size = 64 * 128
    memory = np.concatenate(
        [hopper_model.laid_out(in_16_bits(x, "half"), size, **layout) for x in (a, b)]
    )
    rows, places = fragments(64)
    for step in range(4):
        d = np.zeros((128, 32), "float32")
        given = [Matrix(start + 32 * step, 0, 1024, 3, False) for start in (0, size)]
        assert emulator("product", True, 64, d, memory, 2 * size, ctypes.byref(given[0]),
                        ctypes.byref(given[1]), 1, True, 0) is None  # fmt: skip
        k = slice(16 * step, 16 * step + 16)
        np.testing.assert_array_equal(d, (a[:, k] @ b[:, k].T)[rows, places])


PRODUCTS = [
    (1, "wgmma at .* reads what threads have written .* and no fence_proxy_async"),
    (2, "uses accumulators that no wgmma_fence.. has handed over"),
    (4, "reads was changed before the wait at |reads what threads have written"),
    (5, "an accumulator of wgmma at .* was changed before the wait at "),
    (6, "of a warpgroup have begun 2 and 0 products: all four warps begin each wgmma"),
    (7, "differs from that of another warp of its warpgroup"),
    (8, "exits without having waited for a product that it began at "),
    (9, "uses accumulators that no wgmma_fence.. has handed over since the last wait"),
]
SWIZZLED = (64 * 128, dict(leading=0, stride=1024, swizzle=3, across_k=False))


@pytest.mark.parametrize(("mistake", "words"), PRODUCTS)
def test_products_made_wrongly(emulator, mistake, words):
    ones, zeros = np.ones((64, 16)), np.zeros((64, 64))
    for schedule in schedules():
        emulator.schedule(*schedule)
        _, message = multiplied(
            emulator, "half", ones, ones, zeros, SWIZZLED, SWIZZLED, times=2, mistake=mistake
        )
        assert_says(message, words)
        assert mistake == 6 or line_of("product") in message


@pytest.mark.parametrize("mistake", [3, 10])
def test_accumulators_are_nan_until_the_wait(emulator, mistake):
    """Where nobody waits, or what is waited for was not committed."""
    ones = np.ones((64, 16))
    d, message = multiplied(emulator, "half", ones, ones, np.zeros((64, 64)), SWIZZLED, SWIZZLED,
                            mistake=mistake)  # fmt: skip
    assert np.isnan(d).all()
    assert message is None or "changed before the wait" in message


@pytest.mark.parametrize(("offset", "stride", "words"), [
    (128, 1024, "a swizzled matrix begins at a multiple of 1024 bytes"),
    (0, 8192, "reaches out of the .* bytes of dynamic shared memory"),
])  # fmt: skip
def test_descriptors_that_are_wrong(emulator, offset, stride, words):
    memory = np.zeros(64 * 128 * 2 + 3072, "uint8")
    given = [Matrix(offset, 0, 1024, 3, False), Matrix(64 * 128, 0, stride, 3, False)]
    message = emulator("product", True, 64, np.zeros((128, 32), "float32"), memory, memory.size,
                       ctypes.byref(given[0]), ctypes.byref(given[1]), 1, True, 0)  # fmt: skip
    assert_says(message, words)


def test_another_swizzle_than_that_of_the_box_gives_other_sums(emulator):
    random = np.random.default_rng(3)
    a, b = aligned(64, 64, dtype="float16"), aligned(64, 64, dtype="float16")
    for x in (a, b):
        x[...] = random.integers(-8, 9, x.shape)
    rows, places = fragments(64)
    expected = (a.astype("float32") @ b.astype("float32").T)[rows, places]
    for schedule in schedules():
        emulator.schedule(*schedule)
        d = np.zeros((128, 32), "float32")
        assert emulator("reader", d, a, b, 0) is None
        np.testing.assert_array_equal(d, expected)
        assert_says(emulator("reader", d, a, b, 2), "read.* with another swizzle")
    emulator.schedule("ascending")
    message = emulator("reader", d, a, b, 1)
    assert_says(message, "reads what the load of a box, begun at .*, has not brought yet")


def test_ampere_has_no_wgmma(emulator):
    emulator.library.set_tensor_cores(True)
    ones = np.ones((64, 16))
    _, message = multiplied(emulator, "half", ones, ones, np.zeros((64, 64)), SWIZZLED, SWIZZLED)
    emulator.library.set_tensor_cores(False)
    assert_says(message, "ampere has none")


# ---- parts of a block ----


def test_named_barriers(emulator):
    for schedule in schedules():
        emulator.schedule(*schedule)
        y = np.zeros(128, "int32")
        assert emulator("parts", y, 0) is None
        assert y.tolist() == [2] * 64 + [3] * 64


PARTS = [
    (1, "waits at named barrier 1 of (96|64) threads at .*, others at one of (96|64) at "),
    (2, "deadlock: .* for named barrier 1, where 63 of 64 threads are"),
    (3, "numbers are 1 to 15, threads a multiple of 32"),
    (4, "named barrier . of 50 threads"),
]


@pytest.mark.parametrize(("mistake", "words"), PARTS)
def test_named_barriers_used_wrongly(emulator, mistake, words):
    for schedule in schedules():
        emulator.schedule(*schedule)
        assert_says(emulator("parts", np.zeros(128, "int32"), mistake), words)


REGISTERS = [
    (1, "warps 0 and 1 of a warpgroup have set 40 and 32 registers"),
    (2, "setmaxnreg brings the block to .* registers; there are 65536"),
    (3, "44 registers; it can be a multiple of 8 from 24 to 256"),
    (4, "setmaxnreg from 40 to 48 registers in the wrong direction"),
]


def test_registers_and_one_lane_of_each_warp(emulator):
    y = np.zeros(384, "int32")
    assert emulator("registers", y, 0) is None
    assert (y.reshape(12, 32).sum(1) == 1).all()


@pytest.mark.parametrize(("mistake", "words"), REGISTERS)
def test_registers_set_wrongly(emulator, mistake, words):
    assert_says(emulator("registers", np.zeros(384, "int32"), mistake), words)


# ---- the checked build ----


@pytest.mark.checked
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_what_is_right_is_not_reported(checked, schedule):
    checked.schedule(schedule)
    y = np.zeros(40, "int32")
    assert checked("phases", y, 40, 40, 3, 0) is None
    assert ring(checked, 0) == (None, True)
    assert checked("parts", np.zeros(128, "int32"), 0) is None
    a, b = aligned(64, 64, dtype="float16"), aligned(64, 64, dtype="float16")
    assert checked("reader", np.zeros((128, 32), "float32"), a, b, 0) is None


@pytest.mark.checked
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_read_before_the_wait_is_a_race(checked, schedule):
    checked.schedule(schedule)
    message, _ = ring(checked, 3)
    assert message.startswith("RaceError: ")
    assert line_of("ring") in message
    assert line_of("ring_read") in message
