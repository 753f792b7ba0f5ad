"""Steps on the CPU as loops in C++ (csrc/native), which read and write each array once: of float32
and float64, contiguous, where the loops were compiled. One call makes those of all parameters, on
several threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tapegrad.core.devices import Device, override, overrides
from tapegrad.core.memory import Array
from tapegrad.core.native import compiled

from .chunks import Prepared, Then, in_table
from .scalars import NUMBERS


class Table:
    """Steps of any kind, as ``in_table`` wants them."""

    def __init__(self) -> None:
        self.steps = compiled.Steps()

    def add(self, arrays: list[Any], launcher: str, numbers: tuple[float, ...]) -> Any:
        return self.steps.add(launcher, numbers, *arrays)

    def calls(self) -> list[partial]:
        return [partial(self.steps.run)]


_own: dict[str, Callable] = {}  # the implementations here, by step


def add_all(
    prepared: Prepared, name: str, rows: list[tuple], kept: tuple, options: dict[str, Any]
) -> Sequence[int]:
    """Prepare the steps of several parameters with the same options: ``rows`` has the arrays of
    each (those in ``kept`` that are not None, behind the parameter and its gradient). The numbers
    of the rows for which there is no loop."""
    if name not in _own or _first(name) is not _own[name]:
        return range(len(rows))
    table = prepared.tables.get("loops")
    if table is None:
        table = prepared.tables["loops"] = Table()
    return table.steps.add_all(*NUMBERS[name](*kept, **options), rows)


def _first(name: str) -> Callable:
    return next(f for types, f in overrides[name] if "cpu" in types)


def _loop(name: str, numbers_of: Callable) -> None:
    @override(name, "cpu")
    def step(
        device: Device,
        param: Array,
        grad: Array,
        *state: Any,
        then: Then | None = None,
        **given: Any,
    ) -> Any:
        counts, rounded = ([], []) if then is None else (then.counting(), then.rounding())
        if then is not None and then.copy is not None:
            then.before()
            grad = grad.astype(param.dtype, copy=False)
        arrays = [param, grad, *[a for a in state if a is not None]]
        row = (arrays, *numbers_of(*state, **given))
        return in_table("loops", Table, row, counts, rounded)

    _own[name] = step


if compiled is not None:
    for _name, _numbers_of in NUMBERS.items():
        _loop(_name, _numbers_of)
