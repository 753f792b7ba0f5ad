"""Steps of many parameters as one launch, which reads and writes each array once.

What an override gets of a parameter is prepared as a row of a table: where its arrays are, and its
numbers. There is a table for each launcher and dtype on a device, whatever the options, and when
the steps are made, one launch does all of its rows (kernels/optimizer.cu). Of a 16-bit parameter
with a float32 master, it updates that, and writes the parameter, in the same pass."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import chain
from struct import pack
from typing import Any

import numpy as np

from tapegrad.core.capture import Capture, CaptureError, refuse
from tapegrad.core.devices import Device, device_count, make_current
from tapegrad.core.kernels import kernel, prepared_launch
from tapegrad.core.memory import Array, address

from .chunks import Prepared, Then, in_table
from .scalars import NUMBERS

CHUNK = 4096  # elements that a block works on at a time


class Table:
    """The rows of one launch, as ``Row`` in kernels/steps.h has them."""

    def __init__(self, device: Device, launcher: str, dtype: Any) -> None:
        self.device, self.launcher, self.dtype = device, launcher, dtype
        self.places: list[bytes] = []  # of each row: where its chunks begin, its size, its arrays
        self.numbers: list[bytes] = []
        self.chunks = 0
        self.arrays: list[Any] = []  # none of them may go before the launch

    def add(self, arrays: list[Any], numbers: tuple[float, ...], *flags: bool) -> None:
        """One tensor: the parameter, its gradient and the states, contiguous and of one size; with
        a master, this behind the gradient, and whether the gradient is as wide."""
        size = arrays[0].size
        if size == 0:
            return
        places = (*map(address, arrays), *flags)
        self.places.append(pack(f"2q{len(places)}Q", self.chunks, size, *places))
        self.numbers.append(pack(f"{len(numbers)}d", *numbers))
        self.chunks += -(-size // CHUNK)
        self.arrays.extend(arrays)

    def words(self) -> np.ndarray:
        """The rows, as the launch reads them."""
        parts = chain.from_iterable(zip(self.places, self.numbers, strict=True))
        return np.frombuffer(b"".join(parts), np.int64)

    def calls(self, rows: Array = None) -> list[partial]:
        """What makes the launch, of a table in the device's memory: without one, it is on its way
        there by then."""
        device = self.device
        if rows is None:
            rows = device.ops["asarray"](self.words())
        sizes = (len(self.places), self.chunks, CHUNK)
        launch = prepared_launch(
            device, self.launcher, self.dtype, rows, *sizes, reaches=self.arrays
        )
        several = device.type == "cuda" and device_count() > 1
        return [partial(make_current, device), launch] if several else [launch]


def record_step(
    recording: Capture, prepare: Callable[[], Prepared], states: list[dict[str, Any]]
) -> None:
    """Record what makes a step that ``prepare()`` prepares. It does so again before each replay,
    which counts the step in ``states``, and has the numbers of that time."""

    def again() -> Callable[[], None]:
        before = [dict(state) for state in states]
        latest = prepare()
        if not latest.like(prepared):
            raise CaptureError(
                "[replay] a parameter, or its optimizer's state, lies elsewhere than when the step "
                "was recorded, or the step takes another way, as with a weight decay that was 0: "
                "change tensors in place, or record the step again"
            )
        prepared.replayed = latest
        latest.count()
        return partial(_put_back, states, before)

    recording.before_each.append(again)
    prepared = prepare()
    for key, table in prepared.tables.items():
        if not isinstance(table, Table) or table.device is not recording.device:
            refuse(f"parameters are on another device than {recording.device}, which is recorded")
        rows = recording.live(table.words(), partial(_words_of, prepared, key))
        for call in table.calls(rows):
            call()
    deque(chain.from_iterable(prepared.calls), 0)


def _put_back(states: list[dict[str, Any]], before: list[dict[str, Any]]) -> None:
    for state, values in zip(states, before, strict=True):
        state.update(values)


def _words_of(prepared: Prepared, key: Any) -> np.ndarray:
    return (prepared.replayed or prepared).tables[key].words()


def _launch_step(name: str) -> None:
    numbers_of = NUMBERS[name]

    @kernel(name, floats="param", contiguous="grad")
    def step(
        device: Device,
        param: Array,
        grad: Array,
        *state: Any,
        then: Then | None = None,
        **given: Any,
    ) -> Array:
        wide = [param, *[a for a in state if a is not None]]  # as the master is, if there is one
        copy = None if then is None else then.copy
        changed = wide if copy is None else [copy, *wide]
        if not (
            all(a.shape == grad.shape and a.flags.c_contiguous for a in changed)
            and all(a.dtype == param.dtype for a in wide)
            and grad.dtype in (changed[0].dtype, param.dtype)
        ):
            return NotImplemented
        launcher, numbers = numbers_of(*state, **given)
        flags: tuple[bool, ...] = ()
        if copy is not None:
            launcher, flags = f"master_{launcher}", (grad.dtype == param.dtype,)
        key = (device, launcher, changed[0].dtype)
        row = ([changed[0], grad, *changed[1:]], numbers, *flags)
        in_table(key, partial(Table, *key), row, [] if then is None else then.counting())
        return None


for _name in NUMBERS:
    _launch_step(_name)
