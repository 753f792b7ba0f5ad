"""Optimizer state divided among the ranks (ZeRO stage 1, Rajbhandari et al. 2020)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tapegrad.core.tensor import Tensor, wrap
from tapegrad.distributed.collectives import broadcast
from tapegrad.distributed.groups import world
from tapegrad.distributed.objects import all_gather_object

from .hooks import with_hooks
from .optimizer import Optimizer, Params


class ZeroRedundancyOptimizer(Optimizer):
    """Each rank keeps the state of a part of the parameters, makes the steps of ``optimizer_class``
    for these, and sends them to all. Parameters and gradients are whole on all ranks: gradients
    must be the same there, as DistributedDataParallel makes them. What it computes is what
    ``optimizer_class(params, **defaults)`` computes, to the bit.

    A parameter belongs to the rank that has the fewest bytes so far, in the order of sizes.
    ``consolidate_state_dict``, on all ranks, comes before ``state_dict``, on one.
    """

    def __init__(
        self,
        params: Params,
        optimizer_class: type[Optimizer],
        process_group: Any = None,
        parameters_as_bucket_view: bool = False,
        overlap_with_ddp: bool = False,
        **defaults: Any,
    ) -> None:
        whole = optimizer_class(params, **defaults)  # (it has no state before its first step)
        super().__init__(whole.param_groups, whole.defaults)
        self.process_group = world() if process_group is None else process_group
        self.rank, self.world_size = self.process_group.rank(), self.process_group.size()
        self._owners = self._divide()
        self._own = optimizer_class(
            [{**group, "params": self._mine(group)} for group in self.param_groups], **defaults
        )
        self.state, self.kept_arrays = self._own.state, self._own.kept_arrays
        self._consolidated: dict[str, Any] | None = None

    def _divide(self) -> dict[int, int]:
        """id of each parameter -> its rank."""
        bytes_of = np.zeros(self.world_size, np.int64)
        owners: dict[int, int] = {}
        for p in sorted(self._parameters(), key=lambda p: -p._array.nbytes):
            owners[id(p)] = rank = int(bytes_of.argmin())
            bytes_of[rank] += p._array.nbytes
        return owners

    def _mine(self, group: dict[str, Any]) -> list[Tensor]:
        return [p for p in group["params"] if self.owns(p)]

    def owns(self, p: Tensor) -> bool:
        """Whether this rank has the state of the parameter."""
        return self._owners[id(p)] == self.rank

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Raises NotImplementedError once the parameters are divided: give all groups at once."""
        if hasattr(self, "_own"):
            raise NotImplementedError(
                "[ZeroRedundancyOptimizer] parameters are divided among the ranks at the start: "
                "give all groups to the constructor"
            )
        super().add_param_group(param_group)

    @with_hooks
    def step(self, closure: Callable | None = None) -> Any:
        """Make the step of this rank's parameters, and get the others'. Schedules and users change
        the options in ``param_groups``, as ever."""
        for group, own in zip(self.param_groups, self._own.param_groups, strict=True):
            own.update({key: value for key, value in group.items() if key != "params"})
        loss = self._own.step(closure)
        kinds: defaultdict[Any, list[Tensor]] = defaultdict(list)
        for p in self._parameters():
            if p._grad is not None:
                kinds[self._owners[id(p)], p._device, p._array.dtype].append(p)
        sent = []
        for (owner, device, _), parameters in kinds.items():
            flat = device.library.concatenate([p._array.reshape(-1) for p in parameters])
            work = broadcast(
                wrap(flat, device), group=self.process_group, group_src=owner, async_op=True
            )
            sent.append((work, owner, flat, parameters))
        for work, owner, flat, parameters in sent:
            assert work is not None
            work.wait()
            start = 0
            for p in parameters if owner != self.rank else ():
                p._array[...] = flat[start : start + p.numel()].reshape(p._array.shape)
                p._bump("ZeroRedundancyOptimizer.step")
                start += p.numel()
        return loss

    def consolidate_state_dict(self, to: int | None = None) -> None:
        """Bring the state of all parameters together on rank ``to`` of the group (None: on all).
        All ranks call it."""
        number = {id(p): i for i, p in enumerate(self._parameters())}
        mine = {number[id(p)]: dict(s) for p, s in self._own.state.items() if s}
        found: list[Any] = []
        all_gather_object(found, mine, self.process_group)
        if to not in (None, self.rank):
            return
        groups = [
            {**group, "params": [number[id(p)] for p in group["params"]]}
            for group in self.param_groups
        ]
        state = {i: s for states in found for i, s in states.items()}
        self._consolidated = {"state": dict(sorted(state.items())), "param_groups": groups}

    def state_dict(self) -> dict[str, Any]:
        """The state of all parameters, as ``optimizer_class`` has it. Raises RuntimeError before
        ``consolidate_state_dict``, and on ranks that it did not bring it to."""
        if self._consolidated is None:
            raise RuntimeError(
                "[ZeroRedundancyOptimizer] each rank has the state of its own parameters: call "
                "consolidate_state_dict() on all ranks before state_dict()"
            )
        return self._consolidated

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over options, and of the state what belongs to this rank's parameters, of a state of
        ``optimizer_class`` or of this class on any number of ranks. Raises ValueError as
        ``optimizer_class`` does."""
        groups, parameters = self._load_groups(
            "ZeroRedundancyOptimizer.load_state_dict", state_dict["param_groups"]
        )
        mine = {i for i, (_, p, _) in parameters.items() if self.owns(p)}
        self.param_groups[:] = groups
        self._own.load_state_dict(
            {
                "state": {i: s for i, s in state_dict["state"].items() if i in mine},
                "param_groups": [
                    {**group, "params": [i for i in group["params"] if i in mine]}
                    for group in state_dict["param_groups"]
                ],
            }
        )
        self.state = self._own.state
        self._consolidated = None
