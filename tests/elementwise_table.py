"""Rows of kernel_table.py: arithmetic of two arrays, copies, sums over any dimensions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from kernel_table import FLOATS, LENGTHS, Call, Draw, In, Out, Scratch, numpy_dtype, row, wide

Steps = tuple[int, ...]


def strided(array: np.ndarray, sizes: Sequence[int], steps: Steps) -> np.ndarray:
    """The elements of a flat array that these steps lead to."""
    step = array.itemsize
    return np.lib.stride_tricks.as_strided(array, sizes, [step * s for s in steps])


def reach(sizes: Sequence[int], steps: Steps) -> int:
    """The elements from the first to the last."""
    return 0 if 0 in sizes else 1 + sum((n - 1) * s for n, s in zip(sizes, steps, strict=True))


def rows_of(sizes: Sequence[int]) -> Steps:
    """The steps of an array of these sizes that is contiguous."""
    return tuple(int(np.prod(sizes[i + 1 :], dtype=int)) for i in range(len(sizes)))


# Sizes, and the steps of two arrays: channels last, transposed, broadcast along some dimensions, in
# every dimension; more than blocks hold.
LAYOUTS: tuple[tuple[Steps, Steps, Steps], ...] = (
    ((1, 1, 1, 1), (0, 0, 0, 0), (0, 0, 0, 0)),
    ((1, 1, 0, 5), (0, 0, 5, 1), (0, 0, 0, 1)),
    ((1, 1, 33, 65), (0, 0, 65, 1), (0, 0, 0, 1)),
    ((1, 1, 33, 65), (0, 0, 1, 33), (0, 0, 65, 1)),
    ((2, 3, 5, 7), (105, 1, 21, 3), (0, 1, 0, 0)),
    ((3, 4, 5, 6), (0, 30, 0, 1), (120, 0, 6, 0)),
    ((2, 40, 11, 13), (6000, 150, 13, 1), (1, 2, 80, 880)),
)


def arithmetic_rows(name: str, function: Callable[..., Any]) -> None:
    def call(draw: Draw, sizes: Steps, steps: Sequence[Steps], one: str = "") -> Call:
        """one: the operand that is a number."""
        drawn = [draw.normal(reach(sizes, s)) for s in steps]
        if name.startswith("divide"):
            drawn[1] = np.where(np.abs(drawn[1]) < 0.25, draw.dtype.type(1), drawn[1])
        number = 1.625 if one else 0.0
        if name == "divide_or_zero":
            drawn[1][::3] = 0
        values = [strided(wide(x), sizes, s) for x, s in zip(drawn, steps, strict=True)]
        values = [number if which == one else v for which, v in zip("ab", values, strict=True)]
        given = [None if which == one else In(x) for which, x in zip("ab", drawn, strict=True)]
        own = [(0,) * 4 if which == one else s for which, s in zip("ab", steps, strict=True)]
        y = np.broadcast_to(function(*values), sizes)
        return [Out(y), *given, *sizes, *rows_of(sizes), *own[0], *own[1], number]

    @row(name)
    def calls(draw: Draw) -> Iterator[Call]:
        for n in LENGTHS:
            for one in ("", "a", "b"):
                yield call(draw, (1, 1, 1, n), [(0, 0, 0, 1)] * 2, one)
            yield call(draw, (1, 1, 1, n), [(0, 0, 0, 1), (0, 0, 0, 0)])  # one for all
        for sizes, *steps in LAYOUTS:
            yield call(draw, sizes, steps)
            yield call(draw, sizes, steps, "b")


for _name in ("add", "subtract", "multiply", "divide"):
    arithmetic_rows(_name, getattr(np, _name))
arithmetic_rows(
    "divide_or_zero", lambda a, b: np.where(b == 0, 0, a / np.where(np.equal(b, 0), 1, b))
)


@row("counting", dtypes=(None,), exact=True)
def counting(draw: Draw) -> Iterator[Call]:
    for n in LENGTHS:
        yield [Out(np.arange(n), np.int64), n]


def copy_rows(to: str) -> None:
    narrow = to in ("float16", "bfloat16")
    dtypes = [d for d in FLOATS if d != "float64"] if narrow else FLOATS

    @row(f"cast_to_{to}", dtypes=dtypes, exact=True)
    def calls(draw: Draw) -> Iterator[Call]:
        made = numpy_dtype(to)
        for n in LENGTHS:
            x = draw.normal(n)
            yield [Out(x.astype(made), made), In(x), 1, 1, 1, n, *(0, 0, 0, 1) * 2]
        for sizes, steps, _ in LAYOUTS:
            x = draw.normal(reach(sizes, steps))
            y = strided(x, sizes, steps).astype(made)
            yield [Out(y, made), In(x), *sizes, *rows_of(sizes), *steps]


for _name in FLOATS:
    copy_rows(_name)


# ---- sums ----

# What is kept, its steps; what is added up, its steps: rows, by warps and by blocks; columns, of
# which few or many are beside each other; all of it; channels of images, wherever they lie; chunks.
SUMS = (
    ((1, 1), (0, 0), (1, 1), (0, 0)),
    ((1, 5), (0, 1), (1, 0), (0, 5)),
    ((1, 0), (0, 1), (1, 4), (0, 1)),
    ((1, 45), (0, 33), (1, 33), (0, 1)),
    ((1, 3), (0, 1031), (1, 1031), (0, 1)),
    ((1, 31), (0, 1), (1, 100), (0, 31)),
    ((1, 65), (0, 1), (1, 9), (0, 65)),
    ((1, 40), (0, 1), (1, 1500), (0, 40)),
    ((1, 300), (0, 1), (1, 9), (0, 300)),
    ((7, 33), (33 * 50, 1), (1, 50), (0, 33)),
    ((1, 1), (0, 0), (1, 40011), (0, 1)),
    ((1, 6), (0, 35), (40, 35), (210, 1)),
    ((1, 35), (0, 1), (9, 37), (37 * 40, 40)),
    ((3, 5), (1, 12), (2, 4), (60, 3)),
)


@row("sum", cancels=16)
def sums(draw: Draw) -> Iterator[Call]:
    for (kept, kept_steps, added, added_steps), divisor in itertools.product(SUMS, (1.0, 12.0)):
        sizes, steps = (*kept, *added), (*kept_steps, *added_steps)
        x = draw.normal(reach(sizes, steps))
        y = strided(wide(x), sizes, steps).sum(axis=(2, 3)) / divisor
        told = (*kept, *kept_steps, *added, *added_steps)
        chunks = draw.library.sum_chunks(*told)
        wider = "float32" if draw.dtype.name == "float16" else "float64"
        parts = Scratch(chunks * y.size, np.dtype(wider)) if chunks > 1 else None
        yield [Out(y), parts, In(x), *told, divisor]
