"""Leaves that are told of while the walk back goes on: see autograd/completed.py."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.autograd.completed import _hooks, on_complete
from tapegrad.core import engine


@pytest.fixture
def watched() -> Any:
    """Three leaves; who is complete when, and what has reached it."""
    leaves = {name: tg.tensor([2.0, 3.0], requires_grad=True) for name in "abc"}
    seen: list[tuple[str, list[float]]] = []
    handles = [
        on_complete(leaf, lambda g, name=name: seen.append((name, g.tolist())))
        for name, leaf in leaves.items()
    ]
    yield *leaves.values(), seen
    for handle in handles:
        handle.remove()


def test_in_the_order_of_their_oldest_use(watched: Any) -> None:
    a, b, c, seen = watched
    x = (a * 1.0).exp()  # the oldest node of all completes a: at the walk's end
    x = x * b
    y = x + c
    (y * b).sum().backward()
    assert [name for name, _ in seen] == ["c", "b"]
    for (_, value), leaf in zip(seen, (c, b), strict=True):
        np.testing.assert_array_equal(value, leaf.grad.numpy())
    assert a.grad is not None


def test_before_the_walk_has_ended(watched: Any) -> None:
    a, b, _, seen = watched
    x = (a * 1.0) * 2.0
    x.register_hook(lambda g: seen.append(("walk", g.tolist())))
    (x * 3.0 * b).sum().backward()
    assert [name for name, _ in seen] == ["b", "walk"]


def test_not_where_a_hook_may_replace_the_gradient(watched: Any) -> None:
    a, b, c, seen = watched
    b.register_hook(lambda g: g * 2)
    ((a * 1.0) * b * c).sum().backward()
    assert [name for name, _ in seen] == ["c"]


def test_not_for_chosen_inputs_and_gradients_of_gradients(watched: Any) -> None:
    a, b, _, seen = watched
    y = ((a * 1.0) * b).sum()
    tg.autograd.grad(y, b, retain_graph=True)
    y.backward(create_graph=True)
    assert not seen


def test_gone_leaves_are_forgotten() -> None:
    leaf = tg.ones(2, requires_grad=True)
    on_complete(leaf, lambda g: None)
    assert engine.awaited is not None
    del leaf
    gc.collect()
    if not _hooks:
        x = tg.ones(1, requires_grad=True)
        (x * 2).sum().backward()
        assert engine.awaited is None


def test_a_handle_removes_its_own_hook_only() -> None:
    leaf = tg.ones(2, requires_grad=True)
    first, second = (on_complete(leaf, lambda g: None) for _ in range(2))
    first.remove()
    assert leaf._node in _hooks
    second.remove()
    assert leaf._node not in _hooks
