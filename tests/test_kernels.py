"""Every launcher of the compiled kernels, against the table in kernel_table.py.

Each call of the table runs with its arrays placed in several ways: aligned, all shifted by one
element, each shifted differently, and ending where readable memory ends. On the emulated device the
pages around an array cannot be touched, so that a kernel which reads out of bounds crashes; what is
left of an array's own pages is filled with 0xFF, which is NaN, so that reading it spoils the result
and writing it is noticed. The order of threads changes with every run and must not change a bit.
"""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import kernel_table as table
import numpy as np
import pytest
from kernel_checks import again, check
from kernel_table import FLOATS, ROWS, In, Out, Row, Scratch, Table, Update, numpy_dtype, place_of

import tapegrad as tg
from tapegrad import _build
from tapegrad.core import devices, kernels
from tapegrad.custom.guarded import CANARY, PLACES, GuardedPages

SCHEDULES = (("ascending", 0), ("descending", 0), ("random", 1), ("random", 2))
if kernels.chosen_schedule() is not None:  # from outside: that in which a test failed
    SCHEDULES = (kernels.chosen_schedule(),)
KERNELS = _build.source_root() / "kernels"


# ---- memory whose neighbourhood is watched ----


class Emulated:
    """Arrays in guarded pages."""

    name = "emulated"

    @staticmethod
    def allocate(size: int) -> Any:
        return GuardedPages.take(size)

    @staticmethod
    def free(pages: Any) -> None:
        pages.give_back()

    @staticmethod
    def fill(pages: Any, values: np.ndarray) -> None:
        pages.bytes[:] = values

    @staticmethod
    def read(pages: Any) -> np.ndarray:
        return pages.bytes

    @staticmethod
    def address(pages: Any) -> int:
        return pages.bytes.ctypes.data

    @staticmethod
    def size(pages: Any) -> int:
        return pages.bytes.size


class Cuda:
    """CuPy arrays, with a margin of canaries."""

    name = "cuda"

    @staticmethod
    def allocate(size: int) -> Any:
        import cupy

        return cupy.empty(-(-size // 512) * 512 + 512, np.uint8)

    @staticmethod
    def free(array: Any) -> None:
        pass

    @staticmethod
    def fill(array: Any, values: np.ndarray) -> None:
        array.set(values)

    @staticmethod
    def read(array: Any) -> np.ndarray:
        return array.get()

    @staticmethod
    def address(array: Any) -> int:
        return array.data.ptr

    @staticmethod
    def size(array: Any) -> int:
        return array.size


class Placed:
    """One array of a call in watched memory."""

    def __init__(self, memory: Any, argument: Any, dtype: np.dtype, index: int, place: Any):
        self.memory, self.argument = memory, argument
        if isinstance(argument, (In, Update)):
            content = np.ascontiguousarray(argument.array)
        else:
            size = argument.size if isinstance(argument, Scratch) else argument.expected.shape
            content = np.empty(size, argument.dtype or dtype)
            content.reshape(-1).view(np.uint8).fill(CANARY)
        self.dtype, self.shape, self.nbytes = content.dtype, content.shape, content.nbytes
        self.block = memory.allocate(self.nbytes + 3 * content.itemsize)
        total = memory.size(self.block)
        wanted = place(index, total - self.nbytes, content.itemsize)
        self.start = place_of(argument, wanted)
        self.before = np.full(total, CANARY, np.uint8)
        self.before[self.inside] = np.frombuffer(content.tobytes(), np.uint8)
        memory.fill(self.block, self.before)

    @property
    def inside(self) -> slice:
        return slice(self.start, self.start + self.nbytes)

    @property
    def address(self) -> int:
        return self.memory.address(self.block) + self.start

    def finish(self) -> tuple[bytes, str | None]:
        """What the array holds now, and what is wrong around it."""
        after = self.memory.read(self.block)
        content = after[self.inside].tobytes()
        problem = None
        if not np.array_equal(after[: self.start], self.before[: self.start]):
            problem = "the memory before it was written"
        elif not np.array_equal(after[self.inside.stop :], self.before[self.inside.stop :]):
            problem = "the memory behind it was written"
        elif isinstance(self.argument, In) and content != self.before[self.inside].tobytes():
            problem = "this input was changed"
        self.memory.free(self.block)
        return content, problem

    def values(self, content: bytes) -> np.ndarray:
        return np.frombuffer(content, self.dtype).reshape(self.shape)


# ---- running a call ----


def launched(
    library: Any,
    memory: Any,
    entry: Row,
    dtype: str | None,
    call: table.Call,
    place: Any,
    where: str,
) -> list[Placed]:
    """Run one call; returns its arrays."""
    placed: list[Placed] = []
    watched = contextlib.ExitStack()

    def put(argument: Any) -> int:
        default = numpy_dtype(dtype or "float64")
        array = Placed(memory, argument, default, len(placed), place)
        placed.append(array)
        if hasattr(library, "watch"):  # the checked build: bounds are known where arrays are
            library.watch(array.address, array.nbytes)
            watched.callback(library.forget, array.address)
        return array.address

    arguments: list[Any] = []
    kept: list[In] = []  # until the launch
    for argument in call:
        if isinstance(argument, Table):
            told = argument.told(iter([put(a) for a in argument.arrays]))
            kept.append(told)
            arguments.append(told.array.ctypes.data if argument.on_host else put(told))
        elif isinstance(argument, (In, Out, Update, Scratch)):
            arguments.append(put(argument))
        else:
            arguments.append(0 if argument is None else argument)
    name = entry.launcher if dtype is None else f"{entry.launcher}_{dtype}"
    try:
        with watched:
            getattr(library, name)(*arguments, 0)
    except RuntimeError as error:
        raise AssertionError(f"{where}: {error}") from error
    return placed


def run(
    library: Any,
    memory: Any,
    entry: Row,
    dtype: str | None,
    call: table.Call,
    place: Any,
    where: str,
) -> list[bytes]:
    """Run one call; returns the bytes of its outputs, after checking them."""
    results = []
    arrays = launched(library, memory, entry, dtype, call, place, where)
    for index, array in enumerate(arrays):
        content, problem = array.finish()
        assert problem is None, f"{where}: array argument {index}: {problem}"
        if isinstance(array.argument, (Out, Update)):
            results.append(content)
            location = f"{where}: array argument {index}"
            check(array.values(content), array.argument.expected, entry, location)
    return results


@contextlib.contextmanager
def schedule(library: Any, *order: Any) -> Iterator[None]:
    if not hasattr(library, "set_schedule"):
        yield
        return
    before = library.schedule()
    library.set_schedule(*order)
    try:
        yield
    finally:
        library.set_schedule(*before)


@pytest.fixture(params=[Emulated, pytest.param(Cuda, marks=pytest.mark.gpu)],
                ids=lambda memory: memory.name)  # fmt: skip
def memory(request: pytest.FixtureRequest) -> Any:
    return request.param


def compare(results: set[tuple], *call: Any) -> None:
    """Run it as ``run`` does; the outputs are those of the runs before."""
    made = tuple(run(*call))
    assert not results - {made}, f"{call[-1]}: the order of threads changed the result"
    results.add(made)


CASES = [pytest.param(entry, dtype, id="-".join(filter(None, (entry.launcher, entry.what, dtype))))
         for entry in ROWS for dtype in entry.dtypes]  # fmt: skip


@pytest.mark.parametrize(("entry", "dtype"), CASES)
def test_launcher(
    memory: Any, entry: Row, dtype: str | None, request: pytest.FixtureRequest
) -> None:
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes", reason="bfloat16 comes from ml_dtypes")
    library = kernels.library(memory.name)
    if memory is Cuda and entry.runs and not getattr(library, entry.runs)():
        pytest.skip(f"{entry.runs}() says that it cannot be launched here")
    draw = table.Draw(numpy_dtype(dtype or "float64"), library)
    orders = itertools.cycle(SCHEDULES)
    for number, call in enumerate(entry.calls(draw)):
        scalars = [a for a in call if isinstance(a, (int, float))]
        for place in PLACES:
            where = f"call {number} {scalars}, {place.__name__}"
            attempt = partial(compare, set(), library, memory, entry, dtype, call, place, where)
            for order in (next(orders), next(orders)):
                try:
                    with schedule(library, *order):
                        attempt()
                except AssertionError as error:
                    if memory is not Emulated:
                        raise
                    line = again(library, order, attempt, request.node.nodeid)
                    raise AssertionError(f"{error}\nagain: {line}") from None


def test_every_launcher_is_in_the_table(memory: Any) -> None:
    library = kernels.library(memory.name)
    suffixes = tuple(f"_{dtype}" for dtype in FLOATS)
    launchers = {name.rsplit("_", 1)[0] for name in dir(library) if name.endswith(suffixes)}
    assert launchers == {entry.launcher for entry in ROWS if entry.dtypes != (None,)}


# ---- launching from Python ----

EMULATED = tg.device("emulated")


def test_arrays_of_any_shape_and_kind_are_launched_on() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="bfloat16 comes from ml_dtypes")
    for dtype in (np.float32, np.float64, np.float16, ml_dtypes.bfloat16):
        x = np.array([[-1.0, 2.0], [3.0, -4.0]], dtype)
        x.flags.writeable = False
        y = np.empty((2, 2), dtype)
        kernels.launch(EMULATED, "relu_forward", x.dtype, y, x, x.size)
        assert y.tolist() == [[0, 2], [3, 0]]
        kernels.launch(EMULATED, "relu_forward", dtype, y[1:, 1], x[:1, 1], 1)  # part of an array
        kernels.launch(
            EMULATED, "relu_forward", np.dtype(dtype).name, y[0, 0, ...], x[1, 0, ...], 1
        )
        assert y.tolist() == [[3, 2], [3, 2]]
        kernels.launch(EMULATED, "relu_forward", dtype, y[2:], None, 0)


RELU = ("relu_forward", "float32")
MISSING = kernels.KernelError
POINTER = r"\[relu_forward_float32\] argument {} must be an array, an address or None, got {}"
WRONG: list[tuple[tuple, type, str]] = [
    ((*RELU, np.float32(1), 0, 0), TypeError, POINTER.format(0, "numpy.float32")),
    ((*RELU, 0, tg.ones(1), 0), TypeError, POINTER.format(1, "Tensor")),
    ((*RELU, 0, "x", 0), TypeError, POINTER.format(1, "str")),
    ((*RELU, 0, True, 0), TypeError, POINTER.format(1, "bool")),
    ((*RELU, 0, 0, 1.5), TypeError, r"argument 2 must be a Python int.*float"),
    ((*RELU, 0, 0, np.int64(0)), TypeError, r"argument 2 must be a Python int.*numpy\.int64"),
    (("elu_forward", "float32", 0, 0, 0, None), TypeError, "argument 3 must be a Python number"),
    ((*RELU, 0, 0, 2**63), OverflowError, "int"),
    (("dropout", "float32", 0, 0, 0, 0, 0.5, -1, 0), OverflowError, "unsigned"),
    ((*RELU, 0, 0), TypeError, r"takes 4 arguments, the stream .*got 3"),
    ((*RELU, 0, 0, 0, 0), TypeError, r"takes 4 arguments, the stream .*got 5"),
    (("warp_drive", "float32"), MISSING, r"\[warp_drive\] no such launcher for float32"),
    (("relu_forward", "int64"), MISSING, r"for int64 on emulated, only .*relu_forward_float16"),
    (("relu_forward", None), MISSING, "no such launcher on emulated, only"),
    (("relu_forward", "fLoat"), TypeError, "fLoat"),
]


@pytest.mark.parametrize(("arguments", "error", "words"), WRONG)
def test_a_wrong_launch_is_refused(arguments: tuple, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        kernels.launch(EMULATED, *arguments)


@pytest.mark.gpu
def test_arrays_of_the_gpu_are_launched_on() -> None:
    x = tg.tensor([-1.0, 2.0], device="cuda")
    y = tg.empty(2, device="cuda")
    kernels.launch(x.device, "relu_forward", x.dtype, y._array, x._array, 2)
    assert y.tolist() == [0.0, 2.0]
    with pytest.raises(TypeError, match="argument 2 must be a Python int"):
        kernels.launch(x.device, "relu_forward", x.dtype, y._array, x._array, x._array)


# ---- what @kernel asks for ----


def test_a_kernel_gets_floats_of_one_dtype_and_contiguous(monkeypatch: Any) -> None:
    monkeypatch.setattr(devices, "overrides", {})
    seen: list[Any] = []

    @kernels.kernel("first", floats="x y", contiguous="y index")
    def first(device: Any, x: Any, y: Any, index: Any, *, scale: float) -> Any:
        seen[:] = x, y, index, scale
        return "done"

    ((types, run),) = devices.overrides["first"]
    assert types == ("cuda", "emulated")
    x, index = np.ones((2, 3), np.float32).T, np.arange(6)[::2]
    assert run(EMULATED, x, x, index, scale=2) == "done"
    assert seen[0] is x
    assert seen[1].flags.c_contiguous
    assert seen[2].flags.c_contiguous
    np.testing.assert_array_equal(seen[1], x)
    assert run(EMULATED, x, None, index, scale=2) == "done"
    assert run(EMULATED, x, x.astype("float64"), index, scale=2) is NotImplemented
    assert run(EMULATED, x.astype(int), x.astype(int), index, scale=2) is NotImplemented

    @kernels.kernel("second")
    def second(device: Any, x: Any, *others: Any) -> Any:
        return (x, *others)

    ((_, run),) = devices.overrides["second"]
    assert all(a.flags.c_contiguous for a in run(EMULATED, x, x, x))
    assert run(EMULATED, x, x, index) is NotImplemented


def test_what_is_compiled_later_takes_the_place_of_what_was_installed(tmp_path: Path) -> None:
    """(In a process of its own, as it replaces the kernels.)"""
    program = f"""
import shutil, sys
from pathlib import Path
from tapegrad.core import kernels
first = Path(kernels.library("emulated").__file__)
later = shutil.copy(first, {str(tmp_path)!r})
spec = kernels.importlib.util.spec_from_file_location("tapegrad._emulated", first)
installed = kernels.importlib.util.module_from_spec(spec)
spec.loader.exec_module(installed)
installed.marked = True
loaded = kernels._load_from("emulated", Path(later))
print(hasattr(loaded, "marked"), loaded.build_info() == installed.build_info())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout == "False True\n", done.stderr


# ---- more elements than an index of 32 bits counts (test_large.py runs some) ----

NARROWING = """
#include "device.cuh"
template <class T> __global__ void copy_kernel(T* y, const T* x, int64_t n) {
    const int i = global_thread();
    if (i < n) y[i] = x[i];
}
template <class T> void copied(T* y, const T* x, int64_t n, cudaStream_t stream) {
    LAUNCH(copy_kernel<T>, 1, 32, 0, stream, y, x, n);
}
LAUNCHER(copied);
"""


def narrowed(file: Path) -> str:
    """Where numbers become ones of fewer bits without a cast, as g++ tells it."""
    cxx = _build.find_cxx()
    if cxx is None or cxx.is_clang:
        pytest.skip("g++ tells of conversions in templates that are launched")
    flags = "-std=c++17 -fsyntax-only -Wconversion -Wno-sign-conversion -Wno-float-conversion"
    command = [*cxx.command, *flags.split(), f"-I{KERNELS}", "-x", "c++", str(file)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.parametrize("file", sorted(KERNELS.glob("*.cu")), ids=lambda file: file.name)
def test_no_index_of_64_bits_is_cut_without_a_cast(file: Path) -> None:
    assert narrowed(file) == ""


def test_an_index_that_is_cut_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "narrowing.cu"
    file.write_text(NARROWING)
    assert "may change value" in narrowed(file)
