"""Loaders with worker processes: what they make, and what becomes of them."""

from __future__ import annotations

import copy
import gc
import multiprocessing
import os
import platform
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import namedtuple
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.core import native
from tapegrad.data import DataLoader, Dataset, IterableDataset, TensorDataset, get_worker_info

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:DataLoader. . workers on:UserWarning"),
]
Sample = namedtuple("Sample", "image label")


@pytest.fixture(autouse=True)
def no_process_left() -> Any:
    yield
    gc.collect()
    children = multiprocessing.active_children()
    for child in children:
        child.kill()
    assert not children


class Images(Dataset):
    """Items with all that is drawn at random: by the library, by NumPy, and by Python."""

    def __init__(self, count: int = 12, size: int = 500):
        self.count, self.size = count, size

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        drawn = np.random.rand(), random.random()  # noqa: NPY002
        noise = tg.rand(self.size)
        return {"x": noise + index, "name": f"n{index}", "drawn": drawn, "i": index}


class Pids(Dataset):
    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> int:
        return os.getpid()


class Numbers(IterableDataset):
    """Each worker's share of range(11)."""

    def __iter__(self) -> Any:
        info = get_worker_info()
        first, step = (0, 1) if info is None else (info.id, info.num_workers)
        return iter(range(first, 11, step))


class Failing(Dataset):
    def __init__(self, error: Exception, at: int = 5):
        self.error, self.at = error, at

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> int:
        if index == self.at:
            raise self.error
        return index


class Dying(Failing):
    def __getitem__(self, index: int) -> int:
        if index == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        return index


class Sleeping(Failing):
    def __getitem__(self, index: int) -> int:
        if index >= self.at:
            time.sleep(600)  # longer than the tests take
        return index


class Odd(Exception):
    """One that a text alone does not make."""

    def __init__(self, first: int, second: int):
        super().__init__(first, second)


def plain(batch: Any) -> Any:
    """A batch without tensors, for comparison."""
    if isinstance(batch, tg.Tensor):
        return batch.tolist()
    if isinstance(batch, dict):
        return {key: plain(value) for key, value in batch.items()}
    return [plain(value) for value in batch] if isinstance(batch, (list, tuple)) else batch


def epochs(workers: int, count: int = 2, **options: Any) -> list:
    """What some passes give; in this process without what NumPy and Python have drawn."""
    generator = tg.Generator().manual_seed(7)
    loader = DataLoader(
        Images(), 5, shuffle=True, num_workers=workers, generator=generator, **options
    )
    found = [[plain(batch) for batch in loader] for _ in range(count)]
    if not workers:
        for batch in chain(*found):
            del batch["drawn"]
    return found


# ---------------------------------------------------------------------- what workers make


def test_batches_do_not_depend_on_the_number_of_workers() -> None:
    in_process = epochs(0)
    made = [epochs(1), epochs(2), epochs(3), epochs(2, persistent_workers=True)]
    assert made[0] == made[1] == made[2] == made[3]  # NumPy's and Python's draws are alike, too
    for batch in chain(*made[0]):
        del batch["drawn"]
    assert made[0] == in_process
    assert in_process[0] != in_process[1]
    unordered = epochs(2, in_order=False)
    for found, expected in zip(unordered, epochs(1), strict=True):
        assert sorted(found, key=str) == sorted(expected, key=str)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_every_way_to_start_workers(method: str) -> None:
    context: Any = method if method == "spawn" else multiprocessing.get_context(method)
    assert epochs(1, 1, multiprocessing_context=context) == epochs(1, 1)


def test_what_a_worker_knows() -> None:
    class Known(Dataset):
        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> Any:
            info = get_worker_info()
            assert info is not None
            assert info.dataset is self
            return info.id, info.num_workers, info.seed, self.told

    def tell(worker: int) -> None:
        info = get_worker_info()
        assert info is not None
        assert tg.initial_seed() == info.seed
        info.dataset.told = worker + 10

    loader = DataLoader(
        Known(), None, num_workers=2, worker_init_fn=tell, generator=tg.Generator().manual_seed(1)
    )
    seen = [tuple(sample) for sample in loader]
    seeds = [seed for _, _, seed, _ in seen]
    assert [(i, n, told) for i, n, _, told in seen] == [(0, 2, 10), (1, 2, 11)] * 2
    assert seeds[1] == seeds[0] + 1
    assert seeds[2:] == seeds[:2]
    assert get_worker_info() is None


class Threads(Dataset):
    """How many threads the loops have, and NumPy's matrix products."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Any:
        loops = native.compiled
        return 1 if loops is None else loops.get_num_threads(), tg.get_num_threads()


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_worker_has_one_thread(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("threadpoolctl", reason="needs the extra train")
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # of a process that is not forked
        monkeypatch.setenv(name, "3")
    before = Threads()[0]
    native.use_threads(2)
    try:
        loader = DataLoader(Threads(), num_workers=1, multiprocessing_context=method)
        assert [int(n) for n in next(iter(loader))] == [1, 1]
        assert tg.get_num_threads() == 2
    finally:
        native.use_threads(max(before))


def test_streams_are_shared_out_by_whoever_writes_them() -> None:
    loader = DataLoader(Numbers(), 2, num_workers=2)
    for _ in range(2):
        assert plain(list(loader)) == [[0, 2], [1, 3], [4, 6], [5, 7], [8, 10], [9]]
    cut = DataLoader(Numbers(), 2, num_workers=3, drop_last=True, persistent_workers=True)
    for _ in range(2):
        assert plain(list(cut)) == [[0, 3], [1, 4], [2, 5], [6, 9], [7, 10]]
    assert list(DataLoader(Numbers(), None, num_workers=1)) == list(range(11))
    unordered = DataLoader(Numbers(), None, num_workers=2, in_order=False)
    assert sorted(unordered) == list(range(11))


class Faults(Dataset):
    """Memory that is taken and given back, and how often the system had to map some for it."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> int:
        import resource

        for _ in range(2):
            pieces = [np.ones(50_000, np.uint8) for _ in range(64)]
            np.concatenate(pieces)
            del pieces
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of the GNU C library")
def test_memory_of_a_batch_serves_the_next() -> None:
    counts = [int(n) for n in DataLoader(Faults(), None, num_workers=1)]
    assert counts[-1] - counts[1] < 100 * 6  # of some 3,000 pages each


class Understating(Numbers):
    def __len__(self) -> int:
        return 6


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_that_gives_more_than_it_told_is_warned_of_once(workers: int) -> None:
    loader = DataLoader(Understating(), 2, num_workers=workers)
    list(loader)  # nobody has asked
    assert len(loader) == 3
    passed = iter(loader)
    for _ in range(3):
        next(passed)
    with pytest.warns(UserWarning, match="more than the 3 batches that len") as warned:
        assert len(list(passed)) == 3
    assert len(warned) == 1
    assert Path(warned[0].filename) == Path(__file__)


def test_batches_of_all_kinds_come_through() -> None:
    shared = tg.arange(6.0)
    values = [
        tg.zeros(0, 3),
        tg.tensor(2.5),
        tg.ones(3, dtype="bfloat16"),
        tg.arange(6).reshape(2, 3).T,
        tg.ones(200_000),
        tg.nn.Parameter(tg.ones(2)),
        tg.ones(2, requires_grad=True),
        [shared, shared],
        Sample(tg.ones(2, device="emulated"), "text"),
        np.ones((2, 700))[:, ::2],
        None,
        {"deep": (1, [b"bytes", tg.tensor([True])])},
        np.float32(3),
    ]
    found = list(DataLoader(values, None, num_workers=1, collate_fn=same))
    for sent, come in zip(values, found, strict=True):
        assert type(come) is type(sent)
        if isinstance(sent, tg.Tensor):
            assert (come.dtype, come.device, come.requires_grad) == (
                sent.dtype,
                sent.device,
                sent.requires_grad,
            )
            assert come.dtype is sent.dtype
            assert come.tolist() == sent.tolist()
    assert found[7][0] is found[7][1]
    assert found[8].image.device == tg.device("emulated")
    found[4] += 1  # it may be changed
    assert found[4].sum().item() == 400_000


def same(value: Any) -> Any:
    return value


def test_batches_stay_what_they_are_while_they_are_kept() -> None:
    """The memory of a batch is used again, but not before the last array over it is gone."""
    data = TensorDataset(tg.arange(400)[:, None] + tg.zeros(300, dtype=tg.int64))
    loader = DataLoader(data, 4, num_workers=2)
    files = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
    kept = []
    for n, (batch,) in enumerate(loader):
        kept.append(batch[1:2] if n % 3 else batch)  # a view is enough to keep it
        if sys.platform == "linux":
            assert len(os.listdir("/proc/self/fd")) < files + 60
    assert len(kept) == 100
    for n, batch in enumerate(kept):
        first = 4 * n + 1 if n % 3 else 4 * n
        assert batch[:, 0].tolist() == list(range(first, first + len(batch)))
        assert (batch == batch[:, :1]).all()


def test_growing_batches() -> None:
    data = [tg.full((2**n,), float(n)) for n in range(18)]
    for n, batch in enumerate(DataLoader(data, 1, num_workers=1)):
        assert batch.shape == (1, 2**n)
        assert batch.min() == batch.max() == n


def test_many_indices_and_a_long_way_ahead() -> None:
    """Neither tasks that are long, nor many of them, nor many answers fill the channels."""
    (batch,) = DataLoader(range(60_000), 60_000, num_workers=1)
    assert batch[-1] == 59_999
    loader = DataLoader(["x" * 900] * 2000, 1, num_workers=2, prefetch_factor=1000)
    assert sum(len(batch) for batch in loader) == 2000


def test_workers_that_stay() -> None:
    def pids(loader: DataLoader) -> set:
        return {batch.item() for batch in loader}

    stay = DataLoader(Pids(), num_workers=2, persistent_workers=True)
    assert pids(stay) == pids(stay)
    go = DataLoader(Pids(), num_workers=2)
    assert pids(go).isdisjoint(pids(go))
    left = iter(stay)
    next(left)
    assert len(pids(stay)) == 2  # what was on its way is not taken for what is asked
    with pytest.raises(RuntimeError, match=r"at a later pass.* take two loaders"):
        next(left)


# ---------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("bad pixel"), ValueError),
        (KeyError("bad pixel"), KeyError),
        (StopIteration("bad pixel"), RuntimeError),
        (OSError(2, "bad pixel"), OSError),
    ],
)
def test_an_error_in_a_worker_shows_where_it_was(error: Exception, kind: type) -> None:
    loader = DataLoader(Failing(error), 2, num_workers=2)
    passed = iter(loader)
    assert plain([next(passed), next(passed)]) == [[0, 1], [2, 3]]
    with pytest.raises(kind, match="bad pixel") as raised:
        next(passed)
    text = str(raised.value)
    assert f"worker 0 (pid {passed.workers.processes[0].pid})" in text
    assert "sample 5" in text or kind is RuntimeError
    assert "in __getitem__\n    raise self.error" in text
    assert plain(list(passed)) == [[6, 7], [8, 9], [10, 11]]  # as in PyTorch, it may go on


def test_errors_of_other_kinds() -> None:
    def fail(value: Any) -> Any:
        raise ZeroDivisionError("in the beginning")

    with pytest.raises(RuntimeError, match=r"sample 5, for batch 5(.|\n)*Odd: \(1, 2\)"):
        list(DataLoader(Failing(Odd(1, 2)), num_workers=1))
    with pytest.raises(ZeroDivisionError, match=r"worker 0 .* failed in worker_init_fn"):
        list(DataLoader(range(3), num_workers=1, worker_init_fn=fail))
    with pytest.raises(ZeroDivisionError, match="one of the samples 0, 1, for batch 0"):
        list(DataLoader(range(4), 2, num_workers=1, collate_fn=fail))
    with pytest.raises(Exception, match="could not send batch 0 to the main process"):
        list(DataLoader(range(2), num_workers=1, collate_fn=lambda samples: lambda: samples))
    with pytest.raises(IndexError, match="the sampler named index 9, the dataset has 3 items"):
        list(DataLoader([1, 2, 3], sampler=[0, 9], num_workers=1))
    with pytest.raises(RuntimeError, match="at 1 and 0"):
        list(DataLoader([tg.ones(1), tg.ones(2)], 2, num_workers=1))


def test_a_worker_that_is_killed_is_named() -> None:
    loader = DataLoader(Dying(Exception()), 2, num_workers=2)
    passed = iter(loader)
    started = time.monotonic()
    with pytest.raises(RuntimeError, match=r"worker 0 \(pid \d+\) was killed by SIGKILL at batch"):
        list(passed)
    assert time.monotonic() - started < 100  # others sleep for 600
    with pytest.raises(RuntimeError, match="the workers of this pass are gone"):
        next(passed)


def test_a_worker_that_is_killed_while_another_is_waited_for() -> None:
    loader = DataLoader(Sleeping(Exception(), at=1), 1, num_workers=2)
    passed = iter(loader)
    next(passed)
    started = time.monotonic()
    pids = [process.pid for process in passed.workers.processes]
    os.kill(pids[0], signal.SIGKILL)  # worker 1 sleeps at batch 1
    with pytest.raises(RuntimeError, match=rf"worker 0 \(pid {pids[0]}\) was killed by SIGKILL"):
        next(passed)
    assert time.monotonic() - started < 100  # others sleep for 600


def test_a_worker_that_takes_too_long_is_named() -> None:
    passed = iter(DataLoader(Sleeping(Exception()), 2, num_workers=2, timeout=60))
    next(passed), next(passed)
    passed.workers.timeout = 0.5  # from now on: the workers have begun
    match = r"worker 0 \(pid \d+\) has not made batch 2 within the timeout of 0.5 seconds"
    with pytest.raises(RuntimeError, match=match):
        list(passed)


def test_what_cannot_be_sent_to_a_spawned_worker() -> None:
    class Local(Images):
        pass

    for dataset, options, named in (
        (Local(), {}, "the dataset, a Local,"),
        (Images(), {"collate_fn": lambda samples: samples}, "collate_fn"),
        (Images(), {"worker_init_fn": lambda worker: None}, "worker_init_fn"),
    ):
        loader = DataLoader(dataset, num_workers=1, multiprocessing_context="spawn", **options)
        with pytest.raises(TypeError, match=f"'spawn', for which {named} must be picklable"):
            iter(loader)


def test_arguments_that_say_nothing() -> None:
    data = Images()
    for options, match in (
        ({"num_workers": -1}, "num_workers must not be negative"),
        ({"timeout": -1}, "timeout must not be negative"),
        ({"prefetch_factor": 2}, "prefetch_factor=2 .* num_workers=0"),
        ({"persistent_workers": True}, "persistent_workers needs num_workers > 0"),
        ({"multiprocessing_context": "fork"}, "multiprocessing_context needs num_workers > 0"),
        ({"multiprocessing_context": "thread", "num_workers": 1}, "must be one of .*'fork'"),
    ):
        with pytest.raises(ValueError, match=match):
            DataLoader(data, **options)
    with pytest.raises(TypeError, match="the name of a start method or a context, not int"):
        DataLoader(data, num_workers=1, multiprocessing_context=3)
    for wrong, match in (
        ({"num_workers": 1.5}, "num_workers must be an int, got 1.5"),
        ({"num_workers": 1, "prefetch_factor": "2"}, "prefetch_factor must be an int, got '2'"),
        ({"timeout": "5"}, "timeout must be a number of seconds, got '5'"),
    ):
        with pytest.raises(TypeError, match=match):
            DataLoader(data, **wrong)
    with pytest.raises(ValueError, match="batch_size is fixed"):
        DataLoader(data).batch_size = 2
    with pytest.warns(UserWarning, match="4096 workers on"):
        DataLoader(data, num_workers=4096)
    assert DataLoader(data, num_workers=1).prefetch_factor == 2


def test_workers_are_forked_while_others_draw() -> None:
    """(A thread holds NumPy's lock here.)"""
    with np.random.get_bit_generator().lock:
        (sample,) = DataLoader([3], None, num_workers=1, timeout=30)
    assert sample == 3


def test_a_program_s_handlers_are_not_its_workers() -> None:
    class Handlers(Pids):
        def __getitem__(self, index: int) -> bool:
            return signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

    before = signal.signal(signal.SIGTERM, lambda number, frame: None)
    try:
        assert all(DataLoader(Handlers(), None, num_workers=1))
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_worker_has_no_workers() -> None:
    class Nested(Pids):
        def __getitem__(self, index: int) -> int:
            return len(list(DataLoader(range(2), num_workers=1)))

    with pytest.raises(RuntimeError, match="a worker cannot start workers of its own"):
        list(DataLoader(Nested(), num_workers=1))


# ---------------------------------------------------------------------- what they leave behind


@pytest.mark.parametrize("how", ["break", "del", "raise"])
def test_a_pass_that_is_left_ends_its_workers(how: str) -> None:
    def leave() -> None:
        passed = iter(DataLoader(Images(200), num_workers=2))
        next(passed)
        assert len(multiprocessing.active_children()) == 2
        if how == "raise":
            raise ZeroDivisionError
        if how == "del":
            del passed
            assert not multiprocessing.active_children()

    with suppress(ZeroDivisionError):
        leave()
    assert not multiprocessing.active_children()


def test_a_loader_that_goes_takes_its_workers_along() -> None:
    loader = DataLoader(Images(), num_workers=2, persistent_workers=True)
    next(iter(loader))
    assert len(multiprocessing.active_children()) == 2
    del loader
    assert not multiprocessing.active_children()


SCRIPT = """
import os, signal, sys, time
import tapegrad as tg
from tapegrad.data import DataLoader

class Slow(tg.data.Dataset):
    def __len__(self):
        return 10_000
    def __getitem__(self, index):
        if index > 50:
            time.sleep({seconds})
        return tg.ones(50_000)

if __name__ == "__main__":
    loader = DataLoader(Slow(), 2, num_workers=2, multiprocessing_context={method!r})
    for n, batch in enumerate(loader):
        if n == 3:
            import multiprocessing
            print(*[child.pid for child in multiprocessing.active_children()], flush=True)
"""


def is_running(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
@pytest.mark.parametrize(
    ("number", "method", "seconds"),
    [
        (signal.SIGINT, "fork", 0.01),
        (signal.SIGKILL, "fork", 60),
        (signal.SIGTERM, "fork", 0.01),
        (signal.SIGINT, "spawn", 0.01),
        (signal.SIGKILL, "forkserver", 60),
    ],
)
def test_nothing_is_left_behind(
    tmp_path: Path, number: signal.Signals, method: str, seconds: float
) -> None:
    """CTRL-C reaches all processes of the group; the others only the main one, and with workers
    that are in the user's code for a long time."""
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT.format(seconds=seconds, method=method)))
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    workers = [int(pid) for pid in process.stdout.readline().split()]
    assert len(workers) == 2
    assert all(map(is_running, workers))
    for pid in (process.pid, *workers):  # what has a name could stay, this has none
        maps = Path(f"/proc/{pid}/maps").read_text()
        assert "/memfd:tapegrad" in maps
        assert "/dev/shm" not in maps
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    errors = process.communicate(timeout=300)[1]
    deadline = time.monotonic() + 300
    while any(map(is_running, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_running, workers))
    if number == signal.SIGINT:
        assert errors.count("KeyboardInterrupt") == 1
        assert errors.count("Traceback") == 1


def test_copies_of_a_loader_have_workers_of_their_own() -> None:
    loader = DataLoader(TensorDataset(tg.arange(6)), 2, num_workers=1, persistent_workers=True)
    first = [batch[0].tolist() for batch in loader]
    for made in (copy.copy(loader), copy.deepcopy(loader)):
        assert [batch[0].tolist() for batch in made] == first
        assert made._workers is not loader._workers
    assert [batch[0].tolist() for batch in loader] == first


def test_threads_may_share_a_pass() -> None:
    batches = iter(DataLoader(TensorDataset(tg.arange(60)), 1, num_workers=2))
    seen: list[int] = []
    threads = [
        threading.Thread(target=lambda: seen.extend(batch[0].item() for batch in batches))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == [*range(60)]


@pytest.mark.parametrize(
    ("name", "value"),
    [("num_workers", 1.5), ("num_workers", "2"), ("timeout", None), ("timeout", float("nan"))],
)
def test_what_is_no_number(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"{name} must be a"):
        DataLoader([1, 2], **{name: value})
