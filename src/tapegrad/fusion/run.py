"""Runs kernels: as loops on ``cpu``, as kernels in CUDA on ``emulated`` and ``cuda``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad import _build
from tapegrad.core import native
from tapegrad.core.devices import Device
from tapegrad.core.kernels import launch
from tapegrad.units import Source, Unit

from .compiled import address_of
from .launches import THREADS, write_launch
from .loops import write_loop
from .plan import Kernel

Runner = Callable[[Sequence[Any]], list]


def runner(device: Device, kernel: Kernel) -> Runner | None:
    """What makes a kernel's results from its inputs; None where nothing compiles it."""
    if device.type != "cpu":
        return Launched(device, kernel)
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


class Launched:
    """A kernel in CUDA: ``source``, and the call that launches it."""

    def __init__(self, device: Device, kernel: Kernel):
        written = write_launch(kernel)
        self.device, self.kernel = device, kernel
        self.source = Source(written.text, "<fused kernel>", 1, ".")
        self._told = [*written.arguments, written.blocks, 1, 1, THREADS, 1, 1, 0]
        self._made = [(step.shape, step.dtype) for step in kernel.results]
        unit = Unit(self.source, device.type)
        self._among = {device.type: _units.setdefault((written.text, device.type), unit)}
        self._empty, self._contiguous = device.ops["empty"], device.ops["ascontiguousarray"]

    def __call__(self, arrays: Sequence[Any]) -> list:
        results = [self._empty(shape, dtype) for shape, dtype in self._made]
        self.launch([self._contiguous(a) for a in arrays], results, self._among)
        return results

    def launch(self, arrays: Sequence[Any], results: Sequence[Any], among: Any) -> None:
        """Compute these results, by the compiled source that ``among`` has for the device."""
        launch(self.device, "fused", None, *arrays, *results, *self._told, among=among)
