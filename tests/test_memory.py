"""What operations take of memory beside their results: pieces of constant size."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.nn import functional as F


def _peak(run: Callable[[], object]) -> int:
    run()
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


MADE = {
    "rand": lambda n: tg.rand(n),
    "randn": lambda n: tg.randn(n),
    "dropout": lambda n: F.dropout(tg.ones(1).expand(n), 0.3),
    "normal_": lambda n: tg.empty(n).normal_(1, 2),
    "uniform_": lambda n: tg.empty(n).uniform_(1, 2),
    "kaiming_uniform_": lambda n: tg.nn.init.kaiming_uniform_(tg.empty(n // 100, 100)),
    "Embedding": lambda n: tg.nn.Embedding(n // 100, 100),
}


@pytest.mark.parametrize("name", MADE)
def test_random_numbers_take_the_memory_of_two_results(name: str) -> None:
    """(S2) And that of one piece, of constant size."""
    n = 1_000_000
    assert _peak(lambda: MADE[name](n)) < 2 * 4 * n + 3_000_000


def _gradients(make: Callable[[], tuple]) -> list:
    """A result, and first and second gradients of its inputs."""
    y, inputs = make()
    first = tg.autograd.grad((y**3).sum(), inputs, create_graph=True)
    second = tg.autograd.grad(sum((g**2).sum() for g in first), inputs)
    return [t.detach().numpy() for t in (y, *first, *second)]


def _leaf(random: np.random.Generator, *shape: int) -> tg.Tensor:
    return tg.tensor(random.standard_normal(shape), dtype=tg.float64, requires_grad=True)


CONVOLUTIONS = {
    "conv1d": ((1, 3, 50), (2, 3, 5), {"padding": 2, "dilation": 2}),
    "conv2d": ((2, 4, 9, 11), (6, 2, 3, 3), {"padding": 1, "groups": 2}),
    "conv2d with strides": ((1, 4, 9, 11), (6, 4, 3, 3), {"padding": 2, "stride": 2}),
    "conv2d by channels": ((3, 4, 8, 8), (4, 1, 3, 3), {"groups": 4, "padding": 1}),
    "conv3d": ((1, 2, 6, 7, 8), (3, 2, 3, 2, 3), {"stride": (1, 2, 1)}),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_an_image_in_strips_is_convolved_as_a_whole(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """(S3)"""
    shape, kernel, options = CONVOLUTIONS[name]

    def make() -> tuple:
        random = np.random.default_rng(0)
        x, w = _leaf(random, *shape), _leaf(random, *kernel)
        return getattr(F, name.split()[0])(x, w, **options), (x, w)

    whole = _gradients(make)
    monkeypatch.setattr("tapegrad.ops.conv.primitives._STRIP_BYTES", 700)
    for a, b in zip(_gradients(make), whole, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12 * np.abs(b).max())


def test_the_windows_of_a_large_image_are_not_all_there_at_once() -> None:
    """(S3) 255 MiB as they were."""
    x, w = tg.ones(1, 64, 112, 112, requires_grad=True), tg.ones(3, 64, 9, 9, requires_grad=True)
    assert _peak(lambda: F.conv2d(x, w, padding=4)) < 13 << 20
    assert _peak(lambda: F.conv2d(x, w, padding=4).sum().backward()) < 20 << 20


@pytest.mark.parametrize("p", [0.5, 1.0, 2.0, 3.0, float("inf")])
def test_distances_in_blocks_are_those_of_all_differences(
    p: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """(S4)"""
    mode = "donot_use_mm_for_euclid_dist"

    def between() -> tuple:
        random = np.random.default_rng(0)
        x, y = _leaf(random, 2, 7, 3), _leaf(random, 5, 3)
        return tg.cdist(x, y, p=p, compute_mode=mode), (x, y)

    def among() -> tuple:
        x = _leaf(np.random.default_rng(0), 6, 3)
        return F.pdist(x, p), (x,)

    whole = _gradients(between), _gradients(among)
    monkeypatch.setattr("tapegrad.ops.loss.cdist._BLOCK_BYTES", 100)
    for found, expected in zip((_gradients(between), _gradients(among)), whole, strict=True):
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12 * np.abs(b).max())


def test_differences_are_not_all_there_at_once() -> None:
    """(S4) 1969 MiB as they were, of cdist; the result has 4."""
    x = tg.ones(1000, 64)
    assert _peak(lambda: tg.cdist(x, x, p=1.0)) < 16 << 20
    assert _peak(lambda: F.pdist(x, p=1.0)) < 20 << 20
    y = tg.cdist(x.requires_grad_(), x + 1, p=1.0).sum()
    assert _peak(lambda: y.backward(retain_graph=True)) < 30 << 20
