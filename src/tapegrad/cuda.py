"""The GPUs, as ``torch.cuda`` names things. Nothing here fails on a machine without one, except
what needs one."""

from __future__ import annotations

from typing import Any

from . import backend


def is_available() -> bool:
    """Whether device 'cuda' can be used: CuPy, a driver and a GPU are there."""
    return backend.device_count() > 0


def device_count() -> int:
    """The number of usable GPUs."""
    return backend.device_count()


def synchronize(device: Any = None) -> None:
    """Wait until the GPU has done everything it was asked to.

    Raises RuntimeError where there is no GPU.
    """
    place = backend.Device("cuda" if device is None else device)
    place.library  # noqa: B018  (says what is missing)
    backend.synchronize(place)
