"""Steps of many parameters as one launch, which reads and writes each array once.

What an override gets of a parameter is prepared as a row of a table: where its arrays are, and its
numbers. There is a table for each launcher and dtype on a device, whatever the options, and when
the steps are made, one launch does all of its rows (kernels/optimizer.cu)."""

from __future__ import annotations

from functools import partial
from struct import pack
from typing import Any

import numpy as np

from tapegrad.core.devices import Device, device_count, make_current
from tapegrad.core.kernels import kernel, prepared_launch
from tapegrad.core.memory import Array, address

from .chunks import Then, in_table
from .scalars import NUMBERS

CHUNK = 4096  # elements that a block works on at a time


class Table:
    """The rows of one launch, as ``Row`` in kernels/steps.h has them."""

    def __init__(self, device: Device, launcher: str, dtype: Any) -> None:
        self.device, self.launcher, self.dtype = device, launcher, dtype
        self.rows: list[bytes] = []
        self.chunks = 0
        self.arrays: list[Any] = []  # none of them may go before the launch

    def add(self, arrays: list[Any], numbers: tuple[float, ...]) -> None:
        """One tensor: the parameter, its gradient and the states, contiguous and of one size."""
        size = arrays[0].size
        if size == 0:
            return
        words = f"2q{len(arrays)}Q{len(numbers)}d"
        self.rows.append(pack(words, self.chunks, size, *map(address, arrays), *numbers))
        self.chunks += -(-size // CHUNK)
        self.arrays.extend(arrays)

    def calls(self) -> list[partial]:
        """What makes the launch. The table is on its way to the device's memory by then."""
        device = self.device
        rows = device.ops["asarray"](np.frombuffer(b"".join(self.rows), np.int64))
        sizes = (len(self.rows), self.chunks, CHUNK)
        launch = prepared_launch(
            device, self.launcher, self.dtype, rows, *sizes, reaches=self.arrays
        )
        several = device.type == "cuda" and device_count() > 1
        return [partial(make_current, device), launch] if several else [launch]


def _launch_step(name: str) -> None:
    numbers_of = NUMBERS[name]

    @kernel(name, contiguous="grad")
    def step(
        device: Device, param: Array, grad: Array, *state: Any, then: Then = None, **given: Any
    ) -> Array:
        kept = [a for a in state if a is not None]
        shape = grad.shape
        if not all(a.shape == shape and a.flags.c_contiguous for a in (param, *kept)):
            return NotImplemented
        launcher, numbers = numbers_of(*state, **given)
        key = (device, launcher, param.dtype)
        in_table(key, partial(Table, *key), ([param, grad, *kept], numbers), then)
        return None


for _name in NUMBERS:
    _launch_step(_name)
