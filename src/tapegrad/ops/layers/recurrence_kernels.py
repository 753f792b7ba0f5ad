"""The steps of LSTM and GRU layers by kernels (kernels/recurrence.cu): for each step a product, and
one launch for all that is done with the gates.

The gates of a step are kept side by side, (rows, gates * hidden), while the bodies keep each of
them in one piece: so none of these declines what another one takes. All arrays are of one dtype,
float32 or float64, and but for weights contiguous, as the bodies of the layers make them.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from tapegrad.core.devices import Device, override
from tapegrad.core.kernels import launch
from tapegrad.core.memory import Array
from tapegrad.ops.linalg.matmul_kernels import product_into

Sizes = tuple[int, ...]


def walk(batch_sizes: Sizes, reverse: bool) -> list[tuple[int, int]]:
    """Where the rows of each step begin and end, in the order in which the state meets them."""
    ends = accumulate(batch_sizes)
    steps = [(end - n, end) for n, end in zip(batch_sizes, ends, strict=True)]
    return steps[::-1] if reverse else steps


@override("lstm_steps", "cuda", "emulated")
def _lstm_steps_kernel(
    device: Device,
    gates: Array,
    w_hh: Array,
    w_hr: Any,
    state: Array,
    cell: Array,
    y: Array,
    before: Array,
    cells: Array,
    squashed: Array,
    *,
    batch_sizes: Sizes,
    reverse: bool,
) -> None:
    hidden, empty = cell.shape[1], device.ops["empty"]
    from_h = empty((len(state), 4 * hidden), gates.dtype)
    output = None if w_hr is None else empty(cell.shape, gates.dtype)
    for start, end in walk(batch_sizes, reverse):
        k = end - start
        here, was, now = state[:k], before[start:end], y[start:end]
        product_into(device, from_h[:k], here, w_hh.T)
        states = (here, was, now) if output is None else (output, None, None)
        kept = (states[1], cells[start:end], squashed[start:end], states[2])
        step = gates[start:end]
        launch(device, "lstm_step", gates.dtype, step, states[0], cell, *kept, from_h, k, hidden)
        if output is not None:
            device.ops["write"](was, here)
            product_into(device, now, output[:k], w_hr.T)
            device.ops["write"](here, now)


@override("lstm_steps_backward", "cuda", "emulated")
def _lstm_steps_backward_kernel(
    device: Device,
    g: Any,
    w_hh: Array,
    w_hr: Any,
    state: Array,
    cell: Array,
    gates: Array,
    cells: Array,
    squashed: Array,
    at: Array,
    at_outputs: Any,
    outputs: Any,
    *,
    batch_sizes: Sizes,
    reverse: bool,
) -> None:
    hidden = cell.shape[1]
    product = None if w_hr is None else device.ops["empty"](cell.shape, at.dtype)
    for start, end in reversed(walk(batch_sizes, reverse)):
        k = end - start
        here, step = state[:k], at[start:end]
        arrived, added = here, None if g is None else g[start:end]
        if product is not None:
            if added is not None:
                device.ops["accumulate"](here, added)
            if at_outputs is not None:
                device.ops["write"](at_outputs[start:end], here)
            product_into(device, product[:k], here, w_hr)
            arrived, added = product, None
        launch(
            device, "lstm_step_backward", at.dtype, step, cell,
            None if outputs is None else outputs[start:end], arrived, added, gates[start:end],
            cells[start:end], squashed[start:end], k, hidden,
        )  # fmt: skip
        product_into(device, here, step, w_hh)


@override("gru_steps", "cuda", "emulated")
def _gru_steps_kernel(
    device: Device,
    gates: Array,
    w_hh: Array,
    b_hh: Any,
    state: Array,
    y: Array,
    inner: Array,
    before: Array,
    *,
    batch_sizes: Sizes,
    reverse: bool,
) -> None:
    hidden = state.shape[1]
    bias = None if b_hh is None else device.ops["contiguous"](b_hh)
    from_h = device.ops["empty"]((len(state), 3 * hidden), gates.dtype)
    for start, end in walk(batch_sizes, reverse):
        k = end - start
        product_into(device, from_h[:k], state[:k], w_hh.T, bias)
        kept = [x[start:end] for x in (inner, before, y)]
        step = gates[start:end]
        launch(device, "gru_step", gates.dtype, step, state, *kept, from_h, k, hidden)


@override("gru_steps_backward", "cuda", "emulated")
def _gru_steps_backward_kernel(
    device: Device,
    g: Any,
    w_hh: Array,
    state: Array,
    gates: Array,
    inner: Array,
    before: Array,
    at: Array,
    third: Array,
    *,
    batch_sizes: Sizes,
    reverse: bool,
) -> None:
    hidden, known = state.shape[1], 0
    later = device.ops["empty"](state.shape, at.dtype)
    for start, end in reversed(walk(batch_sizes, reverse)):
        k = end - start
        made = at[start:end], third[start:end]
        kept = [x[start:end] for x in (gates, inner, before)]
        arrived = None if g is None else g[start:end]
        launch(
            device, "gru_step_backward", at.dtype, *made, state, later, arrived, *kept, k, known,
            hidden,
        )  # fmt: skip
        product_into(device, later[:k], made[0], w_hh)
        known = k
    none = (None,) * 4
    launch(device, "gru_step_backward", at.dtype, None, None, state, later, *none, 0, known, hidden)
