"""What the machine can do at best, measured in the same run: moving memory and multiplying."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tapegrad.core.devices import Device
from tapegrad.core.dtypes import float32, is_low_precision

from .arrays import to_torch
from .cases import Draw
from .timing import Call, Clock, interleave

_SECONDS = 0.3


@dataclass
class Ceilings:
    """Bytes per second of a large copy (read and written), and FLOP per second of a large matrix
    product by dtype; 0 where nothing could be measured. ``by`` names the fastest library."""

    copy: float = 0.0
    matmul: dict[str, float] = field(default_factory=dict)
    by: dict[str, str] = field(default_factory=dict)

    def least_seconds(self, dtype: str, bytes: float, flops: float) -> float:
        """The time that nothing can beat which moves and computes as much."""
        moving = bytes / self.copy if self.copy else 0.0
        rate = self.matmul.get(dtype, 0.0)
        return max(moving, flops / rate if rate else 0.0)


def measure(device: Device, dtypes: Sequence[Any], clock: Clock, torch: bool) -> Ceilings:
    """Measure with the device's array library and, if asked, PyTorch; the faster one counts."""
    found, best = Ceilings(), partial(_best, device, clock, torch)
    copied, n = _sizes(device)
    found.copy, found.by["copy"] = best(
        2.0 * copied,
        "copyto",
        lambda to, of: to.copy_(of),
        device.library.empty(copied // 4, float32),
        Draw(device, float32, "copy").normal(copied // 4),
    )
    for dtype in dtypes:
        # Without a GPU, 16-bit floats are computed in float32.
        slow = is_low_precision(dtype) and device.type != "cuda"
        computed = float32 if slow else dtype
        if computed.name not in found.matmul:
            draw = Draw(device, computed, "matmul")
            found.matmul[computed.name], found.by[computed.name] = best(
                2.0 * n**3, "matmul", lambda a, b: a @ b, draw.normal(n, n), draw.normal(n, n)
            )
        found.matmul[dtype.name] = found.matmul[computed.name]
        found.by[dtype.name] = found.by[computed.name]
    return found


def _sizes(device: Device) -> tuple[int, int]:
    """Bytes to copy and rows of the square matrices: beyond all caches, within the memory."""
    if device.type == "emulated":
        return 1 << 20, 128
    if device.type == "cpu":
        return 1 << 28, 2048
    free = int(device.library.cuda.Device(device.index).mem_info[0])
    n = 8192
    while 3 * 8 * n * n > free / 2:
        n //= 2
    return min(1 << 30, free // 8), n


def _best(
    device: Device,
    clock: Clock,
    torch: bool,
    amount: float,
    function: str,
    pytorch: Callable[..., Any],
    *arrays: Any,
) -> tuple[float, str]:
    """The highest rate, and whose it is, of a function of the array library and PyTorch's way on
    the same arrays; a library that cannot do it at all does not count."""
    xp = device.library
    ways: dict[str, Call] = {xp.__name__: lambda turn: getattr(xp, function)(*arrays)}
    if torch:
        tensors = [to_torch(array) for array in arrays]
        ways["torch"] = lambda turn: pytorch(*tensors)
    rates = [(0.0, "")]
    for name, way in ways.items():
        try:
            timing = interleave({name: way}, clock, _SECONDS)[name]
        except Exception:  # dtypes that a library lacks, memory: its own exceptions
            continue
        rates.append((amount / timing.median, name))
    return max(rates)
