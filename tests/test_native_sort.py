"""The order of the elements of lines, beside the body, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from native_loops import LEVELS, needs_loops, plain, restored  # noqa: F401

import tapegrad as tg
from tapegrad.core import dtypes, native

pytestmark = [needs_loops, pytest.mark.usefixtures("restored")]

DTYPES = ("float32", "float64", "float16", "bfloat16", "int32", "int64", "uint8", "bool")
SHAPES = ((1,), (24,), (25,), (300,), (5, 1000), (40_000,), (3, 70, 40), (2, 1, 9), (0, 3))


def given(shape: tuple[int, ...], kind: str, dtype: str) -> np.ndarray:
    """Numbers apart from each other, many equal ones, and those that differ in few bits."""
    random = np.random.default_rng(len(shape))
    if dtype == "int64" and kind == "apart":
        return random.integers(-(2**63), 2**63 - 1, shape)
    if dtype == "int64" and kind == "near":  # the first 32 of those bits are mostly equal
        high = random.integers(0, 3, shape) << 61
        return high + random.integers(0, 2**20, shape) * (random.random(shape) < 0.5)
    x = random.standard_normal(shape) * (100 if dtype.startswith(("int", "uint")) else 1)
    if kind == "equal":
        x = np.round(x)
    elif kind == "near":
        x = 1 + x * 1e-6
    if dtype.startswith(("float", "bfloat")):
        x.reshape(-1)[::7], x.reshape(-1)[::11] = -0.0, np.nan
        x.reshape(-1)[::13], x.reshape(-1)[::17] = np.inf, -np.nan
    return x.astype(dtypes.dtype(dtype))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_order(dtype: str, level: str) -> None:
    """Equal elements keep their order, zeros of either sign, too; nan is larger than all."""
    native.compiled.use(level)
    for shape in SHAPES:
        for kind in ("apart", "equal", "near"):
            x = given(shape, kind, dtype)
            for axis in range(x.ndim):
                for descending in (False, True):
                    options = {"axis": axis, "descending": descending}
                    body = plain["order"](x, **options)
                    for threads in (1, 3):
                        native.compiled.set_num_threads(threads)
                        mine = tg.device("cpu").ops["order"](x, **options)
                        assert (mine.dtype, mine.shape) == (np.int64, x.shape)
                        np.testing.assert_array_equal(mine, body)


def test_orders_that_are_not_served_are_declined() -> None:
    calls: list[Any] = []
    x = np.ones((3, 80), "float32")
    order = native.compiled.Kernel("order", lambda *a, **k: calls.append((a, k)))
    for array in (x.T, x[:0], x.astype("int16"), x.astype(">f4"), x.astype("c8"), np.float32(1)):
        order(array, axis=0, descending=False)
    for axis in (-1, 2, 1.0, None, 2**70):
        order(x, axis=axis, descending=False)
    order(x, axis=1, descending=1)
    order(x, axis=1)
    order(x, 1, descending=True)
    order(x, axis=1, descending=True, kind="stable")
    assert len(calls) == 6 + 5 + 4
