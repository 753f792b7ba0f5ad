"""Samplers: the order in which the items of a dataset are visited."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence, Sized
from itertools import islice
from typing import Any

import numpy as np

from tapegrad.core.dtypes import float64
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.refusals import Retelling
from tapegrad.ops.creation.create import as_tensor
from tapegrad.ops.sampling.distributions import multinomial
from tapegrad.ops.sampling.draws import randint, randperm
from tapegrad.ops.sampling.philox import Generator

_PIECE = 4096  # draws at a time, so that the first comes at once, however many there will be


def _pieces(total: int, size: int = _PIECE) -> Iterator[int]:
    return (min(size, total - start) for start in range(0, total, size))


def _require_flag(owner: str, name: str, value: Any) -> None:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{owner}: {name} must be True or False, not {value!r}")


def _require_count(owner: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{owner}: num_samples must be a positive integer, not {value!r}")


class Sampler(Retelling):
    """Base class. A subclass defines ``__iter__`` over indices, and ``__len__``."""

    def __iter__(self) -> Iterator[int]:
        raise NotImplementedError(f"{type(self).__name__} does not define __iter__()")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} does not define __len__()")

    def __class_getitem__(cls, item: Any) -> Any:
        """``Sampler[int]`` is Sampler."""
        return cls


class SequentialSampler(Sampler):
    """First to last."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler):
    """A new random order each time; with ``replacement`` an item may come more than once.

    The order is a function of the generator's seed alone, the same on every device.
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        _require_flag("RandomSampler", "replacement", replacement)
        if num_samples is not None:
            _require_count("RandomSampler", num_samples)
        self.data_source = data_source
        self.replacement = replacement
        self.num_samples = len(data_source) if num_samples is None else num_samples
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        size = len(self.data_source)
        if self.replacement:
            for count in _pieces(self.num_samples):
                yield from randint(0, size, (count,), generator=self.generator).tolist()
            return
        left = self.num_samples
        if left and not size:
            raise ValueError(f"RandomSampler: there is nothing to draw {left} samples from")
        while left > 0:
            yield from randperm(size, generator=self.generator).tolist()[:left]
            left -= size

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler):
    """The given indices, in a new random order each time."""

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        order = randperm(len(self.indices), generator=self.generator).tolist()
        return (self.indices[i] for i in order)

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler):
    """``num_samples`` items, each drawn with a chance in proportion to its weight: rare classes can
    be seen as often as frequent ones."""

    def __init__(
        self,
        weights: Sequence[float] | Tensor,
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ) -> None:
        _require_flag("WeightedRandomSampler", "replacement", replacement)
        _require_count("WeightedRandomSampler", num_samples)
        self.weights = as_tensor(weights, dtype=float64)
        if self.weights.ndim != 1:
            raise ValueError(
                "WeightedRandomSampler: weights must have one dimension, got shape "
                f"{tuple(self.weights.shape)}"
            )
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        # Each piece adds up the weights anew: as many draws as there are weights are worth that.
        least = max(_PIECE, len(self.weights)) if self.replacement else self.num_samples
        for count in _pieces(self.num_samples, least):
            drawn = multinomial(self.weights, count, self.replacement, generator=self.generator)
            yield from drawn.tolist()

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Retelling):
    """Groups another sampler's indices (or any items) into lists of ``batch_size``."""

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
            raise ValueError(f"batch_size must be a positive integer, not {batch_size!r}")
        _require_flag("BatchSampler", "drop_last", drop_last)
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while batch := list(islice(indices, min(self.batch_size, sys.maxsize))):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self) -> int:
        count = len(self.sampler)  # type: ignore[arg-type]
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)
