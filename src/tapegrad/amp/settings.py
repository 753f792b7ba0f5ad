"""The settings of autocast as functions, with which ``autocast`` could be written."""

from __future__ import annotations

from typing import Any

from tapegrad.core.modes import flag

from .regions import chosen_dtype, exchange, regions
from .regions import device_type as known_type


def is_autocast_enabled(device_type: str | None = None) -> bool:
    """Whether autocast is on for a device type in this thread; None: for GPUs. Raises as
    ``autocast`` does."""
    kind = "cuda" if device_type is None else known_type("is_autocast_enabled", device_type)
    return kind in regions.get().active


def set_autocast_enabled(device_type: Any, enabled: bool | None = None) -> None:
    """Switch autocast on or off for a device type; with a bool alone, for GPUs. Raises as
    ``autocast`` does, and TypeError for anything but a bool."""
    if enabled is None:
        device_type, enabled = "cuda", device_type
    on = flag("set_autocast_enabled", "enabled", enabled)
    exchange(regions.get().switched(known_type("set_autocast_enabled", device_type), on))


def get_autocast_dtype(device_type: str) -> Any:
    """The dtype of regions for a device type that are not told one. Raises as ``autocast`` does,
    and ImportError for bfloat16 without the extra ``io``."""
    return regions.get().dtype(known_type("get_autocast_dtype", device_type))


def set_autocast_dtype(device_type: str, dtype: Any) -> None:
    """Set the dtype of regions for a device type that are not told one. Raises as ``autocast``
    does, and TypeError for what is no dtype."""
    kind = known_type("set_autocast_dtype", device_type)
    now = regions.get()
    exchange(now.switched(kind, kind in now.enabled, chosen_dtype("set_autocast_dtype", dtype)))


def is_autocast_cache_enabled() -> bool:
    """Whether the casts of a weight are kept until the end of the outermost region."""
    return regions.get().caches


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Keep the casts of a weight, or do not. Raises TypeError for anything but a bool."""
    caches = flag("set_autocast_cache_enabled", "enabled", enabled)
    exchange(regions.get().changed(caches=caches))


def clear_autocast_cache() -> None:
    """Forget the casts of weights."""
    regions.get().cache.clear()


def autocast_increment_nesting() -> int:
    """Enter a region of unchanged settings; returns how many this thread is in."""
    now = regions.get()
    exchange(now.changed(nesting=now.nesting + 1))
    return now.nesting + 1


def autocast_decrement_nesting() -> int:
    """Leave a region of unchanged settings; returns how many this thread is in. Raises RuntimeError
    where it is in none."""
    now = regions.get()
    if not now.nesting:
        raise RuntimeError("[autocast_decrement_nesting] this thread is in no region")
    cache = now.cache if now.nesting > 1 else None
    exchange(now.changed(nesting=now.nesting - 1, cache=cache))
    return now.nesting - 1


# Older names, each for one device type.


def get_autocast_gpu_dtype() -> Any:
    """``get_autocast_dtype("cuda")``."""
    return get_autocast_dtype("cuda")


def set_autocast_gpu_dtype(dtype: Any) -> None:
    """``set_autocast_dtype("cuda", dtype)``."""
    set_autocast_dtype("cuda", dtype)


def is_autocast_cpu_enabled() -> bool:
    """``is_autocast_enabled("cpu")``."""
    return is_autocast_enabled("cpu")


def set_autocast_cpu_enabled(enabled: bool) -> None:
    """``set_autocast_enabled("cpu", enabled)``."""
    set_autocast_enabled("cpu", enabled)


def get_autocast_cpu_dtype() -> Any:
    """``get_autocast_dtype("cpu")``."""
    return get_autocast_dtype("cpu")


def set_autocast_cpu_dtype(dtype: Any) -> None:
    """``set_autocast_dtype("cpu", dtype)``."""
    set_autocast_dtype("cpu", dtype)
