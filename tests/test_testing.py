"""tapegrad.testing: comparisons and random tensors, as PyTorch's."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.testing import assert_close, make_tensor

nan, inf = float("nan"), float("inf")

# (actual, expected, options), made with either library.
PAIRS: list[Callable[[Any], tuple[Any, Any, dict]]] = [
    lambda t: (t.tensor([1.0, 2.0]), t.tensor([1.0, 2.0]), {}),
    lambda t: (t.tensor([1.0, 2.0]), t.tensor([1.0, 2.00001]), {}),
    lambda t: (t.tensor([1.0, 2.0]), t.tensor([1.0, 2.0001]), {}),
    lambda t: (t.tensor([1.0, 2.0]), t.tensor([1.0, 2.1]), {"rtol": 0.1, "atol": 0.0}),
    lambda t: (t.tensor([1.0, nan]), t.tensor([1.0, nan]), {}),
    lambda t: (t.tensor([1.0, nan]), t.tensor([1.0, nan]), {"equal_nan": True}),
    lambda t: (t.tensor([inf]), t.tensor([inf]), {}),
    lambda t: (t.tensor([inf]), t.tensor([-inf]), {}),
    lambda t: (t.tensor([inf]), t.tensor([1.0]), {"rtol": 1.0, "atol": inf}),
    lambda t: (t.tensor([1.0]), t.tensor([inf]), {"rtol": 1.0, "atol": 1.0}),
    lambda t: (t.tensor([1.0]), t.tensor([[1.0]]), {}),
    lambda t: (t.tensor([1.0]), t.tensor([1.0], dtype=t.float64), {}),
    lambda t: (t.tensor([1.0]), t.tensor([1.0], dtype=t.float64), {"check_dtype": False}),
    lambda t: (t.tensor([1]), t.tensor([2]), {}),
    lambda t: (t.tensor([1]), t.tensor([2]), {"rtol": 0.0, "atol": 1.0}),
    lambda t: (t.tensor([0, 255], dtype=t.uint8), t.tensor([255, 0], dtype=t.uint8), {}),
    lambda t: (t.tensor([2**62]), t.tensor([2**62 + 1]), {}),
    lambda t: (t.tensor([True]), t.tensor([False]), {}),
    lambda t: (t.zeros(0), t.zeros(0), {}),
    lambda t: (t.tensor(1.0), t.tensor(1.0), {}),
    lambda t: (1.0, 1.0000001, {}),
    lambda t: (1.0, 1.1, {}),
    lambda t: (1.0, 1.000001, {}),
    lambda t: (1.0, 1.00000001, {}),
    lambda t: (np.float64(1), np.float64(1.000001), {}),
    lambda t: (2**62, 2**62 + 1, {}),
    lambda t: (nan, nan, {}),
    lambda t: (nan, nan, {"equal_nan": True}),
    lambda t: (inf, -inf, {}),
    lambda t: (1, 1.0, {}),
    lambda t: (True, True, {}),
    lambda t: (True, False, {}),
    lambda t: (None, None, {}),
    lambda t: (None, 1.0, {}),
    lambda t: ([1.0, t.ones(2)], [1.0, t.ones(2)], {}),
    lambda t: ([1.0, t.ones(2)], (1.0, t.zeros(2)), {}),
    lambda t: ([1.0], [1.0, 2.0], {}),
    lambda t: ({"a": t.ones(1), "b": [1]}, {"b": [1], "a": t.ones(1)}, {}),
    lambda t: ({"a": t.ones(1)}, {"b": t.ones(1)}, {}),
    lambda t: (np.ones(2), np.ones(2), {}),
    lambda t: (np.ones(2), np.zeros(2), {}),
    lambda t: (t.ones(2), np.ones(2), {}),
    lambda t: (t.ones(2), [1.0, 1.0], {}),
    lambda t: ("a", "b", {}),
    lambda t: (t.ones(2, 2).t(), t.ones(2, 2), {"check_stride": True}),
    lambda t: (t.ones(2, 3).t(), t.ones(3, 2), {"check_stride": True}),
    lambda t: (t.ones(2, 3).t(), t.ones(3, 2), {}),
    lambda t: (t.ones(2), t.ones(2), {"rtol": 0.1}),
    lambda t: (t.tensor([1.0], dtype=t.float16), t.tensor([1.001], dtype=t.float16), {}),
    lambda t: (t.tensor([1.0], dtype=t.bfloat16), t.tensor([1.01], dtype=t.bfloat16), {}),
    lambda t: (t.tensor([1.0], dtype=t.float64), t.tensor([1.000001], dtype=t.float64), {}),
]


def answer(function: Callable, pair: tuple) -> type | None:
    actual, expected, options = pair
    try:
        function(actual, expected, **options)
    except Exception as error:
        return type(error)
    return None


@pytest.mark.parametrize("number", range(len(PAIRS)))
def test_assert_close_answers_as_pytorchs(number: int) -> None:
    """(S04)"""
    torch = pytest.importorskip("torch", exc_type=ImportError)
    theirs = answer(torch.testing.assert_close, PAIRS[number](torch))
    assert answer(assert_close, PAIRS[number](tg)) is theirs


def test_the_message_shows_the_worst_element() -> None:
    """(S04)"""
    a, e = tg.zeros(2, 3), tg.zeros(2, 3)
    a[0, 1], a[1, 2] = 1e-3, 0.5
    e[1, 2] = 0.25
    with pytest.raises(AssertionError) as caught:
        assert_close(a, e)
    message = str(caught.value)
    assert "Mismatched elements: 2 / 6 (33.3%)" in message
    worst = r"absolute difference: 0\.25 at index \(1, 2\).*expected 0\.25, got 0\.5"
    assert re.search(worst, message)
    assert re.search(r"relative difference: inf at index \(0, 1\)", message)
    with pytest.raises(AssertionError, match=r"(?s)not close.*item \['w'\]\[1\]"):
        assert_close({"w": [e, a]}, {"w": [e, e]})
    with pytest.raises(AssertionError, match=r"^mine$"):
        assert_close(a, e, msg="mine")
    with pytest.raises(AssertionError, match=r"(?s)^See: .*not close"):
        assert_close(a, e, msg=lambda said: f"See: {said}")
    with pytest.raises(AssertionError, match="attribute 'device'"):
        assert_close(a, a.to("emulated"))
    assert_close(a, a.to("emulated"), check_device=False)
    assert_close(a.requires_grad_(), a.detach())


@pytest.mark.parametrize(
    "dtype", ["float64", "float32", "float16", "bfloat16", "int64", "int8", "uint8", "bool"]
)
def test_make_tensor(dtype: str) -> None:
    """(S04)"""
    x = make_tensor(50, 40, dtype=dtype)
    low, high = {"bool": (0, 1), "uint8": (0, 9)}.get(dtype, (-9, 9))
    values = x.double() if x.is_floating_point() else x.long()
    assert x.shape == (50, 40)
    assert x.dtype.name == dtype
    assert low <= values.min().item() <= low + 1
    assert high - 1 <= values.max().item() <= high
    assert make_tensor((2, 3), dtype=dtype).shape == (2, 3)
    assert not make_tensor(2, 3, dtype=dtype, noncontiguous=True).is_contiguous()
    assert make_tensor(dtype=dtype).shape == ()
    if dtype != "bool":
        bounded = make_tensor(500, dtype=dtype, low=1, high=3, exclude_zero=True).double()
        assert 1 <= bounded.min().item() <= bounded.max().item() <= 3
        assert not (make_tensor(2000, dtype=dtype, exclude_zero=True) == 0).any()
    if x.is_floating_point():
        assert make_tensor(2, dtype=dtype, requires_grad=True).is_leaf
    else:
        with pytest.raises(ValueError, match=r"\[make_tensor\] requires_grad"):
            make_tensor(2, dtype=dtype, requires_grad=True)
    assert make_tensor(2, dtype=dtype, device="emulated").device == tg.device("emulated")


def test_make_tensor_refuses_what_makes_no_sense() -> None:
    calls: list[tuple[Callable, type, str]] = [
        (lambda: make_tensor(2, dtype="float32", low=2, high=1), ValueError, "low must be below"),
        (lambda: make_tensor(-1, dtype="float32"), RuntimeError, "negative"),
        (lambda: make_tensor(2, dtype="x"), TypeError, "unsupported dtype"),
    ]
    for call, kind, message in calls:
        with pytest.raises(kind, match=rf"\[make_tensor\].*{message}"):
            call()
