"""Steps on the CPU as loops in C++ (csrc/native), which read and write each array once: of float32
and float64, contiguous, where the loops were compiled. One call makes those of all parameters, on
several threads."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from tapegrad.core.devices import Device, override
from tapegrad.core.memory import Array
from tapegrad.core.native import compiled

from .chunks import Then, in_table
from .scalars import NUMBERS


class Table:
    """Steps of any kind, as ``in_table`` wants them."""

    def __init__(self) -> None:
        self.steps = compiled.Steps()

    def add(self, arrays: list[Any], launcher: str, numbers: tuple[float, ...]) -> Any:
        return self.steps.add(launcher, numbers, *arrays)

    def calls(self) -> list[partial]:
        return [partial(self.steps.run)]


def _loop(name: str, numbers_of: Callable) -> None:
    @override(name, "cpu")
    def step(
        device: Device, param: Array, grad: Array, *state: Any, then: Then = None, **given: Any
    ) -> Any:
        arrays = [param, grad, *[a for a in state if a is not None]]
        return in_table("loops", Table, (arrays, *numbers_of(*state, **given)), then)


if compiled is not None:
    for _name, _numbers_of in NUMBERS.items():
        _loop(_name, _numbers_of)
