"""Runs kernels on a device: loops on ``cpu``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad.core import native
from tapegrad.core.devices import Device

from .compiled import address_of
from .loops import write_loop
from .plan import Kernel

Runner = Callable[[Sequence[Any]], list]


def runner(device: Device, kernel: Kernel) -> Runner | None:
    """What makes a kernel's results from its inputs; None where nothing compiles it."""
    return _on_cpu(kernel) if native.compiled is not None else None


def _on_cpu(kernel: Kernel) -> Runner:
    loop = write_loop(kernel)
    address = address_of(loop.text)
    made = [(step.shape, step.dtype) for step in kernel.results]
    run_loop, sizes, numbers = native.compiled.run_loop, loop.sizes, loop.numbers
    units, each = loop.units, loop.each

    def run(arrays: Sequence[Any]) -> list:
        results = [np.empty(shape, dtype) for shape, dtype in made]
        given = [np.ascontiguousarray(a) for a in arrays]
        run_loop(address, (sizes, *given, *results), numbers, units, each)
        return results

    return run
