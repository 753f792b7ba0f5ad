"""What tensors take of a GPU's memory, in bytes; 0 without a GPU.

CuPy's pool keeps what was freed: "allocated" is what arrays use of it, "reserved" the whole pool.
The peak of what is allocated is measured from the first time on that it is asked for or reset
(counting costs a call of Python's for each allocation); that first answer is the pool's size, which
is no less than the peak so far.
"""

from __future__ import annotations

from typing import Any

from tapegrad.ops.common.signatures import fitting

from . import _gpu, is_available


class OutOfMemoryError(RuntimeError):
    """Raised where a GPU's memory does not suffice. (With CuPy at hand this name is CuPy's class,
    which is what is raised.)"""


if is_available():
    import cupy

    OutOfMemoryError = cupy.cuda.memory.OutOfMemoryError  # type: ignore[misc]


def _pool(device: Any, asked: str, *arguments: Any) -> Any:
    """The answer of a method of CuPy's pool, which is asked for the current GPU."""
    found = _gpu("memory", device)
    with found.library.cuda.Device(found.index):
        return getattr(found.library.get_default_memory_pool(), asked)(*arguments)


def memory_allocated(device: Any = None) -> int:
    """The bytes that arrays use now."""
    return _pool(device, "used_bytes") if is_available() else 0


def memory_reserved(device: Any = None) -> int:
    """The bytes that the pool holds, used or kept for reuse."""
    return _pool(device, "total_bytes") if is_available() else 0


def max_memory_reserved(device: Any = None) -> int:
    """The bytes that the pool holds: it grows until ``empty_cache``."""
    return memory_reserved(device)


# From its first use on: by GPU, the bytes in use and the most there were.
_used: dict[int, int] = {}
_most: dict[int, int] = {}


def max_memory_allocated(device: Any = None) -> int:
    """The most bytes that arrays used at once since the peak was reset or first asked for."""
    if not is_available():
        return 0
    index = _gpu("max_memory_allocated", device).index or 0
    if index not in _most:
        reset_peak_memory_stats(device)
        return memory_reserved(device)
    return _most[index]


def reset_peak_memory_stats(device: Any = None) -> None:
    """Measure the peak from here on. Does nothing without a GPU."""
    if is_available():
        index = _gpu("reset_peak_memory_stats", device).index or 0
        if not _most:
            _count()
        _used[index] = _most[index] = memory_allocated(device)


def _count() -> None:
    """Let CuPy tell of every allocation of this thread."""

    class Counter(cupy.cuda.MemoryHook):
        name = "tapegrad.cuda.max_memory_allocated"

        def malloc_postprocess(self, **block: Any) -> None:
            index = block["device_id"]
            if index in _used:
                _used[index] += block["mem_size"]
                _most[index] = max(_most[index], _used[index])

        def free_postprocess(self, **block: Any) -> None:
            if block["device_id"] in _used:
                _used[block["device_id"]] -= block["mem_size"]

    Counter().__enter__()


# Older names, and a counter that is the peak's.
memory_cached, max_memory_cached = memory_reserved, max_memory_reserved
reset_max_memory_allocated = reset_max_memory_cached = reset_peak_memory_stats
reset_accumulated_memory_stats = reset_peak_memory_stats


def mem_get_info(device: Any = None) -> tuple[int, int]:
    """The bytes of the GPU that are free for all programs, and all there are. Raises RuntimeError
    without a GPU."""
    found = _gpu("mem_get_info", device)
    free, total = found.library.cuda.Device(found.index).mem_info
    return free, total


def memory_stats(device: Any = None) -> dict[str, int]:
    """The figures of this module under PyTorch's keys; none without a GPU."""
    if not is_available():
        return {}
    return {
        "allocated_bytes.all.current": memory_allocated(device),
        "allocated_bytes.all.peak": max_memory_allocated(device),
        "reserved_bytes.all.current": memory_reserved(device),
        "reserved_bytes.all.peak": max_memory_reserved(device),
    }


def memory_summary(device: Any = None, abbreviated: bool = False) -> str:
    """The same, one a line, in MiB."""
    figures = memory_stats(device).items()
    return "\n".join(f"{name:28} {n / 2**20:12.1f} MiB" for name, n in figures) or "no GPU"


def set_per_process_memory_fraction(fraction: float, device: Any = None) -> None:
    """Let the pool grow to this part of the GPU's memory. Raises RuntimeError without a GPU,
    ValueError unless 0 <= fraction <= 1."""
    op = "set_per_process_memory_fraction"
    fraction = fitting(op, "fraction", fraction, float, False)
    if not 0 <= fraction <= 1:
        raise ValueError(f"[{op}] fraction must be between 0 and 1, got {fraction}")
    _pool(device, "set_limit", None, fraction)


def ipc_collect() -> None:
    """Does nothing: no memory is shared between processes."""
