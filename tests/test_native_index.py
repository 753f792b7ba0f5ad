"""Reading, writing and adding at positions that arrays name, and running sums, by loops: with the
bits of the bodies, in the bodies' order, and nothing changed where a position is out of range."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from native_loops import LEVELS, needs_loops, plain, restored  # noqa: F401

import tapegrad as tg
from tapegrad.core import dtypes, native

pytestmark = [needs_loops, pytest.mark.usefixtures("restored")]

ALL = slice(None)


def places(shape: tuple[int, ...], size: int, dtype: str = "int64") -> np.ndarray:
    return np.random.default_rng(len(shape)).integers(-size, size, shape).astype(dtype)


def grid(n: int, *behind: int) -> np.ndarray:
    return np.arange(n).reshape(n, *behind)


CASES: list[tuple[tuple[int, ...], Any]] = [
    ((50,), (places((7,), 50),)),
    ((300,), places((70_000,), 300)),
    ((40, 30), (places((400, 90), 40), places((90,), 30, "int32"))),
    ((400, 300), (grid(400, 1), places((400, 300), 300))),
    ((300, 400), (places((300, 400), 300), grid(400))),
    ((60, 700), (places((500,), 60, "int32"),)),
    ((3, 200, 5), (ALL, places((900,), 200))),
    ((4, 5, 6, 7), (ALL, places((2, 3), 5), places((3,), 6))),
    ((3, 4, 5, 6, 2), (places((6, 1, 4), 3), places((1, 5, 1), 4), places((4,), 5))),
    ((5, 6), (places((1,), 5), places((1, 1), 6))),
]


def numbers(shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal(shape) * 50
    return x.astype("float32").astype(dtypes.dtype(dtype))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "float16", "bfloat16", "int8", "int32", "int64", "bool"]
)
def test_positions(dtype: str, threads: int, level: str) -> None:
    native.compiled.use(level)
    native.compiled.set_num_threads(threads)
    ops = tg.device("cpu").ops
    for shape, index in CASES:
        x = numbers(shape, dtype)
        part = plain["getitem"](x, index=index)
        got = ops["getitem"](x, index=index)
        assert got.tobytes() == part.tobytes()
        assert (got.shape, got.dtype) == (part.shape, part.dtype)
        values = numbers(part.shape, dtype, 1)
        for name in ("store", "add_at"):
            if dtype == "bool" and name == "add_at":
                continue
            mine, body = x.copy(), x.copy()
            assert ops[name](mine, index, values) is None
            plain[name](body, index, values)
            assert mine.tobytes() == body.tobytes(), (name, shape)
        before = x.copy()
        for name in ("index_put", "index_add_at"):
            if dtype == "bool" and name == "index_add_at":
                continue
            mine, body = (run[name](x, values, index=index) for run in (ops, plain))
            assert (mine.tobytes(), mine.dtype) == (body.tobytes(), body.dtype), (name, shape)
        assert x.tobytes() == before.tobytes()
        if dtype != "bool":
            options = {"index": index, "shape": shape}
            mine, body = (run["getitem_backward"](values, **options) for run in (ops, plain))
            assert (mine.tobytes(), mine.shape) == (body.tobytes(), body.shape)


@pytest.mark.parametrize(
    "name", ["getitem", "store", "add_at", "index_put", "index_add_at", "getitem_backward"]
)
def test_places_out_of_range_change_nothing(name: str) -> None:
    x, values = numbers((6, 80), "float32"), np.ones((4, 80), "float32")
    before = x.copy()
    for bad in (6, 2**40, -(2**40)):
        index = (np.array([0, 1, bad, 2]),)
        given, options = {
            "getitem": ((x,), {"index": index}),
            "getitem_backward": ((values,), {"index": index, "shape": x.shape}),
            "index_put": ((x, values), {"index": index}),
            "index_add_at": ((x, values), {"index": index}),
        }.get(name, ((x, index, values), {}))
        with pytest.raises(IndexError, match="out of bounds"):
            tg.device("cpu").ops[name](*given, **options)
        assert x.tobytes() == before.tobytes()


def test_values_and_places_in_the_changed_memory() -> None:
    for name in ("store", "add_at"):
        memory, index = np.arange(12, dtype="int64"), np.array([2, 0, 1, 2])
        expected = memory.copy()
        plain[name](expected, (index,), expected[4:8].copy())
        tg.device("cpu").ops[name](memory, (index,), memory[4:8])
        np.testing.assert_array_equal(memory, expected)
        tg.device("cpu").ops[name](memory, (memory[:3] % 3,), memory[:3].copy())


def test_what_is_not_served_is_declined() -> None:
    calls: list[Any] = []
    x, i = numbers((4, 5), "float32"), np.array([0, 1])
    read = native.compiled.Kernel("getitem", lambda *a, **k: calls.append((a, k)))
    for index in (
        0,
        (0, 1),
        ALL,
        (ALL, 0),
        (i, ALL),
        (slice(1, 2), i),
        (i, 0),
        ((0, 1),),
        [0],
        ...,
    ):
        read(x, index=index)
    for index in ((i, i, i), (x > 0,), i.astype("uint8"), i[:0], np.int64(1), (None, i), ()):
        read(x, index=index)
    for array in (x.T, x[:, ::2], np.float32(1), x.tolist(), x[:0]):
        read(array, index=i)
    read(x, index=i, shape=2)
    read(x)
    assert len(calls) == 10 + 7 + 5 + 2
    add = native.compiled.Kernel("add_at", lambda *a, **k: calls.append((a, k)))
    frozen = x.copy()
    frozen.flags.writeable = False
    values = np.ones((2, 5), "float32")
    for given in (
        (frozen, i, values),
        (x, i, 1.0),
        (x, i, values[0]),
        (x, i, values.astype("float64")),
        (x, i, x[:2]),
        (x.astype("float16"), i, values.astype("float16")),
    ):
        add(*given)
    add(x, i, values=values)
    add(x, i)
    assert len(calls) == 24 + 8
    put = native.compiled.Kernel("index_put", lambda *a, **k: calls.append((a, k)))
    for given in ((x, 1.0), (x, values[0]), (x, values.astype("float64")), (x,), (x, values, i)):
        put(*given, index=i)
    put(x, values)
    put(x, values, index=ALL)
    assert len(calls) == 32 + 7
    back = native.compiled.Kernel("getitem_backward", lambda *a, **k: calls.append((a, k)))
    for shape in ([4, 5], (4, -5), (4, 6), (4, 0), (4.0, 5), (4,), (1,) * 70, None):
        back(values, index=i, shape=shape)
    back(values, index=ALL, shape=(2, 5))
    back(values, index=i)
    back(values, shape=(4, 5))
    assert len(calls) == 39 + 11


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8"])
@pytest.mark.parametrize("size", [1, 5, 32_768, 100_003])
def test_ends_of_integers(dtype: str, size: int) -> None:
    x = np.random.default_rng(size).integers(0, 200, size).astype(dtype)
    for threads in (1, 3):
        native.compiled.set_num_threads(threads)
        for array in (x, -x, x[::2]):
            ends = tg.device("cpu").ops["least_and_most"](array)
            assert ends == (int(array.min()), int(array.max()))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "int64"])
@pytest.mark.parametrize("name", ["cumsum", "cumprod", "last_largest", "last_smallest"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_running_sums_and_extremes(name: str, dtype: str, level: str) -> None:
    native.compiled.use(level)
    ops = tg.device("cpu").ops
    for shape in ((1,), (70_001,), (9, 100), (300, 70, 3), (2, 500, 40), (30, 1)):
        x = np.round(numbers(shape, "float32") / 10)
        x.reshape(-1)[::97] = np.nan
        x = (np.nan_to_num(x) if dtype == "int64" else x).astype(dtypes.dtype(dtype))
        for axis in range(len(shape)):
            for options in ({}, {"reverse": True}) if name == "cumsum" else ({},):
                for threads in (1, 3):
                    native.compiled.set_num_threads(threads)
                    mine, body = (run[name](x, axis=axis, **options) for run in (ops, plain))
                    assert (mine.dtype, mine.shape) == (body.dtype, body.shape)
                    np.testing.assert_array_equal(mine.astype("float64"), body.astype("float64"))


def test_scans_that_are_not_served_are_declined() -> None:
    calls: list[Any] = []
    x = np.ones((3, 4), "float32")
    scan = native.compiled.Kernel("cumsum", lambda *a, **k: calls.append((a, k)))
    for array in (x.T, x[:0], x.astype("int32"), x.astype(">f4"), np.float32(1), None):
        scan(array, axis=0)
    for axis in (-1, 2, 0.0, None, 2**70):
        scan(x, axis=axis)
    scan(x, axis=0, reverse=1)
    scan(x, axis=0, dtype=None)
    scan(x)
    assert len(calls) == 6 + 5 + 3
    product = native.compiled.Kernel("cumprod", lambda *a, **k: calls.append((a, k)))
    product(x, axis=0, reverse=True)
    assert len(calls) == 15


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("k", [1, 2, 10, 64])
def test_the_largest_of_rows(k: int, dtype: str, level: str) -> None:
    """Of equal ones the first, of zeros of either sign, too; nan is larger than all."""
    native.compiled.use(level)
    random = np.random.default_rng(k)
    for shape in ((3, 8 * k), (2, 2, 1003), (70, 513)):
        for values in (random.standard_normal(shape), np.round(random.standard_normal(shape))):
            values[..., ::50] = -0.0
            x = values.astype("float32").astype(dtypes.dtype(dtype))
            for largest in (True, False):
                for array in (x, np.where(x > 1, x.dtype.type(np.nan), x).astype(x.dtype)):
                    options = {"axis": x.ndim - 1, "k": k, "largest": largest}
                    body = plain["top"](array, **options)
                    for threads in (1, 3):
                        native.compiled.set_num_threads(threads)
                        mine = tg.device("cpu").ops["top"](array, **options)
                        np.testing.assert_array_equal(mine, body)
                        assert mine.dtype == np.int64


def test_picks_that_are_not_served_are_declined() -> None:
    calls: list[Any] = []
    x = np.ones((3, 80), "float32")
    top = native.compiled.Kernel("top", lambda *a, **k: calls.append((a, k)))
    for array in (x.T, x[:0], x.astype("int32"), x.astype("float64"), np.float32(1)):
        top(array, axis=1, k=2, largest=True)
    for axis, k in ((0, 2), (-1, 2), (1, 0), (1, 11), (1, -1), (1, 2**70), (1, 2.0), (1.0, 2)):
        top(x, axis=axis, k=k, largest=True)
    top(x, axis=1, k=2, largest=1)
    top(x, axis=1, k=2)
    top(np.ones((2, 1000), "float32"), axis=1, k=65, largest=True)
    assert len(calls) == 5 + 8 + 3
