"""Nobody waits for ever: whatever becomes of a rank, all end, with a status, and name it."""

from __future__ import annotations

import os
import re
import select
import signal

import pytest
from launched import TESTS, begin, launch, needs_mpi

from tapegrad.distributed import starting
from tapegrad.distributed.environment import Place
from tapegrad.distributed.launch import find_mpiexec, is_openmpi

needs_mpi()

# What rank 1 does, and what is said of it.
SAID = {
    "never comes": (
        "s for MPI to start with 3 ranks",
        "rank 1 has started, and has not come to init_process_group",
    ),
    "comes after MPI has started": (
        "[init_process_group] has waited 3 s for other ranks",
        "rank 1 has started, and has not come to init_process_group",
    ),
    "never comes to NCCL": (
        "s in call 0 of group 0, init_process_group NCCL's, of 3 ranks. Missing: ",
        "rank 1 does not answer",
    ),
    "raises": ("[rank 1] ValueError: a broken batch", "rank 1 has raised ValueError"),
    "exits": ("[rank 1] ends with status 3",),
    "ends": ("for rank 1, which has ended", "call 7 of group 0, all_reduce AVG float32 (10,)"),
    "leaves": ("[rank 1] has left by os._exit(0)",),
    "is killed": ("[rank 1] was killed by SIGKILL",),
    "hangs": ("has waited 5 s in call 7 of group 0, new_group", "Missing: rank 1 does not answer"),
    "is stopped": ("has waited 5 s in call 7", "Missing: rank 1 does not answer"),
    "calls another": ("rank 1: broadcast from 0 float32 (10,)", "rank 2: all_reduce AVG float32"),
    "has another shape": ("rank 0: all_reduce AVG float32 (10,)", "rank 1: all_reduce SUM float32"),
}


@pytest.mark.parametrize("how", SAID)
def test_all_end_when_one_rank(how: str) -> None:
    ended = launch(3, TESTS / "failing_rank.py", how, 7, TAPEGRAD_DISTRIBUTED_DEBUG="1")
    assert ended.returncode != 0
    for words in SAID[how]:
        assert words in ended.stderr, ended.stderr


def test_without_the_comparison_a_timeout_says_where_ranks_are() -> None:
    ended = launch(3, TESTS / "failing_rank.py", "calls another", 7)
    assert ended.returncode != 0
    # Of whoever was the first to wait so long. (Open MPI's broadcast takes what others' gathering
    # has sent: that they disagree is noticed a call later.)
    at = r"call (7 of group 0, broadcast|8 of group 0, all_reduce)"
    for words in ("Missing: rank ", "call 7 of group 0, all_reduce", at):
        assert re.search(words, ended.stderr), ended.stderr


@pytest.mark.parametrize("how", ["has another shape", "broadcasts another shape"])
def test_without_the_comparison_other_sizes_are_refused(how: str) -> None:
    ended = launch(3, TESTS / "failing_rank.py", how, 7)
    assert ended.returncode != 0
    assert re.search(r"there came \d+ bytes from rank \d where \d+ were expected", ended.stderr)


def test_ranks_get_each_signal_once() -> None:
    """The terminal's CTRL-C, which goes to the launcher's whole group; and SIGTERM, which goes to
    the launcher alone. The script is a module."""
    if is_openmpi(find_mpiexec()):
        pytest.skip("Open MPI's mpiexec makes SIGTERM of each, and kills the ranks soon afterwards")
    with begin(2, "-m", "noting_rank") as started:
        assert started.stdout is not None
        lines = iter(started.stdout.readline, "")
        assert [next(lines) for _ in range(2)] == ["ready\n"] * 2
        os.killpg(started.pid, signal.SIGINT)
        said: list[str] = []
        while said.count("SIGINT\n") < 2:  # mpiexec has something to say, too
            said.append(next(lines))
        started.send_signal(signal.SIGTERM)
        said += lines
        assert started.wait() == 0
    assert said.count("SIGINT+SIGTERM\n") == 2, said


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_the_clock_of_the_start_does_not_wait_for_what_was_forked_meanwhile() -> None:
    """Which has the pipe to the clock, too."""
    reads, writes = os.pipe()
    with starting.limited(Place(0, 2, 0), 3600):
        child = os.fork()
        if child == 0:
            os.close(writes)
            select.select([reads], [], [], 60)
            os._exit(0)
    ended, _ = os.waitpid(child, os.WNOHANG)
    os.close(writes)
    os.close(reads)
    assert ended == 0
    os.waitpid(child, 0)
