"""Indices that only a GPU sees to be out of range: told, once, when the program waits for it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.core import deferred

F = tg.nn.functional
gpu = pytest.mark.gpu


@pytest.fixture(autouse=True)
def nothing_pending() -> Iterator[None]:
    yield
    deferred.raise_found()  # an error that a test leaves behind fails it


def lookup(index: int, rows: int = 3, device: str = "cuda") -> tg.Tensor:
    return F.embedding(tg.tensor([0, index], device=device), tg.ones(rows, 2, device=device))


def classify(target: int, classes: int = 4, device: str = "cuda") -> tg.Tensor:
    return F.cross_entropy(tg.zeros(1, classes, device=device), tg.tensor([target], device=device))


def likelihood(target: int, classes: int = 4, device: str = "cuda") -> tg.Tensor:
    weight = tg.ones(classes, device=device)
    log_p, target = tg.zeros(1, classes, device=device), tg.tensor([target], device=device)
    return F.nll_loss(log_p, target, weight)


def other() -> tg.Tensor:
    return tg.ones(1, device="cuda")


WAITS: dict[str, Callable[[tg.Tensor], Any]] = {
    "item": lambda x: x.item(),
    "float": float,
    "bool": bool,
    "tolist": lambda x: x.tolist(),
    "cpu": lambda x: x.cpu(),
    "numpy": lambda x: x.numpy(force=True),
    "repr": repr,
    "synchronize": lambda x: tg.cuda.synchronize(),
    "the next lookup": lambda x: lookup(1),
    "the next loss": lambda x: classify(1),
    "the next likelihood": lambda x: likelihood(1),
}


@gpu
@pytest.mark.parametrize("wait", WAITS)
def test_the_error_comes_with_the_next_wait_and_only_once(wait: str) -> None:
    x = other()
    lookup(7)
    with pytest.raises(IndexError, match=r"\[embedding\] index 7 is .* 3 rows: expected 0 to 2"):
        WAITS[wait](x)
    WAITS[wait](x)
    classify(-3)
    with pytest.raises(IndexError, match=r"\[cross_entropy\] class -3 is .* 4 classes.*-100"):
        WAITS[wait](x)
    WAITS[wait](x)
    likelihood(4)
    with pytest.raises(IndexError, match=r"\[nll_loss\] class 4 is .* 4 classes.*-100"):
        WAITS[wait](x)
    WAITS[wait](x)


@gpu
def test_a_launch_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    def waited(*args: Any) -> None:
        raise AssertionError("waited for the GPU")

    lookup(1), classify(1), likelihood(1)
    monkeypatch.setattr(deferred, "wait", waited)
    for method in ("get", "item", "tolist", "__bool__", "__int__", "__float__"):
        monkeypatch.setattr(type(other()._array), method, waited)
    lookup(2), classify(2), likelihood(2)


@gpu
def test_of_several_errors_each_is_raised() -> None:
    """One error for each table and number of classes: the largest of its indices."""
    with pytest.raises(IndexError, match=r"index 3 is .* 3 rows"):
        lookup(3), lookup(1, rows=5)
    lookup(6, rows=5)
    with pytest.raises(IndexError, match=r"index 6 is .* 5 rows"):
        classify(9)
    classify(9)
    with pytest.raises(IndexError, match="class 9"):
        tg.cuda.synchronize()
    tg.cuda.synchronize()


@gpu
def test_errors_of_one_wait_are_raised_one_after_the_other() -> None:
    notes = [deferred.out_of_range(tg.device("cuda"), IndexError, size) for size in (1, 2)]
    memory = [note.__enter__() for note in notes]
    for index, note in enumerate(memory):
        note[:] = 1, index
    raised = []
    for _ in memory:
        with pytest.raises(IndexError) as error:
            tg.cuda.synchronize()
        raised.append(error.value.args)
    assert sorted(raised) == [(0, 1), (1, 2)]
    tg.cuda.synchronize()


@gpu
def test_a_changed_index_does_not_change_the_error() -> None:
    index = tg.tensor([0, 8], device="cuda")
    F.embedding(index, tg.ones(3, 2, device="cuda"))
    index.fill_(1)
    with pytest.raises(IndexError, match="index 8"):
        tg.cuda.synchronize()


@gpu
@pytest.mark.parametrize("check_nan", [True, False])
def test_anomaly_mode_raises_at_once(check_nan: bool) -> None:
    with tg.autograd.detect_anomaly(check_nan):
        with pytest.raises(IndexError, match="index 7"):
            lookup(7)
        with pytest.raises(IndexError, match="class 7"):
            classify(7)
        with pytest.raises(IndexError, match="class 9"):
            likelihood(9)
    tg.cuda.synchronize()


@gpu
def test_one_thread_of_many_gets_the_error() -> None:
    raised: list[str] = []
    start = threading.Barrier(8)

    def wait() -> None:
        start.wait()
        for _ in range(20):
            try:
                tg.cuda.synchronize()
            except IndexError as error:
                raised.append(str(error))

    lookup(5)
    threads = [threading.Thread(target=wait) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(raised) == 1


@gpu
def test_a_failed_launch_is_not_hidden() -> None:
    check = deferred.out_of_range(tg.device("cuda"), IndexError)
    with pytest.raises(ZeroDivisionError), check as invalid:
        invalid[:] = 1 / np.array(0, object), 5
    with check as invalid:
        invalid[:] = 1, 5
    with pytest.raises(IndexError):
        tg.cuda.synchronize()


@pytest.mark.parametrize("device", ["cpu", "emulated"])
def test_without_a_gpu_the_error_is_raised_at_once(device: str) -> None:
    with pytest.raises(IndexError, match=r"index -1 is .* 3 rows"):
        lookup(-1, device=device)
    with pytest.raises(IndexError, match="class 4"):
        classify(4, device=device)
    with pytest.raises(IndexError, match="class 5"):
        likelihood(5, device=device)


PROGRAM = """
import os, sys
sys.path.insert(0, {tests!r})
import strict_cupy
strict_cupy.install()
import numpy as np
import tapegrad as tg
tg.nn.functional.embedding(tg.tensor([5], device="cuda"), tg.ones(2, 2, device="cuda"))
{rest}
"""


def program(rest: str) -> subprocess.CompletedProcess:
    text = PROGRAM.format(tests=str(Path(__file__).parent), rest=rest)
    return subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=300)


def test_a_program_that_never_waits_is_told_at_its_end() -> None:
    ran = program("print('done')")
    assert ran.stdout == "done\n"
    assert "IndexError: [embedding] index 5 is out of range for a table of 2 rows" in ran.stderr


def test_a_fork_does_not_tell_what_its_parent_will() -> None:
    """Nor does it look: CUDA's memory is not the child's."""
    ran = program(
        """
from tapegrad.core import deferred
if os.fork() == 0:
    (inherited,) = deferred._inherited
    for note in inherited.values():
        note[:] = 1, 9  # would be raised if it were looked at
    tg.ones(3).sum().item(), deferred.raise_found()
    sys.exit(0)
assert os.wait()[1] == 0
try:
    tg.cuda.synchronize()
except IndexError as error:
    print(error)
"""
    )
    assert ran.stdout.startswith("[embedding] index 5"), ran.stderr
    assert ran.stderr == ""


def test_waiting_costs_nothing_where_nothing_was_ever_noted() -> None:
    code = "import tapegrad as tg; from tapegrad.core import devices; tg.ones(1).item(); "
    code += "assert devices.after_waiting == []"
    subprocess.run([sys.executable, "-c", code], check=True)
