"""``torch.accelerator``: ``tapegrad.cuda`` under names that do not say which accelerator it is.

Without a GPU, ``is_available()`` is False, ``current_accelerator()`` None and ``empty_cache`` does
nothing; what needs one raises RuntimeError.
"""

from __future__ import annotations

from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any

from . import cuda
from .core.devices import Device
from .cuda import _gpu, device_count, empty_cache, is_available, set_device
from .cuda import device as device_index
from .cuda.memory import (
    max_memory_allocated,
    max_memory_reserved,
    mem_get_info,
    memory_allocated,
    memory_reserved,
    memory_stats,
    reset_accumulated_memory_stats,
    reset_peak_memory_stats,
)
from .ops.common.hints import unknown_names as _unknown_names

__all__ = [
    "current_accelerator",
    "current_device_idx",
    "current_device_index",
    "current_stream",
    "device_count",
    "device_index",
    "empty_cache",
    "get_device_capability",
    "get_memory_info",
    "is_available",
    "max_memory_allocated",
    "max_memory_reserved",
    "memory_allocated",
    "memory_reserved",
    "memory_stats",
    "reset_accumulated_memory_stats",
    "reset_peak_memory_stats",
    "set_device_idx",
    "set_device_index",
    "set_stream",
    "synchronize",
]


def current_accelerator(check_available: bool = False) -> Device | None:
    """The device 'cuda' where there is a GPU, else None."""
    return Device("cuda") if is_available() else None


def current_device_index() -> int:
    """The number of the current GPU. Raises RuntimeError without one."""
    return _gpu("current_device_index").index or 0


def synchronize(device: Any = None) -> None:
    """Wait until a GPU, by default the current one, has finished its work."""
    cuda.synchronize(device)


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """The compute capability of a GPU. (PyTorch's says which dtypes there are.)"""
    return cuda.get_device_capability(device)


def current_stream(device: Any = None) -> Any:
    """The stream to which work on a GPU is sent now."""
    from .cuda.streams import current_stream

    return current_stream(device)


def set_stream(stream: Any) -> None:
    """Send this thread's work to a stream from now on."""
    from .cuda.streams import set_stream

    set_stream(stream)


get_memory_info = mem_get_info
current_device_idx = current_device_index
set_device_index = set_device_idx = set_device

if not _TYPE_CHECKING:
    __getattr__ = _unknown_names(__name__)
