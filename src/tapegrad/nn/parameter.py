"""Parameter and Buffer: the tensors that a module owns; an optimiser changes the parameters."""

from __future__ import annotations

from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.refusals import retelling
from tapegrad.ops.creation.create import empty


class Parameter(Tensor):
    """A leaf that requires grad and registers itself with the module it is assigned to.

    It shares its memory with ``data`` (None: with an empty tensor) but not the history of ``data``.
    A deep copy has no gradient, as in PyTorch.
    """

    _copies_grad = False

    @retelling
    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        _share(self, data)
        self.requires_grad_(requires_grad)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


class Buffer(Tensor):
    """A tensor that registers itself as a buffer with the module it is assigned to: part of the
    module's state (and of its state_dict, if ``persistent``), and not trained. It shares its
    memory with ``data`` (None: with an empty tensor)."""

    @retelling
    def __init__(self, data: Tensor | None = None, *, persistent: bool = True) -> None:
        _share(self, data)
        self.persistent = persistent


def _share(tensor: Tensor, data: Tensor | None) -> None:
    """Let a tensor that is being made have the memory of another."""
    if data is None:
        data = empty(0)
    if not isinstance(data, Tensor):
        raise TypeError(f"{type(tensor).__name__} needs a Tensor, got {type(data).__name__}")
    shared = data.detach()
    tensor._array, tensor._device, tensor._storage = shared._array, shared._device, shared._storage
