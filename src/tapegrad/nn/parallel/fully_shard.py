"""Parameters, gradients and optimizer state divided among the ranks (ZeRO stage 3, Rajbhandari et
al. 2020): a module's parameters are whole only while it computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.autograd.function import Function
from tapegrad.autograd.graph import saved_tensors_hooks
from tapegrad.core.memory import Array, address, memory
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.distributed.collectives import all_gather_into_tensor, reduce_scatter_tensor
from tapegrad.distributed.groups import world
from tapegrad.distributed.reductions import ReduceOp
from tapegrad.distributed.shards import Layout
from tapegrad.ops.common.arguments import refuse

from ..module import Module
from ..parameter import Parameter
from .distributed import broadcast_from_first


def fully_shard(
    module: Module,
    *,
    mesh: Any = None,
    reshard_after_forward: bool = True,
    shard_placement_fn: Any = None,
    mp_policy: Any = None,
    offload_policy: Any = None,
    ignored_params: Any = None,
) -> Module:
    """Let each rank keep a part of each of the module's parameters, and return the module.

    They are gathered before its forward pass, and again when the backward pass asks for them
    (``reshard_after_forward=False``: they stay), and gradients are averaged, each rank keeping
    those of its parts. Call it for the blocks of a model first, then for the model, whose other
    parameters it divides: what is whole at a time is one call's. Make the optimizer afterwards.
    ``mesh`` is a process group (None: of all ranks).

    A parameter becomes the flat part of this rank, of equal length on all, with zeros behind the
    whole's end; its ``sharding`` knows the whole's shape (``distributed.full_tensor`` brings it
    together). All ranks begin with rank 0's. Raises ValueError without a process group, and for a
    module without parameters that are whole, NotImplementedError for the other arguments.
    """
    refuse(
        "fully_shard",
        shard_placement_fn=shard_placement_fn,
        mp_policy=mp_policy,
        offload_policy=offload_policy,
        ignored_params=ignored_params,
    )
    group = world() if mesh is None else mesh
    places: dict[int, list[tuple[Module, str]]] = {}
    whole: dict[int, Parameter] = {}
    for owner in module.modules():
        for name, p in owner._parameters.items():
            if p is not None and not hasattr(p, "sharding"):
                places.setdefault(id(p), []).append((owner, name))
                whole[id(p)] = p
    if not whole:
        raise ValueError(
            f"[fully_shard] {type(module).__name__} has no parameters that are not sharded already"
        )
    broadcast_from_first([*whole.values()], group)
    kinds: dict[Any, list[int]] = {}
    for key, p in whole.items():
        kinds.setdefault((p._device, p._array.dtype, p.requires_grad), []).append(key)
    for keys in kinds.values():
        unit = _Unit([whole[key] for key in keys], [places[key] for key in keys], group)
        unit.attach(module, reshard_after_forward)
    return module


class FullyShardedDataParallel:
    """PyTorch's older way to say it. Raises NotImplementedError: ``fully_shard(module)``."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(
            "[distributed.FullyShardedDataParallel] there is nothing like it here: "
            "distributed.fsdp.fully_shard(module) divides a module's parameters in place"
        )


class _Unit:
    """Parameters of one kind that are whole at the same time, and where they are in modules."""

    def __init__(
        self, wholes: Sequence[Parameter], places: Sequence[list[tuple[Module, str]]], group: Any
    ):
        self.group, self.places = group, places
        self.device, self.dtype = wholes[0]._device, wholes[0]._array.dtype
        self.layouts = [Layout(tuple(p.shape), group) for p in wholes]
        self.length = sum(layout.length for layout in self.layouts)
        self.shards: list[Parameter] = []
        for p, layout in zip(wholes, self.layouts, strict=True):
            part = wrap(layout.part(p._array, self.device.library), self.device)
            shard = Parameter(part, requires_grad=p.requires_grad)
            shard.sharding = layout  # type: ignore[attr-defined]
            self.shards.append(shard)
        self._again: list[Array] | None = None
        self._contexts: list[Any] = []
        self._put(self.shards)

    def _put(self, tensors: Sequence[Tensor]) -> None:
        for tensor, places in zip(tensors, self.places, strict=True):
            for owner, name in places:
                vars(owner)[name] = tensor

    def attach(self, module: Module, reshard: bool) -> None:
        """Gather before the module's forward pass, and let go behind it."""

        def before(module: Module, args: Any) -> None:
            wholes = _Gather.apply(self, *self.shards)
            self._put(wholes)
            context = _Forgetting(self, [w._array for w in wholes]) if reshard else None
            if context is not None:
                context.__enter__()
            self._contexts.append(context)

        def after(module: Module, args: Any, output: Any) -> None:
            context = self._contexts.pop() if self._contexts else None
            if context is not None:
                context.__exit__()
            self._put(self.shards)

        module.register_forward_pre_hook(before, prepend=True)
        module.register_forward_hook(after, always_call=True)

    def gather(self) -> list[Array]:
        """The whole arrays."""
        library, size = self.device.library, self.group.size()
        own = library.concatenate([shard._array for shard in self.shards])
        parts = library.empty((size, self.length), self.dtype)
        all_gather_into_tensor(wrap(parts, self.device), wrap(own, self.device), self.group)
        wholes, start = [], 0
        for layout in self.layouts:
            columns = parts[:, start : start + layout.length].copy()
            wholes.append(layout.whole(columns))
            start += layout.length
        return wholes

    def again(self) -> list[Array]:
        """The whole arrays, for the backward pass, until their gradients have come."""
        if self._again is None:
            self._again = self.gather()
        return self._again

    def scatter(self, gradients: Sequence[Tensor]) -> list[Tensor]:
        """The averages over the ranks of this rank's parts of the gradients."""
        self._again = None
        library, size = self.device.library, self.group.size()
        padded = library.zeros((size, self.length), self.dtype)
        start = 0
        for layout, gradient in zip(self.layouts, gradients, strict=True):
            flat = library.zeros((size * layout.length,), self.dtype)
            flat[: layout.numel] = gradient._array.reshape(-1)
            padded[:, start : start + layout.length] = flat.reshape(size, -1)
            start += layout.length
        own = library.empty((self.length,), self.dtype)
        reduce_scatter_tensor(
            wrap(own, self.device), wrap(padded, self.device), ReduceOp.AVG, self.group
        )
        found, start = [], 0
        for layout in self.layouts:
            found.append(wrap(own[start : start + layout.length].copy(), self.device))
            start += layout.length
        return found


class _Gather(Function):
    @staticmethod
    def forward(ctx: Any, unit: _Unit, *shards: Tensor) -> tuple[Tensor, ...]:
        ctx.unit = unit
        return tuple([wrap(whole, unit.device) for whole in unit.gather()])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return None, *ctx.unit.scatter(gradients)


class _Forgetting(saved_tensors_hooks):
    """Within it, the tape keeps of views of whole parameters only where they are in them."""

    def __init__(self, unit: _Unit, wholes: Sequence[Array]):
        # Known by their memory: to hold them here would be to keep them.
        known = {id(memory(whole)): (i, address(whole)) for i, whole in enumerate(wholes)}

        def pack(tensor: Tensor) -> Any:
            array = tensor._array
            if id(memory(array)) not in known:
                return tensor
            number, start = known[id(memory(array))]
            return number, address(array) - start, array.shape, array.strides

        def unpack(packed: Any) -> Tensor:
            if isinstance(packed, Tensor):
                return packed
            number, offset, shape, strides = packed
            whole = unit.again()[number]
            return wrap(_view(whole, offset, shape, strides), unit.device)

        super().__init__(pack, unpack)


def _view(whole: Array, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> Array:
    if isinstance(whole, np.ndarray):
        return np.ndarray(shape, whole.dtype, whole, offset, strides)
    return type(whole)(shape, whole.dtype, whole.data + offset, strides)
