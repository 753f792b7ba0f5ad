"""The emulator itself: what it computes, and that it reports what CUDA leaves undefined.

The kernels are in kernels/emulator_cases.cu. They run on both ways to switch fibers, the assembly
and ucontext.
"""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ctrl_c import SOON

from tapegrad import _build

CASES = Path(__file__).parent / "kernels" / "emulator_cases.cu"
SCHEDULES = {"random": 0, "ascending": 1, "descending": 2}
WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas")  # #pragma unroll is nvcc's


class Emulator:
    """The compiled cases; ``emulator.name(...)`` returns the error's message, without its kind, or
    None."""

    def __init__(self, path: Path):
        self.library = ctypes.CDLL(str(path))

    def __getattr__(self, name):
        function = self.library[name]
        function.restype = ctypes.c_char_p

        def call(*arguments):
            converted = [
                a.ctypes.data_as(ctypes.c_void_p) if isinstance(a, np.ndarray) else a
                for a in arguments
            ]
            message = function(*converted)
            return message if message is None else message.decode().partition(": ")[2]

        return call

    def schedule(self, name, seed=0):
        self.library.set_schedule(SCHEDULES[name], ctypes.c_uint64(seed))

    def fiber_counts(self):
        made, pooled = np.zeros(1, "int32"), np.zeros(1, "int32")
        self.fibers(made, pooled)
        return int(made[0]), int(pooled[0])


@pytest.fixture(scope="module", params=["assembly", "ucontext"])
def compiled(request, tmp_path_factory):
    cxx = _build.find_cxx()
    if cxx is None:
        pytest.skip("the emulator needs a C++ compiler")
    root = _build.source_root()
    plan = _build.plan_emulated(cxx, root, {})
    flags = (*WARNINGS, "-DTAPEGRAD_UCONTEXT") if request.param == "ucontext" else WARNINGS
    units = tuple(
        replace(unit, command=(*unit.command, *flags))
        for unit in plan.units
        if unit.source.parent.name == "emulate"
    )
    command = (*cxx.command, *_build.CXX_FLAGS, *flags, "-x", "c++")
    units += (_build.Unit(CASES, command, "cases"),)
    folder = tmp_path_factory.mktemp(request.param)
    return Emulator(_build.build(replace(plan, units=units), folder / "cases.so", folder))


@pytest.fixture
def emulator(compiled):
    compiled.schedule("random", 0)
    yield compiled
    made, pooled = compiled.fiber_counts()
    assert made == pooled <= 1024  # every test, failed launches included, gives its fibers back


def shape(*dimensions):
    return np.array(dimensions, "int64")


# ---- shared memory and barriers ----


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_barrier_makes_shared_memory_visible(emulator, schedule):
    x = np.arange(128, dtype="float32")
    y = np.empty_like(x)
    emulator.schedule(schedule)
    for distance in (1, -1, 40):
        assert emulator.rotate(y, x, distance, True) is None
        np.testing.assert_array_equal(y, np.roll(x, -distance))


def test_missing_barrier_reads_poison(emulator):
    """An order that runs every writer before its reader hides the race; a random one does not."""
    x = np.arange(128, dtype="float32")
    y = np.empty_like(x)
    emulator.schedule("ascending")
    emulator.rotate(y, x, 1, False)
    assert np.isnan(y).sum() == 127
    emulator.rotate(y, x, -1, False)
    assert np.isnan(y).sum() == 1
    emulator.schedule("descending")
    emulator.rotate(y, x, 1, False)
    assert np.isnan(y).sum() == 1
    for seed in range(20):
        emulator.schedule("random", seed)
        emulator.rotate(y, x, 1, False)
        assert 10 < np.isnan(y).sum() < 118


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_exit_before_a_barrier_is_an_error(emulator, schedule):
    emulator.schedule(schedule, 7)
    message = emulator.early_exit()
    assert message.startswith("early_exit_kernel [grid (2, 1, 1), block (64, 1, 1), 0 bytes")
    assert "block (1, 0, 0), thread (" in message
    assert "exit" in message
    assert "emulator_cases.cu:" in message
    expected = "(schedule random:7)" if schedule == "random" else f"(schedule {schedule})"
    assert message.endswith(expected)


def test_error_names_the_seed_of_its_launch(emulator):
    x = np.zeros(128, "float32")
    emulator.schedule("random", 7)
    emulator.rotate(x.copy(), x, 1, True)
    assert "(schedule random:8)" in emulator.early_exit()


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_threads_at_different_barriers_are_an_error(emulator, schedule):
    emulator.schedule(schedule)
    message = emulator.two_barriers()
    thread = r"thread \(\d+, [01], 0\)"
    assert re.search(rf"{thread}: waits at the barrier \S+ while {thread} waits at \S+", message)
    lines = re.findall(r"emulator_cases\.cu:(\d+)", message)
    assert len(set(lines)) == 2


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_one_barrier_more_is_an_error(emulator, schedule):
    emulator.schedule(schedule)
    assert "thread (5, 0, 0)" in emulator.one_barrier_more()


@pytest.mark.parametrize(("threads", "yes"), [(1, 1), (33, 0), (100, 42), (1024, 1024)])
def test_barrier_votes(emulator, threads, yes):
    votes = np.full((threads, 3), -1, "int32")
    assert emulator.barrier_votes(votes, threads, yes) is None
    np.testing.assert_array_equal(votes, np.tile([yes == threads, yes > 0, yes], (threads, 1)))


def test_shared_memory_is_poisoned_in_every_block(emulator):
    static, dynamic = np.zeros(5, "uint32"), np.zeros(5, "uint32")
    assert emulator.poison(static, dynamic, 5) is None
    assert (static == 0xFFFFFFFF).all()
    assert (dynamic == 0xFFFFFFFF).all()


def test_writing_past_shared_memory_is_an_error(emulator):
    assert emulator.overrun(False, 7) is None
    assert emulator.overrun(True, 7) is None
    assert "block (0, 0, 0): wrote" in (message := emulator.overrun(False, 8))
    assert "past the end of fixed" in message
    assert "past the end of dynamic shared memory" in emulator.overrun(True, 8)


def test_shared_memory_limits(emulator):
    assert emulator.static_shared(False, 0) is None
    assert emulator.static_shared(False, (227 - 48) * 1024) is None
    message = emulator.static_shared(True, 0)
    assert message.startswith("static_shared_kernel [")
    assert "the limit is 49152" in message
    assert "together exceed" in emulator.static_shared(False, (227 - 48) * 1024 + 1)


# ---- launches ----


@pytest.mark.parametrize(
    ("grid", "block", "shared", "problem"),
    [
        ((0, 1, 1), (32, 1, 1), 0, "at least 1"),
        ((1, 1, 1), (32, 0, 1), 0, "at least 1"),
        ((1, 1, 1), (1025, 1, 1), 0, "1024 threads"),
        ((1, 1, 1), (32, 33, 1), 0, "1024 threads"),
        ((1, 1, 1), (1, 1, 65), 0, "1024 threads"),
        ((1, 65536, 1), (1, 1, 1), 0, "65535"),
        ((1, 1, 65536), (1, 1, 1), 0, "65535"),
        ((2**31, 1, 1), (1, 1, 1), 0, "2147483647"),
        ((2**32 + 1, 1, 1), (1, 1, 1), 0, "2147483647"),
        ((1, 1, 1), (1, 1, 1), 227 * 1024 + 1, "shared memory"),
    ],
)
def test_launch_beyond_the_limits_is_refused(emulator, grid, block, shared, problem):
    message = emulator.launch_shape(shape(*grid), shape(*block), shared)
    assert message.startswith(f"empty_kernel [grid {grid}, block {block}, {shared} bytes")
    assert problem in message.partition("]")[2]


def test_launch_at_the_limits(emulator):
    for grid, block in [
        ((1, 1, 1), (1024, 1, 1)),
        ((1, 65535, 1), (1, 1, 1)),
        ((1, 1, 2), (16, 1, 64)),
    ]:
        assert emulator.launch_shape(shape(*grid), shape(*block), 227 * 1024) is None


def test_every_thread_of_every_block_runs_once(emulator):
    for schedule in SCHEDULES:
        emulator.schedule(schedule, 3)
        for grid, block in [
            ((1, 1, 1), (1, 1, 1)),
            ((7, 5, 3), (3, 2, 5)),
            ((97, 1, 1), (33, 1, 1)),
            ((2, 6, 1), (1, 1, 64)),
        ]:
            visits = np.zeros(np.prod(grid) * np.prod(block), "int32")
            assert emulator.visit(visits, shape(*grid), shape(*block)) is None
            assert (visits == 1).all()


def test_schedules_order_threads_and_blocks(emulator):
    def order(schedule, seed=0):
        emulator.schedule(schedule, seed)
        recorded = np.full(4 * 100, -1, "int32")
        assert emulator.record_order(recorded, np.zeros(1, "int32"), 4, 100) is None
        return recorded.tolist()

    every = list(range(400))
    assert order("ascending") == every
    assert order("descending") == every[::-1]
    assert order("random", 1) == order("random", 1) != order("random", 2)
    assert sorted(order("random", 1)) == every != order("random", 1)


# ---- warps ----


@pytest.mark.parametrize("width", [2, 8, 32])
@pytest.mark.parametrize("argument", [0, 1, 3, 5])
def test_shuffles(emulator, width, argument):
    lane = np.arange(32)
    start = lane // width * width
    sources = [
        start + argument % width,
        np.where(lane - argument < start, lane, lane - argument),
        np.where(lane + argument >= start + width, lane, lane + argument),
        np.where(lane ^ argument >= start + width, lane, lane ^ argument),
    ]
    for kind, source in enumerate(sources):
        out = np.full(32, -1, "int32")
        assert emulator.shuffle(out, kind, argument, width) is None
        np.testing.assert_array_equal(out, source)


def test_shuffle_width_must_be_a_power_of_two(emulator):
    assert "width 12" in emulator.shuffle(np.zeros(32, "int32"), 0, 1, 12)


@pytest.mark.parametrize("ballot", [0, 1, 0x80000000, 0x12345678, 0xFFFFFFFF])
def test_warp_votes(emulator, ballot):
    out = np.zeros((64, 3), "uint32")
    assert emulator.votes(out, ctypes.c_uint(ballot)) is None
    np.testing.assert_array_equal(
        out, np.tile([ballot, ballot != 0, ballot == 0xFFFFFFFF], (64, 1))
    )


def test_parts_of_a_warp_meet_under_their_own_masks(emulator):
    out = np.zeros(64, "float32")
    assert emulator.half_warps(out) is None
    assert (out == 16).all()


@pytest.mark.parametrize(
    ("case", "problem"),
    [
        ("foreign_mask", "lacks its own lane"),
        ("unequal_masks", "masks disagree"),
        ("unequal_operations", "different warp operations"),
        ("absent_source", "which has exited or takes no part in it"),
        ("warp_against_barrier", "deadlock: thread ("),
    ],
)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_wrong_warp_operation_is_an_error(emulator, case, problem, schedule):
    emulator.schedule(schedule)
    message = getattr(emulator, case)()
    assert re.search(r"block \(0, 0, 0\), thread \(\d+, 0, 0\): ", message)
    assert problem in message
    assert "emulator_cases.cu:" in message


def test_exited_lanes_are_not_waited_for_but_cannot_be_read(emulator):
    out = np.zeros(20, "uint32")
    assert emulator.exited_lane(out) is None
    assert (out == 2**20 - 1).all()
    assert "reads lane 3, which has exited" in emulator.exited_source(np.zeros(32, "int32"))


# ---- helpers of the kernels ----


@pytest.mark.parametrize("threads", [32, 64, 256, 1024])
def test_reductions(emulator, threads):
    x = np.random.default_rng(threads).integers(-1000, 1000, threads).astype("float32")
    for seed in range(3):
        emulator.schedule("random", seed)
        sums, largest = np.empty_like(x), np.empty_like(x)
        assert emulator.reduce(sums, largest, x, threads) is None
        assert (sums == x.sum()).all()
        assert (largest == x.max()).all()


def test_misaligned_vector_access_is_an_error(emulator):
    memory = np.zeros(16, "float32")
    first = (-memory.ctypes.data // 4) % 4  # the first element on a 16-byte boundary
    x, y = memory[first : first + 4], memory[first + 4 : first + 8]
    assert emulator.load(y, x) is None
    assert "128-bit access" in emulator.load(y, memory[first + 1 : first + 5])
    assert "128-bit access" in emulator.load(memory[first + 1 : first + 5], x)


PHILOX_VECTORS = [  # the known answers published with Random123
    (
        "00000000 00000000 00000000 00000000",
        "00000000 00000000",
        "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
    ),
    (
        "ffffffff ffffffff ffffffff ffffffff",
        "ffffffff ffffffff",
        "408f276d 41c83b0e a20bc7c6 6d5451fd",
    ),
    (
        "243f6a88 85a308d3 13198a2e 03707344",
        "a4093822 299f31d0",
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]


@pytest.mark.parametrize(("counter", "key", "answer"), PHILOX_VECTORS)
def test_philox_known_answers(emulator, counter, key, answer):
    def words(text):
        return np.array([int(word, 16) for word in text.split()], "uint32")

    out = np.zeros(4, "uint32")
    assert emulator.philox_block_of(out, words(counter), words(key)) is None
    np.testing.assert_array_equal(out, words(answer))


# ---- 16-bit types ----


def narrow_dtypes():
    yield np.dtype("float16"), True
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="bfloat16 is compared with ml_dtypes")
    yield np.dtype(ml_dtypes.bfloat16), False


def test_widening_is_exact_for_every_bit_pattern(emulator):
    bits = np.arange(2**16, dtype="uint16")
    for dtype, is_half in narrow_dtypes():
        wide = np.empty(2**16, "float32")
        emulator.convert_16_to_32(wide, bits, bits.size, is_half)
        expected = bits.view(dtype).astype("float32")
        nan = np.isnan(expected)
        assert (np.isnan(wide) == nan).all()
        np.testing.assert_array_equal(wide[~nan].view("uint32"), expected[~nan].view("uint32"))


def test_narrowing_rounds_to_nearest_even(emulator):
    rng = np.random.default_rng(0)
    for dtype, is_half in narrow_dtypes():
        every = np.arange(2**16, dtype="uint16").view(dtype).astype("float32")
        every = every[np.isfinite(every)]
        neighbours = np.sort(every)
        with np.errstate(over="ignore"):
            between = neighbours[:-1] + (neighbours[1:] - neighbours[:-1]) / 2  # all the ties
        some = rng.integers(0, 2**32, 200_000, dtype="uint32").view("float32")
        special = np.array([np.inf, -np.inf, 65519.996, 65520, -65520, 3.4e38, -0.0], "float32")
        x = np.concatenate(
            [
                every,
                between,
                np.nextafter(between, np.float32(np.inf)),
                np.nextafter(between, np.float32(-np.inf)),
                some,
                special,
            ]
        )
        x = np.ascontiguousarray(x[~np.isnan(x)])
        narrow = np.empty(x.size, "uint16")
        emulator.convert_32_to_16(narrow, x, x.size, is_half)
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(narrow, x.astype(dtype).view("uint16"))


def test_narrowing_keeps_nan(emulator):
    x = np.array([0x7FC00000, 0xFFC00000, 0x7F800001, 0xFF800001], "uint32").view("float32")
    for dtype, is_half in narrow_dtypes():
        narrow = np.empty(x.size, "uint16")
        emulator.convert_32_to_16(narrow, x, x.size, is_half)
        assert np.isnan(narrow.view(dtype).astype("float32")).all()
        np.testing.assert_array_equal(narrow >> 15, [0, 1, 0, 1])


# ---- failures ----


def test_failure_unwinds_every_thread(emulator):
    """A thread that throws takes the suspended ones with it: their locals are destroyed, and the
    next launch works. (The fixture checks that all fibers came back.)"""
    x, alive = np.arange(128, dtype="float32"), np.full(1, -1, "int32")
    for seed in range(50):
        emulator.schedule("random", seed)
        assert emulator.throwing(alive) == "thrown by the kernel"
        assert alive[0] == 0
        assert emulator.two_barriers() is not None
        y = np.empty_like(x)
        assert emulator.rotate(y, x, 3, True) is None
        np.testing.assert_array_equal(y, np.roll(x, -3))


# ---- an extension with kernels of its own ----

OWN = Path(__file__).parent / "kernels" / "own_kernels.cu"

# What every script below starts with: the extension, under a name of its own.
LOAD = f"""
import importlib.util, os, signal, sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
import numpy as np
from ctrl_c import served
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background ignores
spec = importlib.util.spec_from_file_location("mine._emulated", sys.argv[1])
mine = importlib.util.module_from_spec(spec)
spec.loader.exec_module(mine)
"""


@pytest.fixture(scope="module")
def own_extension(tmp_path_factory):
    cxx = _build.find_cxx()
    if cxx is None:
        pytest.skip("the emulator needs a C++ compiler")
    root = _build.source_root()
    plan = _build.plan_emulated(cxx, root)
    units = tuple(u for u in plan.units if u.source.parent.name in ("emulate", "csrc"))
    command = (*cxx.command, *_build.CXX_FLAGS, "-x", "c++", "-I", str(root / "kernels"))
    key = _build.source_hash(root)[:8]
    units += (_build.Unit(OWN, command, key),)
    folder = tmp_path_factory.mktemp("own")
    return _build.build(replace(plan, units=units), folder / "own.so", _build.objects_folder())


def run_own(extension, script):
    done = subprocess.run(
        [sys.executable, "-c", LOAD + script, str(extension)],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, (done.returncode, done.stderr)
    return done.stdout


def test_faults_of_an_extension_of_ones_own_are_exceptions(own_extension):
    """(U08) Python does not abort, even where only functions of the module are left."""
    said = run_own(
        own_extension,
        """
functions = [mine.diverging, mine.no_grid, mine.number]
def ask():
    for function in functions:
        try:
            function(0)
        except RuntimeError as error:
            print(type(error).__name__, error)
ask()
del mine.KernelError, mine
import gc; gc.collect()
ask()
import tapegrad as tg
print(tg.ones(3, device="emulated").softmax(0).sum().item())
ask()
""",
    )
    assert said.count("waits at the barrier") == 3
    assert said.count("every dimension must be at least 1") == 3
    assert said.count("something was thrown that is no exception") == 3
    assert said.count("KernelError") == 3


@pytest.mark.parametrize("call", ["endless(y, False, 0)", "endless(y, True, 0)"])
def test_an_endless_kernel_is_interrupted_at_once(own_extension, call):
    """(R12) Whether or not its threads ever meet; and the emulator works on."""
    said = run_own(
        own_extension,
        f"""
y = np.zeros(64, dtype=np.float32)
print(served(lambda: mine.{call}, 0.3))
made, pooled = mine.fiber_counts()
assert made == pooled <= 64, (made, pooled)
count = np.zeros(1, dtype=np.int64)
mine.counting(count, 1000, 0)
assert count[0] == 4000
""",
    )
    assert float(said) < SOON


def test_a_knock_at_another_thread_is_not_answered_there(own_extension):
    """Its stack is not the kernel's."""
    said = run_own(
        own_extension,
        """
import threading
other = threading.Thread(target=time.sleep, args=(2,))
other.start()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGURG])  # so that the other thread gets them
pid, until = os.fork(), time.monotonic() + 1.5
while time.monotonic() < until:
    if pid == 0:
        os.kill(os.getppid(), signal.SIGURG)
    else:
        count = np.zeros(1, dtype=np.int64)
        mine.counting(count, 1000, 0)
        assert count[0] == 4000, count
if pid == 0:
    os._exit(0)
os.waitpid(pid, 0)
other.join()
print("counted")
""",
    )
    assert said == "counted\n"


def test_a_handler_that_returns_lets_the_kernel_go_on(own_extension):
    """(R12) It computes the same, and signals are served while it does."""
    said = run_own(
        own_extension,
        """
seen, scratch = [], np.zeros(1, dtype=np.int64)
def handle(*_):
    try:
        mine.counting(scratch, 1, 0)
    except RuntimeError as error:
        seen.append(str(error))
signal.signal(signal.SIGALRM, handle)
signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
count = np.zeros(1, dtype=np.int64)
steps = 1000
while len(seen) < 3:
    count[0] = 0
    mine.counting(count, steps, 0)
    assert count[0] == 4 * steps, count
    steps *= 2
signal.setitimer(signal.ITIMER_REAL, 0)
print(seen[0])
""",
    )
    assert "launched while a signal handler interrupts another kernel" in said
