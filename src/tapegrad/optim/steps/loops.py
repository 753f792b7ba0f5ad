"""Steps on the CPU as one loop each, which reads and writes each array once (csrc/native), where
the loops were compiled: for contiguous arrays of one dtype, float32 or float64."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from tapegrad.core.devices import Device, override
from tapegrad.core.memory import Array
from tapegrad.core.native import compiled

from .chunks import Then, make, prepared
from .numbers import NUMBERS


def _loop(name: str, numbers_of: Callable) -> None:
    @override(name, "cpu")
    def step(
        device: Device, param: Array, grad: Array, *state: Any, then: Then = None, **given: Any
    ) -> Any:
        launcher, numbers = numbers_of(*state, **given)
        arrays = (param, grad, *[a for a in state if a is not None])
        steps = prepared()
        table = compiled.Steps() if steps is None or steps.table is None else steps.table
        if not table.add(launcher, numbers, *arrays):
            return NotImplemented
        if steps is None or steps.table is None:
            make(map(partial.__call__, (partial(table.run),)), None)
            if steps is not None:
                steps.table = table
        make((), then)
        return None


if compiled is not None:
    for _name, _numbers_of in NUMBERS.items():
        _loop(_name, _numbers_of)
