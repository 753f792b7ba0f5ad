"""Loops over broadcast arrays, and casts, have the bits of the bodies in every dtype they serve;
arithmetic in place is computed where it stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from native_loops import LEVELS, THREADS, needs_loops, plain, restored  # noqa: F401

import tapegrad as tg
from tapegrad.core import dtypes, native

pytestmark = [needs_loops, pytest.mark.usefixtures("restored")]

FLOATS = ("float32", "float64", "float16", "bfloat16")
# How many arrays each takes, and numbers that it takes beside them.
FUNCTIONS: dict[str, tuple[int, dict[str, float]]] = {
    "add": (2, {}),
    "subtract": (2, {}),
    "multiply": (2, {}),
    "divide": (2, {}),
    "maximum": (2, {}),
    "minimum": (2, {}),
    "clamp": (3, {}),
    "where": (3, {}),
    "square": (1, {}),
    "negative": (1, {}),
    "absolute": (1, {}),
    "sqrt": (1, {}),
    "rsqrt": (1, {}),
    "reciprocal": (1, {}),
    "clip": (1, {"low": -0.3, "high": 0.7}),
    "threshold": (1, {"limit": 0.1, "value": 7}),
    "hardshrink": (1, {"limit": 0.5}),
}
SHAPES = [
    [(7,), (7,), (7,)],
    [(3, 40), (40,), (3, 1)],
    [(3, 1), (3, 700), (1, 1)],
    [(2, 5, 1, 6), (1, 5, 4, 1), (6,)],
    [(40, 1003), (40, 1003), (40, 1003)],
    [(), (2, 3), ()],
    [(70_000,), (1,), ()],
]


def made(shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal(shape)
    flat = x.reshape(-1)
    ends = [np.inf, -np.inf, np.nan, 3e38, 1e-40, 6e-8, 65504.0, 2.0, 2.0]
    flat[-len(ends) :] = ends[: flat.size]
    return x.astype("float32").astype(dtypes.dtype(dtype))


def same(mine: np.ndarray, body: Any) -> None:
    body = np.asarray(body)
    assert mine.dtype == body.dtype
    assert mine.shape == body.shape
    assert mine.strides == body.strides
    np.testing.assert_array_equal(mine.astype("float64"), body.astype("float64"))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_broadcast_arrays(name: str, dtype: str, level: str) -> None:
    native.compiled.use(level)
    count, options = FUNCTIONS[name]
    for shapes in SHAPES:
        for threads in (1, 3):
            native.compiled.set_num_threads(threads)
            arrays = [made(shape, dtype, i) for i, shape in enumerate(shapes[:count])]
            if name == "where":
                arrays[0] = np.asarray(arrays[0] > 0)
            mine, body = (run[name](*arrays, **options) for run in (tg.device("cpu").ops, plain))
            same(np.asarray(mine), body)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_strides_of_slices_and_expanded_arrays() -> None:
    x, y = made((6, 50), "float32", 0), made((9, 70), "float32", 1)
    part, column = y[2:8, 3:53], np.broadcast_to(y[2:8, :1], (6, 50))
    for a, b in (
        (x, part),
        (part, column),
        (x, x.T[:50, :6].T),
        (x[:, ::2], x[:, 1::2]),
        (x.T, x.T),
    ):
        same(tg.device("cpu").ops["multiply"](a, b), plain["multiply"](a, b))


@pytest.mark.parametrize(
    "dtype", ["int16", "int32", "int64", "float32", "bfloat16", "bool", "uint8"]
)
def test_where_moves_numbers_of_any_kind(dtype: str) -> None:
    condition = made((300, 7), "float32", 0) > 0
    a = np.arange(2100).reshape(300, 7).astype(dtypes.dtype(dtype))
    for b in (a[:1], a[:, :1], 0, 0.0, -0.0, 1, 2.5, np.inf):
        for pair in ((a, b), (b, a)):
            mine, body = (run["where"](condition, *pair) for run in (tg.device("cpu").ops, plain))
            same(mine, body)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", ["add", "multiply"])
def test_results_in_given_places(name: str) -> None:
    run = tg.device("cpu").ops[name]
    for size in (5, 50_000):
        x, y = made((2, size), "float32", 0), made((size,), "float32", 1)
        expected = plain[name](x, y)
        copy, apart = x.copy(), np.empty((2, 2 * size), "float32")[:, ::2]
        for first, out in ((x, np.empty_like(x)), (copy, copy), (x, apart)):
            assert run(first, y, out=out) is out
            np.testing.assert_array_equal(out, expected)
        memory = np.arange(2 * size + 1, dtype="float32")
        moved = plain[name](memory[:-1].copy(), 2.0)
        run(memory[:-1], 2.0, out=memory[1:])  # NumPy copies what it would write over
        np.testing.assert_array_equal(memory[1:], moved)
    with pytest.raises(ValueError, match="broadcast"):
        run(x, y, out=np.empty((3, 3), "float32"))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_powers_other_than_cubes_are_left_to_the_body() -> None:
    calls: list[Any] = []
    kernel = native.compiled.Kernel("power", lambda *a: calls.append(a))
    x = made((4, 5), "float32", 0)
    for exponent in (3, 3.0):
        same(kernel(x, exponent), plain["power"](x, exponent))
    assert not calls
    for exponent in (2, 3.5, True, None, x, np.float32(3), 2**2000):
        kernel(x, exponent)
    kernel(x.astype("float16"), 3)
    kernel(x.astype("int32"), 3)
    assert len(calls) == 9


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_arrays_that_are_not_served_are_declined() -> None:
    calls: list[Any] = []
    kernel = native.compiled.Kernel("clip", lambda *a, **k: calls.append((a, k)))
    x = made((4, 5), "float32", 0)
    for bad in (x.T, x[::-1], x.astype(">f4"), x.astype("int32"), x[:0], np.float32(1), 1.0, None):
        kernel(bad, low=0.0, high=1.0)
    for low in (True, None, "a", np.float64(0), 1e300, 2**60, x.astype("float64"), x[:3]):
        kernel(x, low=low, high=1.0)
    kernel(x, high=1.0, low=0.0)
    kernel(x, low=0.0)
    kernel(x, 0.0, 1.0, 2.0)
    kernel(np.zeros((1,) * 9, "float32"), low=0.0, high=1.0)
    assert len(calls) == 20


# ---------------------------------------------------------------------- casts


def all_halves() -> np.ndarray:
    return np.arange(65536, dtype="uint32").astype("uint16")


def floats_of_every_kind() -> np.ndarray:
    """All exponents, with digits on, beside and between the last places of 16 bits."""
    digits = np.array([0, 1, 2, 0xFFF, 0x1000, 0x1001, 0x3000, 0x7FFF, 0x8000, 0x8001, 0x18000])
    digits = np.concatenate([digits, 0x7FFFFF - digits, 0x2000 * np.arange(1, 1024, 7)])
    bits = np.arange(512, dtype="uint32")[:, None] * 2**23 + digits.astype("uint32")
    return bits.reshape(-1).view("float32")


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_casts_have_the_bits_of_the_bodies(threads: int, level: str) -> None:
    native.compiled.use(level)
    native.compiled.set_num_threads(threads)
    halves = [all_halves().view(dtypes.dtype(dtype)) for dtype in ("float16", "bfloat16")]
    given = [
        floats_of_every_kind(),
        *halves,
        floats_of_every_kind().astype("float64") * (1 + 1e-12),
        np.arange(40_000) % 3 == 0,
        np.arange(-(2**62), 2**62, 2**47 + 12_345),
        np.arange(256, dtype="uint8"),
    ]
    for x in given:
        for dtype in map(dtypes.dtype, FLOATS):
            mine, body = (
                run["cast"](x, dtype=dtype).view(f"u{dtype.itemsize}")
                for run in (tg.device("cpu").ops, plain)
            )
            np.testing.assert_array_equal(mine, body, err_msg=f"{x.dtype} {dtype}")


@pytest.mark.parametrize("dtype", FLOATS)
def test_every_byte_but_0_is_true_to_a_cast(dtype: str) -> None:
    x = np.arange(256, dtype="uint8").view(bool)
    found = tg.device("cpu").ops["cast"](x, dtype=dtypes.dtype(dtype))
    np.testing.assert_array_equal(found.astype("float32"), np.arange(256) > 0)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_casts_that_are_not_served_are_declined() -> None:
    calls: list[Any] = []
    cast = native.compiled.Kernel("cast", lambda *a, **k: calls.append((a, k)))
    x = made((4, 5), "float32", 0)
    for array in (x.T, x[:0], x.astype(">f4"), x.astype("int8"), np.float32(1)):
        cast(array, dtype=np.dtype("float64"))
    for dtype in (np.dtype("int32"), np.dtype(">f8"), np.dtype("bool"), "float64", x.dtype):
        cast(x, dtype=dtype)
    cast(x.astype("float64"), dtype=np.dtype("float16"))
    cast(x, np.dtype("float64"))
    cast(x, kind=np.dtype("float64"))
    assert len(calls) == 13


# ---------------------------------------------------------------------- in place


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int32"])
@pytest.mark.parametrize("name", ["add", "sub", "mul", "div"])
def test_arithmetic_in_place_is_that_with_results(name: str, dtype: str) -> None:
    """Off the tape it is computed where it stays; also of views, and of a tensor with itself."""
    if name == "div" and dtype == "int32":
        pytest.skip("a quotient is no integer")
    x = tg.arange(1, 61).reshape(6, 10).to(getattr(tg, dtype))
    other = tg.arange(3, 63).reshape(6, 10).to(getattr(tg, dtype))
    alphas: list[dict[str, Any]] = [{}, {"alpha": 3}] if name in ("add", "sub") else [{}]
    for options in alphas:
        for value in (other, 2, x, other[0], other[2, 3]):
            y = x.clone()
            version = y._version
            operand = y if value is x else value
            expected = getattr(x, name)(value, **options)
            assert getattr(y, f"{name}_")(operand, **options) is y
            assert y._version == version + 1
            np.testing.assert_array_equal(y.numpy(), expected.numpy())
    y = x.clone()
    expected = getattr(y[1:], name)(y[:-1]).numpy().copy()
    getattr(y[1:], f"{name}_")(y[:-1])
    np.testing.assert_array_equal(y[1:].numpy(), expected)
    column, expected = y[:, 3], getattr(y[:, 3], name)(2).numpy().copy()
    getattr(column, f"{name}_")(2)
    np.testing.assert_array_equal(y[:, 3].numpy(), expected)


def test_arithmetic_in_place_refuses_what_it_did() -> None:
    x = tg.ones(3)
    with pytest.raises(RuntimeError, match="shape"):
        x.add_(tg.ones(2, 3))
    with pytest.raises(RuntimeError, match="share one memory"):
        tg.ones(1).expand(3).mul_(2.0)
    leaf = tg.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf"):
        leaf.mul_(2.0)
    with pytest.raises(TypeError):
        x.mul_("2")
    y = leaf * 1
    kept = y.exp()
    y.add_(1.0)
    kept.sum().backward()
    product = (leaf * 2).square()
    assert product.mul_(leaf.detach()).requires_grad
    assert x.tolist() == [1, 1, 1]


# ---------------------------------------------------------------------- copies


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", ["bool", "int16", "bfloat16", "float32", "float64"])
def test_copies_have_all_bytes(dtype: str, level: str) -> None:
    native.compiled.use(level)
    x = np.random.default_rng(0).integers(0, 2, (3, 50_001)).astype(dtypes.dtype(dtype))
    for threads in THREADS:
        native.compiled.set_num_threads(threads)
        y = tg.device("cpu").ops["copy"](x)
        assert y.dtype == x.dtype
        assert y.tobytes() == x.tobytes()
        assert y.flags.writeable
        assert not np.shares_memory(x, y)


def test_copies_that_are_not_served_are_declined() -> None:
    calls = []
    copy = native.compiled.Kernel("copy", lambda *a, **k: calls.append((a, k)))
    x = np.zeros((400, 400), "float32")
    for array in (x[:2], x.T, x.astype(object), x.astype(">f4")):
        copy(array)
    copy(x, order="C")
    copy()
    assert len(calls) == 6
