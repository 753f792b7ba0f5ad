"""Runs kernels: as loops on ``cpu``, as kernels in CUDA on ``emulated`` and ``cuda``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad import _build
from tapegrad.core import native
from tapegrad.core.devices import Device
from tapegrad.core.kernels import launch
from tapegrad.custom.source import Source
from tapegrad.custom.unit import Unit

from .compiled import address_of
from .launches import THREADS, write_launch
from .loops import write_loop
from .plan import Kernel

Runner = Callable[[Sequence[Any]], list]


def runner(device: Device, kernel: Kernel) -> Runner | None:
    """What makes a kernel's results from its inputs; None where nothing compiles it."""
    if device.type != "cpu":
        return _launched(device, kernel)
    if native.compiled is None or _build.find_cxx() is None:
        return None
    return _on_cpu(kernel)


def _on_cpu(kernel: Kernel) -> Runner:
    loop = write_loop(kernel)
    address = address_of(loop.text)
    made = [(step.shape, step.dtype) for step in kernel.results]
    run_loop, sizes, numbers = native.compiled.run_loop, loop.sizes, loop.numbers
    units, each = loop.units, loop.each

    def run(arrays: Sequence[Any]) -> list:
        results = [np.empty(shape, dtype) for shape, dtype in made]
        given = [a if a.flags.c_contiguous else np.ascontiguousarray(a) for a in arrays]
        run_loop(address, (sizes, *given, *results), numbers, units, each)
        return results

    return run


_units: dict[tuple[str, str], Any] = {}  # by text and type of device


def _launched(device: Device, kernel: Kernel) -> Runner:
    written = write_launch(kernel)
    key = written.text, device.type
    unit: Any = _units.get(key)
    if unit is None:
        source = Source(written.text, "<fused kernel>", 1, ".")
        unit = _units[key] = Unit(source, device.type)
    made = [(step.shape, step.dtype) for step in kernel.results]
    told = [*written.arguments, written.blocks, 1, 1, THREADS, 1, 1, 0]
    empty, contiguous = device.ops["empty"], device.ops["ascontiguousarray"]

    def run(arrays: Sequence[Any]) -> list:
        results = [empty(shape, dtype) for shape, dtype in made]
        given = [contiguous(a) for a in arrays]
        launch(device, "fused", None, *given, *results, *told, among={device.type: unit})
        return results

    return run
