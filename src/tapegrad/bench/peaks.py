"""The memory that a call needs beyond its inputs, at most at one time."""

from __future__ import annotations

import tracemalloc
from typing import Any

from tapegrad import cuda
from tapegrad.core.devices import Device

from .timing import Call


def peak_bytes(device: Device, counts: str, call: Call) -> int | None:
    """The most bytes that one call had allocated at once, its results among them; None where nobody
    counts them. On GPUs the pool of CuPy or PyTorch counts; on the CPU Python's tracemalloc, which
    NumPy tells of its arrays: memory that compiled code gets for itself is not seen, nor PyTorch's.
    counts: see ``Way``."""
    call(0)  # what is made once
    if device.type == "cuda" and counts == "torch":
        import torch

        return _peak(torch.cuda, device.index, call)
    if device.type == "cuda" and counts == "tapegrad":
        return _peak(cuda, device, call)
    if counts != "tapegrad" or tracemalloc.is_tracing():
        return None
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        result = call(1)
        peak = tracemalloc.get_traced_memory()[1] - before
        del result
    finally:
        tracemalloc.stop()
    return peak


def _peak(counter: Any, device: Any, call: Call) -> int:
    counter.reset_peak_memory_stats(device)
    before = counter.memory_allocated(device)
    result = call(1)
    peak = counter.max_memory_allocated(device) - before
    del result
    return int(peak)
