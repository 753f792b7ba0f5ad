"""DataLoader: batches from a dataset."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np

from tapegrad.core import dtypes
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import check_nesting
from tapegrad.ops.common.refusals import Retelling, retelling
from tapegrad.ops.creation.create import as_tensor, tensor
from tapegrad.ops.movement.cat import stack
from tapegrad.ops.sampling.philox import Generator

from .dataset import IterableDataset, batch_fetch
from .sampler import BatchSampler, RandomSampler, SequentialSampler


class DataLoader(Retelling):
    """Iterates over a dataset in batches: ``for images, labels in DataLoader(dataset, 64): ...``

    ``shuffle`` takes a new random order on every pass, drawn from ``generator`` (or the global
    seed). An ``IterableDataset`` is read from its beginning on every pass. Batches are made in this
    process: what concerns workers, as ``num_workers``, and ``pin_memory`` change nothing, and warn.
    ``batch_size=None`` makes no batches: single samples, of which ``collate_fn``
    (``default_convert``) makes tensors.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool = False,
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
        if sampler is not None and shuffle:
            raise ValueError("DataLoader: sampler and shuffle exclude each other")
        if batch_sampler is not None and (
            batch_size != 1 or shuffle or sampler is not None or drop_last
        ):
            raise ValueError(
                "DataLoader: batch_sampler excludes batch_size, shuffle, sampler and drop_last"
            )
        if num_workers or pin_memory:
            warnings.warn(
                "DataLoader: num_workers and pin_memory have no effect, batches are made in this "
                "process",
                stacklevel=3,
            )
        if batch_sampler is None:
            if stream:
                sampler = dataset
            elif sampler is None:
                sampler = (
                    RandomSampler(dataset, generator=generator)
                    if shuffle
                    else SequentialSampler(dataset)
                )
            if batch_size is not None:
                batch_sampler = BatchSampler(sampler, batch_size, drop_last)
            elif drop_last:
                raise ValueError("DataLoader: batch_size=None makes no batches to drop the last of")
        self.dataset = dataset
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler: Any = sampler
        self.batch_sampler = batch_sampler
        usual: Any = default_convert if batch_sampler is None else default_collate
        self.collate_fn = usual if collate_fn is None else collate_fn
        self.generator = generator
        self.num_workers, self.pin_memory, self.timeout = num_workers, pin_memory, timeout
        self.worker_init_fn, self.multiprocessing_context = worker_init_fn, multiprocessing_context
        self.prefetch_factor, self.persistent_workers = prefetch_factor, persistent_workers
        self.pin_memory_device, self.in_order = pin_memory_device, in_order

    def __iter__(self) -> Iterator[Any]:
        batches = self.sampler if self.batch_sampler is None else self.batch_sampler
        if isinstance(self.dataset, IterableDataset):
            return map(self.collate_fn, batches)
        if self.batch_sampler is None:
            return (self.collate_fn(self.dataset[index]) for index in batches)
        fetch = batch_fetch(self.dataset) if self.collate_fn is default_collate else None
        return map(fetch or self._fetch_items, batches)

    def __class_getitem__(cls, item: Any) -> Any:
        """``DataLoader[Tensor]`` is DataLoader: what it yields is for the reader."""
        return cls

    def __len__(self) -> int:
        batches = self.sampler if self.batch_sampler is None else self.batch_sampler
        return len(batches)  # type: ignore[arg-type]

    def _fetch_items(self, indices: list[int]) -> Any:
        ways = {"__getitem__", "__getitems__"}
        for kind in type(self.dataset).__mro__:  # a subclass's own __getitem__ goes first
            if ways & vars(kind).keys():
                if vars(kind).get("__getitems__") is not None:
                    return self.collate_fn(self.dataset.__getitems__(indices))
                break
        return self.collate_fn([self.dataset[index] for index in indices])


def get_worker_info() -> None:
    """None, as in PyTorch's main process: batches are made in this one."""
    return None


@retelling
def default_convert(data: Any) -> Any:
    """One sample as tensors, where batches are not made by the DataLoader: arrays become tensors
    over their memory, also in lists, dicts, and tuples, which become lists; anything else is left
    as it is."""
    check_nesting("default_convert", data)
    if isinstance(data, (np.ndarray, np.generic)) and data.dtype.kind in "biufV":
        return as_tensor(data)
    if isinstance(data, Mapping):
        return {key: default_convert(value) for key, value in data.items()}
    if isinstance(data, tuple) and hasattr(data, "_fields"):  # a named tuple
        return type(data)(*map(default_convert, data))
    if isinstance(data, (tuple, list)):
        return [default_convert(value) for value in data]
    return data


@retelling
def default_collate(samples: Sequence[Any]) -> Any:
    """One batch from a list of samples: tensors, arrays and numbers become one tensor with a
    leading batch dimension; tuples, which become lists, lists and dicts are collated entry by
    entry; text stays as it is."""
    first = samples[0]
    check_nesting("default_collate", first)
    if isinstance(first, Tensor):
        return stack(samples)
    if isinstance(first, (np.ndarray, np.generic)):
        return tensor(np.stack(samples))
    if isinstance(first, (bool, int)):
        return tensor(samples)
    if isinstance(first, float):
        return tensor(samples, dtype=dtypes.float64)
    if isinstance(first, (str, bytes)):
        return samples
    if isinstance(first, Mapping):
        batch = {key: default_collate([sample[key] for sample in samples]) for key in first}
        if type(first) is dict or not isinstance(first, MutableMapping):
            return batch
        collated = copy.copy(first)  # an OrderedDict, or one of the user's
        collated.update(batch)
        return collated
    if isinstance(first, (tuple, list)):
        if any(len(sample) != len(first) for sample in samples):
            raise ValueError(
                "default_collate: the samples of a batch have different lengths "
                f"{sorted({len(sample) for sample in samples})}; give DataLoader a collate_fn"
            )
        entries = [default_collate(entry) for entry in zip(*samples, strict=True)]
        if hasattr(first, "_fields"):  # a named tuple
            return type(first)(*entries)
        return entries
    raise TypeError(
        f"default_collate: cannot batch {type(first).__name__}; give DataLoader a collate_fn"
    )
