"""Rows of kernel_table.py: what the steps of LSTM and GRU layers do with their gates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from kernel_table import Call, Draw, In, Out, Update, row, wide

FROM_FLOAT32 = ("float32", "float64")
# (sequences, hidden): around a block, and more than blocks hold.
SIZES = ((0, 3), (3, 0), (1, 1), (5, 3), (1, 31), (3, 85), (4, 65), (2, 129), (11, 241))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def gates_of(x: np.ndarray, count: int) -> Sequence[np.ndarray]:
    """Each gate of a row of them, in float64."""
    return np.split(wide(x), count, axis=1)


def beside(*gates: Any) -> np.ndarray:
    return np.concatenate(gates, axis=1)


def drawn(draw: Draw, rows: int, hidden: int, gates: int) -> tuple[np.ndarray, ...]:
    """What x and what h add to the gates, and values of gates: of sigmoid, but for the third."""
    x, h, of = (draw.normal(rows, gates * hidden) for _ in range(3))
    values = [sigmoid(z) for z in gates_of(of, gates)]
    values[2] = np.tanh(gates_of(of, gates)[2])
    return x, h, beside(*values).astype(draw.dtype)


@row("lstm_step", dtypes=FROM_FLOAT32, slack=2)
def lstm_step(draw: Draw) -> Iterator[Call]:
    for (rows, hidden), projected in ((s, p) for s in SIZES for p in (False, True)):
        x, h, _ = drawn(draw, rows, hidden, 4)
        state, cell = draw.normal(rows, hidden), draw.normal(rows, hidden)
        z = gates_of(wide(x) + wide(h), 4)
        i, f, o = (sigmoid(z[place]) for place in (0, 1, 3))
        new, was = np.tanh(z[2]), wide(cell)
        now = f * was + i * new
        y = o * np.tanh(now)
        kept = [None if projected else Out(value) for value in (wide(state), y)]
        yield [
            Update(x, beside(i, f, new, o)), Update(state, y), Update(cell, now), kept[0],
            Out(was), Out(np.tanh(now)), kept[1], In(h), rows, hidden,
        ]  # fmt: skip


@row("lstm_step_backward", dtypes=FROM_FLOAT32, slack=2)
def lstm_step_backward(draw: Draw) -> Iterator[Call]:
    for (rows, hidden), more in ((s, m) for s in SIZES for m in (False, True)):
        *_, gates = drawn(draw, rows, hidden, 4)
        dh, g, dc, cells = (draw.normal(rows, hidden) for _ in range(4))
        squashed = np.tanh(draw.normal(rows, hidden))
        (i, f, new, o), t = gates_of(gates, 4), wide(squashed)
        d = wide(dh) + (wide(g) if more else 0)
        at_cell = wide(dc) + d * o * (1 - t * t)
        at = beside(
            at_cell * new * i * (1 - i), at_cell * wide(cells) * f * (1 - f),
            at_cell * i * (1 - new * new), d * t * o * (1 - o),
        )  # fmt: skip
        yield [
            Out(at), Update(dc, at_cell * f), None if more else Out(o * t), In(dh),
            In(g) if more else None, In(gates), In(cells), In(squashed), rows, hidden,
        ]  # fmt: skip


@row("gru_step", dtypes=FROM_FLOAT32, slack=2)
def gru_step(draw: Draw) -> Iterator[Call]:
    for rows, hidden in SIZES:
        x, h, _ = drawn(draw, rows, hidden, 3)
        state = draw.normal(rows, hidden)
        of_x, of_h, was = gates_of(x, 3), gates_of(h, 3), wide(state)
        reset, update = (sigmoid(of_x[place] + of_h[place]) for place in (0, 1))
        new = np.tanh(of_x[2] + reset * of_h[2])
        now = new + update * (was - new)
        yield [
            Update(x, beside(reset, update, new)), Update(state, now), Out(of_h[2]), Out(was),
            Out(now), In(h), rows, hidden,
        ]  # fmt: skip


@row("gru_step_backward", dtypes=FROM_FLOAT32, slack=2)
def gru_step_backward(draw: Draw) -> Iterator[Call]:
    # Steps behind this one of fewer, of as many and of more sequences; and none in front of them.
    for rows, hidden in SIZES:
        for later, more in ((0, True), (rows // 2, False), (rows, True), (rows + 2, True)):
            yield gru_backward_call(draw, rows, later, hidden, more)
        yield gru_backward_call(draw, 0, rows, hidden, False)


def gru_backward_call(draw: Draw, rows: int, later: int, hidden: int, more: bool) -> Call:
    *_, gates = drawn(draw, rows, hidden, 3)
    dh, added = draw.normal(max(rows, later), hidden), draw.normal(later, hidden)
    g, inner, before = (draw.normal(rows, hidden) for _ in range(3))
    reset, update, new = gates_of(gates, 3)
    after = wide(dh)
    after[:later] += wide(added)
    d = after[:rows] + (wide(g) if more else 0)
    of_new = d * (1 - update) * (1 - new * new)
    at = beside(
        of_new * wide(inner) * reset * (1 - reset),
        d * (wide(before) - new) * update * (1 - update), of_new * reset,
    )  # fmt: skip
    after[:rows] = d * update
    given = [In(x) for x in (gates, inner, before)]
    return [
        Out(at), Out(of_new), Update(dh, after), In(added), In(g) if more else None, *given, rows,
        later, hidden,
    ]  # fmt: skip
