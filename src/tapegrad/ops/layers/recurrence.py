"""Recurrences: a layer in one direction is one primitive, with its backward pass written once.

Inputs x are the steps of all sequences, one step below the other: (rows, features), of which step t
has ``batch_sizes[t]`` rows, those of the sequences that are not over yet, the longest first. So
sequences of different lengths (see ``nn.utils.rnn``) cost no more than their steps, and those of
one length are the case where all sizes are equal. What x adds to the gates is one matrix product
for all steps, and so are the gradients of the weights and of x; only the products with the state
are made step by step. The walk goes up from step 0 or, with ``reverse``, down from the last: the
state has a row for each sequence, and each step replaces the rows that it has.

Bodies and rules work in place on arrays: on each gate of a step as one piece of memory, which
takes half the time of columns, and in the same memory step after step, which stays in the cache.
Gradients of gradients go through ``_in_steps``, the same formulas on Tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tapegrad.core.memory import Array
from tapegrad.core.tape import array_function, primitive, tensor_xp
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.precision import in_float32, to_float32, wide
from tapegrad.ops.movement.cat import cat

from .recurrence_kernels import Sizes, walk

# From this many steps on it pays to transpose the weights in memory: products of 32 rows with 256 x
# 1024 weights then take two thirds of the time, those of the way back nine tenths.
_MANY_STEPS = 8


def _transposed(xp: Any, weight: Array, batch_sizes: Sizes) -> Array:
    return xp.library.ascontiguousarray(weight.T) if len(batch_sizes) >= _MANY_STEPS else weight.T


def _both(xp: Any, a: Any, b: Any) -> Any:
    """The sum of two biases, either of which may be missing."""
    return a if b is None else b if a is None else xp.add(a, b)


def _columns(x: Array, count: int) -> Array:
    """The columns of each gate of a step: (rows, count * n) as (count, rows, n), a view."""
    return x.reshape(len(x), count, x.shape[1] // count).transpose(1, 0, 2)


def _blocks(x: Array, count: int) -> Array:
    """The same memory, (count, rows, n), with each gate in one piece: so are gates kept."""
    return x.reshape(count, len(x), x.shape[1] // count)


def _sigmoid(xp: Any, x: Array, scratch: Array, out: Array) -> None:
    xp.library.negative(x, out=scratch)
    xp.library.exp(scratch, out=scratch)
    scratch += 1
    xp.library.reciprocal(scratch, out=out)


def _slope_of_sigmoid(xp: Any, y: Array, out: Array) -> Array:
    xp.library.subtract(1, y, out=out)
    out *= y
    return out


def _slope_of_tanh(xp: Any, y: Array, out: Array) -> Array:
    xp.library.multiply(y, y, out=out)
    return xp.library.subtract(1, out, out=out)


def _arrived(xp: Any, g: Array | None, shape: Sequence[int], dtype: Any) -> Array:
    """The gradient of a last state, in memory of its own: the walk back begins with it."""
    if g is None:
        return xp.zeros(tuple(shape), dtype=dtype)
    return xp.cast(g, dtype=dtype)


def _in_one_piece(xp: Any, g: Array | None) -> Any:
    """The gradient of the results of all steps, in the dtype of what is kept."""
    return None if g is None else xp.contiguous(wide(xp, g)[0])


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
        for start, end in walk(batch_sizes, reverse):
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


def _gates(x: Tensor, count: int) -> list[Tensor]:
    n = x.shape[1] // count
    return [x[:, i * n : (i + 1) * n] for i in range(count)]


def _rnn_step(
    xp: Any,
    x: Any,
    states: Sequence[Any],
    w_ih: Any,
    w_hh: Any,
    b_ih: Any,
    b_hh: Any,
    *,
    relu: bool,
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
    if relu:
        at = (after > 0).astype(after.dtype)
    else:
        at = _slope_of_tanh(xp, after, xp.empty(after.shape, after.dtype))
    state, weight = _arrived(xp, g[1], h.shape, after.dtype), _transposed(xp, w_hh, batch_sizes)
    for start, end in reversed(walk(batch_sizes, reverse)):
        here, step = state[: end - start], at[start:end]
        if g[0] is not None:
            here += g[0][start:end]
        step *= here
        here[...] = xp.matmul(weight, step.T).T
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
    y = xp.linear(x, w_ih, _both(xp, b_ih, b_hh))
    state, weight = xp.copy(h), _transposed(xp, w_hh, batch_sizes)
    before, from_h = xp.empty(y.shape, y.dtype), xp.empty(h.shape, y.dtype)
    for start, end in walk(batch_sizes, reverse):
        here, step = state[: end - start], y[start:end]
        before[start:end] = here
        step += xp.library.matmul(here, weight, out=from_h[: end - start])
        if relu:
            xp.library.maximum(step, 0, out=step)
        else:
            xp.library.tanh(step, out=step)
        here[...] = step
    return (y, state), before, xp.copy(y)


# ---------------------------------------------------------------------- LSTM


@array_function
def lstm_steps_backward(
    xp: Any,
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
    """``at``, the gradient before sigmoid and tanh, of every step; in ``state`` and ``cell``, those
    of the last states become those of the first. With a projection also what reaches it, and what
    it got, where that is wanted. With s = sigmoid(z), ds/dz is s (1 - s), and with t = tanh(z),
    dt/dz is 1 - t t."""
    lib = xp.library
    scratch, product = xp.empty((len(state), at.shape[1]), at.dtype), xp.empty(cell.shape, at.dtype)
    weight = _transposed(xp, w_hh, batch_sizes)
    for start, end in reversed(walk(batch_sizes, reverse)):
        k = end - start
        dh, dc, a, t = state[:k], cell[:k], product[:k], squashed[start:end]
        if g is not None:
            dh += g[start:end]
        i, f, new, o = values = _blocks(gates[start:end], 4)
        di, df, dnew, do = _columns(at[start:end], 4)
        if outputs is not None:
            lib.multiply(o, t, out=outputs[start:end])
            at_outputs[start:end] = dh
        rest = lib.subtract(1, values, out=_blocks(scratch[:k], 4))
        lib.multiply(dh if w_hr is None else xp.matmul(dh, w_hr), o, out=a)
        b = lib.multiply(a, t, out=rest[2])
        lib.multiply(b, rest[3], out=do)
        b *= t
        a -= b
        dc += a
        lib.multiply(dc, i, out=a)
        lib.multiply(a, new, out=b)
        lib.multiply(b, rest[0], out=di)
        b *= new
        lib.subtract(a, b, out=dnew)
        dc *= f
        rest[1] *= dc
        lib.multiply(rest[1], cells[start:end], out=df)
        dh[...] = xp.matmul(weight, at[start:end].T).T


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
    squashed: Array,
    *,
    batch_sizes: Sizes,
    reverse: bool,
    needs: tuple[bool, ...],
) -> tuple:
    """The gradients of all eight inputs."""
    at = xp.empty(gates.shape, gates.dtype)
    state, cell = (_arrived(xp, g[i], s.shape, gates.dtype) for i, s in ((1, h), (2, c)))
    projected = needs[7] and w_hr is not None
    at_outputs: Any = xp.empty(before.shape, before.dtype) if projected else None
    outputs: Any = xp.empty(squashed.shape, squashed.dtype) if projected else None
    xp.lstm_steps_backward(
        *(
            _in_one_piece(xp, g[0]),
            w_hh,
            w_hr,
            state,
            cell,
            gates,
            cells,
            squashed,
            at,
            at_outputs,
            outputs,
        ),
        batch_sizes=batch_sizes,
        reverse=reverse,
    )
    wanted = (needs[0], needs[3], needs[4])
    dx, dw_ih, dw_hh = _of_weights(xp, wanted, at, x, w_ih, at, before)
    bias = xp.column_sum(at) if needs[5] or needs[6] else None
    dw_hr = xp.matmul(at_outputs.T, outputs) if projected else None
    return dx, state, cell, dw_ih, dw_hh, bias, bias, dw_hr


@array_function
def lstm_steps(
    xp: Any,
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
    """All steps, from what x adds to the gates, in whose place come the gates themselves; in
    ``state`` and ``cell`` the last states come in the place of the first."""
    lib, n = xp.library, cell.shape[1]
    weight = _transposed(xp, w_hh, batch_sizes)
    scratch, summed = (xp.empty((len(state), 4 * n), gates.dtype) for _ in range(2))
    for start, end in walk(batch_sizes, reverse):
        k = end - start
        here, c_here, step = state[:k], cell[:k], gates[start:end]
        before[start:end], cells[start:end] = here, c_here
        z = lib.matmul(here, weight, out=summed[:k])
        z += step
        z, t = _columns(z, 4), _blocks(scratch[:k], 4)
        i, f, new, o = values = _blocks(step, 4)  # in the place of what has just been read
        _sigmoid(xp, z[:2], t[:2], values[:2])
        lib.tanh(z[2], out=new)
        _sigmoid(xp, z[3], t[3], o)
        c_here *= f
        c_here += lib.multiply(i, new, out=t[0])
        t = lib.tanh(c_here, out=squashed[start:end])
        if w_hr is None:
            lib.multiply(t, o, out=here)
        else:
            here[...] = xp.matmul(t * o, w_hr.T)
        y[start:end] = here


@primitive(
    "lstm_layer",
    vjp_all="lstm_layer_backward",
    plain=_in_steps(_lstm_step, 2),
    extras=("gates", "before", "cells", "squashed"),
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
    and the last h and c. Kept for the rule: the gates, both states before each step, tanh(c')."""
    n = c.shape[1]
    gates = xp.linear(x, w_ih, _both(xp, b_ih, b_hh))
    state, cell = xp.copy(h), xp.copy(c)
    y, before = (xp.empty((len(gates), h.shape[1]), gates.dtype) for _ in range(2))
    cells, squashed = (xp.empty((len(gates), n), gates.dtype) for _ in range(2))
    xp.lstm_steps(
        *(gates, w_hh, w_hr, state, cell, y, before, cells, squashed),
        batch_sizes=batch_sizes,
        reverse=reverse,
    )
    return (y, state, cell), gates, before, cells, squashed


# ---------------------------------------------------------------------- GRU


@array_function
def gru_steps_backward(
    xp: Any,
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
    """``at``, what reaches the linear layer of h, of every step, and ``third``, what reaches the
    third gate; in ``state``, the gradient of the last state becomes that of the first."""
    lib = xp.library
    scratch, t_all = xp.empty((len(state), at.shape[1]), at.dtype), xp.empty(state.shape, at.dtype)
    weight = _transposed(xp, w_hh, batch_sizes)
    for start, end in reversed(walk(batch_sizes, reverse)):
        k = end - start
        dh, t = state[:k], t_all[:k]
        if g is not None:
            dh += g[start:end]
        reset, update, new = values = _blocks(gates[start:end], 3)
        d = _slope_of_sigmoid(xp, values, _blocks(scratch[:k], 3))
        lib.subtract(1, update, out=d[2])
        d[2] *= _slope_of_tanh(xp, new, t)
        d[2] *= dh
        d[0] *= d[2]
        d[0] *= inner[start:end]
        d[1] *= dh
        d[1] *= lib.subtract(before[start:end], new, out=t)
        third[start:end] = d[2]
        d[2] *= reset
        _columns(at[start:end], 3)[...] = d
        dh *= update
        dh += xp.matmul(weight, at[start:end].T).T


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
    """The gradients of all six inputs. What reaches the gates before sigmoid and tanh reaches the
    two linear layers side by side; only the third gate's part from h passes ``reset`` first, and
    ``at`` is what reaches that layer until all steps are done."""
    at, third = xp.empty(gates.shape, gates.dtype), xp.empty_like(before)
    state = _arrived(xp, g[1], h.shape, gates.dtype)
    xp.gru_steps_backward(
        *(_in_one_piece(xp, g[0]), w_hh, state, gates, inner, before, at, third),
        batch_sizes=batch_sizes,
        reverse=reverse,
    )
    dw_hh = xp.matmul(at.T, before) if needs[3] else None
    db_hh = xp.column_sum(at) if needs[5] else None
    xp.write(at[:, 2 * h.shape[1] :], third)
    dx = xp.matmul(at, w_ih) if needs[0] else None
    dw_ih = xp.matmul(at.T, x) if needs[2] else None
    return dx, state, dw_ih, dw_hh, xp.column_sum(at) if needs[4] else None, db_hh


@array_function
def gru_steps(
    xp: Any,
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
    """All steps, as ``lstm_steps`` makes them."""
    lib, n = xp.library, state.shape[1]
    weight = _transposed(xp, w_hh, batch_sizes)
    scratch, summed = (xp.empty((len(state), 3 * n), gates.dtype) for _ in range(2))
    for start, end in walk(batch_sizes, reverse):
        k = end - start
        here, step = state[:k], gates[start:end]
        before[start:end] = here
        lib.matmul(here, weight, out=scratch[:k])
        if b_hh is not None:
            scratch[:k] += b_hh
        from_x, from_h = _columns(step, 3), _columns(scratch[:k], 3)
        inner[start:end] = from_h[2]
        reset, update, t = z = _blocks(summed[:k], 3)
        lib.add(from_x[:2], from_h[:2], out=z[:2])
        _sigmoid(xp, z[:2], z[:2], z[:2])
        lib.multiply(reset, inner[start:end], out=t)
        t += from_x[2]
        lib.tanh(t, out=t)
        _blocks(step, 3)[...] = z  # in the place of what has just been read
        here -= t
        here *= update
        here += t
        y[start:end] = here


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
    gates, state = xp.linear(x, w_ih, b_ih), xp.copy(h)
    y, inner, before = (xp.empty((len(gates), h.shape[1]), gates.dtype) for _ in range(3))
    xp.gru_steps(
        *(gates, w_hh, b_hh, state, y, inner, before), batch_sizes=batch_sizes, reverse=reverse
    )
    return (y, state), gates, inner, before
