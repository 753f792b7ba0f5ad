"""Steps that look at a parameter as a matrix: Adafactor's and Muon's. What they need to know of the
whole matrix is computed first; then everything changes at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from operator import setitem
from typing import Any

import numpy as np

from tapegrad.core.commit import commit
from tapegrad.core.dtypes import accumulator, is_low_precision
from tapegrad.core.memory import Array
from tapegrad.core.tape import array_function

from .chunks import (
    AGAIN,
    ONCE,
    Calls,
    Then,
    Work,
    add_square,
    by_chunk,
    chunk_rows,
    in_passes,
    make,
    toward,
)


@array_function
def adafactor_step(
    xp: Any,
    param: Array,
    grad: Array,
    row_var: Any,
    col_var: Any,
    variance: Any,
    *,
    lr: float,
    beta2_decay: float,
    weight_decay: float,
    d: float,
    eps1: float,
    eps2: float,
    maximize: bool,
    step: int,
    then: Then | None = None,
) -> None:
    """param -= rate * u / max(1, rms(u) / d), where u = g / sqrt(v), rate is the smaller of lr and
    1 / sqrt(step), times the larger of eps2 and rms(param), and rms is the root of the mean square.
    v is the running mean of g²; of matrices only those over its rows and over its columns are kept.
    """
    part, limit, floor, count = step**beta2_decay, min(lr, step**-0.5), eps1 * eps1, param.size
    limit = -limit if maximize else limit

    def move(work: Any, p: Any, u: Any, rate: Any) -> Calls:
        yield np.multiply, u, rate, u
        if weight_decay:
            yield np.multiply, p, work.number(1 - lr * weight_decay), p
        yield np.subtract, p, u, p

    def of_vector(work: Any, p: Any, g: Any, v: Any) -> Calls:
        u, t = work.scratch(), work.scratch()
        rate, total = work.cell(), work.cell()

        def direction() -> Calls:
            yield np.fmax, v, work.number(floor), u
            yield np.sqrt, u, u
            yield np.divide, g, u, u

        yield np.square, g, u
        yield from toward(work, v, u, part, t)
        yield from add_square(work, p, rate, t)
        yield from direction()
        yield from add_square(work, u, total, t)
        yield ONCE
        for cell in (rate, total):
            yield np.divide, cell, work.number(count), cell
            yield np.sqrt, cell, cell
        yield np.fmax, rate, work.number(eps2), rate
        yield np.multiply, rate, work.number(limit), rate
        yield np.divide, total, work.number(d), total
        yield np.fmax, total, work.number(1), total
        yield np.divide, rate, total, rate
        yield AGAIN
        yield from direction()
        yield from move(work, p, u, rate)

    if variance is not None:
        in_passes(of_vector, (param, grad, variance), then)
        return
    arrays = (param, grad, row_var, col_var)
    work = Work(param, accumulator(param.dtype))
    numbers = [
        work.number(x)
        for x in (part, limit, floor, eps1, eps2, count, param.shape[-2], d, 1 - lr * weight_decay)
    ]
    moved = partial(_move_matrix, xp.library, *arrays, numbers, bool(weight_decay))
    make(map(partial.__call__, (moved,)) if param.size else (), then, arrays)


def _move_matrix(
    library: Any,
    param: Any,
    grad: Any,
    row_var: Any,
    col_var: Any,
    numbers: Sequence[Any],
    shrinks: bool,
) -> None:
    """Adafactor's step of a matrix, or of several. All of its numbers may be the device's."""
    part, limit, floor, eps1, eps2, count, rows_count, d, shrink = numbers
    wide = accumulator(param.dtype)
    row, column = row_var.astype(wide), col_var.astype(wide)
    over_row, over_column = library.zeros_like(row), library.zeros_like(column)
    blocks, square, total = _blocks(param), library.zeros((), wide), library.zeros((), wide)
    for batch, rows in blocks:
        square += library.square(param[batch][rows], dtype=wide).sum()
        squares = library.square(grad[batch][rows], dtype=wide)
        over_row[batch][rows] = squares.mean(-1, keepdims=True)
        over_column[batch] += squares.sum(-2, keepdims=True)
    row += (over_row - row) * part
    column += (over_column / rows_count - column) * part
    scaled = column / library.maximum(row.mean(-2, keepdims=True), eps1)
    for batch, rows in blocks:
        v = library.maximum(row[batch][rows] * scaled[batch], floor)
        total += library.square(grad[batch][rows] / library.sqrt(v)).sum()
    rate = limit * library.maximum(library.sqrt(square / count), eps2)
    rate = rate / library.maximum(library.sqrt(total / count) / d, 1)

    def of_matrix(work: Any, p: Any, g: Any, row: Any, column: Any) -> Calls:
        u = work.scratch()
        yield np.multiply, row, column, u
        yield np.fmax, u, floor, u
        yield np.sqrt, u, u
        yield np.divide, g, u, u
        yield np.multiply, u, rate, u
        if shrinks:
            yield np.multiply, p, shrink, p
        yield np.subtract, p, u, p

    chunks = [[a[batch][rows] for batch, rows in blocks] for a in (param, grad, row)]
    calls = by_chunk(of_matrix, [*chunks, [scaled[batch] for batch, _ in blocks]])
    kept = [partial(setitem, row_var, ..., row), partial(setitem, col_var, ..., column)]
    deque(chain(calls, map(partial.__call__, kept)), 0)


def _blocks(param: Any) -> list[tuple[tuple, slice]]:
    """The matrices in a parameter, and the rows of each that make a chunk."""
    *batch, length, row = param.shape
    rows = chunk_rows(param, length, row)
    return [(at, slice(i, i + rows)) for at in np.ndindex(*batch) for i in range(0, length, rows)]


@array_function
def muon_step(
    xp: Any,
    param: Array,
    grad: Array,
    momentum_buffer: Any,
    *,
    lr: float,
    weight_decay: float,
    momentum: float,
    nesterov: bool,
    ns_coefficients: Sequence[float],
    eps: float,
    ns_steps: int,
    adjust_lr_fn: str | None,
    then: Then | None = None,
) -> None:
    """param = (1 - lr * weight_decay) * param - rate * O, where O has the singular vectors of the
    gradient's running mean, and singular values near 1. (Its matrix products need the whole matrix:
    this step makes temporaries of its size.)"""
    rows, columns = param.shape
    if adjust_lr_fn == "match_rms_adamw":
        rate = lr * 0.2 * max(rows, columns) ** 0.5
    else:
        rate = lr * max(1.0, rows / columns) ** 0.5 if columns else lr
    arrays = (param, grad, momentum_buffer)
    work = Work(param, accumulator(param.dtype))
    numbers = [work.number(x) for x in (1 - momentum, momentum, 1 - lr * weight_decay, rate)]
    how: dict[str, Any] = {"coefficients": ns_coefficients, "eps": eps, "steps": ns_steps}
    orthogonal = partial(_orthogonal, xp.library, **how)
    moved = partial(_move_along, orthogonal, *arrays, numbers, nesterov)
    make(map(partial.__call__, (moved,)), then, arrays)


def _move_along(
    orthogonal: Callable[[Any], Any],
    param: Any,
    grad: Any,
    momentum_buffer: Any,
    numbers: Sequence[Any],
    nesterov: bool,
) -> None:
    """Muon's step. All of its numbers may be the device's."""
    part, momentum, shrink, rate = numbers
    p, buffer, g = (
        a.astype("float32") if is_low_precision(a.dtype) else a
        for a in (param, momentum_buffer, grad)
    )
    buffer = buffer + (g - buffer) * part
    direction = g + (buffer - g) * momentum if nesterov else buffer
    moved = p * shrink - rate * orthogonal(direction)
    commit([partial(setitem, momentum_buffer, ..., buffer), partial(setitem, param, ..., moved)])


def _orthogonal(library: Any, x: Any, coefficients: Sequence[float], eps: float, steps: int) -> Any:
    """The matrix with all singular values brought near 1 by Newton and Schulz's iteration
    X = a X + (b A + c A²) X, A = X Xᵀ. Its numbers are bfloat16's, and its sums float32's."""
    a, b, c = coefficients
    tall = x.shape[0] > x.shape[1]
    x = _rounded(library, x.T if tall else x)
    norm = _rounded(library, library.sqrt(library.square(x).sum()).reshape(1))
    x = _rounded(library, x / library.maximum(norm, eps))
    for _ in range(steps):
        gram = _rounded(library, x @ x.T)
        update = _rounded(library, b * gram + c * (gram @ gram))
        x = _rounded(library, a * x + update @ x)
    return x.T if tall else x


def _rounded(library: Any, x: Any) -> Any:
    """The nearest numbers that bfloat16 has, as float32: the upper 16 bits, rounded to even."""
    bits = library.array(x, dtype="float32", order="C").view("uint32")
    last = (bits >> np.uint32(16)) & np.uint32(1)
    bits += last + np.uint32(0x7FFF)
    bits &= np.uint32(0xFFFF0000)
    return bits.view("float32")
