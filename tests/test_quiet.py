"""NumPy's warnings do not reach the program, whatever filters and error state it has set (F45)."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
from cases import CASES, Case
from test_ops import arrays, tensors, wants_grad

import tapegrad as tg


@pytest.fixture(autouse=True)
def strict() -> Iterator[None]:
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        yield


def extremes(a: np.ndarray) -> np.ndarray:
    """The array with the ends of the range in the place of its first elements."""
    a = a.copy()
    if a.dtype.kind == "f":
        worst = [np.inf, -np.inf, 0.0, 1e300, -1e300, 1e-300, np.nan]
        a.reshape(-1)[: len(worst)] = worst[: a.size]
    return a


@pytest.mark.parametrize("row", CASES, ids=lambda row: row.name)
def test_operations_are_silent(row: Case) -> None:
    for sample in row.samples:
        data = [extremes(a) for a in arrays(row, sample)]
        for dtype in ("float32", "float64"):
            grad = wants_grad(sample, data) if row.grad else None
            with np.errstate(all="ignore"):
                inputs = tensors(data, "cpu", dtype, grad)
            with contextlib.suppress(RuntimeError, ValueError):  # arguments that do not suit
                y = row.call(tg, *inputs)
                if y.requires_grad:
                    y.backward(tg.ones_like(y))


def test_settings_are_left_alone() -> None:
    before, filters = np.geterr(), list(warnings.filters)
    x = tg.tensor([0.0, -1.0], requires_grad=True)
    (x.log() / 0).sum().backward()
    assert (np.geterr(), list(warnings.filters)) == (before, filters)
    with pytest.raises(FloatingPointError):
        np.float64(1.0) / np.zeros(1)
    with np.errstate(all="warn"), pytest.warns(RuntimeWarning):
        np.log(np.zeros(1))
