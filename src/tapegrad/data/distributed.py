"""The share of one process in a dataset."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from tapegrad.distributed.groups import get_rank, get_world_size, is_initialized
from tapegrad.ops.sampling.draws import randperm
from tapegrad.ops.sampling.philox import Generator

from .sampler import Sampler


class DistributedSampler(Sampler):
    """Every ``num_replicas``-th index, from ``rank`` on, of all indices in an order that is new in
    each epoch (see ``set_epoch``) and the same in all processes, without ``shuffle`` as they are.
    The first ones are repeated until all get equally many, or with ``drop_last`` the last left out.

    Without ``num_replicas`` and ``rank``, they are those of the process group: raises RuntimeError
    where there is none, and ValueError for a rank that is none of them.
    """

    def __init__(
        self,
        dataset: Any,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        if num_replicas is None or rank is None:
            if not is_initialized():
                raise RuntimeError(
                    "DistributedSampler: there is no process group, say num_replicas and rank; for "
                    "one process use shuffle=True of the DataLoader"
                )
            num_replicas = get_world_size() if num_replicas is None else num_replicas
            rank = get_rank() if rank is None else rank
        if not 0 <= rank < num_replicas:
            raise ValueError(
                f"DistributedSampler: rank must be between 0 and {num_replicas - 1}, not {rank}"
            )
        self.dataset, self.num_replicas, self.rank = dataset, num_replicas, rank
        self.shuffle, self.seed, self.drop_last, self.epoch = shuffle, seed, drop_last, 0
        rounded = math.floor if drop_last else math.ceil
        self.num_samples = rounded(len(dataset) / num_replicas)
        self.total_size = self.num_samples * num_replicas

    def set_epoch(self, epoch: int) -> None:
        """Choose the order: to be called before each epoch, in all processes alike."""
        self.epoch = epoch

    def state_dict(self) -> dict[str, Any]:
        """The epoch, which is all that an order depends on."""
        return {"epoch": self.epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let the next pass be the one that ``state_dict`` describes."""
        self.set_epoch(state_dict["epoch"])

    def __iter__(self) -> Iterator[int]:
        count = len(self.dataset)
        indices = list(range(count))
        if self.shuffle:
            generator = Generator().manual_seed(self.seed + self.epoch)
            indices = randperm(count, generator=generator).tolist()
        while len(indices) < self.total_size:
            indices += indices[: self.total_size - len(indices)]
        return iter(indices[self.rank : self.total_size : self.num_replicas])

    def __len__(self) -> int:
        return self.num_samples
