"""Launches of the emulated device from several threads: they take turns, one that lasts lets other
threads of Python go on, and CTRL-C ends it in whatever thread it is."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import tapegrad as tg

# y[0] is set until x[0] is, which is another thread's to do.
SOURCE = """
__global__ void waits(float* y, const float* x, int64_t n) {
    if (global_thread() == 0) {
        volatile float* mine = y;
        const volatile float* other = x;
        while (other[0] == 0) {
            mine[0] = 1.0f;
        }
    }
}
__global__ void sums(float* y, const float* x, int64_t n) {
    SHARED(part, float[64]);
    part[threadIdx.x] = x[blockIdx.x * 64 + threadIdx.x];
    for (int distance = 32; distance > 0; distance /= 2) {
        __syncthreads();
        if (threadIdx.x < distance) {
            part[threadIdx.x] += part[threadIdx.x + distance];
        }
    }
    if (threadIdx.x == 0) {
        y[blockIdx.x] = part[0];
    }
}
"""


def launcher(name):
    """A kernel of the source on arrays, with ``blocks`` of 64 threads."""
    kernel = tg.kernel(SOURCE, "x[n] -> y[n]", name=name)(lambda x: x)
    function = kernel.units["emulated"][name, None]
    return lambda y, x, blocks=1: function(y, x, x.size, blocks, 1, 1, 64, 1, 1, 0, 0)


def test_other_threads_go_on_while_a_kernel_runs():
    """It ends only when one of them has seen that it runs."""
    waits = launcher("waits")
    x, y = np.zeros(1, np.float32), np.zeros(1, np.float32)
    thread = threading.Thread(target=waits, args=(y, x), daemon=True)
    thread.start()
    while not y[0]:
        pass
    assert thread.is_alive()
    x[0] = 1
    thread.join(60)
    assert not thread.is_alive()


def test_threads_that_launch_at_once_take_turns():
    sums = launcher("sums")
    inputs = [np.random.default_rng(i).integers(-99, 99, 640).astype("float32") for i in range(3)]
    wrong, started = [], threading.Barrier(len(inputs))

    def launch(x):
        y = np.zeros(10, np.float32)
        started.wait()
        for _ in range(200):
            y[:] = -1
            sums(y, x, 10)
            wrong.extend([] if (y == x.reshape(10, 64).sum(1)).all() else [y.copy()])

    threads = [threading.Thread(target=launch, args=(x,)) for x in inputs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_launch_waits_for_one_of_another_thread():
    """Also if that lasts, and has given up the GIL."""
    waits, sums = launcher("waits"), launcher("sums")
    flag, seen = np.zeros(1, np.float32), np.zeros(1, np.float32)
    long = threading.Thread(target=waits, args=(seen, flag), daemon=True)
    long.start()
    while not seen[0]:
        pass
    x, y = np.ones(64, np.float32), np.zeros(1, np.float32)
    other = threading.Thread(target=sums, args=(y, x), daemon=True)
    other.start()
    other.join(0.2)
    assert other.is_alive()
    assert y[0] == 0
    flag[0] = 1
    other.join(60)
    long.join(60)
    assert y[0] == 64


# In a process of its own: the kernels, and the thread that is in the endless one.
BEGIN = f"""
import os, signal, sys, threading, time
import numpy as np
import tapegrad as tg
from tapegrad.core.kernels import KernelError
SOURCE = {SOURCE!r}
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background ignores
def launcher(name):
    kernel = tg.kernel(SOURCE, "x[n] -> y[n]", name=name)(lambda x: x)
    function = kernel.units["emulated"][name, None]
    return lambda y, x, blocks=1: function(y, x, x.size, blocks, 1, 1, 64, 1, 1, 0, 0)
waits, sums = launcher("waits"), launcher("sums")
never, begun, said = np.zeros(1, np.float32), np.zeros(1, np.float32), []
def run():
    try:
        waits(begun, never)
    except KernelError as error:
        said.append(str(error))
def summed():
    y = np.zeros(1, np.float32)
    sums(y, np.ones(64, np.float32))
    return y[0]
thread = threading.Thread(target=run)
def begin():
    thread.start()
    while not begun[0]:
        time.sleep(0.01)
def press():
    pid = os.getpid()
    def later():
        time.sleep(0.3)
        os.kill(pid, signal.SIGINT)
    threading.Thread(target=later).start()
"""

ENDS = {
    "CTRL-C in join": """
begin()
try:
    press(); thread.join()
except KeyboardInterrupt:
    print("interrupted")
while not said:  # (join itself may return at once where it was interrupted before)
    time.sleep(0.01)
print(said[0]); print(summed())
""",
    "CTRL-C while the first thread waits for its turn": """
begin()
try:
    press(); summed()
except KeyboardInterrupt:
    print("interrupted")
thread.join(); print(said[0]); print(summed())
""",
    "a handler of one's own": """
begin()
signal.signal(signal.SIGINT, lambda *_: print("interrupted") or pressed.set())
pressed = threading.Event()
press(); pressed.wait()
thread.join(0.5)
print("waits.cu block (0, 0, 0), thread (0, 0, 0): interrupted" if thread.is_alive() else said)
never[0] = 1
thread.join(); print(summed())
""",
    "the end of Python": """
thread.daemon = True
begin()
print("interrupted"); print("waits: block (0, 0, 0), thread (0, 0, 0): interrupted"); print(64.0)
""",
}


@pytest.mark.parametrize("how", ENDS)
def test_a_kernel_in_another_thread_ends(how):
    lines = run_alone(ENDS[how]).splitlines()
    assert lines[0] == "interrupted"
    assert "waits" in lines[1]
    assert "block (0, 0, 0), thread (0, 0, 0)" in lines[1]
    assert lines[1].endswith("interrupted")
    assert lines[2] == "64.0"


FORKS = {
    "while nothing runs": ("", "64.0"),
    "while a kernel runs": ("begin()", "was forked while a kernel ran in another thread"),
    "in a handler, while a kernel of this thread runs": (
        "signal.signal(signal.SIGALRM, lambda *_: fork())\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.3)\n"
        "waits(begun, never)",
        "64.0",  # another file of kernels, with an emulator of its own
    ),
}


@pytest.mark.parametrize("when", FORKS)
def test_a_child_process_launches_or_says_why_not(when):
    before, expected = FORKS[when]
    said = run_alone(f"""
def fork():
    pid = os.fork()
    if pid == 0:
        try:
            print(summed(), flush=True)
        except KernelError as error:
            print(error, flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
    never[0] = 1
{before}
fork()
never[0] = 1
if thread.is_alive():
    thread.join()
print(summed())
""").splitlines()
    assert expected in said[0]
    assert said[-1] == "64.0"


def run_alone(script):
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + script],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    assert not done.stderr
    return done.stdout


def test_what_a_handler_raises_reaches_the_program() -> None:
    class Late(Exception):
        pass

    def raise_late(number: int, frame: object) -> None:
        raised.append(number)
        raise Late

    raised: list[int] = []
    seen = 0
    x = tg.randn(200, 200, device="emulated")
    before = signal.signal(signal.SIGALRM, raise_late)
    try:
        for count in range(5):
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.02)
                while len(raised) == count:
                    x @ x
            except Late:
                seen += 1
    finally:
        signal.signal(signal.SIGALRM, before)
    assert seen == 5


DAEMONS = """
import ctypes, threading, time
import tapegrad as tg
libc = ctypes.CDLL(None)  # an end that takes a while
libc.__cxa_atexit(ctypes.cast(libc.usleep, ctypes.c_void_p), ctypes.c_void_p(300000), None)
x = tg.ones(3000, device="emulated")
x.softmax(-1)
def work():
    while True:
        x.softmax(-1)
for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.2)
"""


def test_daemon_threads_that_wait_for_their_turn_end_with_python() -> None:
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", DAEMONS], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
