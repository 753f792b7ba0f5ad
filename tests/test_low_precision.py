"""16-bit floats are for storage: at sizes where sums of them stall, overflow or lose their digits,
results and gradients are those of float64 on the same numbers, rounded once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

F = tg.nn.functional
MANY = 70_000  # more than float16 can count


def draw(*shape: int, scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape) * scale


def _same_places(x: Any) -> Any:
    return tg.zeros(10_000, dtype=tg.int64)


def _ctc(x: Any) -> Any:
    labels = tg.as_tensor(np.random.default_rng(1).integers(1, 20, (2, 30)))
    return F.ctc_loss(x, labels, [200, 200], [30, 30], reduction="sum")


# name -> (function of the tensors, their values)
ROWS: dict[str, tuple[Callable, list]] = {
    "mean": (lambda x: x.mean(), [draw(MANY) + 3]),
    "mse_loss": (lambda x: F.mse_loss(x, tg.zeros_like(x)), [draw(MANY)]),
    "adaptive_avg_pool1d": (lambda x: F.adaptive_avg_pool1d(x, 1), [draw(1, 1, MANY) + 3]),
    "nanmean": (lambda x: x.nanmean(), [draw(MANY) + 3]),
    "index_reduce mean": (
        lambda x: tg.zeros(1, dtype=x.dtype).index_reduce(
            0, tg.zeros(MANY, dtype=tg.int64), x, "mean", include_self=False
        ),
        [draw(MANY) + 3],
    ),
    "gather": (lambda x: x.gather(0, _same_places(x)), [draw(3)]),
    "index_select": (lambda x: x.index_select(0, _same_places(x)), [draw(3)]),
    "brackets": (lambda x: x[_same_places(x)], [draw(3)]),
    "take": (lambda x: x.take(_same_places(x)), [draw(3)]),
    "ctc_loss": (_ctc, [np.log(np.random.default_rng(3).dirichlet(np.ones(20), (200, 2)))]),
    "addmm": (
        lambda a, b, c: tg.addmm(a, b, c, alpha=0.01),
        [np.zeros((1, 1)), np.full((1, 2), 300.0), np.full((2, 1), 300.0)],
    ),
    "baddbmm": (
        lambda a, b, c: tg.baddbmm(a, b, c),
        [np.full((1, 1, 1), -60000.0), np.full((1, 1, 1), 300.0), np.full((1, 1, 1), 300.0)],
    ),
    "lerp": (lambda a, b: tg.lerp(a, b, 0.5), [np.array([60000.0]), np.array([-60000.0])]),
    "vecdot": (tg.linalg.vecdot, [np.array([300.0, 300.0]), np.array([300.0, -300.0])]),
    "trapezoid": (lambda y: tg.trapezoid(y), [draw(1000)]),
    "logcumsumexp": (lambda x: x.logcumsumexp(0), [draw(2000)]),
    "batch_norm": (lambda x: F.batch_norm(x, None, None, training=True), [draw(8, 3, 5, 5)]),
    "batch_norm of constants": (
        lambda w, b: F.batch_norm(
            tg.as_tensor(draw(8, 3, 5, 5)).to(w.dtype), None, None, w, b, training=True
        ),
        [draw(3), draw(3)],
    ),
}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ROWS)
def test_as_exact_as_its_dtype(name: str, dtype: str) -> None:
    function, values = ROWS[name]
    low = [tg.tensor(v).to(dtype).requires_grad_() for v in values]
    high = [x.detach().double().requires_grad_() for x in low]
    results = [function(*inputs) for inputs in (low, high)]
    assert results[0].dtype == tg.tensor(0.0, dtype=dtype).dtype
    weight = tg.as_tensor(np.random.default_rng(2).uniform(0.5, 1, tuple(results[0].shape)))
    weight = weight.to(dtype)
    gradients = [tg.autograd.grad(y, x, weight.to(y.dtype))
                 for y, x in zip(results, (low, high), strict=True)]  # fmt: skip
    step = tg.finfo(low[0].dtype).eps
    for mine, exact in zip((results[0], *gradients[0]), (results[1], *gradients[1]), strict=True):
        exact = exact.detach().numpy()
        most = np.abs(exact).max(initial=0)
        np.testing.assert_allclose(
            mine.detach().double().numpy(), exact, rtol=2 * step, atol=step * most + 6e-8
        )
