"""Loaders that are resumed in the middle of a pass give what they would have given."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.data import (
    BatchSampler,
    ChainDataset,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    get_worker_info,
)

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:DataLoader. . workers on:UserWarning"),
]


class Drawing(Dataset):
    """Item i is i and a number drawn at random."""

    def __len__(self) -> int:
        return 23

    def __getitem__(self, index: int) -> Any:
        return index, tg.rand(()).item()


class Stream(IterableDataset):
    """A worker's share of 17 numbers, each with one drawn at random."""

    def __iter__(self) -> Any:
        info = get_worker_info()
        first, step = (0, 1) if info is None else (info.id, info.num_workers)
        return ((i, tg.rand(()).item()) for i in range(first, 17, step))


class Stateful(Stream):
    """The same, with a place to go on from."""

    at, begin = 0, 0

    def __iter__(self) -> Any:
        info = get_worker_info()
        first, step = (0, 1) if info is None else (info.id, info.num_workers)
        begin, self.begin = self.begin, 0
        for self.at in range(begin, len(range(first, 17, step))):
            yield first + self.at * step, tg.rand(()).item()

    def state_dict(self) -> dict:
        return {"at": self.at + 1}

    def load_state_dict(self, state: dict) -> None:
        self.begin = state["at"]


class OwnIterator(IterableDataset):
    """One whose iterator has the state."""

    class Iterator:
        def __init__(self) -> None:
            self.at = 0

        def __iter__(self) -> Any:
            return self

        def __next__(self) -> Any:
            if self.at == 17:
                raise StopIteration
            self.at += 1
            return self.at, tg.rand(()).item()

        def state_dict(self) -> dict:
            return {"at": tg.tensor(self.at)}

        def load_state_dict(self, state: dict) -> None:
            self.at = state["at"].item()

    def __iter__(self) -> Any:
        return self.Iterator()


def seeded(seed: int = 3) -> tg.Generator:
    return tg.Generator().manual_seed(seed)


def weighted() -> WeightedRandomSampler:
    return WeightedRandomSampler([1.0 + i for i in range(23)], 30, generator=seeded())


LOADERS: dict[str, Callable[..., DataLoader]] = {
    "in order": lambda **o: DataLoader(Drawing(), 4, **o),
    "shuffled": lambda **o: DataLoader(Drawing(), 4, shuffle=True, generator=seeded(), **o),
    "last one dropped": lambda **o: DataLoader(
        Drawing(), 4, True, drop_last=True, generator=seeded(), **o
    ),
    "with replacement": lambda **o: DataLoader(
        Drawing(), 4, sampler=RandomSampler(range(23), True, 50, seeded()), **o
    ),
    "weighted": lambda **o: DataLoader(Drawing(), 4, sampler=weighted(), **o),
    "subset": lambda **o: DataLoader(
        Drawing(), 2, sampler=SubsetRandomSampler([3, 1, 4, 15, 9, 2, 6], seeded()), **o
    ),
    "distributed": lambda **o: DataLoader(
        Drawing(), 2, sampler=DistributedSampler(range(23), 2, 1, seed=5), **o
    ),
    "batch sampler": lambda **o: DataLoader(
        Drawing(), batch_sampler=BatchSampler(weighted(), 7, False), generator=seeded(), **o
    ),
    "list of batches": lambda **o: DataLoader(
        Drawing(), batch_sampler=[[1], [2, 3], [4], [5, 6]], **o
    ),
    "single samples": lambda **o: DataLoader(Drawing(), None, True, generator=seeded(), **o),
    "stream": lambda **o: DataLoader(Stream(), 2, generator=seeded(), **o),
    "stateful stream": lambda **o: DataLoader(Stateful(), 2, generator=seeded(), **o),
    "stateful iterator": lambda **o: DataLoader(OwnIterator(), 2, generator=seeded(), **o),
    "single ones of a stream": lambda **o: DataLoader(Stream(), None, generator=seeded(), **o),
    "chain": lambda **o: DataLoader(ChainDataset([Stream(), Stream()]), 5, None, **o),
}


def plain(batch: Any) -> Any:
    if isinstance(batch, tg.Tensor):
        return batch.tolist()
    return [plain(part) for part in batch] if isinstance(batch, (list, tuple)) else batch


def saved(state: dict) -> dict:
    """As a file gives it back."""
    file = io.BytesIO()
    tg.save(state, file)
    file.seek(0)
    return tg.load(file)


def run(loader: DataLoader, passes: int, start: int = 0) -> list:
    """(pass, batch) of all that comes until so many passes are over."""
    found = []
    for number in range(start, passes):
        if isinstance(loader.sampler, DistributedSampler):
            loader.sampler.set_epoch(number)
        found += [(number, plain(batch)) for batch in loader]
    return found


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", LOADERS)
def test_what_comes_after_resuming(kind: str, workers: int) -> None:
    """Stopped within the first or the second pass or behind it, resumed in another loader, and that
    once more: bitwise the same, to the end of the last pass."""
    make = LOADERS[kind]
    options = {"num_workers": workers} if workers else {}
    tg.manual_seed(11)
    passes = 2 if workers else 3
    whole = run(make(**options), passes)
    length = sum(number == 0 for number, _ in whole)
    in_process = [[(0, 1), (0, 2)], [(1, length - 1)], [(0, length), (2, 2)]]
    for stops in [[(0, 2), (1, 3)]] if workers else in_process:
        found: list = []
        at, done = 0, 0  # the pass, and what came of it
        tg.manual_seed(11)
        loader = make(**options)
        for stop, count in stops:
            found += run(loader, stop, at)
            done = done if stop == at else 0
            if isinstance(loader.sampler, DistributedSampler):
                loader.sampler.set_epoch(stop)
            passed = iter(loader)
            found += [(stop, plain(batch)) for batch in islice(passed, count - done)]
            at, done = stop, count
            state, numbers = saved(loader.state_dict()), tg.get_rng_state()
            del passed, loader
            tg.manual_seed(99)
            loader = make(**options)
            loader.load_state_dict(state)
            assert plain_state(loader.state_dict()) == plain_state(state)
            tg.set_rng_state(numbers)
        found += run(loader, passes, at)
        assert found == whole


def plain_state(state: Any) -> Any:
    if isinstance(state, dict):
        return {key: plain_state(value) for key, value in state.items()}
    return plain(state)


@pytest.mark.parametrize("kind", ["shuffled", "stateful stream"])
def test_what_comes_after_a_pass_that_was_over(kind: str) -> None:
    whole = run(LOADERS[kind](), 2)
    first = LOADERS[kind]()
    found = run(first, 1)
    second = LOADERS[kind]()
    second.load_state_dict(first.state_dict())
    assert found + run(second, 2, 1) == whole


def several(generator: tg.Generator) -> list[DataLoader]:
    """Loaders that all draw from one generator."""
    return [
        DataLoader(range(9), 2, True, generator=generator),
        DataLoader(range(9), 4, sampler=RandomSampler(range(9), True, 5000, generator)),
        DataLoader(range(7), 2, sampler=SubsetRandomSampler(range(7), generator)),
        DataLoader(range(3), 4, sampler=WeightedRandomSampler([1, 2, 3], 5000, True, generator)),
        DataLoader(Stream(), 4, generator=generator),
    ]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("order", [1, -1])
def test_loaders_may_share_a_generator(order: int, workers: int) -> None:
    """Whatever the others have drawn since a pass began, it and all that come after are the same
    when their states were saved and loaded together."""
    generator = seeded()
    loaders = several(generator)
    for loader in loaders:
        loader.num_workers, loader.prefetch_factor = workers, 2
    passes = [iter(loader) for loader in loaders]
    for i, passed in enumerate(passes):
        [*islice(passed, i + 1)]
    [*loaders[2]]  # a second one, to its end
    generator.next()  # and what the program itself draws
    states = saved({str(i): loader.state_dict() for i, loader in enumerate(loaders)})
    wanted = [
        [plain(b) for b in (*passed, *loader)]
        for passed, loader in zip(passes, loaders, strict=True)
    ]
    wanted[2] = wanted[2][-4:]
    other = seeded()
    other.next(77)
    resumed = several(other)
    for i in range(len(resumed))[::order]:
        resumed[i].load_state_dict(states[str(i)])
    rest = [iter(resumed[i]) if i != 2 else () for i in range(len(resumed))]
    assert [[plain(b) for b in (*p, *r)] for p, r in zip(rest, resumed, strict=True)] == wanted
    assert other.get_state().tolist() == generator.get_state().tolist()


def test_what_comes_before_the_first_pass() -> None:
    loader, other = LOADERS["shuffled"](), LOADERS["shuffled"]()
    state = loader.state_dict()
    whole = run(loader, 1)
    run(other, 1)
    other.load_state_dict(state)
    assert run(other, 1) == whole


def test_the_number_of_workers_may_change() -> None:
    make = LOADERS["shuffled"]
    whole = run(make(), 2)
    for before, after in ((0, 2), (2, 0), (1, 2)):
        loader = make(num_workers=before)
        passed = iter(loader)
        found = [(0, plain(batch)) for batch in islice(passed, 3)]
        resumed = make(num_workers=after)
        resumed.load_state_dict(loader.state_dict())
        del passed
        assert found + run(resumed, 2) == whole


def test_what_came_out_of_order_does_not_come_again() -> None:
    make = LOADERS["shuffled"]
    whole = run(make(), 1)
    for count in range(1, 6):
        loader = make(num_workers=2, in_order=False)
        found = [(0, plain(batch)) for batch in islice(loader, count)]
        resumed = make(num_workers=2, in_order=False)
        resumed.load_state_dict(saved(loader.state_dict()))
        assert sorted(found + run(resumed, 1)) == sorted(whole)
    loader = make(num_workers=2)
    iter(loader)
    state = loader.state_dict()
    state["pass"] |= {"delivered": 1, "ahead": [2, 4]}
    loader.load_state_dict(state)
    assert run(loader, 1) == [whole[1], whole[3], whole[5]]


def test_a_stateful_stream_is_not_read_again() -> None:
    loader = LOADERS["stateful stream"]()
    passed = iter(loader)
    whole = [plain(batch) for batch in passed]
    passed = iter(loader)
    next(passed)
    state = loader.state_dict()
    resumed = LOADERS["stateful stream"]()
    resumed.load_state_dict(state)
    (first, *_), _ = plain(next(iter(resumed)))
    assert first == 2
    assert resumed.dataset.at == 3
    assert len(whole) == 9


def test_persistent_workers_go_on() -> None:
    make = LOADERS["stateful stream"]
    whole = run(make(num_workers=2), 2)
    loader = make(num_workers=2, persistent_workers=True)
    found = [(0, plain(batch)) for batch in islice(loader, 3)]
    loader.load_state_dict(loader.state_dict())
    assert found + run(loader, 2) == whole


def test_the_global_numbers_are_the_programs() -> None:
    """Without a generator of its own a loader draws only at the beginning of a pass, and what its
    dataset draws is not taken from the program's numbers."""

    def program(loader: Any) -> list:
        tg.manual_seed(5)
        return [(plain(batch), tg.rand(()).item()) for batch in loader]

    loader = DataLoader(Drawing(), 4, sampler=RandomSampler(range(23), True, 30))
    found = program(loader)
    assert found == program(
        DataLoader(Drawing(), 4, sampler=RandomSampler(range(23), True, 30), num_workers=2)
    )
    numbers = [number for _, number in found]
    tg.manual_seed(5)
    assert numbers == [tg.rand(()).item() for _ in range(2 + len(numbers))][2:]


def test_a_failed_batch_is_made_again_after_resuming() -> None:
    class Failing(Drawing):
        broken = True

        def __getitem__(self, index: int) -> Any:
            if index == 5 and self.broken:
                raise ZeroDivisionError
            return index

    for workers in (0, 2):
        loader = DataLoader(Failing(), 4, num_workers=workers)
        with pytest.raises(ZeroDivisionError):
            list(loader)
        resumed = DataLoader(Failing(), 4, num_workers=workers)
        resumed.dataset.broken = False
        resumed.load_state_dict(loader.state_dict())
        assert plain(next(iter(resumed))) == [4, 5, 6, 7]
        passed = iter(loader)
        next(passed)
        with pytest.raises(ZeroDivisionError):
            next(passed)
        assert plain(next(passed)) == [8, 9, 10, 11]
        assert loader.state_dict()["pass"]["delivered"] == 3


@pytest.mark.parametrize(
    ("other", "match"),
    [
        (lambda: DataLoader(range(22), 4, True, generator=seeded()), "dataset length is 23, .* 22"),
        (lambda: DataLoader(Drawing(), 5, True, generator=seeded()), "its batch_size is 4, .* 5"),
        (lambda: DataLoader(Drawing(), 4, generator=seeded()), "'RandomSampler', .* 'Sequential"),
        (lambda: DataLoader(Drawing(), 4, True, generator=seeded(4)), "seed is 3, here it is 4"),
        (lambda: DataLoader(Drawing(), 4, True), "seed is 3, here it is None"),
        (lambda: DataLoader(Drawing(), 4, True, drop_last=True, generator=seeded()), "drop_last"),
        (lambda: LOADERS["stream"](), "number of streams is None, here it is 1"),
    ],
)
def test_states_of_other_loaders_are_refused(other: Any, match: str) -> None:
    loader = LOADERS["shuffled"]()
    next(iter(loader))
    state = loader.state_dict()
    taken = other()
    before = plain_state(taken.state_dict())
    with pytest.raises(ValueError, match=f"the state of another loader: .*{match}"):
        taken.load_state_dict(state)
    assert plain_state(taken.state_dict()) == before


def test_what_is_no_state_is_refused() -> None:
    loader = LOADERS["shuffled"]()
    for bad in (None, {}, {"pass": 1}, [1]):
        with pytest.raises(TypeError, match="no state of a DataLoader"):
            loader.load_state_dict(bad)
    two = LOADERS["stream"](num_workers=2)
    with pytest.raises(ValueError, match="number of streams is 1, here it is 2"):
        two.load_state_dict(LOADERS["stream"]().state_dict())


def test_a_sampler_that_has_a_state_itself() -> None:
    class Own(tg.data.Sampler):
        """Rotated by one more in each pass."""

        turn = 0

        def __iter__(self) -> Any:
            self.turn += 1
            return iter(np.roll(range(6), self.turn).tolist())

        def __len__(self) -> int:
            return 6

        def state_dict(self) -> dict:
            return {"turn": self.turn}

        def load_state_dict(self, state: dict) -> None:
            self.turn = state["turn"] - 1

    data = TensorDataset(tg.arange(6))
    whole = run(DataLoader(data, 2, sampler=Own()), 2)
    first = DataLoader(data, 2, sampler=Own())
    found = run(first, 1) + [(1, plain(next(iter(first))))]
    second = DataLoader(data, 2, sampler=Own())
    second.load_state_dict(saved(first.state_dict()))
    assert found + run(second, 2, 1) == whole


@pytest.mark.parametrize(
    ("name", "value"),
    [("seed", "1"), ("seed", None), ("delivered", -3), ("delivered", 1 << 70), ("ahead", ["x"]),
     ("ahead", None), ("ended", 2), ("turn", 1.0), ("sources", [{}]), ("more", 1)],
)  # fmt: skip
def test_states_that_were_changed_are_refused(name: str, value: Any) -> None:
    loader = DataLoader(Drawing(), 2, shuffle=True)
    next(iter(loader))
    state, before = loader.state_dict(), loader.state_dict()
    state["pass"][name] = value
    with pytest.raises(TypeError, match="this state was changed"):
        loader.load_state_dict(state)
    assert repr(loader.state_dict()) == repr(before)


def test_other_ranks_divide_what_is_left_of_an_epoch() -> None:
    """Of 23 samples, 4 ranks see 8, then 3 ranks 6, and 2 ranks the last 9; one is seen twice, as
    they have equally many. The next epoch is whole again."""

    def loaders(ranks: int, batch_size: int) -> list[DataLoader]:
        samplers = [DistributedSampler(range(23), ranks, rank, seed=5) for rank in range(ranks)]
        return [DataLoader(range(23), batch_size, sampler=sampler) for sampler in samplers]

    def taken(passes: list, batches: int) -> list[int]:
        return [i for each in passes for _ in range(batches) for i in next(each).tolist()]

    first, second, third = loaders(4, 2), loaders(3, 1), loaders(2, 5)
    for loader in first:
        loader.sampler.set_epoch(1)
    seen = taken([iter(loader) for loader in first], 1)
    for before, after in ((first, second), (second, third)):
        state = before[-1].state_dict()
        for loader in after:
            loader.load_state_dict(state)
            loader.sampler.set_epoch(1)  # as a program does before each epoch
        if after is second:
            seen += taken([iter(loader) for loader in second], 2)
    seeds = {loader.state_dict()["pass"]["seed"] for loader in (first[-1], second[-1], third[-1])}
    assert len(seeds) == 3
    seen += [i for loader in third for batch in loader for i in batch.tolist()]
    numbers = sorted(seen)
    assert len(numbers) == 24
    assert {*numbers} == {*range(23)}
    for loader in third:
        loader.sampler.set_epoch(2)
    assert {i for loader in third for batch in loader for i in batch.tolist()} == {*range(23)}


def test_a_pass_in_a_thread_leaves_the_program_s_random_numbers_alone() -> None:
    inside, drawn = threading.Event(), threading.Event()

    class Waiting(Drawing):
        def __getitem__(self, index: int) -> Any:
            inside.set()
            assert drawn.wait(60)
            return super().__getitem__(index)

    def numbers(disturbed: bool) -> list[float]:
        tg.manual_seed(3)
        batches = iter(DataLoader(Waiting(), 4))
        thread = threading.Thread(target=lambda: next(batches))
        if disturbed:
            thread.start()
            assert inside.wait(60)
        found = tg.rand(3).tolist()
        drawn.set()
        if disturbed:
            thread.join()
        return found + tg.rand(3).tolist()

    assert numbers(True) == numbers(False)
