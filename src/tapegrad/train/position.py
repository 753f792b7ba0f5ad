"""Where a run is in its data and its random numbers, such that another one goes on from there."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import numpy as np

from tapegrad.core.tensor import Tensor
from tapegrad.data.position import generators_of as data_generators
from tapegrad.ops.creation.create import tensor
from tapegrad.ops.sampling.philox import Generator, default_generator

from .batches import length


class Position:
    """The batches of an epoch that were taken, and how to come to the next one.

    A loader that has ``state_dict`` and ``load_state_dict`` says and sets where it is. Of any other
    the epoch is begun again, with the random numbers that it began with, and the batches that were
    taken are passed over.
    """

    def __init__(self, *loaders: Any) -> None:
        self.loader = loaders[0]
        self.generators = generators_of(*loaders)
        self.taken = 0
        self.ended = False  # whether the epoch has no more
        self._began: dict[str, Any] = {}

    def batches(self, state: dict[str, Any] | None, epoch: int) -> Iterator[Any]:
        """The batches of an epoch from a state of ``state_dict`` on; None: from its beginning.
        Samplers that have ``set_epoch``, as a DistributedSampler has, are told which it is."""
        for name in ("sampler", "batch_sampler"):
            sampler: Any = getattr(self.loader, name, None)
            if hasattr(sampler, "set_epoch"):
                sampler.set_epoch(epoch)
        if state is None or not state["taken"]:
            self.taken, self.ended, self._began = 0, False, random_state(self.generators)
            return iter(self.loader)
        self.taken, self.ended, self._began = state["taken"], state["ended"], state["began"]
        if self.ended or self.taken == state["length"]:  # a loader may begin another one there
            return iter(())
        generators = self.generators
        if state["loader"] is not None and hasattr(self.loader, "load_state_dict"):
            generators = [default_generator]  # of its own, the loader knows where they were
            now = random_state(generators)
            self.loader.load_state_dict(state["loader"])
            batches = iter(self.loader)
        else:
            now = random_state(generators)
            set_random_state(self._began, generators)
            batches = iter(self.loader)
            for _ in range(self.taken):
                if next(batches, self) is self:
                    raise ValueError(
                        f"[Trainer] the run was saved after {self.taken} batches of an epoch, this "
                        "loader has fewer: resume with the same data and batch size"
                    )
        set_random_state(now, generators)
        return batches

    def state_dict(self, exact: bool = True) -> dict[str, Any]:
        """Where it is; exact: as the loader says it, if it does."""
        if not self.taken:
            return {"taken": 0}
        exact = exact and hasattr(self.loader, "state_dict")
        loader = self.loader.state_dict() if exact else None
        return {
            "taken": self.taken,
            "ended": self.ended,
            "length": length(self.loader),  # which other ranks of the same run have not
            "began": self._began,
            "loader": loader,
        }


def generators_of(*loaders: Any) -> list[Generator]:
    """The default generator, and those that loaders draw from."""
    found = [default_generator, *chain.from_iterable(map(data_generators, loaders))]
    return list({id(generator): generator for generator in found}.values())


def random_state(generators: Iterable[Generator]) -> dict[str, Any]:
    """The state of some generators, and of Python's and NumPy's global ones, which transforms of
    the data may draw from."""
    version, words, gauss = random.getstate()
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002
    return {
        "tapegrad": [generator.get_state() for generator in generators],
        "python": [version, tensor(words), gauss],
        "numpy": [str(kind), tensor(np.asarray(keys, np.int64)), *rest],
    }


def set_random_state(state: dict[str, Any], generators: list[Generator]) -> None:
    """Go on from a state of ``random_state``. Raises ValueError for other generators."""
    saved: list[Tensor] = state["tapegrad"]
    if len(saved) != len(generators):
        raise ValueError(
            f"[Trainer] the run was saved with {len(saved)} generators of random numbers, now "
            f"there are {len(generators)}: give the loaders generators as before"
        )
    for generator, numbers in zip(generators, saved, strict=True):
        generator.set_state(numbers)
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words.tolist()), gauss))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
