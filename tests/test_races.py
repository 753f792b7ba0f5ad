"""The checked build of the emulated device: what it reports, and that it reports nothing else.

The kernels are in kernels/race_cases.cu, where the lines that a report has to name bear the name of
the case. Every report comes from one run, whatever the schedule.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import emulated_cases
import numpy as np
import pytest
from emulated_cases import SCHEDULES, build

CASES = Path(__file__).parent / "kernels" / "race_cases.cu"


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    return build(CASES, tmp_path_factory.mktemp("races"), True)


@pytest.fixture(params=SCHEDULES)
def schedule(request, emulator):
    emulator.schedule(request.param, 3)
    yield request.param
    emulator.schedule("random")


def ints(size):
    return np.zeros(size, "int32")


def lines_of(case):
    return emulated_cases.lines_of(CASES, case)


CLEAN = {
    "rotate": [ints(64)],
    "reuse": [ints(64)],
    "double_buffer": [ints(64)],
    "loop_of_barriers": [ints(64)],
    "neighbours": [ints(32)],
    "own_half": [ints(32)],
    "ordered_by_shuffle": [ints(32)],
    "exited_lanes": [ints(32)],
    "histogram_of_one_each": [ints(64)],
    "atomic_histogram": [ints(4)],
    "confirmed_reads": [ints(1)],
    "compilers_atomics": [ints(2)],
    "total_of_launches": [ints(1)],
    "last_block": [ints(8), ints(1), ints(64)],
    "last_block_all_fence": [ints(512), ints(1), ints(64)],
    "last_block_one_fences": [ints(512), ints(1), ints(64)],
    "flag": [ints(2), ints(1)],
    "lock": [ints(1), ints(1)],
    "neighbouring_bytes": [np.zeros(64, "uint8")],
    "triples": [np.zeros((64, 3))],
    "copies": [np.zeros(64, "uint8"), np.zeros(17, "uint8")],
    "transpose": [ints(1024)],
}


@pytest.mark.parametrize("case", CLEAN)
def test_what_is_ordered_is_not_reported(emulator, schedule, case):
    assert emulator(case, *(np.zeros_like(array) for array in CLEAN[case])) is None


RACES = {  # and what else the report says
    "rotate_without_barrier": ([ints(64)], "of tile, which has 256 bytes"),
    "reuse_too_early": ([ints(64)], "no __syncthreads|__syncwarp"),
    "double_buffer_without_barrier": ([ints(64)], "of tile, which has 512 bytes"),
    "two_writers": ([ints(32)], r"race on byte \d+ of array 0, which has 128 bytes"),
    "neighbours_without_sync": ([ints(32)], r"no __syncwarp\(\), __syncthreads\(\)"),
    "other_half": ([ints(32)], "__syncwarp"),
    "other_warp": ([ints(64)], r"in no order: no __syncthreads\(\)"),
    "in_step": ([ints(32)], "__syncwarp"),
    "histogram": ([ints(4)], "of array 0, which has 16 bytes"),
    "atomic_and_plain": ([ints(1)], "changes? it atomically|changed it atomically"),
    "total_of_blocks": ([ints(1)], "blocks run in no order"),
    "device_variable": ([], "byte 0 of .*counter, which has 4 bytes"),
    "last_block_without_fence": ([ints(8), ints(1), ints(64)], "__threadfence"),
    "flag_without_fence": ([ints(2), ints(1)], "array 0"),
    "lock_without_fence": ([ints(1), ints(1)], "array 0"),
    "overlapping_bytes": ([np.zeros(65, "uint8")], "which has 65 bytes"),
    "overlapping_triples": ([np.zeros((65, 3))], "which has 1560 bytes"),
    "overlapping_copies": ([np.zeros(65, "uint8"), np.zeros(17, "uint8")], "which has 65 bytes"),
}


@pytest.mark.parametrize("case", RACES)
def test_a_race_is_reported_in_one_run(emulator, schedule, case):
    arrays, words = RACES[case]
    message = emulator(case, *(np.zeros_like(array) for array in arrays))
    assert message is not None
    assert message.startswith("RaceError: ")
    assert re.search(words, message), message
    named = set(map(int, re.findall(r"race_cases\.cu:(\d+)", message)))
    assert named == set(lines_of(case)), message
    thread = r"block \(\d+, 0, 0\), thread \(\d+, 0, 0\)"
    later, earlier = "(?:reads|writes|changes) it", "(?:read|wrote|changed) it"
    pairs = rf"race on .+\n +{thread} {later} .+\n +{thread} {earlier} "
    assert len(re.findall(pairs, message)) == message.count("race on") > 0


ACCESSES = [
    ("read_outside", [ints(64), ints(64), 1], r"0 bytes past the end of array 1.* reads 4 bytes"),
    ("read_outside", [ints(64), ints(64), -3], r"12 bytes before the start of array 1.* reads 4 "),
    ("write_outside", [ints(64), 1], r"0 bytes past the end of array 0.* writes 4 bytes"),
    ("write_outside", [ints(64), 2000000], r"no array of the launch.* writes 4 bytes"),
    ("shared_outside", [ints(64), 1, False], r"0 bytes past the end of tile, which has 256"),
    (
        "shared_outside",
        [ints(64), 1, True],
        r"0 bytes past the end of dynamic shared memory, .* 256",
    ),
    ("unwritten", [ints(64)], r"nothing wrote in this block: byte 20 of tile.*thread \(5, 0, 0\)"),
    ("written_by_the_block_before", [ints(128)], r"byte \d+ of tile.*block \(1, 0, 0\)"),
    ("vector", [np.zeros(16, "float32"), np.zeros(17, "float32"), 1], "no multiple of 16"),
]


@pytest.mark.parametrize(("case", "arguments", "words"), ACCESSES)
def test_an_undefined_access_is_reported(emulator, case, arguments, words):
    emulator.schedule("ascending")
    message = emulator(case, *arguments)
    emulator.schedule("random")
    assert message is not None
    assert message.startswith("AccessError: ")
    assert re.search(words, message, re.DOTALL), message
    assert f"race_cases.cu:{lines_of(case)[0]}" in message


def test_arrays_that_were_told_are_the_bounds(emulator):
    assert emulator("read_outside", ints(64), ints(64), 0) is None
    assert emulator("write_outside", ints(128)[32:], 32) is None
    aligned = np.zeros(20, "float32")
    start = -aligned.ctypes.data % 16 // 4
    assert emulator("vector", aligned[start:], np.zeros_like(aligned)[start:], 0) is None


def test_barriers_are_told_apart_on_one_line(emulator, schedule):
    message = emulator("barriers_on_a_line", ints(64))
    assert message is not None
    assert message.startswith("KernelError: ")
    assert message.count(f"race_cases.cu:{lines_of('barriers_on_a_line')[0]}") == 2


@pytest.mark.parametrize(
    ("case", "arguments", "words"),
    [
        ("lock_in_step", [ints(1), ints(1)], r"of array 1.* wrote it last at"),
        ("never_set", [ints(1)], "nobody wrote it"),
    ],
)
def test_waiting_for_ever_is_reported(emulator, schedule, case, arguments, words):
    message = emulator(case, *(np.zeros_like(array) for array in arguments))
    assert message is not None
    assert message.startswith("KernelError: ")
    assert "waits for ever" in message
    assert re.search(words, message, re.DOTALL), message
    assert f"race_cases.cu:{lines_of(case)[0]}" in message


ENDLESS = """
import sys, time
sys.path.insert(0, sys.argv[1])
from emulated_cases import Emulator
from test_races import ints
emulator = Emulator(sys.argv[2], True)
emulator.library.interrupt_soon()
for _ in range(3):
    began = time.process_time()
    assert emulator("endless", ints(64), sys.argv[3] == "True") == "Interrupted"
    print(time.process_time() - began)
"""


@pytest.mark.parametrize("meets", [False, True])
def test_an_endless_loop_is_interrupted(emulator, meets):
    """In a process of its own: in this one another emulator may have taken the signal."""
    folder, path = str(Path(__file__).parent), emulator.library._name
    command = [sys.executable, "-c", ENDLESS, folder, path, str(meets)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert max(map(float, done.stdout.split())) < 0.2  # (of processor time)


def test_bank_conflicts_are_counted_by_line(emulator):
    (line,) = lines_of("transpose")
    counted = {}
    for case in ("transpose", "transpose_padded"):
        emulator.library.count_bank_conflicts()
        assert emulator(case, ints(1024)) is None
        found = emulator("bank_conflicts").splitlines()
        counted[case] = [row.split()[-3:] for row in found if f"race_cases.cu:{line} " in row]
    assert counted == {
        "transpose": [["32", "1024", "32"]],
        "transpose_padded": [["32", "32", "32"]],
    }
