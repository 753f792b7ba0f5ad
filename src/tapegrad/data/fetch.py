"""How a batch is fetched: from a dataset with items, by their indices, or from a stream, in order.

The same in the main process and in a worker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from itertools import islice
from typing import Any

from .collate import SamplesDiffer, default_collate
from .sampler import is_stateful
from .ways import batch_of, items_of


class END:
    """What comes when there is nothing more. (A class, which is the same one in all processes.)"""


_BEGINNING = 2**32 - 1  # the batch whose random numbers the beginning of a pass has


class Items:
    """Fetches from a dataset with ``__getitem__``."""

    def __init__(self, dataset: Any, batched: bool, collate_fn: Callable[[Any], Any]):
        self.dataset, self.batched, self.collate_fn = dataset, batched, collate_fn

    def begin(self, seed: int, source: dict[str, Any] | None) -> None:
        """Nothing: items are where they are."""

    def fetch(self, number: int, task: Any) -> Any:
        """The batch of these indices, or the sample at this one."""
        try:
            return self._fetch(task)
        except SamplesDiffer as error:
            indices = task[0], task[error._sample]
            raise RuntimeError(
                f"{error}; in the dataset they are those at {indices[1]} and {indices[0]}"
            ) from error
        except IndexError as error:
            bad = self._out_of_range(task)
            if bad is None:
                raise
            raise IndexError(
                f"DataLoader: the sampler named index {bad}, the dataset has {len(self.dataset)} "
                "items"
            ) from error
        except StopIteration as error:
            raise RuntimeError(
                f"DataLoader: {type(self.dataset).__name__} raised StopIteration for {task}"
            ) from error

    def _fetch(self, task: Any) -> Any:
        if not self.batched:
            return self.collate_fn(self.dataset[task])
        if self.collate_fn is default_collate:
            return batch_of(self.dataset, task)
        return self.collate_fn(items_of(self.dataset, task))

    def _out_of_range(self, task: Any) -> Any:
        try:
            size = len(self.dataset)
            indices = task if self.batched else [task]
            return next((i for i in indices if not -size <= i < size), None)
        except (TypeError, NotImplementedError):  # no length, or keys instead of indices
            return None

    def sample(self, error: Exception, task: Any) -> str:
        """Which sample it was that ``error`` came from."""
        if not self.batched:
            return f"sample {task}"
        position = getattr(error, "_sample", None)
        if position is not None and position < len(task):
            return f"sample {task[position]}"
        shown = ", ".join(map(str, task[:8])) + (", ..." if len(task) > 8 else "")
        return f"one of the samples {shown}"

    def state(self) -> None:
        """None: a pass over items is described by its sampler."""


class Stream:
    """Fetches from an IterableDataset, of which ``begin`` starts a pass."""

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None,
        drop_last: bool,
        collate_fn: Callable[[Any], Any],
        seeded: Callable[[int, int], Any],
    ):
        self.dataset, self.batch_size, self.drop_last = dataset, batch_size, drop_last
        self.collate_fn, self.seeded = collate_fn, seeded
        self.samples: Iterator[Any] = iter(())
        self.stateful: Any = None

    def begin(self, seed: int, source: dict[str, Any] | None) -> None:
        """Start a pass, or go on with one in which this source has given some batches: by what
        ``state()`` returned, or else by reading again what was read."""
        self.seeded(seed, _BEGINNING)
        source = source or {"batches": 0, "state": None}
        own = is_stateful(self.dataset)
        if own and source["state"] is not None:
            self.dataset.load_state_dict(deepcopy(source["state"]))
        self.samples = iter(self.dataset)
        self.stateful = self.dataset if own else None
        if is_stateful(self.samples):
            self.stateful = self.samples
            if source["state"] is not None:
                self.samples.load_state_dict(deepcopy(source["state"]))  # type: ignore[attr-defined]
        if source["state"] is None:
            for number in range(source["batches"]):
                self.seeded(seed, number)
                self._read()

    def fetch(self, number: int, task: Any) -> Any:
        """The next batch (or sample), or END."""
        samples = self._read()
        if samples is END:
            return END
        try:
            return self.collate_fn(samples)
        except StopIteration as error:
            raise RuntimeError("DataLoader: collate_fn raised StopIteration") from error

    def _read(self) -> Any:
        if self.batch_size is None:
            return next(self.samples, END)
        samples = list(islice(self.samples, self.batch_size))
        whole = len(samples) == self.batch_size
        return samples if whole or (samples and not self.drop_last) else END

    def sample(self, error: Exception, task: Any) -> str:
        """Which sample it was that ``error`` came from."""
        return "the next sample of the stream"

    def state(self) -> Any:
        """Where the stream is, if it can tell."""
        return None if self.stateful is None else deepcopy(self.stateful.state_dict())
