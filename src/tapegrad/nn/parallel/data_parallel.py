"""Batches over the devices of one process, of which tapegrad uses one: the names, so that scripts
run."""

from __future__ import annotations

from typing import Any

from ..module import Module


class DataParallel(Module):
    """Calls its ``module``, on the device that the module is on: nothing is divided among others,
    whatever ``device_ids``, ``output_device`` and ``dim`` say. The names in its state_dict begin
    with "module.", as in PyTorch."""

    def __init__(
        self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0
    ) -> None:
        super().__init__()
        self.dim, self.device_ids, self.output_device = dim, device_ids or [], output_device
        self.module = module

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)


def data_parallel(
    module: Module,
    inputs: Any,
    device_ids: Any = None,
    output_device: Any = None,
    dim: int = 0,
    module_kwargs: dict[str, Any] | None = None,
) -> Any:
    """``module(*inputs, **module_kwargs)``, on the device that the module is on."""
    arguments = inputs if isinstance(inputs, tuple) else (inputs,)
    return module(*arguments, **(module_kwargs or {}))
