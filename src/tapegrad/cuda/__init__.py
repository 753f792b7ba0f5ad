"""The GPUs, under the names of ``torch.cuda``. On a machine without one only ``synchronize``
fails."""

from __future__ import annotations

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any

from tapegrad.core import devices
from tapegrad.ops.common.hints import unknown_names as _unknown_names


def is_available() -> bool:
    """Whether device 'cuda' can be used: CuPy, a driver and a GPU are present."""
    return devices.device_count() > 0


def device_count() -> int:
    """The number of usable GPUs."""
    return devices.device_count()


def synchronize(device: Any = None) -> None:
    """Wait until the GPU (the current one, or ``device``) has finished all its work.

    Raises RuntimeError where there is no GPU, and what its kernels have noted (see core/deferred).
    """
    try:
        target = devices.Device("cuda" if device is None else device)
        target.library  # noqa: B018  (says what is missing)
    except (TypeError, ValueError, RuntimeError) as error:
        raise type(error)(f"[synchronize] {error}") from error
    devices.synchronize(target)


def manual_seed(seed: int) -> None:
    """``tapegrad.manual_seed``: the random numbers of all devices come from one seed."""
    from tapegrad.ops.sampling.philox import manual_seed as seed_all

    seed_all(seed)


manual_seed_all = manual_seed


def empty_cache() -> None:
    """Give the memory that is kept for reuse back to the GPU's driver. Does nothing without one."""
    if is_available():
        devices.Device("cuda").library.get_default_memory_pool().free_all_blocks()


if not _TYPE_CHECKING:
    _refuse = _unknown_names(__name__)

    def __getattr__(name: str) -> Any:
        return _import_module(".amp", __name__) if name == "amp" else _refuse(name)
