"""Reductions by the loops are no less exact than the bodies', over any axes, whatever the number of
threads, and leave to the bodies what leaves the range."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from native_loops import LEVELS, needs_loops, plain, restored  # noqa: F401

import tapegrad as tg
from tapegrad.core import dtypes, native

pytestmark = [needs_loops, pytest.mark.usefixtures("restored")]

FUNCTIONS: dict[str, tuple[str, dict[str, float]]] = {
    "sum": ("sum", {}),
    "mean": ("mean", {}),
    "prod": ("prod", {}),
    "amax": ("amax", {}),
    "amin": ("amin", {}),
    "logsumexp": ("logsumexp", {}),
    "norm": ("vector_norm", {"order": 2.0}),
    "norm1": ("vector_norm", {"order": 1.0}),
    "var": ("var", {"correction": 1}),
    "std": ("std", {"correction": 0.5}),
}
CASES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((5,), (0,)),
    ((100_003,), (0,)),
    ((3, 33), (1,)),
    ((700, 3), (0,)),
    ((9000, 7), (0,)),
    ((130, 2100), (0,)),
    ((130, 2100), (0, 1)),
    ((5, 1, 40, 6), (1, 2)),
    ((4, 30, 5, 70), (0, 2, 3)),
    ((3, 4, 5, 2, 3), (1, 2, 4)),
    ((2, 3, 4, 5), (0, 2)),
    ((2, 70_000), (1,)),
]


def found(run: Any, label: str, x: np.ndarray, axis: Any, keepdims: bool = False) -> np.ndarray:
    name, options = FUNCTIONS[label]
    return np.asarray(run[name](x, axis=axis, keepdims=keepdims, **options))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("label", FUNCTIONS)
def test_reductions_are_as_exact_as_the_bodies(label: str, dtype: str, level: str) -> None:
    native.compiled.use(level)
    ops = tg.device("cpu").ops
    kind = dtypes.dtype(dtype)
    for shape, axis in CASES:
        x = np.random.default_rng(0).standard_normal(shape) + (0.1 if label == "sum" else 3)
        if label == "prod":
            x = 1 + x / 1e5 if dtype == "float32" else np.sign(x)
        x = x.astype("float32").astype(kind)
        native.compiled.set_num_threads(1)
        mine, body = found(ops, label, x, axis), found(plain, label, x, axis)
        exact = found(plain, label, x.astype("float64"), axis)
        assert mine.dtype == kind
        assert mine.shape == body.shape
        assert found(ops, label, x, axis, True).shape == found(plain, label, x, axis, True).shape
        with np.errstate(over="ignore"):
            limit = np.abs(exact).max() * float(np.finfo("float32").eps)
            off, allowed = (np.abs(y.astype("float64") - exact).max() for y in (mine, body))
        assert off <= (0 if label in ("amax", "amin") else allowed + limit / 2)
        native.compiled.set_num_threads(3)
        assert found(ops, label, x, axis).tobytes() == mine.tobytes()


@pytest.mark.parametrize("label", FUNCTIONS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_ends_of_the_range_are_those_of_the_bodies(label: str) -> None:
    ends = [np.inf, -np.inf, np.nan, 3e38, -3e38, 1e-40, 1e-30, 1e25, 0.0]
    rows = np.array([[a, b] for a in ends for b in ends] + [[1e-25, 2e-25]], "float32")
    ops = tg.device("cpu").ops
    for width in (2, 70):
        x = np.tile(rows, (1, width // 2))
        for array, axis in ((x, (1,)), (np.ascontiguousarray(x.T), (0,))):
            for i in range(len(rows)):  # one at a time: a body serves all of a call or none
                one = np.ascontiguousarray(array.take([i], axis=1 - axis[0]))
                mine, body = (found(run, label, one, axis) for run in (ops, plain))
                wide = found(plain, label, one.astype("float64"), axis).astype("float32")
                near = np.allclose(mine, wide, rtol=1e-5, atol=1e-44, equal_nan=True)
                assert near or mine.tobytes() == body.tobytes()


def test_a_long_sum_keeps_its_digits() -> None:
    x = np.full(3_000_001, 0.1, "float32")
    exact = float(np.float32(0.1)) * x.size
    for array, axis in ((x, (0,)), (np.stack([x, x], 1), (0,))):
        got = tg.device("cpu").ops["sum"](array, axis=axis, keepdims=False)
        np.testing.assert_allclose(got, exact, rtol=3e-7)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_sums_of_columns_are_as_exact_as_the_body(dtype: str, level: str) -> None:
    native.compiled.use(level)
    mine, body = tg.device("cpu").ops["column_sum"], plain["column_sum"]
    for shape in ((1, 10), (16, 1), (3, 5), (64, 84), (700, 3), (130, 2100)):
        x = np.random.default_rng(0).standard_normal(shape).astype("float32")
        x = x.astype(dtypes.dtype(dtype))
        exact = body(x.astype("float64"))
        off, allowed = (np.abs(y(x).astype("float64") - exact).max() for y in (mine, body))
        assert (mine(x).dtype, mine(x).shape) == (x.dtype, exact.shape)
        assert off <= allowed + np.abs(exact).max() * float(np.finfo("float32").eps) / 2


@pytest.mark.parametrize(
    "shape", [(6, 32), (64, 32), (65, 32), (128, 32), (129, 32), (200, 21), (500, 8), (4096, 1)]
)
def test_the_first_backward_pass_gives_a_bias_the_bits_of_later_ones(shape: tuple) -> None:
    """The first one goes by the rule in Python, later ones by that in C: a run that goes on in
    another process would not have the bits of one that was not stopped."""
    g = np.random.default_rng(0).standard_normal(shape).astype("float32")
    bias = tg.zeros(shape[1], requires_grad=True)
    for _ in range(2):
        bias.grad = None
        y = tg.nn.functional.linear(tg.ones(shape[0], 3), tg.ones(shape[1], 3), bias)
        y.backward(tg.from_numpy(g))
    np.testing.assert_array_equal(bias.grad.numpy(), tg.device("cpu").ops["column_sum"](g))


def test_reductions_that_are_not_served_are_declined() -> None:
    calls: list[Any] = []
    total, spread = (
        native.compiled.Kernel(name, lambda *a, **k: calls.append((a, k)))
        for name in ("sum", "var")
    )
    few, x = np.ones((3, 4), "float32"), np.ones((60, 100), "float32")
    for array in (
        few,  # which the tape in C adds up, with NumPy's bits
        x.T,
        x[::2],
        x.astype("float64"),
        x.astype("int32"),
        x[:0],
        x > 0,
        1.0,
        x.tolist(),
    ):
        total(array, axis=(0,), keepdims=False)
    for axis in ((-1,), (2,), (0.0,), "a", (), [0], 2**70):
        total(x, axis=axis, keepdims=False)
    total(x, axis=(0,))
    total(x, axis=(0,), keepdims=1)
    total(x, axis=(0,), keepdims=False, correction=1)
    total(x, axis=(0,), keepdims=False, dtype=np.float32)
    total(np.ones((5,) * 6, "float32"), axis=(0, 2, 4), keepdims=False)
    assert len(calls) == 9 + 7 + 5
    spread(few, axis=(0,), keepdims=False)
    for correction in ("a", -1, 3, 5, None, 2**2000):
        spread(few, axis=(0,), keepdims=False, correction=correction)
    assert len(calls) == 21 + 7
    assert total(x, axis=None, keepdims=True).shape == (1, 1)
    assert total(x, axis=1, keepdims=False).tolist() == [100] * 60
