"""Pooling in the CPU's loops: the bits of the bodies for maxima and their gradients, no less exact
means, at every level of instructions and on any number of threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from native_loops import LEVELS, THREADS, needs_loops, placed, plain, restored  # noqa: F401

import tapegrad as tg
from tapegrad.core import native
from tapegrad.ops.conv.sliding_window import Windows

pytestmark = [needs_loops, pytest.mark.usefixtures("restored")]

# Sizes of the image, and windows along its last dimensions.
CASES: dict[str, tuple[tuple[int, ...], tuple[Windows, ...]]] = {
    "2x2": ((3, 5, 8, 12), (Windows(4, 2, 2), Windows(6, 2, 2))),
    "3x3, stride 2, padding": ((2, 70, 32, 32), (Windows(16, 3, 2, 1), Windows(16, 3, 2, 1))),
    "3x3, odd sizes": ((2, 3, 15, 17), (Windows(8, 3, 2, 1), Windows(9, 3, 2, 1))),
    "2x2, the last row left out": ((2, 3, 9, 11), (Windows(4, 2, 2), Windows(5, 2, 2))),
    "one window": ((2, 3, 2, 3), (Windows(1, 2, 2), Windows(1, 3, 2))),
    "kernel 1": ((2, 3, 5, 7), (Windows(5, 1, 1), Windows(3, 1, 3))),
    "overlapping": ((2, 3, 9, 40), (Windows(7, 3, 1), Windows(36, 5, 1))),
    "stride 3, dilation": ((2, 3, 21, 23), (Windows(6, 3, 3, 1, 2), Windows(7, 2, 3, 1, 3))),
    "dilation 2": ((2, 3, 12, 12), (Windows(5, 3, 2, 1, 2), Windows(4, 2, 3, 0, 2))),
    "over the end": ((2, 3, 8, 10), (Windows(4, 3, 2, 0), Windows(5, 3, 2, 0))),
    "gaps": ((2, 3, 20, 24), (Windows(4, 2, 5), Windows(6, 3, 4))),
    "1d": ((2, 5, 33), (Windows(17, 3, 2, 1),)),
    "3d": ((2, 3, 6, 6, 8), (Windows(3, 2, 2), Windows(3, 3, 2, 1), Windows(4, 2, 2))),
    "many rows": ((20, 64, 16, 16), (Windows(8, 2, 2), Windows(8, 2, 2))),
}


def image_of(shape: tuple[int, ...]) -> np.ndarray:
    """Few different numbers, so that many are equal, and some ends of the range."""
    random = np.random.default_rng(sum(shape))
    x = random.integers(-9, 9, shape).astype("float32")
    ends = random.random(shape)
    x[ends < 0.03], x[ends > 0.97], x[(ends > 0.5) & (ends < 0.52)] = -np.inf, np.inf, np.nan
    return x


def on_threads(call: Any) -> Any:
    """What a call results in, of which the bits are the same on any number of threads."""
    results = []
    for threads in THREADS:
        native.compiled.set_num_threads(threads)
        found = call(threads)
        results.append(found if isinstance(found, tuple) else (found,))
        assert all(a.tobytes() == b.tobytes() for a, b in zip(results[-1], results[0], strict=True))
    return results[0]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", CASES)
def test_maxima_are_those_of_the_bodies(name: str, level: str) -> None:
    """Bit for bit: which of equals it is, and that nan counts as largest; and so the gradients,
    whose sums are exact here."""
    native.compiled.use(level)
    shape, along = CASES[name]
    x, cpu = image_of(shape), tg.device("cpu").ops
    for axis, windows in enumerate(along, 2):
        options = {"axis": axis, "windows": windows}
        expected = plain["max_along"](x, **options)
        kept = {threads: placed(x, threads) for threads in THREADS}
        mine = on_threads(lambda threads: cpu["max_along"](kept[threads][0], **options))  # noqa: B023
        for a, b in zip(mine, expected, strict=True):
            assert (a.dtype, a.shape) == (b.dtype, b.shape)
            np.testing.assert_array_equal(a, b)
        g = np.arange(expected[1].size, dtype="float32").reshape(expected[1].shape) % 1000 + 1
        back = {**options, "size": shape[axis]}
        expected_dx = plain["max_along_backward"](g, expected[1], **back)
        (dx,) = on_threads(lambda _: cpu["max_along_backward"](g, expected[1], **back))  # noqa: B023
        np.testing.assert_array_equal(dx, expected_dx)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", CASES)
def test_means_are_as_exact_as_the_bodies(name: str, level: str) -> None:
    native.compiled.use(level)
    shape, windows = CASES[name]
    random = np.random.default_rng(0)
    x, cpu = random.standard_normal(shape).astype("float32"), tg.device("cpu").ops
    g = random.standard_normal((*shape[:2], *(w.out for w in windows))).astype("float32")
    for op, array, options in (("avg_pool", x, {}), ("avg_pool_backward", g, {"size": shape[2:]})):
        for divisor in (6, -7):
            told = {"windows": windows, "divisor": divisor, **options}
            exact = plain[op](array.astype("float64"), **told)
            kept = {threads: placed(array, threads, np.nan) for threads in THREADS}
            (mine,) = on_threads(lambda threads: cpu[op](kept[threads][0], **told))  # noqa: B023
            assert (mine.dtype, mine.shape) == (array.dtype, exact.shape)
            body = np.abs(plain[op](array, **told) - exact).max()
            assert np.abs(mine - exact).max() <= 1.3 * body + np.finfo("float32").eps


@pytest.mark.parametrize("level", LEVELS)
def test_positions_of_maxima_are_those_of_the_bodies(level: str) -> None:
    """And what is read and added up there. (All numbers are whole, so sums are exact.)"""
    native.compiled.use(level)
    cpu, random = tg.device("cpu").ops, np.random.default_rng(0)
    for shape, counts, windows in (
        ((3, 5, 40, 31), (2, 3), (20, 15)),
        ((2, 3, 9), (4,), (7,)),
        ((1, 2, 4, 5, 6), (2, 1, 3), (3, 5, 2)),
    ):
        x = image_of(shape)
        for own in (False, True):
            rows = shape[:2] if own else (1, 1)
            elements = [
                np.sort(random.integers(0, n, (count, *rows, out)), 0)
                for n, count, out in zip(shape[2:], counts, windows, strict=True)
            ]
            expected = plain["largest_at"](x, elements=elements)
            (mine,) = on_threads(lambda _: cpu["largest_at"](x, elements=elements))  # noqa: B023
            assert mine.dtype == expected.dtype
            np.testing.assert_array_equal(mine, expected)
            flat = x.reshape(*shape[:2], -1)
            at = mine.reshape(*shape[:2], -1)[:, : None if own else 1]
            values = plain["read_positions"](flat, at)
            (read,) = on_threads(lambda _: cpu["read_positions"](flat, at))  # noqa: B023
            np.testing.assert_array_equal(read, values)
            whole = np.ceil(random.random(values.shape) * 99).astype("float32")
            size = flat.shape[2]
            (total,) = on_threads(lambda _: cpu["add_positions"](whole, at, size=size))  # noqa: B023
            np.testing.assert_array_equal(total, plain["add_positions"](whole, at, size=size))


def test_positions_outside_are_left_to_the_bodies() -> None:
    calls: list[Any] = []
    x, at = np.ones((1, 2, 5), "float32"), np.array([[[0, 4]]])
    for op, good, bad, options in (
        ("read_positions", (x, at), [(x, at + 1), (x, at - 1), (x, at.astype("int32"))], {}),
        (
            "add_positions",
            (x[..., :2].copy(), at),
            [(x, at), (x[..., :2].copy(), at + 1)],
            {"size": 5},
        ),
    ):
        kernel = native.compiled.Kernel(op, lambda *a, **k: calls.append((a, k)))
        assert kernel(*good, **options) is not None
        assert not calls
        for arrays in (*bad, (x.astype("float64"), at), (x[0], at), (x,)):
            kernel(*arrays, **options)
            assert len(calls) == 1
            calls.clear()
    kernel = native.compiled.Kernel("largest_at", lambda *a, **k: calls.append((a, k)))
    elements = np.array([0, 4]).reshape(2, 1, 1, 1)
    assert kernel(x, elements=[elements]).tolist() == [[[0], [0]]]
    for bad_elements in ([elements + 1], [elements - 1], (elements,), [elements[0]], []):
        kernel(x, elements=bad_elements)
    assert len(calls) == 5


def test_pooling_loops_decline_what_they_do_not_serve() -> None:
    calls: list[Any] = []
    x, windows = np.ones((2, 3, 4, 6), "float32"), Windows(3, 2, 2)
    which = np.zeros((2, 3, 4, 3), "uint8")
    g = np.ones((2, 3, 4, 3), "float32")
    along, means = {"axis": 3, "windows": windows}, {"windows": (windows,) * 2, "divisor": 4}
    for op, good, options, bad in (
        (
            "max_along",
            (x,),
            along,
            [
                ((x.astype("float64"),), along),
                ((x[..., ::2],), along),
                ((x[:0],), along),
                ((x,), {**along, "axis": 4}),
                ((x,), {**along, "windows": windows._replace(kernel=300)}),
                ((x,), {**along, "windows": windows._replace(stride=0)}),
                ((x,), {**along, "size": 4}),
            ],
        ),
        (
            "max_along_backward",
            (g, which),
            {**along, "size": 6},
            [
                ((g, which), along),
                ((g, which.astype("int32")), {**along, "size": 6}),
                ((g, which[:, :2]), {**along, "size": 6}),
                ((g, which), {**along, "size": 6, "windows": windows._replace(out=4)}),
            ],
        ),
        (
            "avg_pool",
            (x,),
            means,
            [
                ((x.astype("float16"),), means),
                ((x,), {**means, "divisor": np.ones((4, 6))}),
                ((x,), {**means, "windows": (windows,)}),
                ((np.ones((1, 1, 1, 5000), "float32"),), means),
            ],
        ),
        (
            "avg_pool_backward",
            (g[:, :, :3],),
            {**means, "size": (6, 6)},
            [((np.ones((2, 3, 3, 3), "float32"),), {**means, "size": (6,)})],
        ),
    ):
        kernel = native.compiled.Kernel(op, lambda *a, **k: calls.append((a, k)))
        assert kernel(*map(np.ascontiguousarray, good), **options) is not None
        assert not calls
        for arrays, told in bad:
            kernel(*arrays, **told)
            assert len(calls) == 1, (op, told)
            calls.clear()
