"""The share of one process in a dataset."""

from __future__ import annotations

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

    A pass that one number of ranks has begun, another one may go on with, by the DataLoader's
    state: what nobody has seen is divided anew. All ranks go through their shares in step.

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
        self._began = self._start = 0  # in the order: of the latest pass, and of the next one
        self.num_samples = self._share(len(dataset))
        self.total_size = self.num_samples * num_replicas

    def set_epoch(self, epoch: int) -> None:
        """Choose the order: to be called before each epoch, in all processes alike."""
        if epoch != self.epoch:
            self._began = self._start = 0
        self.epoch = epoch

    def state_dict(self) -> dict[str, Any]:
        """The epoch, on which the order depends, and from where on in it the latest pass has
        divided it among how many."""
        return {"epoch": self.epoch, "start": self._began, "replicas": self.num_replicas}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let the next pass be the one that ``state_dict`` describes."""
        self.epoch = state_dict["epoch"]
        self._began = self._start = state_dict["start"]

    def divided_anew(self, state_dict: dict[str, Any], taken: int) -> dict[str, Any]:
        """The state of a pass over what is left, for the ranks that there are now, of the pass of a
        ``state_dict``, in which each of its ranks has had ``taken`` indices."""
        start = state_dict["start"] + taken * state_dict["replicas"]
        return {"epoch": state_dict["epoch"], "start": start, "replicas": self.num_replicas}

    def __iter__(self) -> Iterator[int]:
        self._began, self._start = self._start, 0
        count = len(self.dataset)
        order = list(range(count))
        if self.shuffle:
            generator = Generator().manual_seed(self.seed + self.epoch)
            order = randperm(count, generator=generator).tolist()
        left = order[self._began :]
        total = self._share(len(left)) * self.num_replicas
        while len(left) < total:
            left += order[: total - len(left)]
        return iter(left[self.rank : total : self.num_replicas])

    def _share(self, count: int) -> int:
        """How many of ``count`` indices each rank gets."""
        return count // self.num_replicas if self.drop_last else -(-count // self.num_replicas)

    def __len__(self) -> int:
        return self.num_samples
