"""Sorting and scanning, where a table of operations cannot look: ties, long rows, stale indices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import DEVICES

import tapegrad as tg

each_device = pytest.mark.parametrize("device", DEVICES)


def rows(kind: str) -> np.ndarray:
    random = np.random.default_rng(3)
    if kind == "ties":
        return random.integers(0, 5, (4, 80)).astype(np.float64)
    x = random.standard_normal((4, 80))
    if kind == "nan":
        x[random.random(x.shape) < 0.1] = np.nan
        x[2, 3:] = np.nan
    return x


@each_device
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int32"])
@pytest.mark.parametrize("kind", ["distinct", "ties", "nan"])
@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("k", [1, 3, 10, 79, 80])
def test_topk_is_the_head_of_a_stable_sort(
    k: int, largest: bool, kind: str, dtype: str, device: str
) -> None:
    """Also where not everything is sorted, and whatever equals the last one."""
    if dtype == "int32" and kind != "ties":
        pytest.skip("integers have ties and no nan")
    for dim in (0, 1):
        data = rows(kind) if dim else rows(kind).T.copy()
        x = tg.tensor(data, dtype=dtype, device=device)
        values, indices = x.topk(k, dim, largest)
        expected = x.sort(dim, descending=largest)
        part = (slice(None),) * dim + (slice(0, k),)
        np.testing.assert_array_equal(indices.cpu().numpy(), expected.indices[part].cpu().numpy())
        np.testing.assert_array_equal(values.cpu().numpy(), expected.values[part].cpu().numpy())


@each_device
def test_sort_keeps_equal_elements_in_order(device: str) -> None:
    x = tg.tensor([1.0, 0.0, 1.0, float("nan"), 0.0, -0.0, float("nan")], device=device)
    assert x.argsort().tolist() == [1, 4, 5, 0, 2, 3, 6]
    assert x.argsort(descending=True).tolist() == [3, 6, 0, 2, 1, 4, 5]


@each_device
@pytest.mark.parametrize("op", ["sort", "topk", "max", "kthvalue", "median"])
def test_changed_indices_are_noticed(op: str, device: str) -> None:
    """The gradient goes where the indices point: changing them must not lead it astray."""
    x = tg.tensor([[3.0, 1.0, 2.0]], device=device, requires_grad=True)
    arguments: tuple = (2,) if op in ("topk", "kthvalue") else () if op == "sort" else (1,)
    found = getattr(x, op)(*arguments)
    found.indices.fill_(0)
    with pytest.raises(RuntimeError, match="changed it in place"):
        found.values.sum().backward()


@each_device
@pytest.mark.parametrize("zeros", [[], [0], [300], [699], [5, 300], [0, 1, 2, 699]])
def test_gradient_of_a_long_cumulative_product(zeros: list[int], device: str) -> None:
    """Against the definition: the sum of the products without one factor."""
    random = np.random.default_rng(0)
    data = random.uniform(0.8, 1.25, 700) * random.choice([-1.0, 1.0], 700)
    data[zeros] = 0
    g = random.standard_normal(700)
    x = tg.tensor(data, device=device, requires_grad=True)
    x.cumprod(0).backward(tg.tensor(g, device=device))
    expected = np.empty(700)
    for i in range(700):
        others = data.copy()
        others[i] = 1
        expected[i] = (g * np.cumprod(others))[i:].sum()
    np.testing.assert_allclose(x.grad.cpu().numpy(), expected, rtol=1e-9, atol=1e-9)


@each_device
@pytest.mark.parametrize("op", ["cumsum", "logcumsumexp"])
def test_long_float32_scan_is_accurate(op: str, device: str) -> None:
    data = np.random.default_rng(0).uniform(0, 1, 10**6).astype(np.float32)
    y = getattr(tg.tensor(data, device=device), op)(0)
    wide: Any = data.astype(np.float64)
    expected = np.cumsum(wide) if op == "cumsum" else np.log(np.cumsum(np.exp(wide)))
    np.testing.assert_allclose(y.cpu().numpy().astype(np.float64), expected, rtol=2e-7)


@each_device
def test_weights_of_bins_are_added_in_order(device: str) -> None:
    """On a GPU, too, the same numbers give the same bits: there long bins are added up in chunks,
    which do not depend on anything but the numbers."""
    random = np.random.default_rng(0)
    places, weights = random.integers(0, 3, 5000), random.standard_normal(5000)
    given = tg.tensor(places, device=device), tg.tensor(weights, device=device)
    y = tg.bincount(*given).cpu().numpy()
    expected = np.zeros(3)
    for place, weight in zip(places, weights, strict=True):
        expected[place] += weight
    if device == "cpu":
        np.testing.assert_array_equal(y, expected)
    np.testing.assert_allclose(y, expected, rtol=1e-13)
    np.testing.assert_array_equal(y, tg.bincount(*given).cpu().numpy())
