"""Batches over several devices, of which tapegrad uses one: the names, so that scripts run."""

from __future__ import annotations

from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any

from tapegrad.ops.common.files import files as _files
from tapegrad.stand_in import publish as _publish
from tapegrad.stand_in import refusing as _refusing

from .module import Module

_refused = _refusing(
    "gather parallel_apply replicate scatter scatter_kwargs",
    "training runs on one device; call the module with the whole batch",
)
__all__ = ["DataParallel", "DistributedDataParallel", "data_parallel", *_refused]


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


class DistributedDataParallel(Module):
    """PyTorch's name for a module whose gradients are averaged over processes. Raises
    NotImplementedError: training runs in one process."""

    def __init__(self, module: Module, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(
            "[DistributedDataParallel] training runs in one process, on one device: use the module "
            "itself where distributed.is_initialized() is False"
        )


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


_files(
    __name__,
    {
        "data_parallel": "DataParallel data_parallel",
        "distributed": "DistributedDataParallel",
        "parallel_apply": "parallel_apply",
        "replicate": "replicate",
        "scatter_gather": "gather scatter scatter_kwargs",
    },
)

if not _TYPE_CHECKING:
    __getattr__, _ = _publish(__name__, _refused)
