"""Gradients that wait for others: of two in 16 bits, and of parts that make up a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import DEVICES

import tapegrad as tg
from tapegrad.core import pending

pytest.importorskip("ml_dtypes")

# What takes parts of a tensor (4, 6, 8); whether they make it up, as slices of one dimension.
TAKEN: dict[str, tuple[Callable, bool]] = {
    "unbound": (lambda x: x.unbind(1), True),
    "split": (lambda x: x.split([1, 3, 4], 2), True),
    "in another order": (lambda x: [x[:, 3:], x[:, 1:3], x[:, 0]], True),
    "counted from the end": (lambda x: [x[-1], x[:-1]], True),
    "all": (lambda x: [x[:, :]], True),
    "not all": (lambda x: [x[0], x[2:]], False),
    "twice": (lambda x: [x[0], x[0], x[1:]], False),
    "overlapping": (lambda x: [x[:3], x[1:]], False),
    "along two dimensions": (lambda x: [x[:2], x[:, :3]], False),
    "every other": (lambda x: [x[::2], x[1::2]], False),
    "gathered": (lambda x: [x[[0, 0, 2]], x[1:]], False),
    "and the whole": (lambda x: [x[:2], x, x[2:]], False),
    "the whole first": (lambda x: [x * 2, x[:2], x[2:]], False),
    "after two sums": (lambda x: [x * 2, x * 3, x[:1]], False),
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [tg.float32, tg.bfloat16])
@pytest.mark.parametrize("name", TAKEN)
def test_the_gradient_is_that_of_all_parts(
    name: str, dtype: Any, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, whole = TAKEN[name]
    made = []
    wide = pending.Parts.wide
    monkeypatch.setattr(pending.Parts, "wide", lambda *a: made.append(1) or wide(*a))
    numbers = np.random.default_rng(0).integers(-4, 5, (4, 6, 8)).astype(np.float32)
    leaf = tg.tensor(numbers, dtype=dtype, device=device, requires_grad=True)
    expected = np.zeros_like(numbers)
    x = leaf * 1
    parts = list(take(x))
    places = take(tg.arange(float(numbers.size)).reshape(numbers.shape))
    total: Any = 0
    for i, (part, place) in enumerate(zip(parts, places, strict=True)):
        total = total + (part * (i + 1)).sum(dtype=tg.float32)
        if part.shape != x.shape or name == "all":
            np.add.at(expected.reshape(-1), place.numpy().astype(int).reshape(-1), i + 1)
        else:
            scale = {"the whole first": 2, "after two sums": 2 + i}.get(name, 1)
            expected += scale * (i + 1)
    total.backward()
    np.testing.assert_array_equal(leaf.grad.float().cpu().numpy(), expected)
    assert not (whole and made)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("count", [2, 3, 4])
def test_sums_in_16_bits_are_rounded_once(count: int, device: str) -> None:
    x = tg.tensor([1.0], dtype=tg.bfloat16, device=device, requires_grad=True)
    y = x * 1
    scales = [1.0, 2.0**-9, 2.0**-9, 2.0**-9][:count]
    sum((y * tg.tensor([s], dtype=tg.bfloat16, device=device)).float() for s in scales).backward()
    exact = tg.tensor([sum(scales)]).to(tg.bfloat16)
    assert float(x.grad) == float(exact)


@pytest.mark.parametrize("device", DEVICES)
def test_parts_whose_gradients_lie_in_one_array_share_no_memory_at_leaves(device: str) -> None:
    whole = tg.zeros(2, 3, device=device, dtype=tg.bfloat16, requires_grad=True)
    x = whole * 1
    seed = tg.arange(6, dtype=tg.bfloat16, device=device).reshape(2, 3)
    seen = []
    x.register_hook(lambda g: seen.append(g))
    a, b = x.unbind(0)
    tg.autograd.backward([a, b], [seed[0], seed[1]])
    assert whole.grad.tolist() == seed.tolist()
    whole.grad.zero_()
    assert seed.tolist() != whole.grad.tolist()
    assert seen[0].shape == (2, 3)


def test_second_gradients_go_through_parts_and_pairs() -> None:
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=tg.bfloat16, requires_grad=True)
    a, b = x.unbind(0)
    (g,) = tg.autograd.grad((a * a * b).sum(), x, create_graph=True)
    g.sum().backward()
    assert x.grad.tolist() == [[8.0, 12.0], [2.0, 4.0]]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [tg.float32, tg.float64, tg.bfloat16])
def test_parts_come_before_the_whole(dtype: Any, device: str) -> None:
    x = tg.tensor([1.0, 2.0, 3.0], dtype=dtype, device=device, requires_grad=True)
    y = x * 1
    whole = (y * 2).sum()  # whose gradient comes after that of the part
    (g,) = tg.autograd.grad(whole + y[0:2].sum(), x)
    assert g.tolist() == [3, 3, 2]


@pytest.mark.parametrize("device", DEVICES)
def test_nothing_is_added_into_what_parts_have_from_others(device: str) -> None:
    """Two columns whose gradients are one number, seen twice: the seed of every backward pass."""
    for _ in range(2):
        x = tg.ones(4, 2, dtype=tg.float64, device=device, requires_grad=True)
        y = x * 1
        twice, more = y * 2, y + 1  # whose gradient comes first, and is that of its columns
        total = twice.sum() + more[:, 0].sum() + more[:, 1].sum()
        (g,) = tg.autograd.grad(total, x)
        assert g.tolist() == [[3, 3]] * 4
