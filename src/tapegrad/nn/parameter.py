"""Parameter: a tensor that a module owns and an optimiser changes."""

from __future__ import annotations

from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.refusals import retelling


class Parameter(Tensor):
    """A leaf that requires grad and registers itself with the module it is assigned to.

    It shares its memory with ``data`` but not the history of ``data``.
    """

    @retelling
    def __init__(self, data: Tensor, requires_grad: bool = True) -> None:
        if not isinstance(data, Tensor):
            raise TypeError(f"Parameter needs a Tensor, got {type(data).__name__}")
        shared = data.detach()
        self._array, self._device, self._storage = shared._array, shared._device, shared._storage
        self.requires_grad_(requires_grad)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"
