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
from tapegrad.ops.common.arguments import positive
from tapegrad.ops.common.refusals import Retelling
from tapegrad.ops.creation.create import as_tensor
from tapegrad.ops.sampling.distributions import multinomial
from tapegrad.ops.sampling.draws import randint, randperm
from tapegrad.ops.sampling.philox import Generator, integers

_PIECE = 4096  # draws at a time, so that the first comes at once, however many there will be


class _Pieces:
    """How many are drawn by each call of a pass, of which there may be any number."""

    def __init__(self, total: int, size: int) -> None:
        self.total, self.size = total, size
        self.calls = -(-total // size) if total else 0

    def __iter__(self) -> Iterator[int]:
        return (min(self.size, self.total - i * self.size) for i in range(self.calls))


def _require_flag(owner: str, name: str, value: Any) -> None:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{owner}: {name} must be True or False, not {value!r}")


def require_indices(what: str, sampler: Any) -> None:
    """Raise TypeError for what cannot be gone through."""
    if not isinstance(sampler, Iterable) and not hasattr(sampler, "__getitem__"):
        raise TypeError(
            f"{what} must be a Sampler or another iterable, such as a list of indices, got "
            f"{type(sampler).__name__}"
        )


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
    of the default generator gives. All calls that a pass will make are counted at its beginning, so
    that no other use of the generator changes a pass once it has begun.

    A state is where the latest pass began, and where the generator is: once it is loaded, the next
    pass is that one again, and the one after it goes on with the generator.
    """

    generator: Generator | None
    _began: Tensor | None = None
    _again = False

    def _begin(self, calls: int) -> Generator:
        """What the next pass draws from, by so many calls."""
        own = Generator()
        if self._again and self._began is not None:
            own.set_state(self._began)
        elif self.generator is None:
            own.manual_seed(fresh_seed(None))
        else:
            own.jump(*self.generator.next(calls))
        self._began, self._again = own.get_state(), False
        return own

    def state_dict(self) -> dict[str, Any]:
        """Where the latest pass began, None before the first one, and where the generator is."""
        now = None if self.generator is None else self.generator.get_state()
        return {"began": self._began, "generator": now}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let the next pass be the one that ``state_dict`` describes."""
        began, now = state_dict["began"], state_dict["generator"]
        for state in (began, now):
            if state is not None:
                Generator().set_state(state)  # raises for what is no state
        if now is not None and self.generator is not None:
            self.generator.set_state(now)
        self._began, self._again = began, True


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
            positive("RandomSampler: num_samples", num_samples)
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
        pieces = _Pieces(wanted, _PIECE if self.replacement else size)
        return chain.from_iterable(self._drawn(size, pieces, self._begin(pieces.calls)))

    def _drawn(self, size: int, pieces: _Pieces, generator: Generator) -> Iterator[list[int]]:
        for count in pieces:
            if self.replacement:
                yield randint(0, size, (count,), generator=generator).tolist()
            else:
                yield randperm(size, generator=generator).tolist()[:count]

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(_Drawn):
    """The given indices, in a new random order each time."""

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        order = randperm(len(self.indices), generator=self._begin(1)).tolist()
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
        positive("WeightedRandomSampler: num_samples", num_samples)
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
        pieces = _Pieces(self.num_samples, least)
        return chain.from_iterable(self._drawn(pieces, self._begin(pieces.calls)))

    def _drawn(self, pieces: _Pieces, generator: Generator) -> Iterator[list[int]]:
        for count in pieces:
            drawn = multinomial(self.weights, count, self.replacement, generator=generator)
            yield drawn.tolist()

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler):
    """Groups another sampler's indices (or any items) into lists of ``batch_size``."""

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        require_indices("BatchSampler: sampler", sampler)
        _require_flag("BatchSampler", "drop_last", drop_last)
        self.sampler = sampler
        self.batch_size = positive("batch_size", batch_size)
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
