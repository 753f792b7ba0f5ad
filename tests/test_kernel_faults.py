"""What goes wrong while a kernel of one's own runs on the emulated device is an exception: memory
out of bounds, a division by zero, a full stack, CTRL-C while it runs on and on. (R12, U08)"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from ctrl_c import SOON
from own_kernels import OWN_PROCESS

import tapegrad as tg
from tapegrad.core.kernels import AccessError, KernelError, library

FAULTS = """
#include <cassert>
__global__ void far(float* y, const float* x, int64_t n) {
    const int64_t i = global_thread();
    if (i < n) {
        y[i == 3 ? -(int64_t(1) << 40) : i] = x[i];
    }
}
__global__ void behind(float* y, const float* x, int64_t n) {
    const int64_t i = global_thread();
    if (i <= n) {
        y[i] = x[i < n ? i : 0];
    }
}
__global__ void nowhere(float* y, const float* x, int64_t n) {
    const float* missing = x == y ? x : nullptr;
    y[0] = missing[threadIdx.x];
}
__global__ void waiting(float* y, const float* x, int64_t n) {
    __syncthreads();
    if (threadIdx.x == 40) {
        y[-(int64_t(1) << 40)] = 0;
    }
    __syncthreads();
}
__device__ float deeper(const float* x, int64_t depth) {
    float kept[64];
    kept[depth % 64] = x[0];
    return depth == 0 ? kept[0] : deeper(x, depth - 1) + kept[depth % 3];
}
__global__ void deep(float* y, const float* x, int64_t n) {
    y[0] = deeper(x, 1000000);
}
__global__ void wide(float* y, const float* x, int64_t n) {
    float kept[1 << 20];
    for (int64_t i = threadIdx.x; i < n; i += 3) {
        kept[i * 7919 % (1 << 20)] = x[i];
    }
    y[threadIdx.x % n] = kept[int(x[0])];
}
__global__ void before(float* y, const float* x, int64_t n) {
    if (threadIdx.x == 0) {
        y[-2] = x[0];
    }
}
__global__ void divide(float* y, const float* x, int64_t n) {
    const int64_t i = global_thread();
    __syncthreads();
    if (i < n) {
        y[i] = 7 / int(x[i] - 3);
    }
}
__global__ void stop(float* y, const float* x, int64_t n) {
    __syncthreads();
    if (threadIdx.x == 3) {
        __builtin_trap();
    }
}
__global__ void claim(float* y, const float* x, int64_t n) {
    __syncthreads();
    assert(threadIdx.x != 3 || x[threadIdx.x] > 3);
}
__global__ void copy(float* y, const float* x, int64_t n) {
    const int64_t i = global_thread();
    if (i < n) {
        y[i] = x[i];
    }
}
"""


def declared(name):
    return tg.kernel(FAULTS, "x[n] -> y[n]", name=name)(lambda x: x)


def line_of(code):
    own = Path(__file__).read_text().split("\n").index('FAULTS = """') + 1
    return rf"{Path(__file__).name}:{own + FAULTS[: FAULTS.index(code)].count(chr(10))}\b"


# name: (the code that is wrong, what is said)
WRONG = {
    "far": ("y[i == 3", r"thread \(3, 0, 0\): writes memory that is not there at {line}"),
    "behind": (
        "y[i] = x[i <",
        r"thread \(40, 0, 0\): writes memory .* at {line}: 0 bytes behind y, which has 160",
    ),
    "nowhere": ("y[0] = missing", r"reads memory that is not there at {line}"),
    "waiting": ("y[-(int64", r"thread \(40, 0, 0\): writes .* at {line}"),
    "deep": ("__device__ float deeper", "its stack of 1024 KB is full at "),
    "wide": ("__global__ void wide", "its stack of 1024 KB is full at "),
    "before": ("y[-2]", "the memory before y was written, which has shape \\(40,\\)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_memory_out_of_bounds_is_an_exception(name):
    """And the next launches work, the same one's among them."""
    code, words = WRONG[name]
    x = tg.arange(40.0, device="emulated")
    for _ in range(3):
        with pytest.raises(AccessError, match=words.format(line=line_of(code))) as error:
            declared(name)(x)
        assert name in str(error.value)
        assert (declared("copy")(x) == x).all()
        assert x.softmax(0).sum().item() == pytest.approx(1)
    made, pooled = library("emulated").fiber_counts()
    assert made == pooled


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("divide", "y[i] = 7 /", "divides an integer by zero.* at"),
        ("stop", "__builtin_trap()", "executes an illegal instruction at"),
        ("claim", "assert(t", "assertion failed at"),
    ],
)
def test_what_a_processor_refuses_or_an_assertion_is_an_exception(name, code, words):
    x = tg.arange(40.0, device="emulated")
    message = rf"block \(0, 0, 0\), thread \(3, 0, 0\): {words} {line_of(code)}"
    for _ in range(3):
        with pytest.raises(KernelError, match=message) as error:
            declared(name)(x)
        assert not isinstance(error.value, AccessError)
        assert (declared("copy")(x) == x).all()


def test_results_are_memory_of_their_own():
    """What watches a launch is used again, results are not."""
    x = tg.arange(40.0, device="emulated")
    copy = declared("copy")
    first, second = copy(x), copy(x + 1)
    assert (first == x).all()
    assert (second == x + 1).all()
    large = tg.ones(100_000, device="emulated")
    assert (copy(large) == large).all()


def test_handlers_of_faults_stay_as_they_are():
    """Those of Python's are called for faults of others, in whatever thread they are."""
    program = (
        OWN_PROCESS
        + """
import ctypes, faulthandler, threading
faulthandler.enable()
for _ in range(2):
    print(f(x).sum().item())
def crash():
    ctypes.string_at(8)
thread = threading.Thread(target=crash)
thread.start()
thread.join()
"""
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "tail"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout == "40.0\n40.0\n"
    assert done.returncode == -signal.SIGSEGV
    assert "Fatal Python error: Segmentation fault" in done.stderr
    assert "in crash" in done.stderr


def test_faults_while_another_thread_runs_python():
    x = tg.arange(40.0, device="emulated")
    far, copy = declared("far"), declared("copy")
    wrong, stop = [], threading.Event()

    def count():
        while not stop.is_set():
            wrong.extend([] if (copy(x) == x).all() else ["wrong"])

    thread = threading.Thread(target=count)
    thread.start()
    try:
        for _ in range(20):
            with pytest.raises(AccessError):
                far(x)
    finally:
        stop.set()
        thread.join()
    assert not wrong


INTERRUPTED = f"""
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, {str(Path(__file__).parent)!r})
from ctrl_c import served
call()  # what is compiled is there
print(served(wait, 0.5))
print(x.softmax(0).sum().item() > 0.9)
"""

WAITS = {
    "launch": """
g = tg.kernel(SOURCE, "x[n] -> y[n]", name="tail")(lambda x: x)
def call(): f.units["emulated"]["endless", None], g(x), x.softmax(0)
def wait(): f(x)
""",
    "checked launch": """
from tapegrad.core import kernels
def call(): kernels.checked().__enter__(), f.units["emulated"]["endless", None], x.softmax(0)
def wait(): f(x)
""",
    "check": """
def call(): f.units["emulated"]["endless", None]
def wait(): tg.kernel.check(f, seconds=60)
""",
}


@pytest.mark.parametrize(
    "where", ["launch", "check", pytest.param("checked launch", marks=pytest.mark.checked)]
)
def test_an_endless_kernel_is_interrupted(where):
    done = subprocess.run(
        [sys.executable, "-c", OWN_PROCESS + WAITS[where] + INTERRUPTED, "endless"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seconds, works = done.stdout.split()
    assert works == "True"
    assert float(seconds) < SOON
