"""One pass over the data: in the main process, or with workers."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import count, repeat
from threading import RLock
from typing import Any

from tapegrad.ops.sampling.philox import lent_generator

from .fetch import END, Items, Stream
from .position import Position
from .worker_info import set_numbers
from .workers import Failure, Workers

_MOST_ASKED = 64  # tasks that wait in a worker's channel: more might fill it

Tasks = Iterator[tuple[int, Any]]


class InProcess:
    """Each batch is made when it is asked for."""

    def __init__(self, fetcher: Items | Stream, position: Position, tasks: Tasks | None):
        self.fetcher, self.position = fetcher, position
        self.source = position.sources[0] if position.sources else None
        self.tasks = self._numbers() if tasks is None else tasks
        self.begun = False

    def _numbers(self) -> Tasks:
        return zip(count(self.position.sources[0]["batches"]), repeat(None))

    def __iter__(self) -> InProcess:
        return self

    def __next__(self) -> Any:
        position = self.position
        if position.ended:
            raise StopIteration
        number, task = next(self.tasks, (0, END))
        batch, state = (END, None) if task is END else self._made(number, task)
        if batch is END:
            position.ended = True
            raise StopIteration
        if self.source is None:
            position.deliver(number)
        else:
            self.source.update(batches=number + 1, state=state)
            position.check_told()
        return batch

    def _made(self, number: int, task: Any) -> Any:
        with lent_generator():
            set_numbers(self.position.seed, number)
            try:
                if not self.begun:
                    self.fetcher.begin(self.position.seed, self.source)
                    self.begun = True
                    set_numbers(self.position.seed, number)
                return self.fetcher.fetch(number, task), self.fetcher.state()
            except Exception:
                self.position.failed.append(number)
                raise


class WithWorkers:
    """Workers make batches ahead of what is asked for, each up to ``prefetch`` of them."""

    def __init__(
        self, workers: Workers, keep: bool, position: Position, prefetch: int, in_order: bool
    ):
        self.workers, self.keep, self.position = workers, keep, position
        self.prefetch, self.in_order = min(max(prefetch, 1), _MOST_ASKED), in_order
        self.sources = position.sources
        seeds = [position.seed + (i if self.sources else 0) for i in range(workers.count)]
        workers.begin(seeds, [dict(s) for s in self.sources] or [None] * workers.count)
        self.current = workers.current
        self.lock = RLock()

    def __iter__(self) -> WithWorkers:
        return self

    def __next__(self) -> Any:
        with self.lock:  # threads may share a pass
            batch = self._delivered()
            self.position.check_told()
            return batch

    def _delivered(self) -> Any:
        if self.position.ended:
            raise StopIteration
        if self.workers.current != self.current:
            raise RuntimeError(
                "DataLoader: its workers are at a later pass: this one was left; two passes at "
                "once take two loaders, or persistent_workers=False"
            )
        if not self.workers.close.alive:
            raise RuntimeError("DataLoader: the workers of this pass are gone")
        try:
            batch = self._next()
        except BaseException:
            self.workers.close()
            raise
        if batch is END:
            self.position.ended = True
            if not self.keep:
                self.workers.close()
            raise StopIteration
        if isinstance(batch, Failure):
            raise batch.error()
        return batch

    def _next(self) -> Any:
        raise NotImplementedError


class ItemsFromWorkers(WithWorkers):
    """Batch n is made by worker n modulo their number; with ``in_order=False`` by whichever has the
    least to do."""

    def __init__(self, tasks: Tasks, *arguments: Any):
        super().__init__(*arguments)
        self.tasks = tasks
        self.expected: deque[int] = deque()  # the workers asked, in the order of the batches
        for _ in range(self.prefetch):
            for worker in range(self.workers.count):
                self._ask(worker)

    def _ask(self, worker: int) -> None:
        number, task = next(self.tasks, (0, END))
        if task is not END:
            self.workers.ask(worker, number, task)
            self.expected.append(worker)

    def _next(self) -> Any:
        if not self.expected:
            return END
        worker = self.expected[0] if self.in_order else None
        worker, number, batch, _ = self.workers.answer(worker)
        self.expected.remove(worker)
        self._ask(worker)
        if isinstance(batch, Failure):
            self.position.failed.append(number)
        else:
            self.position.deliver(number)
        return batch


class StreamsFromWorkers(WithWorkers):
    """Each worker has its own pass over the stream, and they take turns; with ``in_order=False``
    whichever has a batch is next."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.asked = [source["batches"] for source in self.sources]
        for _ in range(self.prefetch):
            for worker, source in enumerate(self.sources):
                if not source["ended"]:
                    self._ask(worker)

    def _ask(self, worker: int) -> None:
        self.workers.ask(worker, self.asked[worker], None)
        self.asked[worker] += 1

    def _next(self) -> Any:
        while not all(source["ended"] for source in self.sources):
            turn = self.position.turn
            if self.in_order and self.sources[turn]["ended"]:
                self.position.turn = (turn + 1) % len(self.sources)
                continue
            worker, number, batch, state = self.workers.answer(turn if self.in_order else None)
            source = self.sources[worker]
            if batch is not END:
                self._ask(worker)
                if not isinstance(batch, Failure):
                    source.update(batches=number + 1, state=state)
                    self.position.turn = (worker + 1) % len(self.sources)
                return batch
            source["ended"] = True
        return END
