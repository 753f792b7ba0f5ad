"""Orders of threads: as text, made smaller where a kernel fails, and seen again. (U07)"""

from __future__ import annotations

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from kernel_checks import again

import tapegrad as tg
from tapegrad import cli
from tapegrad.core import kernels
from tapegrad.core.schedules import ALL, Schedule
from tapegrad.custom.shrinking import shrink_schedule, shrink_sizes

# Without the barrier that belongs there, the first is right where thread 0 of a block comes before
# thread 1, the second where all come in ascending order, or thread 0 of the last round comes late.
SOURCE = """
__global__ void first(float* y, const float* x, int64_t n) {
    SHARED(kept, float[1]);
    if (threadIdx.x == 0) kept[0] = x[blockIdx.x * 64];
    const int64_t i = global_thread();
    if (i < n) y[i] = kept[0];
}
__global__ void rounds(float* y, const float* x, int64_t n) {
    SHARED(kept, float[64]);
    const int64_t i = global_thread();
    for (int round = 0; round < 3; ++round) {
        __syncthreads();
        kept[threadIdx.x] = i < n ? x[i] + round : 0;
    }
    if (i < n) y[i] = kept[threadIdx.x / 2];
}
__global__ void late(float* y, const float* x, int64_t n) {
    SHARED(kept, float[64]);
    const int64_t i = global_thread();
    kept[threadIdx.x] = i < n ? x[i] : 0;
    __syncthreads();
    const float left = kept[threadIdx.x > 0 ? threadIdx.x - 1 : 0];
    kept[threadIdx.x] = left;
    __syncthreads();
    if (i < n) y[i] = kept[threadIdx.x];
}
"""


def blocks(x, which):
    """x[which(place in its block of 64)], whatever the block."""
    places = np.arange(len(x))
    return x[places // 64 * 64 + which(places % 64)]


def declared(name, body, text=SOURCE):
    return tg.kernel(text, "x[n] -> y[n]", name=name, threads=64)(body)


# name: (the kernel, sizes and decisions that are left of its failure)
FAILING = {
    "first": (declared("first", lambda x: blocks(x, lambda i: 0 * i)), {"n": 2}, 1),
    "rounds": (declared("rounds", lambda x: blocks(x, lambda i: i // 2) + 2), {"n": 2}, 63),
    "late": (declared("late", lambda x: blocks(x, lambda i: np.maximum(i - 1, 0))), {"n": 3}, 0),
}


@pytest.mark.parametrize("name", FAILING)
def test_a_failure_is_made_smaller_and_seen_again(name):
    kernel, sizes, decisions = FAILING[name]
    report = tg.kernel.check(kernel, mutate=False)
    assert report.again.sizes == sizes, report
    schedule = Schedule.parse(report.again.schedule)
    assert 0 < schedule.taken <= decisions or schedule == Schedule("ascending"), report
    same = tg.kernel.check(kernel, mutate=False)
    assert same.again == report.again
    line = re.search(r"again: (tg\.kernel\.check.*)\n", str(report))[1]
    seen = eval(line, {"tg": tg, name: kernel})
    assert not seen
    assert [f.what for f in seen.findings] == ["values"]
    said = next(f for f in report.findings if f.what == "values").said.split("\n")[-1]
    assert said.removeprefix("and smaller: ") == seen.findings[0].said
    assert seen.launches == 1


def test_sizes_stay_among_those_that_are_allowed():
    kernel = FAILING["first"][0]
    report = tg.kernel.check(kernel, sizes={"n": (100, 40)}, mutate=False)
    assert report.again.sizes == {"n": 40}, report


def test_a_failure_of_the_shells_check_is_seen_again(tmp_path, capsys):
    file = tmp_path / "mine.py"
    file.write_text(
        f"import tapegrad as tg\nSOURCE = {SOURCE!r}\n"
        '@tg.kernel(SOURCE, "x[n] -> y[n]", threads=64)\n'
        "def first(x):\n    return x[0].expand(len(x)) if len(x) else x\n"
    )
    assert cli.main(["check", str(file), "--size", "n=33", "--no-mutants"]) == 1
    line = re.search(r"^again: tapegrad (.*)$", capsys.readouterr().out, re.MULTILINE)[1]
    assert line.startswith(f"check {file} --only first --size n=33 --schedule random:")
    assert cli.main(line.split()) == 1
    assert "1 kernel, 1 launches" in capsys.readouterr().out
    right = line.rpartition(" ")[0]
    assert cli.main([*right.split(), "ascending"]) == 0
    assert cli.main([*right.split(), "sideways"]) == 1
    assert "a schedule is random, ascending, descending" in capsys.readouterr().err


# ---- schedules ----

TEXTS = ("ascending", "descending", "random:0", "random:7", "random:7:40-42", "random:7:0-0")
TEXTS += ("descending:0:3-9", "random:1:5-")


@pytest.mark.parametrize("text", TEXTS)
def test_schedules_are_text(text):
    assert str(Schedule.parse(text)) == text


def test_text_of_schedules():
    assert Schedule.parse("random:7:40-42") == ("random", 7, 40, 3)
    assert Schedule.parse("random") == ("random", 0, 0, ALL)
    for text in ("", "up", "random:x", "random:1:3", "random 7", "random:-1"):
        with pytest.raises(ValueError, match="a schedule is"):
            Schedule.parse(text)


def order_of(schedule, blocks=2, threads=32):
    """The order in which threads come to a counter."""
    kernel = tg.kernel(
        """
__global__ void order(int* y, const int* x, int64_t n) {
    static int count;
    if (x[0] >= 0) count = x[0];
    y[global_thread()] = count++;
}
""",
        "x[n] -> y[n]",
        name="order",
        blocks=lambda n: n // 32,
        threads=32,
    )(lambda x: x)
    start = tg.full((blocks * threads,), -1, dtype=tg.int32, device="emulated")
    zero = tg.zeros(blocks * threads, dtype=tg.int32, device="emulated")
    with kernels.schedule("ascending"):
        kernel(zero)
    with kernels.schedule(*schedule):
        found = np.argsort(kernel(start).numpy()).tolist()
        return found, kernels.library("emulated").schedule()[3]


def test_only_some_decisions_are_not_ascending():
    whole, left = order_of(Schedule("random", 3, 0, 999))
    assert sorted(whole) == [*range(64)] != whole
    assert 999 - left == 1 + 2 * 33  # of blocks; then each thread's turn, and that none is left
    assert order_of(Schedule("random", 3))[0] == whole
    assert order_of(Schedule("random", 3, 0, 0))[0] == [*range(64)]
    some, left = order_of(Schedule("random", 3, 1, 1))
    assert left == 0
    assert some[0] == order_of(Schedule("random", 3, 1))[0][0] != 0
    assert sorted(some[1:32]) == some[1:32]
    assert some[32:] == [*range(32, 64)]


def test_a_schedule_is_shrunk_to_what_it_needs():
    def fails(tried):
        return tried.order == "random" and tried.skipped <= 40 and tried.skipped + tried.taken > 42

    assert shrink_schedule(Schedule("random", 7), fails, 1000) == ("random", 7, 40, 3)
    assert shrink_schedule(Schedule("random", 7), lambda tried: True, 9) == ("ascending", 0, 0, ALL)
    never = Schedule("random", 7)
    assert shrink_schedule(never, lambda tried: False, 9) == never
    assert shrink_sizes({"n": 1000, "m": 9}, lambda s: s["n"] > 30 and s["m"] > 1, {}) == {
        "n": 31,
        "m": 2,
    }
    assert shrink_sizes({"n": 9}, lambda s: True, {"n": (9, 7)}) == {"n": 7}


def test_tests_of_kernels_say_how_a_failure_is_seen_again():
    kernel, x = FAILING["first"][0], tg.ones(64, device="emulated")

    def attempt():
        assert not np.isnan(kernel(x).numpy()).any()

    library = kernels.library("emulated")
    text = again(library, ("descending", 0), attempt, "tests/test_kernels.py::test_launcher[x]")
    found = re.fullmatch(
        r"TAPEGRAD_EMULATOR_SCHEDULE=(descending:0:\d+-\d+) "
        r"python -m pytest 'tests/test_kernels\.py::test_launcher\[x\]'",
        text,
    )
    with kernels.schedule(*Schedule.parse(found[1])), pytest.raises(AssertionError):
        attempt()


def test_the_schedule_of_a_program_is_chosen_from_outside():
    program = "from tapegrad.core import kernels; print(kernels.library('emulated').schedule()[:3])"

    def run(schedule):
        environ = {**os.environ, "TAPEGRAD_EMULATOR_SCHEDULE": schedule}
        return subprocess.run(
            [sys.executable, "-c", program],
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )

    assert run("random:7:40-42").stdout == "('random', 7, 40)\n"
    assert "TAPEGRAD_EMULATOR_SCHEDULE: a schedule is" in run("sideways").stderr
