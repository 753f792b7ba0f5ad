"""Samplers: the order in which the items of a dataset are visited."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence, Sized
from itertools import chain, islice
from typing import Any

import numpy as np

from tapegrad.core.devices import CPU
from tapegrad.core.dtypes import float64
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.refusals import Retelling
from tapegrad.ops.creation.create import as_tensor
from tapegrad.ops.sampling.distributions import multinomial
from tapegrad.ops.sampling.draws import randint, randperm
from tapegrad.ops.sampling.philox import Generator, integers

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
    """Base class. A subclass defines ``__iter__`` over indices, and ``__len__``.

    For a DataLoader that is resumed, ``state_dict()`` may tell, as tensors and plain values, how
    the latest pass began (it is asked when ``iter`` has been called, before the first index), and
    ``load_state_dict(state)`` let the next pass be the same.
    """

    def __iter__(self) -> Iterator[int]:
        raise NotImplementedError(f"{type(self).__name__} does not define __iter__()")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} does not define __len__()")

    def __class_getitem__(cls, item: Any) -> Any:
        """``Sampler[int]`` is Sampler."""
        return cls


def state_of(source: Any) -> Any:
    """The state of a sampler or dataset; None where it has none."""
    return source.state_dict() if is_stateful(source) else None


def restore(source: Any, state: Any) -> None:
    """Give back what ``state_of`` has returned."""
    if state is not None:
        source.load_state_dict(state)


def is_stateful(source: Any) -> bool:
    """Whether it has both of ``state_dict`` and ``load_state_dict``."""
    methods = (getattr(source, name, None) for name in ("state_dict", "load_state_dict"))
    return all(map(callable, methods))


def fresh_seed(generator: Generator | None) -> int:
    """A seed of 63 bits, drawn by one call of the generator (or the default one)."""
    return int(integers(CPU, 1, 2**63, generator)[0])


class _Drawn(Sampler):
    """Base of those that draw: each pass from ``generator``, or from a new one whose seed one call
    of the default generator gives, so that no other use of that changes a pass once it has begun.

    A state is where the latest pass began: once it is loaded, the next pass is that one again.
    """

    generator: Generator | None
    _began: Tensor | None = None
    _again = False

    def _begin(self) -> Generator:
        generator = Generator() if self.generator is None else self.generator
        if self._began is not None and self._again:
            generator.set_state(self._began)
        elif self.generator is None:
            generator.manual_seed(fresh_seed(None))
        self._began, self._again = generator.get_state(), False
        return generator

    def state_dict(self) -> dict[str, Any]:
        """Where the latest pass began; before the first one, where the generator is."""
        began = self._began
        if began is None and self.generator is not None:
            began = self.generator.get_state()
        return {"generator": began}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let the next pass be the one that ``state_dict`` describes."""
        began = state_dict["generator"]
        if began is not None:
            (self.generator or Generator()).set_state(began)  # raises for what is no state
        self._began, self._again = began, self.generator is None


class SequentialSampler(Sampler):
    """First to last."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(_Drawn):
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
        elif not len(data_source):
            raise ValueError("RandomSampler: the dataset is empty, there is nothing to shuffle")
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator

    @property
    def num_samples(self) -> int:
        """How many a pass draws: unless it was said, as many as there are now."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        size, wanted = len(self.data_source), self.num_samples
        if wanted and not size:
            raise ValueError(f"RandomSampler: there is nothing to draw {wanted} samples from")
        return chain.from_iterable(self._drawn(size, wanted, self._begin()))

    def _drawn(self, size: int, wanted: int, generator: Generator) -> Iterator[list[int]]:
        if self.replacement:
            for count in _pieces(wanted):
                yield randint(0, size, (count,), generator=generator).tolist()
            return
        for start in range(0, wanted, size):
            yield randperm(size, generator=generator).tolist()[: wanted - start]

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(_Drawn):
    """The given indices, in a new random order each time."""

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        order = randperm(len(self.indices), generator=self._begin()).tolist()
        return (self.indices[i] for i in order)

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(_Drawn):
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
        return chain.from_iterable(self._drawn(self._begin()))

    def _drawn(self, generator: Generator) -> Iterator[list[int]]:
        # Each piece adds up the weights anew: as many draws as there are weights are worth that.
        least = max(_PIECE, len(self.weights)) if self.replacement else self.num_samples
        for count in _pieces(self.num_samples, least):
            yield multinomial(self.weights, count, self.replacement, generator=generator).tolist()

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler):
    """Groups another sampler's indices (or any items) into lists of ``batch_size``."""

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
            raise ValueError(f"batch_size must be a positive integer, not {batch_size!r}")
        _require_flag("BatchSampler", "drop_last", drop_last)
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:  # type: ignore[override]
        return self._batches(iter(self.sampler))

    def _batches(self, indices: Iterator[int]) -> Iterator[list[int]]:
        while batch := list(islice(indices, min(self.batch_size, sys.maxsize))):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def state_dict(self) -> dict[str, Any]:
        """That of the sampler, if it has one."""
        return {"sampler": state_of(self.sampler)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let the next pass be the one that ``state_dict`` describes."""
        restore(self.sampler, state_dict["sampler"])

    def __len__(self) -> int:
        count = len(self.sampler)  # type: ignore[arg-type]
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)
