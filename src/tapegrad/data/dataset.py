"""Datasets: anything with a length and items, and ways to cut and join them."""

from __future__ import annotations

import math
import warnings
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.refusals import Retelling, retelling
from tapegrad.ops.creation.create import from_numpy
from tapegrad.ops.sampling.draws import randperm
from tapegrad.ops.sampling.philox import Generator

from .ways import batch_of, items_of


class Dataset(Retelling):
    """Base class. A subclass defines ``__getitem__`` and ``__len__``.

    One that can fetch many items at once also defines ``__getitems__(indices)``, which returns a
    list of them, or ``__getbatch__(indices)``, which returns the batch that ``default_collate``
    would make of them; a DataLoader then uses these.
    """

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define __getitem__()")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} does not define __len__()")

    def __add__(self, other: Dataset) -> Any:
        return ConcatDataset([self, other])

    def __class_getitem__(cls, item: Any) -> Any:
        """``Dataset[tuple[Tensor, int]]`` is Dataset: what it holds is for the reader."""
        return cls


class IterableDataset(Dataset):
    """Base class of datasets that are read from beginning to end: a subclass defines ``__iter__``,
    and ``__len__`` if it knows."""

    def __iter__(self) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} does not define __iter__()")

    def __add__(self, other: Any) -> Any:
        return ChainDataset([self, other])

    def __len__(self) -> int:
        raise TypeError(f"{type(self).__name__} does not define __len__()")


class ChainDataset(IterableDataset):
    """Several IterableDatasets, read one after the other. Raises TypeError for others."""

    def __init__(self, datasets: Iterable[IterableDataset]) -> None:
        self.datasets = datasets

    def _checked(self) -> Iterator[IterableDataset]:
        for dataset in self.datasets:
            if not isinstance(dataset, IterableDataset):
                raise TypeError(
                    f"ChainDataset chains IterableDatasets, got {type(dataset).__name__}: "
                    "ConcatDataset joins those with a length"
                )
            yield dataset

    def __iter__(self) -> Iterator[Any]:
        for dataset in self._checked():
            yield from dataset

    def __len__(self) -> int:
        return sum(len(dataset) for dataset in self._checked())


class TensorDataset(Dataset):
    """Item i is row i of every tensor."""

    def __init__(self, *tensors: Tensor) -> None:
        if not tensors:
            raise ValueError("TensorDataset needs at least one tensor")
        for t in tensors:
            if not isinstance(t, Tensor):
                hint = ": tapegrad.as_tensor() makes one" if hasattr(t, "__array__") else ""
                raise TypeError(f"TensorDataset takes tensors, got {type(t).__name__}{hint}")
        shapes = [tuple(t.shape) for t in tensors]
        if () in shapes or len({shape[0] for shape in shapes}) != 1:
            raise ValueError(
                "TensorDataset: the tensors must have equally many rows, their shapes are "
                + ", ".join(map(str, shapes))
            )
        self.tensors = tensors

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        return tuple(t[index] for t in self.tensors)

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getbatch__(self, indices: Sequence[int]) -> list[Tensor]:
        rows = np.asarray(indices)
        if rows.dtype.kind == "f" and rows.size:
            raise IndexError(f"TensorDataset: indices must be integers, got {list(indices)}")
        index = from_numpy(rows.astype(np.int64, copy=False))
        on = {device: index.to(device) for device in {t.device for t in self.tensors}}
        return [t[on[t.device]] for t in self.tensors]


class Subset(Dataset):
    """The items of a dataset at the given indices, in that order."""

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, list):
            return self.dataset[self._below(index)]
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: list[int]) -> list[Any]:
        return items_of(self.dataset, self._below(indices))

    def __getbatch__(self, indices: list[int]) -> Any:
        return batch_of(self.dataset, self._below(indices))

    def __len__(self) -> int:
        return len(self.indices)

    def _below(self, indices: list[int]) -> list[int]:
        return [self.indices[index] for index in indices]


class ConcatDataset(Dataset):
    """Several datasets one after the other."""

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset needs at least one dataset")
        if any(isinstance(dataset, IterableDataset) for dataset in self.datasets):
            raise TypeError(
                "ConcatDataset joins datasets with items, not an IterableDataset: ChainDataset "
                "chains those"
            )
        self.cumulative_sizes = list(accumulate(len(dataset) for dataset in self.datasets))

    def __getitem__(self, index: int) -> Any:
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(f"ConcatDataset of {len(self)} items has no index {index}")
        which = bisect_right(self.cumulative_sizes, position)
        start = self.cumulative_sizes[which - 1] if which else 0
        return self.datasets[which][position - start]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]


class StackDataset(Dataset):
    """Item i is item i of every dataset: of datasets by position a tuple, of datasets by name a
    dict. Raises ValueError for both at once, for none, and for datasets of different lengths."""

    datasets: tuple | dict

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if bool(args) == bool(kwargs):
            raise ValueError("StackDataset takes datasets by position, or by name")
        lengths = [len(dataset) for dataset in (*args, *kwargs.values())]
        if len({*lengths}) != 1:
            raise ValueError(f"StackDataset: the datasets have different lengths, {lengths}")
        self.datasets = args or kwargs
        self._length = lengths[0]

    def __getitem__(self, index: int) -> Any:
        if isinstance(self.datasets, dict):
            return {name: dataset[index] for name, dataset in self.datasets.items()}
        return tuple(dataset[index] for dataset in self.datasets)

    def __getitems__(self, indices: list[int]) -> list[Any]:
        if isinstance(self.datasets, dict):
            columns = [items_of(dataset, indices) for dataset in self.datasets.values()]
            return [
                dict(zip(self.datasets, row, strict=True)) for row in zip(*columns, strict=True)
            ]
        columns = [items_of(dataset, indices) for dataset in self.datasets]
        return list(zip(*columns, strict=True))

    def __getbatch__(self, indices: list[int]) -> Any:
        if isinstance(self.datasets, dict):
            return {name: batch_of(dataset, indices) for name, dataset in self.datasets.items()}
        return [batch_of(dataset, indices) for dataset in self.datasets]

    def __len__(self) -> int:
        return self._length


@retelling
def random_split(
    dataset: Any, lengths: Sequence[float], generator: Generator | None = None
) -> list[Subset]:
    """Deal the items of a dataset out at random into parts that share none.

    ``lengths`` are numbers of items that add up to the whole, or fractions that add up to 1.
    """
    total = len(dataset)
    sizes = _sizes(lengths, total)
    order = randperm(total, generator=generator).tolist()
    ends = list(accumulate(sizes))
    return [Subset(dataset, order[end - size : end]) for size, end in zip(sizes, ends, strict=True)]


def _sizes(lengths: Sequence[float], total: int) -> list[int]:
    if any(length < 0 for length in lengths):
        raise ValueError(f"random_split: lengths must not be negative: {list(lengths)}")
    if math.isclose(sum(lengths), 1.0) and all(length <= 1 for length in lengths):
        sizes = [math.floor(fraction * total) for fraction in lengths]
        # What rounding down left over goes to the parts in turn, as in PyTorch.
        for i in range(total - sum(sizes)):
            sizes[i % len(sizes)] += 1
        if 0 in sizes:
            warnings.warn(
                f"random_split: part {sizes.index(0)} of {list(lengths)} gets none of the {total} "
                "items",
                stacklevel=4,
            )
        return sizes
    if sum(lengths) != total or any(length != int(length) for length in lengths):
        raise ValueError(
            f"random_split: lengths {list(lengths)} must add up to the {total} items of the "
            "dataset, or be fractions that add up to 1"
        )
    return [int(length) for length in lengths]
