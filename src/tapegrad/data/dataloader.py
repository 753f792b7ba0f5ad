"""DataLoader: batches from a dataset."""

from __future__ import annotations

import multiprocessing
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from numbers import Real
from typing import Any

from tapegrad.ops.common.refusals import Retelling
from tapegrad.ops.sampling.philox import Generator

from .collate import default_collate, default_convert
from .dataset import IterableDataset
from .fetch import Items, Stream
from .passes import InProcess, ItemsFromWorkers, StreamsFromWorkers, Tasks
from .position import Position, as_state, divided_anew, from_state, generators_of
from .sampler import (
    BatchSampler,
    RandomSampler,
    SequentialSampler,
    fresh_seed,
    require_indices,
    restore,
    state_of,
)
from .worker_info import draw_for_batch, get_worker_info, set_numbers
from .workers import Workers

__all__ = ["DataLoader", "default_collate", "default_convert", "get_worker_info"]

# What a loader's samplers and workers were made for.
_FIXED = {"batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers"}


class DataLoader(Retelling):
    """Iterates over a dataset in batches: ``for images, labels in DataLoader(dataset, 64): ...``

    ``shuffle`` takes a new random order on every pass, drawn from ``generator`` (or the default
    one). An ``IterableDataset`` is read from its beginning on every pass. ``batch_size=None`` makes
    no batches: single samples, of which ``collate_fn`` (``default_convert``) makes tensors.

    **Workers.** ``num_workers`` processes make batches while the program computes, each up to
    ``prefetch_factor`` (2) ahead. They are started by ``multiprocessing_context``, "fork", "spawn"
    or "forkserver", for each pass, or with ``persistent_workers`` for all passes; they compute with
    one thread each, and call ``worker_init_fn(id)`` first. Their batches come through shared
    memory, in order, or with ``in_order=False`` as they are ready. An error in a worker is raised
    here, with the worker's traceback, its number and the sample; one that is killed, or takes
    longer than ``timeout`` seconds for a batch, is a RuntimeError that names it. Each worker has
    its own copy of an ``IterableDataset``, which takes its share by ``get_worker_info()``.

    **Random numbers.** A pass makes two calls of the generator: for a seed, and for the order. In
    each batch the library's random numbers begin anew, by that seed and the batch's number, and in
    workers NumPy's and Python's, too. So a dataset that draws gives the same batches with any
    number of workers, and after resuming.

    **Resuming.** ``state_dict()`` tells where the latest pass is, ``load_state_dict(state)`` lets
    the next one go on behind the last batch that was delivered. See there.

    ``pin_memory`` is taken and does nothing: a copy to a GPU is complete when the call returns,
    from any memory.

    Raises ValueError for arguments that exclude each other, TypeError for a dataset without items.
    """

    _resumed: Position | None = None  # where the next pass begins
    _position: Position | None = None  # where the latest pass is
    _told: int | None = None  # by len(), of a stream
    _workers: Workers | None = None  # those that are kept

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[list[int]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        stream = isinstance(dataset, IterableDataset)
        if stream and (shuffle or sampler is not None or batch_sampler is not None):
            raise ValueError(
                "DataLoader: an IterableDataset has an order of its own, which excludes shuffle, "
                "sampler and batch_sampler"
            )
        if not stream and not hasattr(dataset, "__getitem__"):
            raise TypeError(
                f"DataLoader: {type(dataset).__name__} is no dataset: it has no __getitem__, nor "
                "is it an IterableDataset"
            )
        if sampler is not None and shuffle:
            raise ValueError("DataLoader: sampler and shuffle exclude each other")
        if batch_sampler is not None and (
            batch_size != 1 or shuffle or sampler is not None or drop_last
        ):
            raise ValueError(
                "DataLoader: batch_sampler excludes batch_size, shuffle, sampler and drop_last"
            )
        for name, given in (("sampler", sampler), ("batch_sampler", batch_sampler)):
            if given is not None:
                require_indices(f"DataLoader: {name}", given)
        if collate_fn is not None and not callable(collate_fn):
            raise TypeError(
                "DataLoader: collate_fn must be a function of a list of samples, got "
                f"{type(collate_fn).__name__}"
            )
        if generator is not None and not isinstance(generator, Generator):
            raise TypeError(
                f"DataLoader: generator must be a Generator, got {type(generator).__name__}: pass "
                "tapegrad.Generator().manual_seed(seed)"
            )
        if batch_size is None and drop_last:
            raise ValueError("DataLoader: batch_size=None makes no batches to drop the last of")
        _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        if batch_sampler is not None:
            batch_size = None
        else:
            if stream:
                sampler = dataset
            elif sampler is None:
                if not hasattr(dataset, "__len__"):
                    raise TypeError(
                        f"DataLoader: {type(dataset).__name__} has no __len__: give it one, or "
                        "DataLoader a sampler"
                    )
                sampler = (
                    RandomSampler(dataset, generator=generator)
                    if shuffle
                    else SequentialSampler(dataset)
                )
            if batch_size is not None:
                batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.dataset = dataset
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler: Any = sampler
        self.batch_sampler = batch_sampler
        usual: Any = default_convert if batch_sampler is None else default_collate
        self.collate_fn = usual if collate_fn is None else collate_fn
        self.generator = generator
        self.num_workers, self.pin_memory, self.timeout = num_workers, pin_memory, timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = _context(multiprocessing_context, num_workers)
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.persistent_workers = persistent_workers
        self.pin_memory_device, self.in_order = pin_memory_device, in_order

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FIXED and name in self.__dict__:
            raise ValueError(f"DataLoader: {name} is fixed, make another DataLoader")
        super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        """What a copy is made of: it has no workers yet, and begins a pass of its own."""
        return {name: v for name, v in vars(self).items() if name not in ("_workers", "_position")}

    def __iter__(self) -> Iterator[Any]:
        position, tasks = self._begin()
        if not self.num_workers:
            return InProcess(self._fetcher(set_numbers), position, tasks)
        workers = self._workers
        if workers is None or not workers.close.alive:
            workers = Workers(
                self.num_workers,
                self.multiprocessing_context or multiprocessing.get_context(),
                self._fetcher(draw_for_batch),
                position.seed,
                self.worker_init_fn,
                self.timeout,
            )
        if self.persistent_workers:
            self._workers = workers
        ahead: Any = self.prefetch_factor
        arguments = workers, self.persistent_workers, position, ahead, self.in_order
        if tasks is None:
            return StreamsFromWorkers(*arguments)
        return ItemsFromWorkers(tasks, *arguments)

    def __class_getitem__(cls, item: Any) -> Any:
        """``DataLoader[Tensor]`` is DataLoader: what it yields is for the reader."""
        return cls

    def __len__(self) -> int:
        count = len(self._order)
        if self._is_stream:
            self._told = count
        return count

    def state_dict(self) -> dict[str, Any]:
        """Where the latest pass is: a dict of plain values and tensors, for ``tapegrad.save``.

        Batches count as delivered once the program has them; those that workers have made ahead
        will be made again. Where a ``generator`` given to the loader or a sampler is now is part of
        the state, so that several loaders may have the same one if their states are saved and
        loaded together; the default generator, from which loaders without one draw at the beginning
        of each pass, is the program's to save (``tapegrad.get_rng_state()``).

        An ``IterableDataset`` that has ``state_dict()`` and ``load_state_dict(state)``, or whose
        iterator has them, is resumed by these. Any other one is read again from its beginning, in
        each worker, up to the place; and so are samplers that are none of this library's.
        """
        position = self._position if self._resumed is None else self._resumed
        now = [generator.get_state() for generator in generators_of(self)]
        return as_state(position, self._facts(), state_of(self._order), now)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let the next pass go on where the state says, at exactly the next batch; where its pass
        had ended, with a new one. The loader must be made as the other one was, except that items
        may be fetched by another number of workers; and with a DistributedSampler there may be
        other ranks, with batches of another size, which divide what none of the others has
        delivered.

        Raises ValueError, naming the differences, for the state of another loader (length, batch
        size, sampler, the generator's seed, of streams the number of workers), TypeError for
        anything else; the loader is as before then.
        """
        facts = self._facts()
        state_dict = divided_anew(state_dict, self._order, facts)
        position = from_state(state_dict, facts)
        for state in state_dict["generators"]:
            Generator().set_state(state)  # raises for what is no state
        restore(self._order, state_dict["sampler"])
        self._resumed, self._position = position, None
        if position is not None and position.ended:
            if not self._is_stream:
                for _ in self._order:  # it draws as far as that pass has drawn
                    pass
            self._resumed, self._position = None, position
        # Where they were, whoever has drawn from them since the pass began.
        for generator, state in zip(generators_of(self), state_dict["generators"], strict=True):
            generator.set_state(state)

    @property
    def _is_stream(self) -> bool:
        return isinstance(self.dataset, IterableDataset)

    @property
    def _order(self) -> Any:
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def _fetcher(self, seeded: Callable[[int, int], Any]) -> Items | Stream:
        if self._is_stream:
            return Stream(self.dataset, self.batch_size, self.drop_last, self.collate_fn, seeded)
        return Items(self.dataset, self.batch_sampler is not None, self.collate_fn)

    def _begin(self) -> tuple[Position, Tasks | None]:
        """The position of a new pass, or of the one to go on with, and its tasks; None for those of
        streams, which need none."""
        position, self._resumed = self._resumed, None
        fresh = position is None
        if position is None:
            position = Position(fresh_seed(self.generator))
        self._position = position
        if self._is_stream:
            position.told = self._told
            if fresh:
                position.sources = [
                    {"batches": 0, "ended": False, "state": None}
                    for _ in range(max(self.num_workers, 1))
                ]
            return position, None
        order = iter(self._order)
        if fresh:
            position.sampler = state_of(self._order)
        done, ahead = position.delivered, {*position.ahead}
        rest = islice(enumerate(order), done, None)
        return position, ((number, task) for number, task in rest if number not in ahead)

    def _facts(self) -> dict[str, Any]:
        """What a state must have been made with."""
        return {
            "dataset length": _length(self.dataset),
            "batches": None if self._is_stream else _length(self._order),
            "batch_size": self.batch_size,
            "drop_last": bool(self.drop_last),
            "sampler": type(self.batch_sampler if self.sampler is None else self.sampler).__name__,
            "generator's seed": None if self.generator is None else self.generator.initial_seed(),
            "number of generators": len(generators_of(self)),
            "number of streams": max(self.num_workers, 1) if self._is_stream else None,
        }


def _length(sized: Any) -> int | None:
    try:
        return len(sized)
    except (TypeError, NotImplementedError):
        return None


def _check_workers(
    num_workers: int, timeout: float, prefetch_factor: int | None, persistent_workers: bool
) -> None:
    for name, value in (("num_workers", num_workers), ("prefetch_factor", prefetch_factor)):
        if value is not None and not hasattr(value, "__index__"):
            raise TypeError(f"DataLoader: {name} must be an int, got {value!r}")
    if not isinstance(timeout, Real) or timeout != timeout:
        raise TypeError(f"DataLoader: timeout must be a number of seconds, got {timeout!r}")
    if num_workers < 0:
        raise ValueError(f"DataLoader: num_workers must not be negative, got {num_workers}")
    if timeout < 0:
        raise ValueError(f"DataLoader: timeout must not be negative, got {timeout}")
    if prefetch_factor is not None and (not num_workers or prefetch_factor < 0):
        raise ValueError(
            f"DataLoader: prefetch_factor={prefetch_factor} is the number of batches that each of "
            f"num_workers={num_workers} workers makes ahead: it needs workers, and is not negative"
        )
    if persistent_workers and not num_workers:
        raise ValueError("DataLoader: persistent_workers needs num_workers > 0")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if num_workers > (cores or 1):
        warnings.warn(
            f"DataLoader: {num_workers} workers on {cores} processors take each other's time",
            stacklevel=4,
        )


def _context(context: Any, num_workers: int) -> Any:
    """What starts processes, by its name."""
    if context is None:
        return None
    if not num_workers:
        raise ValueError("DataLoader: multiprocessing_context needs num_workers > 0")
    if isinstance(context, str):
        known = multiprocessing.get_all_start_methods()
        if context not in known:
            raise ValueError(
                f"DataLoader: multiprocessing_context must be one of {known}, not {context!r}"
            )
        return multiprocessing.get_context(context)
    if not isinstance(context, multiprocessing.context.BaseContext):
        raise TypeError(
            "DataLoader: multiprocessing_context must be the name of a start method or a context, "
            f"not {type(context).__name__}"
        )
    return context
