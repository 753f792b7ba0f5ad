"""Random numbers of named distributions: their distribution functions, and the same bits on every
device."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import DEVICES

import tapegrad as tg
from tapegrad.ops.sampling.distributions import _fraction

N = 40_000
Draw = Callable[[str], Any]


def filled(name: str, *args: Any, dtype: str = "float64") -> Draw:
    return lambda device: getattr(tg.empty(N, dtype=dtype, device=device), name)(*args)


def _normal_cdf(x: Any) -> Any:
    return np.vectorize(math.erfc)(-x / math.sqrt(2)) / 2


def _poisson_cdf(rate: float) -> Callable:
    def cdf(x: Any) -> Any:
        k = np.arange(int(rate + 20 * math.sqrt(rate) + 20))
        log_p = k * math.log(rate) - rate - np.array([math.lgamma(i + 1) for i in k])
        return np.cumsum(np.exp(log_p))[np.floor(x).astype(int)]

    return cdf


def weights(device: str) -> Any:
    return tg.tensor([[0.0, 1.0, 3.0, 6.0]], dtype=tg.float64, device=device)


# name -> (how it is drawn, its distribution function, whether its values are integers)
DISTRIBUTIONS: dict[str, tuple[Draw, Callable, bool]] = {
    "uniform": (filled("uniform_", -1, 3), lambda x: (x + 1) / 4, False),
    "normal": (filled("normal_", 1, 2), lambda x: _normal_cdf((x - 1) / 2), False),
    "log_normal": (filled("log_normal_", 0.5, 0.75),
                   lambda x: _normal_cdf((np.log(x) - 0.5) / 0.75), False),
    "exponential": (filled("exponential_", 2.5), lambda x: -np.expm1(-2.5 * x), False),
    "cauchy": (filled("cauchy_", 1, 2), lambda x: 0.5 + np.arctan((x - 1) / 2) / math.pi, False),
    "geometric": (filled("geometric_", 0.3), lambda x: 1 - 0.7**x, True),
    "random": (filled("random_", 3, 13), lambda x: (x - 2) / 10, True),
    "bernoulli_": (filled("bernoulli_", 0.3), lambda x: np.where(x < 1, 0.7, 1.0), True),
    "bernoulli": (lambda d: tg.bernoulli(tg.full((N,), 0.8, dtype=tg.float64, device=d)),
                  lambda x: np.where(x < 1, 0.2, 1.0), True),
    "poisson few": (lambda d: tg.poisson(tg.full((N,), 2.5, dtype=tg.float64, device=d)),
                    _poisson_cdf(2.5), True),
    "poisson some": (lambda d: tg.poisson(tg.full((N,), 10.5, dtype=tg.float64, device=d)),
                     _poisson_cdf(10.5), True),
    "poisson many": (lambda d: tg.poisson(tg.full((N,), 700.0, dtype=tg.float64, device=d)),
                     _poisson_cdf(700.0), True),
    "normal tensors": (lambda d: tg.normal(tg.full((N,), 3.0, device=d),
                                           tg.full((1,), 0.5, device=d)).double(),
                       lambda x: _normal_cdf((x - 3) / 0.5), False),
    "multinomial": (lambda d: tg.multinomial(weights(d), N, replacement=True)[0].double(),
                    lambda x: np.array([0, 0.1, 0.4, 1.0])[x.astype(int)], True),
}  # fmt: skip


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_distribution_function(name: str) -> None:
    """Kolmogorov's statistic: beyond 2.2 / sqrt(n) for one true sample in 8,000."""
    draw, cdf, whole = DISTRIBUTIONS[name]
    tg.manual_seed(7)
    x = np.sort(draw("cpu").numpy())
    assert np.isfinite(x).all()
    if whole:
        assert (x == np.floor(x)).all()
        x, last = np.unique(x, return_index=False, return_counts=True)
        expected, found = cdf(x), np.cumsum(last) / N
        distance = np.abs(expected - found).max()
    else:
        expected = cdf(x)
        steps = np.arange(N + 1) / N
        distance = max((expected - steps[:-1]).max(), (steps[1:] - expected).max())
    assert distance < 2.2 / math.sqrt(N)


@pytest.mark.parametrize("device", [d for d in DEVICES if d != "cpu"])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_same_bits_on_every_device(name: str, device: str) -> None:
    draw = DISTRIBUTIONS[name][0]
    results = []
    for place in ("cpu", device):
        tg.manual_seed(11)
        results.append(draw(place).cpu().numpy())
    np.testing.assert_array_equal(*results)


def test_multinomial_without_replacement() -> None:
    tg.manual_seed(0)
    rows = tg.tensor([[0.0, 1.0, 3.0, 6.0]]).expand(20_000, 4)
    picked = tg.multinomial(rows, 2).numpy()
    assert (picked[:, 0] != picked[:, 1]).all()
    assert (picked > 0).all()
    first = np.bincount(picked[:, 0], minlength=4) / len(picked)
    np.testing.assert_allclose(first, [0, 0.1, 0.3, 0.6], atol=0.015)
    # P(second = 3) = sum over first f != 3 of P(f) * 6 / (10 - w_f)
    assert (picked[:, 1] == 3).mean() == pytest.approx(0.1 * 6 / 9 + 0.3 * 6 / 7, abs=0.015)


def test_multinomial_of_tiny_weights() -> None:
    """They are drawn before those of weight 0, though their times are too long for float64."""
    weights = tg.tensor([0.0, 5e-324, 1.0, 0.0, 5e-324], dtype=tg.float64)
    assert sorted(tg.multinomial(weights, 3).tolist()) == [1, 2, 4]
    assert set(tg.multinomial(weights, 100, replacement=True).tolist()) == {2}


def test_multinomial_is_fair_to_each_of_many_classes() -> None:
    """Pearson's statistic: within five of its standard deviations."""
    tg.manual_seed(0)
    classes, draws = 3_000, 300_000
    drawn = tg.multinomial(tg.ones(2, classes), draws, replacement=True).numpy()
    for row in drawn:
        counts, expected = np.bincount(row, minlength=classes), draws / classes
        assert len(counts) == classes
        statistic = ((counts - expected) ** 2 / expected).sum()
        assert abs(statistic - classes) < 5 * math.sqrt(2 * classes)


def test_high_half_of_a_product() -> None:
    a = [0, 1, 2**31 - 1, 2**31, 2**61 + 12345678901, 2**62 - 1]
    table = _fraction(np.array(a)[:, None], np.array(a))
    assert table.tolist() == [[x * y >> 62 for y in a] for x in a]


def test_in_place_drawing_fills_other_dtypes() -> None:
    tg.manual_seed(0)
    x = tg.empty(1000, dtype=tg.int64).random_(-5, 5)
    assert (x.min().item(), x.max().item()) == (-5, 4)
    assert tg.empty(1000, dtype=tg.uint8).random_().max().item() > 240
    assert set(tg.empty(100, dtype=tg.int32).bernoulli_(0.5).tolist()) == {0, 1}
    chance = tg.tensor([[0.0], [1.0]])
    assert tg.empty(2, 3).bernoulli_(chance).tolist() == [[0] * 3, [1] * 3]
    assert tg.empty(3, dtype=tg.float16).exponential_().dtype == tg.float16


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tg.zeros(2).exponential_(0), r"\[exponential_\] expects lambd > 0, got 0"),
        (lambda: tg.zeros(2).geometric_(1.5), r"\[geometric_\] expects p in 0..1"),
        (lambda: tg.zeros(2).cauchy_(0, -1), r"\[cauchy_\] expects sigma > 0"),
        (lambda: tg.zeros(2).random_(3, 3), r"\[random_\] expects low < high"),
        (lambda: tg.zeros(2, dtype=tg.int64).normal_(), r"\[normal_\] needs a floating-point"),
        (lambda: tg.poisson(tg.tensor([-1.0])), r"\[poisson\] means must not be negative"),
        (lambda: tg.multinomial(tg.tensor([1.0, 0.0]), 2), r"\[multinomial\] cannot draw 2"),
        (lambda: tg.multinomial(tg.tensor([0.0, 0.0]), 1), r"\[multinomial\] each row needs"),
        (lambda: tg.multinomial(tg.tensor([float("nan")]), 1), r"\[multinomial\] .*finite"),
        (lambda: tg.bernoulli(tg.tensor([1.5])), r"\[bernoulli\] probabilities must lie"),
        (lambda: tg.ones(2, requires_grad=True).exponential_(), r"\[exponential_\] a leaf"),
    ],
)
def test_refused(call: Callable, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        call()
