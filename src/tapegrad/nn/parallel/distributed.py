"""A module trained by several ranks, each with its share of every batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tapegrad.core.memory import Array
from tapegrad.core.modes import recording
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.distributed.collectives import broadcast
from tapegrad.distributed.groups import get_world_size, world
from tapegrad.distributed.objects import all_gather_object
from tapegrad.ops.common.arguments import refuse

from ..module import Module
from .buckets import Reducer


class DistributedDataParallel(Module):
    """Calls its ``module``; in ``backward`` the gradients are averaged over the ranks, so that
    optimizers make the same step on all of them. The names in its state_dict begin with "module.".

    At the start all ranks take over rank 0's parameters and buffers; buffers again before each
    forward pass that follows one that records (``broadcast_buffers``). Gradients are averaged in
    buckets of ``bucket_cap_mb`` megabytes, while the backward pass still runs; 16-bit ones in
    float32. A loss that is a mean over each rank's equally many samples gives the gradient of the
    mean over all of them.

    ``find_unused_parameters``: some parameters get no gradient on some rank; ``static_graph``: the
    same ones in every pass. ``gradient_as_bucket_view``: ``.grad`` is the bucket's memory, which
    saves a copy. ``device_ids``, ``output_device`` and ``dim`` change nothing: the module is where
    it is. ``no_sync()`` is for gradients that are added up over several batches.

    Raises ValueError without a process group, RuntimeError for a module without parameters that
    require grad, where the ranks' modules differ, and in ``backward`` for parameters without a
    gradient, where that was not said. Raises NotImplementedError for the last five arguments.
    """

    def __init__(
        self,
        module: Module,
        device_ids: Any = None,
        output_device: Any = None,
        dim: int = 0,
        broadcast_buffers: bool = True,
        init_sync: bool = True,
        process_group: Any = None,
        bucket_cap_mb: float | None = None,
        find_unused_parameters: bool = False,
        check_reduction: bool = False,
        gradient_as_bucket_view: bool = False,
        static_graph: bool = False,
        delay_all_reduce_named_params: Any = None,
        param_to_hook_all_reduce: Any = None,
        mixed_precision: Any = None,
        device_mesh: Any = None,
        skip_all_reduce_unused_params: bool = False,
    ) -> None:
        super().__init__()
        refuse(
            "DistributedDataParallel",
            delay_all_reduce_named_params=delay_all_reduce_named_params,
            param_to_hook_all_reduce=param_to_hook_all_reduce,
            mixed_precision=mixed_precision,
            device_mesh=device_mesh,
            skip_all_reduce_unused_params=skip_all_reduce_unused_params,
        )
        self.process_group = world() if process_group is None else process_group
        self.module = module
        self.device_ids, self.output_device, self.dim = device_ids, output_device, dim
        self.broadcast_buffers, self.static_graph = broadcast_buffers, static_graph
        self.find_unused_parameters = find_unused_parameters
        self.gradient_as_bucket_view = gradient_as_bucket_view
        self.require_backward_grad_sync = self.require_forward_param_sync = True
        trained = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        if not trained:
            raise RuntimeError(
                "[DistributedDataParallel] no parameter requires grad: use the module itself"
            )
        if init_sync:
            self._require_alike()
            broadcast_from_first([*module.parameters(), *module.buffers()], self.process_group)
        self._reducer = Reducer(
            [p for _, p in trained],
            [name for name, _ in trained],
            self.process_group,
            int(2**20 * (25 if bucket_cap_mb is None else bucket_cap_mb)),
            optional=find_unused_parameters,
            static=static_graph,
            as_views=gradient_as_bucket_view,
        )

    def _require_alike(self) -> None:
        """Raise RuntimeError where ranks have other parameters: they would wait for each other."""
        own = [[name, p.dtype.name, [*p.shape]] for name, p in self.module.named_parameters()]
        found: list[Any] = []
        all_gather_object(found, own, self.process_group)
        for rank, other in zip(self.process_group.ranks, found, strict=True):
            if other != own:
                here, there = next(
                    ((a, b) for a, b in zip(own, other, strict=False) if a != b),
                    (f"{len(own)} parameters", f"{len(other)}"),
                )
                raise RuntimeError(
                    f"[DistributedDataParallel] rank {rank} has another module: {there}, where "
                    f"this one has {here}"
                )

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        if recording.get():
            self._reducer.enabled = self.require_backward_grad_sync
            if self.require_backward_grad_sync:
                self._reducer.begin()
        if self.broadcast_buffers and self.require_forward_param_sync:
            broadcast_from_first([*self.module.buffers()], self.process_group)
        self.require_forward_param_sync = recording.get() and self.require_backward_grad_sync
        return self.module(*inputs, **kwargs)

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """Forward passes in here have gradients that stay as each rank has them, and are added to
        ``.grad``; the next pass outside averages the sums."""
        before = self.require_backward_grad_sync
        self.require_backward_grad_sync = False
        try:
            yield
        finally:
            self.require_backward_grad_sync = before


def broadcast_from_first(tensors: list[Tensor], group: Any) -> None:
    """Replace the tensors by those of the group's first rank, all of a kind at once."""
    if get_world_size(group) == 1:
        return
    kinds: dict[Any, list[Tensor]] = {}
    for t in tensors:
        kinds.setdefault((t._device, t._array.dtype), []).append(t)
    for (device, _), alike in kinds.items():
        flat: Array = device.library.concatenate([t._array.reshape(-1) for t in alike])
        broadcast(wrap(flat, device), group=group, group_src=0)
        start = 0
        for t in alike:
            t._array[...] = flat[start : start + t.numel()].reshape(t._array.shape)
            t._bump("distributed.broadcast")
            start += t.numel()
