"""Steps that look at a parameter as a matrix: Adafactor's and Muon's. What they need to know of the
whole matrix is computed first; then everything changes at once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import chain
from operator import setitem
from typing import Any

import numpy as np

from tapegrad.core.commit import commit
from tapegrad.core.dtypes import is_low_precision
from tapegrad.core.memory import Array
from tapegrad.core.tape import array_function

from .chunks import (
    AGAIN,
    ONCE,
    Calls,
    Then,
    add_square,
    by_chunk,
    calls_of,
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

    def of_matrix(work: Any, p: Any, g: Any, row: Any, column: Any) -> Calls:
        u = work.scratch()
        yield np.multiply, row, column, u
        yield np.fmax, u, work.number(floor), u
        yield np.sqrt, u, u
        yield np.divide, g, u, u
        yield from move(work, p, u, work.number(rate))

    if variance is not None:
        in_passes(of_vector, (param, grad, variance), then)
        return
    if param.size == 0:
        make((), then)
        return
    if then is not None:
        then.before()
    library = xp.library
    wide = np.dtype("float32") if is_low_precision(param.dtype) else param.dtype
    row, column = row_var.astype(wide), col_var.astype(wide)
    over_row, over_column = library.zeros_like(row), library.zeros_like(column)
    blocks, square = _blocks(param), 0.0
    for batch, rows in blocks:
        square += float(library.square(param[batch][rows], dtype=wide).sum())
        squares = library.square(grad[batch][rows], dtype=wide)
        over_row[batch][rows] = squares.mean(-1, keepdims=True)
        over_column[batch] += squares.sum(-2, keepdims=True)
    row += (over_row - row) * part
    column += (over_column / param.shape[-2] - column) * part
    scaled = column / library.maximum(row.mean(-2, keepdims=True), eps1)
    total = 0.0
    for batch, rows in blocks:
        v = library.maximum(row[batch][rows] * scaled[batch], floor)
        total += float(library.square(grad[batch][rows] / library.sqrt(v)).sum())
    rate = limit * max(eps2, (square / count) ** 0.5) / max(1.0, (total / count) ** 0.5 / d)
    chunks = [[a[batch][rows] for batch, rows in blocks] for a in (param, grad, row)]
    calls = by_chunk(of_matrix, [*chunks, [scaled[batch] for batch, _ in blocks]])
    kept = [partial(setitem, row_var, ..., row), partial(setitem, col_var, ..., column)]
    make(chain(calls, map(partial.__call__, kept)), then)


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
    if then is not None:
        then.before()
    rows, columns = param.shape
    buffer, g = (
        a.astype("float32") if is_low_precision(a.dtype) else a for a in (momentum_buffer, grad)
    )
    buffer = buffer + (g - buffer) * (1 - momentum)
    if adjust_lr_fn == "match_rms_adamw":
        rate = lr * 0.2 * max(rows, columns) ** 0.5
    else:
        rate = lr * max(1.0, rows / columns) ** 0.5 if columns else lr
    direction = g + (buffer - g) * momentum if nesterov else buffer
    direction = _orthogonal(xp.library, direction, ns_coefficients, eps, ns_steps)
    moved = param * (1 - lr * weight_decay) - rate * direction
    changes = [partial(setitem, momentum_buffer, ..., buffer), partial(setitem, param, ..., moved)]
    commit([*changes, *calls_of(then)])


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
