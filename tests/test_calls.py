"""Arguments as PyTorch takes them: second names, NumPy's numbers, and what is no number."""

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


F = tg.nn.functional
X = np.random.default_rng(0).standard_normal((2, 3, 4, 4)).astype(np.float32)
three, tenth = np.int64(3), np.float64(0.1)

# Calls that both libraries take, with the same result in the same dtype.
TAKEN: list[Callable[[Any, Any], Any]] = [
    lambda t, x: t.nn.functional.leaky_relu(x, tenth),
    lambda t, x: t.nn.functional.elu(x, tenth),
    lambda t, x: t.nn.functional.softplus(x, tenth),
    lambda t, x: t.nn.functional.rms_norm(x, (4,), eps=tenth),
    lambda t, x: t.nn.functional.layer_norm(x, (4,), eps=t.tensor(0.1)),
    lambda t, x: t.nn.functional.hardtanh(x, -1, t.tensor(1.0)),
    lambda t, x: t.nn.functional.smooth_l1_loss(x, x * 2, beta=t.tensor(0.5)),
    lambda t, x: t.nn.LeakyReLU(tenth)(x),
    lambda t, x: t.where(x > 0, tenth, np.float64(2)),
    lambda t, x: x.sum(three),
    lambda t, x: x.mean((np.int64(0), three), True),
    lambda t, x: x.norm(2, three),
    lambda t, x: t.nn.functional.normalize(x, dim=three),
    lambda t, x: x.topk(three).values,
    lambda t, x: t.nn.functional.max_pool2d(x, 2, np.int64(2)),
    lambda t, x: t.linalg.matrix_power(x, three),
    lambda t, x: x.scatter(1, t.zeros(2, 1, 4, 4, dtype=t.int64), value=t.tensor(1.5)),
    lambda t, x: t.zeros(2, dtype=float),
    lambda t, x: x.to(float),
    lambda t, x: x.sum(dtype=float),
    lambda t, x: t.tensor(t.searchsorted(t.tensor([1, 3, 5]), 3.7).item()),
    lambda t, x: t.tensor(t.bucketize(1.5, t.tensor([1, 3, 5])).item()),
    lambda t, x: t.full((2,), -1, dtype=t.uint8),
    lambda t, x: t.linalg.det(A=x),
    lambda t, x: t.det(input=x),
    lambda t, x: t.linalg.matrix_norm(input=x),
    lambda t, x: t.linalg.pinv(input=x),
    lambda t, x: t.combinations(t.arange(3), 5),
    lambda t, x: t.nn.functional.local_response_norm(x, 20),
    lambda t, x: t.tensor(t.normal(t.tensor(1.5), 1.0, (2, 3)).shape),
    lambda t, x: t.tensor(t.randint(high=10, size=(3,)).shape),
    lambda t, x: t.tensor(t.randint_like(x, high=10).shape),
    lambda t, x: t.tensor(t.nn.Conv2d(3, 4, three, 1, np.int64(1), groups=np.int64(1))(x).shape),
    lambda t, x: t.tensor(t.nn.LayerNorm(np.int64(4))(x).shape),
]


@pytest.mark.parametrize("number", range(len(TAKEN)))
def test_numbers_as_pytorch_takes_them(number: int) -> None:
    torch = pytest.importorskip("torch", exc_type=ImportError)
    mine = TAKEN[number](tg, tg.tensor(X))
    theirs = TAKEN[number](torch, torch.tensor(X))
    assert mine.dtype.name == str(theirs.dtype).removeprefix("torch.")
    np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-4, atol=1e-5)


# Calls that both refuse: what, and the message.
REFUSED: list[tuple[Callable[[Any, Any], Any], str]] = [
    (lambda t, x: x.sum(0, 1), r"\[sum\] keepdim must be True or False, got int 1.*tuple"),
    (lambda t, x: x.max(0, 1), r"\[max\] keepdim"),
    (lambda t, x: x.std(0, 1), r"\[std\] unbiased must be True or False, got int 1.*tuple"),
    (lambda t, x: x.topk(2, largest="a"), r"\[topk\] largest must be True or False, got str 'a'"),
    (lambda t, x: x.rot90(1.5), r"\[rot90\] k must be an int, got float 1.5"),
    (lambda t, x: t.tril(x, 1.5), r"\[tril\] diagonal must be an int"),
    (lambda t, x: x.topk(True), r"\[topk\] k must be an int, got bool True"),
    (lambda t, x: t.nn.functional.threshold(x, "a", 1.0), r"\[threshold\] threshold must be a nu"),
    (lambda t, x: t.nn.functional.layer_norm(x, (4,), eps=(0,)), r"\[layer_norm\] eps .*tuple"),
    (lambda t, x: t.randint(1.5, (3,)), r"\[randint\] low and high must be ints"),
    (lambda t, x: t.normal(t.zeros(3), 1.0, (2, 3)), r"\[normal\] mean has shape \(3,\)"),
    (lambda t, x: t.zeros(), r"\[zeros\] needs sizes"),
    (lambda t, x: x.sum(x.new_ones(())), r"\[sum\] dim must be an int"),
    (lambda t, x: t.zeros(x.new_ones(())), r"\[zeros\] sizes must be ints"),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_is_no_such_number_is_a_type_error(number: int) -> None:
    call, message = REFUSED[number]
    with pytest.raises(TypeError, match=message):
        call(tg, tg.tensor(X))
    torch = pytest.importorskip("torch", exc_type=ImportError)
    with pytest.raises(TypeError):
        call(torch, torch.tensor(X))


def test_a_number_that_requires_grad_is_refused() -> None:
    with pytest.raises(TypeError, match=r"\[hardtanh\] max_val has no gradient"):
        F.hardtanh(tg.ones(2), -1.0, tg.tensor(1.0, requires_grad=True))


@pytest.mark.parametrize(
    "call",
    [
        lambda: tg.full((2,), float("nan"), dtype=tg.int64),
        lambda: tg.full((2,), float("inf"), dtype=tg.int32),
        lambda: F.pad(tg.ones(2, dtype=tg.int64), (1, 1), value=float("nan")),
        lambda: tg.combinations(tg.arange(4), 10**6, with_replacement=True),
    ],
)
def test_what_cannot_be_held_is_refused(call: Callable) -> None:
    with pytest.raises(RuntimeError, match=r"\[(full|pad|combinations)\]"):
        call()
