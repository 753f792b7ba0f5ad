"""Recurrences: a layer in one direction is one primitive, with its backward pass written once.

Inputs x are the steps of all sequences, one step below the other: (rows, features), of which step t
has ``batch_sizes[t]`` rows, those of the sequences that are not over yet, the longest first. So
sequences of different lengths (see ``nn.utils.rnn``) cost no more than their steps, and those of
one length are the case where all sizes are equal. What x adds to the gates is one matrix product
for all steps, and so are the gradients of the weights and of x; only the products with the state
are made step by step. The walk goes up from step 0 or, with ``reverse``, down from the last: the
state has a row for each sequence, and each step replaces the rows that it has.

Bodies and rules work in place on arrays. Gradients of gradients go through ``_in_steps``, the same
formulas on Tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

from tapegrad.core.memory import Array
from tapegrad.core.tape import array_function, primitive, tensor_xp
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.precision import in_float32, to_float32, wide
from tapegrad.ops.movement.cat import cat

Sizes = tuple[int, ...]

# From this many steps on it pays to transpose the weights in memory: a product of 32 rows with
# 256 x 1024 weights then takes two thirds of the time.
_MANY_STEPS = 8


def _walk(batch_sizes: Sizes, reverse: bool) -> list[tuple[int, int]]:
    """Where the rows of each step begin and end, in the order in which the state meets them."""
    ends = accumulate(batch_sizes)
    steps = [(end - n, end) for n, end in zip(batch_sizes, ends, strict=True)]
    return steps[::-1] if reverse else steps


def _transposed(xp: Any, weight: Array, batch_sizes: Sizes) -> Array:
    return xp.library.ascontiguousarray(weight.T) if len(batch_sizes) >= _MANY_STEPS else weight.T


def _both(a: Any, b: Any) -> Any:
    """The sum of two biases, either of which may be missing."""
    return a if b is None else b if a is None else a + b


def _gates(x: Any, count: int) -> list:
    """The columns of each gate, as views."""
    n = x.shape[1] // count
    return [x[:, i * n : (i + 1) * n] for i in range(count)]


def _sigmoid_(xp: Any, x: Array) -> None:
    xp.library.negative(x, out=x)
    xp.library.exp(x, out=x)
    x += 1
    xp.library.reciprocal(x, out=x)


def _through_sigmoid_(g: Array, y: Array) -> None:
    slope = 1 - y
    slope *= y
    g *= slope


def _arrived(xp: Any, g: Array | None, shape: Sequence[int], dtype: Any) -> Array:
    """The gradient of a last state, in memory of its own: the walk back begins with it."""
    if g is None:
        return xp.zeros(tuple(shape), dtype=dtype)
    return xp.library.array(wide(xp, g)[0])


def _of_weights(
    xp: Any, needs: Sequence[bool], at_x: Array, x: Array, w_ih: Array, at_h: Array, before: Array
) -> tuple:
    """The gradients of x, w_ih and w_hh from those at the gates, on either side."""
    return (
        xp.matmul(at_x, w_ih) if needs[0] else None,
        xp.matmul(at_x.T, x) if needs[1] else None,
        xp.matmul(at_h.T, before) if needs[2] else None,
    )


# ---------------------------------------------------------------------- on Tensors


def _in_steps(cell: Callable[..., tuple], count: int) -> Callable[..., tuple]:
    """A layer of ``count`` states, on Tensors: ``cell(xp, x, states, *weights, **options)`` returns
    the states after a step, the first of which is its result."""

    @in_float32
    def layer(
        xp: Any, x: Tensor, *others: Any, batch_sizes: Sizes, reverse: bool, **options: Any
    ) -> tuple:
        states, weights = others[:count], others[count:]
        results = {}
        for start, end in _walk(batch_sizes, reverse):
            n = end - start
            now = cell(xp, x[start:end], [s[:n] for s in states], *weights, **options)
            results[start, end] = now[0]
            states = tuple([_above(new, s) for new, s in zip(now, states, strict=True)])
        return ((cat([results[at] for at in sorted(results)]), *states),)

    return lambda *inputs, **parameters: layer(tensor_xp, *inputs, **parameters)[0]


def _above(new: Tensor, state: Tensor) -> Tensor:
    """A state with its first rows replaced."""
    n = len(new)
    return new if n == len(state) else cat([new, state[n:]])


def _rnn_step(
    xp: Any, x: Any, states: Sequence[Any], w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, *, relu: bool
) -> tuple:
    z = xp.linear(x, w_ih, b_ih) + xp.linear(states[0], w_hh, b_hh)
    return (xp.relu(z) if relu else xp.tanh(z),)


def _lstm_step(
    xp: Any, x: Any, states: Sequence[Any], w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, w_hr: Any
) -> tuple:
    h, c = states
    i, f, new, o = _gates(xp.linear(x, w_ih, b_ih) + xp.linear(h, w_hh, b_hh), 4)
    c = xp.sigmoid(f) * c + xp.sigmoid(i) * xp.tanh(new)
    y = xp.sigmoid(o) * xp.tanh(c)
    return y if w_hr is None else xp.linear(y, w_hr, None), c


def _gru_step(
    xp: Any, x: Any, states: Sequence[Any], w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any
) -> tuple:
    (h,) = states
    from_x, from_h = (_gates(xp.linear(*given), 3) for given in ((x, w_ih, b_ih), (h, w_hh, b_hh)))
    reset, update = (xp.sigmoid(a + b) for a, b in zip(from_x[:2], from_h[:2], strict=True))
    new = xp.tanh(from_x[2] + reset * from_h[2])
    return (new + update * (h - new),)


# ---------------------------------------------------------------------- tanh or relu


@array_function
@to_float32
def rnn_layer_backward(
    xp: Any,
    g: list,
    x: Array,
    h: Array,
    w_ih: Array,
    w_hh: Array,
    before: Array,
    after: Array,
    *,
    batch_sizes: Sizes,
    reverse: bool,
    relu: bool,
    needs: tuple[bool, ...],
) -> tuple:
    """The gradients of all six inputs; ``at`` is the gradient before tanh or relu."""
    at = (after > 0).astype(after.dtype) if relu else 1 - after * after
    state = _arrived(xp, g[1], h.shape, after.dtype)
    for start, end in reversed(_walk(batch_sizes, reverse)):
        here, step = state[: end - start], at[start:end]
        if g[0] is not None:
            here += g[0][start:end]
        step *= here
        here[...] = xp.matmul(step, w_hh)
    wanted = (needs[0], needs[2], needs[3])
    dx, dw_ih, dw_hh = _of_weights(xp, wanted, at, x, w_ih, at, before)
    bias = xp.column_sum(at) if needs[4] or needs[5] else None
    return dx, state, dw_ih, dw_hh, bias, bias


@primitive(
    "rnn_layer",
    vjp_all="rnn_layer_backward",
    plain=_in_steps(_rnn_step, 1),
    extras=("before", "after"),
    results=2,
)
@in_float32
def rnn_layer(
    xp: Any,
    x: Array,
    h: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Any,
    b_hh: Any,
    *,
    batch_sizes: Sizes,
    reverse: bool,
    relu: bool,
) -> tuple:
    """h' = tanh(W_ih x + W_hh h + b), or relu: (rows, hidden) and the last state, (batch, hidden).
    Kept for the rule: the states before and after each step, as the result may be changed in place.
    """
    y = xp.linear(x, w_ih, _both(b_ih, b_hh))
    state, weight = h.copy(), _transposed(xp, w_hh, batch_sizes)
    before = xp.empty(y.shape, y.dtype)
    for start, end in _walk(batch_sizes, reverse):
        here, step = state[: end - start], y[start:end]
        before[start:end] = here
        step += xp.matmul(here, weight)
        if relu:
            xp.library.maximum(step, 0, out=step)
        else:
            xp.library.tanh(step, out=step)
        here[...] = step
    return (y, state), before, y.copy()


# ---------------------------------------------------------------------- LSTM


@array_function
@to_float32
def lstm_layer_backward(
    xp: Any,
    g: list,
    x: Array,
    h: Array,
    c: Array,
    w_ih: Array,
    w_hh: Array,
    w_hr: Any,
    gates: Array,
    before: Array,
    cells: Array,
    *,
    batch_sizes: Sizes,
    reverse: bool,
    needs: tuple[bool, ...],
) -> tuple:
    """The gradients of all eight inputs; ``at`` is the gradient before sigmoid and tanh. The cells
    after a step, and what is projected, are computed again."""
    lib, n = xp.library, c.shape[1]
    at = xp.empty(gates.shape, gates.dtype)
    state, cell = (_arrived(xp, g[i], s.shape, gates.dtype) for i, s in ((1, h), (2, c)))
    projected = needs[7] and w_hr is not None
    outputs = xp.empty(cells.shape, cells.dtype) if projected else None
    at_outputs = xp.empty(before.shape, before.dtype) if projected else None
    for start, end in reversed(_walk(batch_sizes, reverse)):
        dh, dc = state[: end - start], cell[: end - start]
        if g[0] is not None:
            dh += g[0][start:end]
        step, values = at[start:end], gates[start:end]
        i, f, new, o = _gates(values, 4)
        t = f * cells[start:end]
        t += i * new
        lib.tanh(t, out=t)
        if projected:
            lib.multiply(o, t, out=outputs[start:end])
            at_outputs[start:end] = dh
        dy = dh if w_hr is None else xp.matmul(dh, w_hr)
        di, df, dnew, do = _gates(step, 4)
        lib.multiply(dy, t, out=do)
        t *= t
        lib.subtract(1, t, out=t)
        t *= o
        t *= dy
        dc += t
        lib.multiply(dc, new, out=di)
        lib.multiply(dc, cells[start:end], out=df)
        lib.multiply(dc, i, out=dnew)
        _through_sigmoid_(step[:, : 2 * n], values[:, : 2 * n])
        _through_sigmoid_(do, o)
        lib.multiply(new, new, out=t)
        lib.subtract(1, t, out=t)
        dnew *= t
        dc *= f
        dh[...] = xp.matmul(step, w_hh)
    wanted = (needs[0], needs[3], needs[4])
    dx, dw_ih, dw_hh = _of_weights(xp, wanted, at, x, w_ih, at, before)
    bias = xp.column_sum(at) if needs[5] or needs[6] else None
    dw_hr = xp.matmul(at_outputs.T, outputs) if projected else None
    return dx, state, cell, dw_ih, dw_hh, bias, bias, dw_hr


@primitive(
    "lstm_layer",
    vjp_all="lstm_layer_backward",
    plain=_in_steps(_lstm_step, 2),
    extras=("gates", "before", "cells"),
    results=3,
)
@in_float32
def lstm_layer(
    xp: Any,
    x: Array,
    h: Array,
    c: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Any,
    b_hh: Any,
    w_hr: Any,
    *,
    batch_sizes: Sizes,
    reverse: bool,
) -> tuple:
    """i, f, o = sigmoid(W_ih x + W_hh h + b), new = tanh(...) of their rows of the weights;
    c' = f c + i new, h' = o tanh(c'), times W_hr where there is one: (rows, hidden or projected),
    and the last h and c. Kept for the rule: the gates, and both states before each step."""
    n = c.shape[1]
    gates = xp.linear(x, w_ih, _both(b_ih, b_hh))
    state, cell, weight = h.copy(), c.copy(), _transposed(xp, w_hh, batch_sizes)
    y, before = (xp.empty((len(gates), h.shape[1]), gates.dtype) for _ in range(2))
    cells = xp.empty((len(gates), n), gates.dtype)
    for start, end in _walk(batch_sizes, reverse):
        here, c_here, step = state[: end - start], cell[: end - start], gates[start:end]
        before[start:end], cells[start:end] = here, c_here
        step += xp.matmul(here, weight)
        i, f, new, o = _gates(step, 4)
        _sigmoid_(xp, step[:, : 2 * n])
        xp.library.tanh(new, out=new)
        _sigmoid_(xp, o)
        c_here *= f
        c_here += i * new
        t = xp.library.tanh(c_here)
        t *= o
        here[...] = t if w_hr is None else xp.matmul(t, w_hr.T)
        y[start:end] = here
    return (y, state, cell), gates, before, cells


# ---------------------------------------------------------------------- GRU


@array_function
@to_float32
def gru_layer_backward(
    xp: Any,
    g: list,
    x: Array,
    h: Array,
    w_ih: Array,
    w_hh: Array,
    gates: Array,
    inner: Array,
    before: Array,
    *,
    batch_sizes: Sizes,
    reverse: bool,
    needs: tuple[bool, ...],
) -> tuple:
    """The gradients of all six inputs. What reaches the gates before sigmoid and tanh, ``at``,
    reaches the two linear layers side by side; only the third gate's part from h passes ``reset``
    first."""
    lib, n = xp.library, h.shape[1]
    at = xp.empty(gates.shape, gates.dtype)
    state = _arrived(xp, g[1], h.shape, gates.dtype)
    for start, end in reversed(_walk(batch_sizes, reverse)):
        dh = state[: end - start]
        if g[0] is not None:
            dh += g[0][start:end]
        step, values = at[start:end], gates[start:end]
        reset, update, new = _gates(values, 3)
        first, second, third = _gates(step, 3)
        lib.subtract(1, update, out=third)
        third *= dh
        third *= 1 - new * new
        lib.multiply(third, inner[start:end], out=first)
        lib.subtract(before[start:end], new, out=second)
        second *= dh
        _through_sigmoid_(step[:, : 2 * n], values[:, : 2 * n])
        at_h = step.copy()
        at_h[:, 2 * n :] *= reset
        dh *= update
        dh += xp.matmul(at_h, w_hh)
    dx = xp.matmul(at, w_ih) if needs[0] else None
    dw_ih = xp.matmul(at.T, x) if needs[2] else None
    db_ih = xp.column_sum(at) if needs[4] else None
    at[:, 2 * n :] *= gates[:, :n]
    dw_hh = xp.matmul(at.T, before) if needs[3] else None
    return dx, state, dw_ih, dw_hh, db_ih, xp.column_sum(at) if needs[5] else None


@primitive(
    "gru_layer",
    vjp_all="gru_layer_backward",
    plain=_in_steps(_gru_step, 1),
    extras=("gates", "inner", "before"),
    results=2,
)
@in_float32
def gru_layer(
    xp: Any,
    x: Array,
    h: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Any,
    b_hh: Any,
    *,
    batch_sizes: Sizes,
    reverse: bool,
) -> tuple:
    """The formula is ``gru_cell``'s: (rows, hidden), and the last state. Kept for the rule: the
    gates, the state's part of the third, and the state before each step."""
    n = h.shape[1]
    gates = xp.linear(x, w_ih, b_ih)
    state, weight = h.copy(), _transposed(xp, w_hh, batch_sizes)
    y, inner, before = (xp.empty((len(gates), n), gates.dtype) for _ in range(3))
    for start, end in _walk(batch_sizes, reverse):
        here, step = state[: end - start], gates[start:end]
        before[start:end] = here
        from_h = xp.matmul(here, weight)
        if b_hh is not None:
            from_h += b_hh
        reset, update, new = _gates(step, 3)
        step[:, : 2 * n] += from_h[:, : 2 * n]
        _sigmoid_(xp, step[:, : 2 * n])
        inner[start:end] = from_h[:, 2 * n :]
        new += reset * inner[start:end]
        xp.library.tanh(new, out=new)
        here -= new
        here *= update
        here += new
        y[start:end] = here
    return (y, state), gates, inner, before
