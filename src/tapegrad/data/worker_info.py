"""What a worker knows about itself, and the random numbers of a batch."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad.ops.sampling.philox import current_generator

_HALF = 2**32


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """One of a DataLoader's worker processes: its number ``id`` of ``num_workers``, its own
    ``seed``, and its copy of the ``dataset``."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """In a DataLoader's worker process, what it is; None in any other process. An IterableDataset
    asks for its share with it, as each worker has a copy of the whole:
    ``islice(samples, info.id, None, info.num_workers)``."""
    return _info


def become(info: WorkerInfo) -> None:
    """Be this worker from now on, with random numbers of its own."""
    global _info
    _info = info
    numpy_random: Any = np.random
    lock = numpy_random.get_bit_generator().lock
    if hasattr(lock, "_at_fork_reinit"):  # a thread may have held it when this process was forked
        lock._at_fork_reinit()
    current_generator().manual_seed(info.seed)
    _seed_others(info.seed)


def draw_for_batch(seed: int, number: int) -> None:
    """Let the random numbers of a worker go on from where those of this batch begin: they depend on
    nothing else, so that neither which worker makes it nor what came before shows in it."""
    set_numbers(seed, number)
    _seed_others(seed, number)


def set_numbers(seed: int, number: int) -> None:
    """The same for the library's own numbers alone: in the main process, Python's and NumPy's
    belong to the program."""
    current_generator().jump(seed, number * _HALF)


def _seed_others(*words: int) -> None:
    halves = [half for word in words for half in divmod(word, _HALF)]
    np.random.seed(halves)  # noqa: NPY002
    random.seed(sum(half << 32 * i for i, half in enumerate(halves)))
