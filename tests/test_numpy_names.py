"""``axis`` and ``keepdims``, as PyTorch takes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

CALLS: list[Callable[[Any, Any, str, str], Any]] = [
    lambda t, x, axis, keepdims: t.sum(x, **{axis: 0, keepdims: True}),
    lambda t, x, axis, keepdims: x.mean(**{axis: (0, 1), keepdims: True}),
    lambda t, x, axis, keepdims: x.max(**{axis: 1, keepdims: True})[0],
    lambda t, x, axis, keepdims: x.std(**{axis: -1, keepdims: True}),
    lambda t, x, axis, keepdims: t.argmax(x, **{axis: 1, keepdims: True}),
    lambda t, x, axis, keepdims: t.softmax(x, **{axis: 0}),
    lambda t, x, axis, keepdims: x.cumsum(**{axis: 1}),
    lambda t, x, axis, keepdims: (x * 1).cumsum_(**{axis: 1}),
    lambda t, x, axis, keepdims: x.unsqueeze(**{axis: 1}),
    lambda t, x, axis, keepdims: t.cat([x, x], **{axis: 1}),
    lambda t, x, axis, keepdims: t.stack([x, x], **{axis: 1}),
    lambda t, x, axis, keepdims: t.sort(x, **{axis: 0})[0],
]


@pytest.mark.parametrize("call", CALLS)
def test_numpy_names_are_second_names(call: Callable) -> None:
    data = np.random.default_rng(0).standard_normal((3, 4))
    x = tg.tensor(data)
    expected = call(tg, x, "dim", "keepdim")
    np.testing.assert_array_equal(call(tg, x, "axis", "keepdims").numpy(), expected.numpy())
    torch = pytest.importorskip("torch")
    theirs = call(torch, torch.tensor(data), "axis", "keepdims")
    np.testing.assert_allclose(expected.numpy(), theirs.numpy())


def test_both_names_are_one_too_many() -> None:
    with pytest.raises(TypeError, match=r"\[sum\] dim= and axis= are one argument"):
        tg.ones(2, 3).sum(dim=0, axis=0)
    with pytest.raises(TypeError, match="keepdims"):  # softmax has none
        tg.ones(2, 3).softmax(0, keepdims=True)
