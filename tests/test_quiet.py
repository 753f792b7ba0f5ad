"""NumPy's warnings do not reach the program, whatever filters and error state it has set (F45)."""

from __future__ import annotations

import contextlib
import subprocess
import sys
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


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop"])
@pytest.mark.parametrize("device", ["cpu", "emulated"])
def test_optimizers_are_silent(name: str, device: str) -> None:
    p = tg.nn.Parameter(tg.tensor([0.0, 1.0, -1.0, 3e38], device=device))
    optimizer = getattr(tg.optim, name)([p], lr=10.0)
    for values in ([np.inf, 1e38, -3e38, 0.0], [np.nan, 1e-45, 3e38, -np.inf]):
        p.grad = tg.tensor(values, device=device)
        optimizer.step()


def test_what_surrounds_operations_is_silent() -> None:
    worst = tg.tensor([0.0, np.inf, -np.inf, np.nan, 3e38, 1e-45], requires_grad=True)
    str(worst), repr(worst * 3e38)
    worst.detach().to(tg.int32), worst.detach().half(), worst.tolist()
    model = tg.nn.Sequential(tg.nn.Linear(6, 6), tg.nn.BatchNorm1d(6), tg.nn.LayerNorm(6))
    model(tg.stack([worst, worst])).sum().backward()
    tg.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    tg.normal(worst.detach(), tg.tensor(3e38)), tg.arange(3) / 0, tg.linspace(0, 1e38, 3) * 1e38
    y = worst.detach().clone()
    y.div_(0).mul_(3e38).log_(), y.__setitem__(0, 1e38)


def test_filters_that_concern_others_cost_nothing() -> None:
    from tapegrad.core.quiet import noisy

    with warnings.catch_warnings(), np.errstate(all="warn"):
        warnings.simplefilter("error")
        assert noisy()
    program = """
import warnings, numpy
import tapegrad as tg
from tapegrad.core.quiet import noisy
assert not noisy()
warnings.filterwarnings("error", category=DeprecationWarning)
warnings.filterwarnings("error", module="another")
assert not noisy()
with warnings.catch_warnings():
    warnings.simplefilter("error")
    assert noisy()
    tg.tensor([0.0]).log()
assert not noisy()
with numpy.errstate(all="raise"):
    assert noisy()
    tg.tensor([0.0]).log()
warnings.resetwarnings()
assert noisy()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
