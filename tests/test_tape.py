"""The engine: each way in which gradients go wrong silently, and a test for it."""

from __future__ import annotations

import asyncio
import copy
import gc
import itertools
import math
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases import CASES
from conftest import DEVICES

import tapegrad as tg
from tapegrad import nn
from tapegrad.autograd import Function, grad
from tapegrad.core import accelerator
from tapegrad.core.node import Node
from tapegrad.core.tensor import Leaf

each_device = pytest.mark.parametrize("device", DEVICES)


def leaf(data: Any, device: str = "cpu", dtype: Any = "float64") -> tg.Tensor:
    return tg.tensor(data, dtype=dtype, device=device, requires_grad=True)


def numbers(t: tg.Tensor | None) -> np.ndarray:
    assert t is not None
    return t.detach().cpu().numpy()


# ---------------------------------------------------------------------- adding up


def test_a_leaf_used_twice_gets_both_gradients() -> None:
    x = leaf([3.0, -2.0])
    (x * x).sum().backward()
    assert numbers(x.grad).tolist() == [6.0, -4.0]
    y = leaf(2.0)
    (y + y + y * 3 - y).backward()
    assert y.grad.item() == 4.0


def test_a_shared_node_is_visited_once() -> None:
    """Sixty doublings are 2^60 paths: an engine that follows paths does not come back."""
    x = leaf(1.0)
    y = x
    for _ in range(60):
        y = y + y
    y.backward()
    assert x.grad.item() == 2.0**60


def test_a_diamond_waits_for_its_slow_side() -> None:
    x = leaf(2.0)
    trunk = x * 3
    slow = trunk
    for _ in range(5):
        slow = slow * 2
    (trunk * slow).backward()  # 32 t^2, t = 3 x
    assert x.grad.item() == 2 * 32 * 9 * 2.0


def test_repeated_backwards_accumulate() -> None:
    x = leaf([1.0, 2.0])
    for _ in range(3):
        (x * x).sum().backward()
    assert numbers(x.grad).tolist() == [6.0, 12.0]


def test_many_uses_add_up_in_place_and_exactly() -> None:
    x = leaf(np.arange(6.0).reshape(2, 3))
    total = sum(x * k for k in range(1, 9))
    total.sum().backward()
    assert (numbers(x.grad) == 36.0).all()


SHAPES = [
    tuple(size if keep else 1 for size, keep in zip((2, 3, 2, 3)[4 - rank :], kept, strict=True))
    for rank in range(5)
    for kept in itertools.product((True, False), repeat=rank)
]


@each_device
def test_broadcasting_is_undone_for_every_pair_of_shapes(device: str) -> None:
    """All 961 pairs of rank 0 to 4. The reference adds element by element, by index."""
    random = np.random.default_rng(0)

    def reduced(g: np.ndarray, shape: tuple) -> np.ndarray:
        size = int(np.prod(shape))
        places = np.broadcast_to(np.arange(size).reshape(shape), g.shape)
        return np.bincount(places.ravel(), weights=g.ravel(), minlength=size).reshape(shape)

    for shape_a, shape_b in itertools.product(SHAPES, SHAPES):
        a, b = random.standard_normal(shape_a), random.standard_normal(shape_b)
        x, y = leaf(a, device), leaf(b, device)
        z = x * y
        seed = random.standard_normal(np.broadcast_shapes(shape_a, shape_b))
        z.backward(tg.tensor(seed, device=device))
        np.testing.assert_allclose(numbers(x.grad), reduced(seed * b, shape_a), atol=1e-12)
        np.testing.assert_allclose(numbers(y.grad), reduced(seed * a, shape_b), atol=1e-12)


def test_broadcasting_is_undone_over_sizes_of_zero() -> None:
    for shape_a, shape_b in [((0, 3), (1, 3)), ((1,), (0,)), ((2, 0), ()), ((0, 1), (1, 4))]:
        x, y = leaf(np.ones(shape_a)), leaf(np.ones(shape_b))
        (x * y).sum().backward()
        assert numbers(x.grad).shape == shape_a
        assert numbers(y.grad).shape == shape_b
        assert not numbers(y.grad).any()


def test_gradients_have_their_inputs_dtype() -> None:
    x = tg.ones(3, dtype="float16", requires_grad=True)
    y = tg.ones(3, dtype="float64", requires_grad=True)
    w = tg.ones(3, requires_grad=True)
    ((x * y) * w).sum().backward()
    assert [t.grad.dtype.name for t in (x, y, w)] == ["float16", "float64", "float32"]


# ---------------------------------------------------------------------- whose memory it is

PASS_THROUGH: dict[str, Callable] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "add_itself": lambda a, b: a + a + b,
    "reshape": lambda a, b: a.reshape(3, 2).reshape(2, 3) + b,
    "transpose": lambda a, b: (a.T + b.T).T,
    "clone": lambda a, b: a.clone() + b.clone(),
    "expand": lambda a, b: a.expand(2, 3) + b.expand(2, 3),
    "slice": lambda a, b: a[:] + b[...],
    "cat": lambda a, b: tg.cat([a, b])[:2] + tg.cat([a, b])[2:],
    "contiguous": lambda a, b: a.contiguous() + b.contiguous(),
    "cast": lambda a, b: a.double() + b.double(),
    "where": lambda a, b: tg.where(tg.ones(2, 3, dtype=bool), a, b) + b,
    "same": lambda a, b: a,
}


@pytest.mark.parametrize("name", PASS_THROUGH)
@pytest.mark.parametrize("ask", ["backward", "grad"])
def test_gradients_share_no_memory(name: str, ask: str) -> None:
    """With each other, with the seed, or with the tensors: changing one changes no other."""
    a, b = leaf(np.ones((2, 3))), leaf(np.ones((2, 3)))
    seed = tg.ones(2, 3, dtype="float64")
    y = PASS_THROUGH[name](a, b)
    if ask == "backward":
        y.backward(seed)
        found = [a.grad, b.grad]
    else:
        found = list(grad(y, [a, b, a], seed, allow_unused=True))
    arrays = [numbers(g) for g in found if g is not None] + [numbers(t) for t in (seed, a, b)]
    for one, other in itertools.combinations(arrays, 2):
        assert not np.shares_memory(one, other)


def test_gradients_share_no_memory_with_what_was_saved() -> None:
    """A rule may hand out an array that it keeps."""

    class Weighted(Function):
        @staticmethod
        def forward(ctx: Any, x: Any, w: Any) -> Any:
            ctx.save_for_backward(w)
            return (x * w).sum()

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return ctx.saved_tensors[0], None

    x, w = leaf([1.0, 2.0]), tg.tensor([5.0, 7.0], dtype="float64")
    (g,) = grad(Weighted.apply(x, w), x)
    Weighted.apply(x, w).backward()
    assert not np.shares_memory(numbers(g), numbers(w))
    assert not np.shares_memory(numbers(x.grad), numbers(w))


def test_what_a_hook_keeps_is_not_added_into() -> None:
    kept = []
    x = leaf([1.0, 2.0])
    y = x * 1
    y.register_hook(kept.append)
    (y.sum() + (x * 3).sum()).backward()
    x.register_hook(kept.append)
    (x * 2 + x * 3).sum().backward()
    assert [numbers(k).tolist() for k in kept] == [[1.0, 1.0], [5.0, 5.0]]


@pytest.mark.parametrize("first", [lambda x: x * 2, lambda x: x[0]], ids=["product", "row"])
@pytest.mark.parametrize(
    "then",
    [lambda x: x, lambda x: x.reshape(6).reshape(2, 3), lambda x: x.T.T, lambda x: x.expand(2, 3)],
    ids=["itself", "reshaped", "transposed", "expanded"],
)
def test_what_is_shared_is_not_added_into(first: Callable, then: Callable) -> None:
    """x and b get the same array, or views of it; what x gets besides must not reach b."""
    x, b = leaf(np.zeros((2, 3))), leaf(np.zeros((2, 3)))
    seed = tg.ones(2, 3, dtype="float64")
    early = first(x)  # recorded first, so its gradient comes last
    (then(x) + b + early).backward(seed)
    assert (numbers(b.grad) == 1.0).all()
    assert (numbers(seed) == 1.0).all()
    rest = 3.0 if early.ndim == 2 else 1.0
    assert numbers(x.grad).tolist() == [[3.0] * 3, [rest] * 3]


@pytest.mark.parametrize(
    "seed",
    [
        lambda: tg.tensor(2.0, dtype="float64").expand(3, 4),
        lambda: tg.arange(12, dtype="float64").reshape(4, 3).T,
        lambda: tg.from_numpy(np.arange(12.0).reshape(3, 4)[::-1, ::-1]),
        lambda: tg.from_numpy(np.arange(48.0).reshape(6, 8)[::2, 1::2]),
    ],
    ids=["stride 0", "transposed", "negative strides", "sliced"],
)
def test_strided_seeds(seed: Callable) -> None:
    g = seed()
    x, w = leaf(np.arange(12.0).reshape(3, 4)), leaf(np.arange(4.0))
    ((x * w).exp().log() + x).backward(g)
    np.testing.assert_allclose(numbers(x.grad), numbers(g) * (numbers(w) + 1))
    np.testing.assert_allclose(numbers(w.grad), (numbers(g) * numbers(x)).sum(0))


def test_an_expanded_gradient_can_be_added_to() -> None:
    x = leaf(np.zeros(3))
    x.grad = tg.ones((), dtype="float64").expand(3)
    (x * tg.tensor([1.0, 2.0, 3.0], dtype="float64")).sum().backward()
    assert numbers(x.grad).tolist() == [2.0, 3.0, 4.0]


# ---------------------------------------------------------------------- backward's arguments


def test_a_seed_weights_the_outputs() -> None:
    x = leaf([1.0, 2.0, 3.0])
    (x * x).backward(gradient=tg.tensor([1.0, 0.0, -1.0], dtype="float64"))
    assert numbers(x.grad).tolist() == [2.0, 0.0, -6.0]


def test_several_roots() -> None:
    x = leaf([1.0, 2.0])
    tg.autograd.backward([x.sum(), x * x], [None, tg.tensor([1.0, 10.0], dtype="float64")])
    assert numbers(x.grad).tolist() == [3.0, 41.0]
    y = leaf(3.0)
    (g,) = grad([y * 2, y * y, y], [y])
    assert g.item() == 9.0


def test_backward_of_a_leaf() -> None:
    x = leaf(5.0)
    x.backward()
    x.backward()
    assert x.grad.item() == 2.0


@pytest.mark.parametrize("ask", [lambda y, x: y.backward(), lambda y, x: grad(y, x)])
def test_a_second_backward_raises_and_says_how(ask: Callable) -> None:
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    ask(y, x)
    with pytest.raises(RuntimeError, match=r"second time.*retain_graph=True"):
        ask(y, x)


def test_a_second_backward_through_part_of_the_graph_raises() -> None:
    x = leaf(2.0)
    trunk = x.exp()
    (trunk * 2).backward()
    with pytest.raises(RuntimeError, match=r"ExpBackward.*retain_graph=True"):
        (trunk * 3).backward()


def test_what_saves_nothing_can_go_backward_again() -> None:
    x = leaf(2.0)
    y = x + x
    y.backward()
    y.backward()
    assert x.grad.item() == 4.0


def test_retain_graph_keeps_the_tape() -> None:
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward(retain_graph=True)
    y.backward()
    assert numbers(x.grad).tolist() == [6.0, 12.0]
    with pytest.raises(RuntimeError, match="retain_graph"):
        y.backward()


def test_create_graph_makes_gradients_of_gradients() -> None:
    x = leaf(2.0)
    expected = [2.0**4, 4 * 2.0**3, 12 * 2.0**2, 24 * 2.0, 24.0]
    y = x**4
    for value in expected[:-1]:
        assert y.item() == pytest.approx(value)
        (y,) = grad(y, x, create_graph=True)
    assert y.item() == expected[-1]
    # and through .grad, where second gradients accumulate
    z = leaf(3.0)
    (z * z * z).backward(create_graph=True)
    assert z.grad.requires_grad
    first, z.grad = z.grad, None
    (first * first).backward()  # d/dz (3 z^2)^2 = 36 z^3
    assert z.grad.item() == pytest.approx(36 * 27.0)


def test_create_graph_accumulates_into_a_grad_that_has_a_history() -> None:
    x = leaf(2.0)
    (x**3).backward(create_graph=True)
    (x**3).backward(create_graph=True)
    assert x.grad.item() == 24.0
    (g,) = grad(x.grad, x)
    assert g.item() == 24.0
    (x * 1.0).backward()
    assert x.grad.item() == 25.0
    x.grad = None


def test_inputs_limits_where_gradients_go() -> None:
    a, b = leaf(2.0), leaf(3.0)
    middle = a * b
    (middle * a).backward(inputs=[a], retain_graph=True)
    assert a.grad.item() == 12.0
    assert b.grad is None
    (middle * a).backward(inputs=[middle, b])
    assert middle.grad.item() == 2.0
    assert b.grad.item() == 4.0
    assert a.grad.item() == 12.0


def test_inputs_may_be_one_tensor_or_repeat_one() -> None:
    a = leaf(2.0)
    (a * a).backward(inputs=a)
    (a * a).backward(inputs=[a, a])
    assert a.grad.item() == 8.0


def test_grad_changes_no_grad() -> None:
    a, b = leaf(2.0), leaf(3.0)
    found = grad(a * b, [b, a])
    assert [g.item() for g in found] == [2.0, 3.0]
    assert a.grad is None
    assert b.grad is None
    assert not found[0].requires_grad


def test_grad_of_an_unused_input() -> None:
    a, b = leaf(2.0), leaf([1.0, 2.0])
    with pytest.raises(RuntimeError, match=r"input 1, of shape \(2,\).*allow_unused"):
        grad(a * 2, [a, b])
    assert grad(a * 2, [a, b], allow_unused=True)[1] is None
    # PyTorch's order of arguments, with the one that it ignores.
    assert grad(a * 2, [a, b], None, None, False, True, True)[1] is None
    with pytest.raises(ValueError, match=r"materialize_grads=True makes zeros.*allow_unused=False"):
        grad(a * 2, [a, b], allow_unused=False, materialize_grads=True)
    with pytest.raises(NotImplementedError, match=r"is_grads_batched=True.*jacrev"):
        grad(a * 2, [a], is_grads_batched=True)
    zeros = grad(a * 2, [a, b], materialize_grads=True)[1]
    assert numbers(zeros).tolist() == [0.0, 0.0]


def test_grad_on_one_branch_keeps_the_other_alive() -> None:
    a, b = leaf(2.0), leaf(3.0)
    left, right = a.exp(), b.exp()
    y = left * 2 + right * 5
    assert grad(y, a)[0].item() == pytest.approx(2 * np.exp(2.0))
    assert grad(y, b)[0].item() == pytest.approx(5 * np.exp(3.0))  # right was not visited
    with pytest.raises(RuntimeError, match="retain_graph"):
        grad(y, a)


def test_grad_with_respect_to_results() -> None:
    x = leaf(2.0)
    h = x * x
    k = h * 3
    y = k * h
    gk, gh, gx, gy = grad(y, [k, h, x, y], retain_graph=True)
    assert [g.item() for g in (gk, gh, gx, gy)] == [4.0, 24.0, 96.0, 1.0]
    # a target in the middle: what lies beyond it is not visited, so it stays usable
    assert grad(y, k)[0].item() == 4.0
    h.backward()
    assert x.grad.item() == 4.0


# ---------------------------------------------------------------------- all or nothing


def test_a_failing_backward_leaves_every_grad_as_it_was() -> None:
    early, late, untouched = leaf([1.0, 2.0]), leaf([3.0, 4.0]), leaf([5.0, 6.0])
    late.grad = tg.tensor([7.0, 8.0], dtype="float64")
    inner = early * 2
    inner.retain_grad()

    def fail(g: tg.Tensor) -> None:
        raise ZeroDivisionError("in a hook")

    early.register_hook(fail)
    outer = inner * 3
    outer.retain_grad()
    y = (outer * late + untouched).sum()
    with pytest.raises(ZeroDivisionError, match="in a hook"):
        y.backward()
    assert early.grad is None
    assert untouched.grad is None
    assert inner.grad is None
    assert outer.grad is None
    assert numbers(late.grad).tolist() == [7.0, 8.0]
    assert tg.is_grad_enabled()


def test_a_stale_array_leaves_every_grad_as_it_was() -> None:
    a, b = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    inner = a.exp()
    y = (inner * b + b).sum()
    with tg.no_grad():
        inner.add_(1.0)
    with pytest.raises(RuntimeError, match="add_"):
        y.backward()
    assert a.grad is None
    assert b.grad is None


# ---------------------------------------------------------------------- hooks


@pytest.mark.parametrize("where", ["leaf", "result"])
def test_hooks_run_in_order_and_replace_the_gradient(where: str) -> None:
    x = leaf([1.0, 2.0])
    y = x * 3
    seen = []
    target = x if where == "leaf" else y
    target.register_hook(lambda g: seen.append(("first", numbers(g).tolist())))
    target.register_hook(lambda g: g * 10)
    target.register_hook(lambda g: seen.append(("third", numbers(g).tolist())))
    y.sum().backward()
    g = [3.0, 3.0] if where == "leaf" else [1.0, 1.0]
    assert seen == [("first", g), ("third", [10 * v for v in g])]
    assert numbers(x.grad).tolist() == [30.0, 30.0]


def test_a_hook_sees_the_complete_gradient_once() -> None:
    x = leaf(1.0)
    y = x * 1
    calls = []
    y.register_hook(lambda g: calls.append(g.item()))
    (y * 2 + y * 3 + y.exp() * 0).backward()
    assert calls == [5.0]


def test_a_removed_hook_is_silent() -> None:
    x = leaf(1.0)
    calls: list = []
    handle = x.register_hook(calls.append)
    x.register_hook(lambda g: g * 2)
    handle.remove()
    handle.remove()
    (x * 1).backward()
    assert calls == []
    assert x.grad.item() == 2.0
    with x.register_hook(calls.append):
        (x * 1).backward()
    (x * 1).backward()
    assert len(calls) == 1


@pytest.mark.parametrize("change", [lambda g: g.float(), lambda g: g.to("emulated")])
def test_a_hook_that_returns_another_dtype_or_device(change: Any) -> None:
    x = leaf([1.0, 2.0])
    x.register_hook(change)
    with pytest.raises(RuntimeError, match=r"hook got .*float64 on cpu .*returned one of"):
        (x * 1).sum().backward()
    assert x.grad is None


@pytest.mark.parametrize(
    ("returned", "kind"),
    [
        (3, TypeError),
        ("a", TypeError),
        (np.ones(2), TypeError),
        ((tg.ones(2),), TypeError),
        (tg.ones(3), RuntimeError),
        (tg.ones(2, dtype=tg.float64), RuntimeError),
    ],
)
@pytest.mark.parametrize("of_leaf", [True, False])
def test_a_hook_that_returns_something_else_is_refused(
    returned: Any, kind: type, of_leaf: bool
) -> None:
    x = tg.ones(2, requires_grad=True)
    y = x * 2
    (x if of_leaf else y).register_hook(lambda g: returned)
    with pytest.raises(kind, match=r"\[(AccumulateGrad|MultiplyBackward)\] a hook"):
        y.sum().backward()
    assert x.grad is None


def test_the_tape_ends_at_its_leaves() -> None:
    x = leaf(1.0)
    end = (x + 2).grad_fn.next_functions[0][0]
    assert end.variable is x
    del x
    assert end.variable is None


def test_a_hook_after_accumulation_sees_and_may_drop_the_gradient() -> None:
    x, y = leaf(1.0), leaf(2.0)
    seen: list = []

    def step(tensor: tg.Tensor) -> None:
        seen.append((tensor is x, tensor.grad.item()))
        with tg.no_grad():
            tensor -= tensor.grad
        tensor.grad = None

    handles = [t.register_post_accumulate_grad_hook(step) for t in (x, y)]
    (x * y).backward()
    assert sorted(seen) == [(False, 1.0), (True, 2.0)]
    assert (x.item(), y.item(), x.grad, y.grad) == (-1.0, 1.0, None, None)
    x.data = tg.tensor(5.0)  # keeps its hooks
    handles[1].remove()
    (x * y).backward()
    assert len(seen) == 3
    assert (x.item(), y.grad.item()) == (4.0, 5.0)
    tg.autograd.grad(x * 2, x)
    assert len(seen) == 3


def test_a_hook_after_accumulation_returns_nothing() -> None:
    x = leaf(1.0)
    x.register_post_accumulate_grad_hook(lambda tensor: tensor.grad * 2)
    with pytest.raises(RuntimeError, match=r"a hook returns None: .* got Tensor"):
        (x * 3).backward()


def test_a_hook_that_removes_itself_runs_once() -> None:
    x = leaf(1.0)
    calls = []

    def once(g: tg.Tensor) -> None:
        calls.append("once")
        handle.remove()

    handle = x.register_hook(once)
    x.register_hook(lambda g: calls.append("always"))
    (x * 1).backward()
    (x * 1).backward()
    assert calls == ["once", "always", "always"]


def test_data_shares_versions_with_what_it_was_set_to() -> None:
    x = tg.zeros(2, dtype="float64", requires_grad=True)
    q = tg.ones(2, dtype="float64")
    x.data = q
    y = (x * x).sum()
    q.mul_(3)
    with pytest.raises(RuntimeError, match="mul_"):
        y.backward()


def test_hooks_of_a_leaf_survive_what_changes_the_leaf() -> None:
    x = leaf([1.0, 2.0])
    calls: list = []
    x.register_hook(calls.append)
    x.requires_grad_()
    x.sum().backward()
    x.data = tg.tensor([5.0, 6.0], dtype="float64")
    x.sum().backward()
    assert len(calls) == 2


def test_asking_twice_for_gradients_changes_nothing() -> None:
    x = leaf(3.0)
    y = x * x
    x.requires_grad_()
    assert grad(y, x)[0].item() == 6.0


def test_a_hook_cannot_spoil_the_seed_of_later_backwards() -> None:
    for _ in range(2):
        x = leaf(3.0)
        y = x * 2
        y.register_hook(lambda g: g * 2)
        y.backward()
        x.grad.mul_(10)
        (g,) = grad(y + 0, y)
        g.mul_(10)
        (h,) = grad(y + 0, y, create_graph=True)
        with tg.no_grad():
            h.mul_(10)
        assert x.grad.item() == 40.0
    y = x * 2
    y.register_hook(lambda g: g.mul_(2))
    with pytest.raises(RuntimeError, match="mul_"):
        y.backward()


def test_hooks_under_create_graph_are_differentiated() -> None:
    x = leaf(3.0)
    y = x * x
    y.register_hook(lambda g: g * x)
    (g,) = grad(y, x, create_graph=True)  # 2 x * x
    assert g.item() == 18.0
    assert grad(g, x)[0].item() == 12.0


def test_hooks_run_for_grad_too() -> None:
    x = leaf(3.0)
    x.register_hook(lambda g: g + 1)
    assert grad(x * 2, x)[0].item() == 3.0


def test_reading_grad_where_none_comes_warns_as_pytorch_does() -> None:
    torch = pytest.importorskip("torch", exc_type=ImportError)

    def warned(library: Any, make: Callable) -> bool:
        x = library.ones(3, requires_grad=True)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            tensor = make(library, x)
            tensor.grad  # noqa: B018
        assert all(w.category is UserWarning and w.filename == __file__ for w in caught)
        return bool(caught)

    def retained(library: Any, x: Any) -> Any:
        y = x * 2
        y.retain_grad()
        return y

    def given(library: Any, x: Any) -> Any:
        y = x * 2
        y.sum().backward(inputs=[y])
        return y

    def unrecorded(library: Any, x: Any) -> Any:
        with library.no_grad():
            return x * 2

    for make, expected in (
        (lambda library, x: x, False),
        (lambda library, x: x * 2, True),
        (lambda library, x: x[0], True),
        (lambda library, x: (x * 2).detach(), False),
        (lambda library, x: library.ones(3), False),
        (retained, False),
        (given, False),
        (unrecorded, False),
    ):
        assert warned(tg, make) == warned(torch, make) == expected
    x = tg.ones(3, requires_grad=True)
    with pytest.warns(UserWarning, match=r"\[grad\] .* MultiplyBackward: .* call retain_grad\(\)"):
        assert (x * 2).grad is None


def test_retain_grad() -> None:
    x = leaf([1.0, 2.0])
    y = x * 3
    assert not y.retains_grad
    y.retain_grad()
    y.retain_grad()
    assert y.retains_grad
    (y * y).sum().backward(retain_graph=True)
    assert numbers(y.grad).tolist() == [6.0, 12.0]
    (y * 1).sum().backward()
    assert numbers(y.grad).tolist() == [7.0, 13.0]
    x.retain_grad()  # leaves always do
    assert not x.retains_grad


def test_retain_grad_sees_what_hooks_return_and_follows_the_tensor_in_place() -> None:
    x = leaf([1.0, 2.0])
    y = x * 3
    y.retain_grad()
    y.register_hook(lambda g: g * 2)
    y.sum().backward()
    assert numbers(y.grad).tolist() == [2.0, 2.0]
    z = x * 3
    z.retain_grad()
    z.mul_(5)
    z.sum().backward()
    assert numbers(z.grad).tolist() == [1.0, 1.0]  # of the tensor as it is, after mul_
    assert z.retains_grad


# ---------------------------------------------------------------------- recording or not

SWITCHES = {
    "no_grad": (tg.no_grad, False),
    "enable_grad": (tg.enable_grad, True),
    "inference_mode": (tg.inference_mode, False),
    "inference_mode_off": (lambda: tg.inference_mode(False), True),
    "set_grad_off": (lambda: tg.set_grad_enabled(False), False),
    "set_grad_on": (lambda: tg.set_grad_enabled(True), True),
}


@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize("outside", [True, False])
def test_recording_switches(name: str, outside: bool) -> None:
    """As context managers and as decorators, inside either state, which comes back after."""
    make, recording = SWITCHES[name]
    x = leaf(1.0)

    def look() -> tuple[bool, bool]:
        return tg.is_grad_enabled(), (x * 2).requires_grad

    with tg.set_grad_enabled(outside):
        with make():
            assert look() == (recording, recording)
        assert look() == (outside, outside)
        decorated = make()(look)
        assert look() == (outside, outside)
        assert [decorated(), decorated()] == [(recording, recording)] * 2
        assert decorated.__name__ == "look"
        with pytest.raises(KeyError), make():
            raise KeyError
        assert look() == (outside, outside)
    assert tg.is_grad_enabled()


@pytest.mark.parametrize("switch", [tg.no_grad, tg.enable_grad])
def test_decorating_without_parentheses(switch: Any) -> None:
    @switch
    def look(value: int) -> tuple[int, bool]:
        return value, tg.is_grad_enabled()

    assert look(3) == (3, switch is tg.enable_grad)


def test_a_decorated_generator_keeps_its_mode_to_itself() -> None:
    @tg.no_grad()
    def numbers() -> Any:
        received = yield tg.is_grad_enabled()
        try:
            yield received, tg.is_grad_enabled()
        except KeyError:
            yield "caught", tg.is_grad_enabled()
        return "done"

    steps = numbers()
    assert next(steps) is False
    assert tg.is_grad_enabled()
    assert steps.send("sent") == ("sent", False)
    assert steps.throw(KeyError()) == ("caught", False)
    assert tg.is_grad_enabled()
    with pytest.raises(StopIteration, match="done"):
        next(steps)


def test_a_mode_is_for_functions_and_left_once_for_each_time_it_was_entered() -> None:
    with pytest.raises(TypeError, match=r"\[enable_grad\] decorates functions, got float"):
        tg.enable_grad()(2.5)  # type: ignore[type-var]
    assert isinstance(tg.no_grad(None), tg.no_grad)
    with pytest.raises(TypeError):
        tg.no_grad(len, len)
    switch = tg.no_grad()
    with pytest.raises(IndexError):
        switch.__exit__(None, None, None)
    with switch:
        tg.set_grad_enabled(True)
        assert tg.is_grad_enabled()
        with tg.inference_mode(), tg.inference_mode(False):
            assert (tg.is_grad_enabled(), tg.is_inference_mode_enabled()) == (True, False)
    assert tg.is_grad_enabled()
    with pytest.raises(IndexError):
        switch.__exit__(None, None, None)


def test_a_task_keeps_its_mode_while_others_run() -> None:
    async def look(first: bool) -> list[bool]:
        seen = []
        with tg.set_grad_enabled(first):
            for _ in range(3):
                await asyncio.sleep(0)
                seen.append(tg.is_grad_enabled())
        return [*seen, tg.is_grad_enabled()]

    async def both() -> list[list[bool]]:
        return await asyncio.gather(look(False), look(True))

    assert asyncio.run(both()) == [[False, False, False, True], [True] * 4]


def test_set_grad_enabled_works_at_once() -> None:
    tg.set_grad_enabled(False)
    try:
        assert not tg.is_grad_enabled()
    finally:
        tg.set_grad_enabled(True)
    assert tg.is_grad_enabled()


def test_one_switch_can_be_entered_again() -> None:
    switch = tg.no_grad()
    with switch:
        with switch, tg.enable_grad():
            assert tg.is_grad_enabled()
        assert not tg.is_grad_enabled()
    assert tg.is_grad_enabled()


def test_inference_mode_is_visible() -> None:
    assert not tg.is_inference_mode_enabled()
    with tg.inference_mode():
        assert tg.is_inference_mode_enabled()
    assert not tg.is_inference_mode_enabled()
    with pytest.raises(TypeError, match="parentheses"):
        tg.inference_mode(lambda: None)


def test_recording_is_a_matter_of_each_thread() -> None:
    inside, seen = threading.Barrier(2, timeout=60), []

    def other() -> None:
        inside.wait()
        seen.append(tg.is_grad_enabled())
        with tg.no_grad():
            inside.wait()
            inside.wait()

    thread = threading.Thread(target=other)
    thread.start()
    with tg.no_grad():
        inside.wait()
        inside.wait()  # the other thread has switched recording off for itself
    assert tg.is_grad_enabled()
    inside.wait()
    thread.join()
    assert seen == [True]


def test_backward_records_nothing_and_works_under_no_grad() -> None:
    x = leaf(2.0)
    y = x * x
    with tg.no_grad():
        y.backward()
    assert x.grad.item() == 4.0
    assert not x.grad.requires_grad


# ---------------------------------------------------------------------- depth

CHAIN = """
import gc, sys, threading
gc.disable()
import tapegrad as tg
from tapegrad.autograd import Function

class Step(Function):
    @staticmethod
    def forward(ctx, y): return y + 0.0
    @staticmethod
    def backward(ctx, g): return g

steps = {"add": lambda y: y + 0.0, "multiply": lambda y: y * one, "in place": lambda y: y.add_(0.0),
         "function": lambda y: Step.apply(y), "cat": lambda y: tg.cat([y, y])[:1]}
kind, length, backward = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "backward"

def work():
    global one
    x = tg.ones(1, requires_grad=True)
    one = tg.ones(1, requires_grad=True)
    y = x * 1.0
    for _ in range(length):
        y = steps[kind](y)
    if backward:
        y.backward()
        assert x.grad.item() == 1.0
    del y
    print("done")

threading.stack_size(256 * 1024)
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


@pytest.mark.parametrize(
    ("kind", "length"),
    [("add", 1_000_000), ("multiply", 200_000), ("in place", 100_000), ("function", 50_000),
     ("cat", 50_000)],
)  # fmt: skip
@pytest.mark.parametrize("then", ["backward", "drop"])
def test_long_chains_need_no_stack(kind: str, length: int, then: str) -> None:
    """In a thread with a stack of 256 kB; in a process of its own, for it may crash."""
    ran = subprocess.run(
        [sys.executable, "-c", CHAIN, kind, str(length), then],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert (ran.stdout, ran.returncode) == ("done\n", 0), ran.stderr[-2000:]


def test_a_deep_second_derivative() -> None:
    x = leaf(1.0)
    y = x
    for _ in range(20_000):
        y = y * x
    with_graph = grad(y, x, create_graph=True)[0]
    assert with_graph.item() == 20_001
    assert grad(with_graph, x)[0].item() == 20_001 * 20_000


# ---------------------------------------------------------------------- cycles of the user's


def _hook_that_knows_its_tensor(x: tg.Tensor) -> tg.Tensor:
    y = x * x
    y.register_hook(lambda g: g * y.detach())
    return y


def _hook_that_knows_a_later_tensor(x: tg.Tensor) -> tg.Tensor:
    y = x.exp()
    later: list[tg.Tensor] = []
    y.register_hook(lambda g: g + len(later))
    later.append((y * y).tanh() * y)
    return y


def _node_that_knows_its_tensor(x: tg.Tensor) -> tg.Tensor:
    y = (x * x).exp()
    y.grad_fn.metadata["tensor"] = y
    return y


def _attribute(x: tg.Tensor) -> tg.Tensor:
    y = x * x
    y.later = y * y  # type: ignore[attr-defined]
    return y


def _gradient_with_a_graph(x: tg.Tensor) -> tg.Tensor:
    y = x * 1
    y.retain_grad()
    (y * y * y).sum().backward(create_graph=True)
    return y


def _in_place_by_what_was_made_of_it(x: tg.Tensor) -> tg.Tensor:
    y = x * 1
    z = y * x
    y.mul_(z)
    return y


class KeepsItsResult(Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.result = y = x * 2
        return y

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * 2


@pytest.mark.parametrize(
    "make",
    [
        _hook_that_knows_its_tensor,
        _hook_that_knows_a_later_tensor,
        _node_that_knows_its_tensor,
        _attribute,
        _gradient_with_a_graph,
        _in_place_by_what_was_made_of_it,
        lambda x: KeepsItsResult.apply(x * 1) * 1,
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_cycles_are_collected(make: Callable[[tg.Tensor], tg.Tensor]) -> None:
    y = make(leaf([1.0, 2.0]))
    tensor, node = weakref.ref(y), weakref.ref(y.grad_fn)
    del y
    gc.collect()
    assert (tensor(), node()) == (None, None)


# ---------------------------------------------------------------------- no cycles


def live() -> int:
    if accelerator.compiled is not None:  # then the collector does not know all nodes
        accelerator.compiled.before_collection("start", {"generation": 2})
    kinds = (tg.Tensor, Node, Leaf)
    return sum(issubclass(type(o), kinds) for o in gc.get_objects())


class Square(Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        y = x * x
        ctx.save_for_backward(x, y)
        return y, x * 2

    @staticmethod
    def backward(ctx: Any, g: Any, h: Any) -> Any:
        x, _ = ctx.saved_tensors
        return 2 * x * g + 2 * h


class AddOne(Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        x.add_(1)
        ctx.mark_dirty(x)
        ctx.save_for_backward(x)
        return x

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g


def _train() -> Callable[[], None]:
    tg.manual_seed(0)
    layers = [nn.Linear(4, 8), nn.ReLU(), nn.LayerNorm(8), nn.Dropout(), nn.Linear(8, 3)]
    model = nn.Sequential(*layers)
    optimizer = tg.optim.Adam(model.parameters())
    x, target = tg.randn(5, 4), tg.tensor([0, 1, 2, 0, 1])

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), target).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def _raise(g: tg.Tensor) -> None:
    raise ZeroDivisionError


def _second_order(x: tg.Tensor) -> None:
    (g,) = grad((x.exp() * x.sigmoid() / (x * x + 1)).sum(), x, create_graph=True)
    (g * g).sum().backward()
    x.grad = None


def _hooks(x: tg.Tensor) -> None:
    y = x * 2
    y.retain_grad()
    y.register_hook(lambda g: g * 2)
    with x.register_hook(lambda g: None):
        y.sum().backward()


def _refused(x: tg.Tensor) -> None:
    y = x * 2
    y.register_hook(_raise)
    with pytest.raises(ZeroDivisionError):
        y.sum().backward()
    with pytest.raises(RuntimeError):
        x + tg.ones(7)


def _in_place(x: tg.Tensor) -> None:
    y = x * 2
    y.add_(x).relu_().mul_(2.0)
    y[0] = x[1]
    y.mul_(y.detach())
    z = x * 1
    z.mul_(z)
    z.add_(z)


STEPS: dict[str, Callable[[tg.Tensor], Any]] = {
    "forward only": lambda x: (x.exp() * x).softmax(0).sum(),
    "function": lambda x: sum(y.sum() for y in Square.apply(x)).backward(),
    "function without backward": lambda x: Square.apply(x),
    "function in place": lambda x: AddOne.apply(x * 1).sum().backward(),
    "function in place without backward": lambda x: AddOne.apply(x * 1),
    "in place": _in_place,
    "create_graph": _second_order,
    "function twice": lambda x: grad(
        grad(Square.apply(x)[0].sum(), x, create_graph=True)[0].sum(), x),
    "gelu twice": lambda x: grad(
        grad(nn.functional.gelu(x).sum(), x, create_graph=True)[0].sum(), x),
    "hooks": _hooks,
    "errors": _refused,
    "views": lambda x: (x.reshape(2, 2).T[0] * x[:2]).sum().backward(),
    "split": lambda x: tg.cat(x.split(1)).sum().backward(),
    "deepcopy": lambda x: copy.deepcopy(x),
    "data": lambda x: setattr(x, "data", x.data * 1),
}  # fmt: skip


@pytest.mark.parametrize("name", ["training", *STEPS])
def test_nothing_is_left_without_the_garbage_collector(name: str) -> None:
    if name == "training":
        step, times = _train(), 1000
    else:
        x, times = leaf([1.0, 2.0, 3.0, 4.0]), 100

        def step() -> None:
            STEPS[name](x)

    gc.collect()
    gc.disable()
    try:
        step()
        before = live()
        for _ in range(times):
            step()
        assert live() == before
    finally:
        gc.enable()


def test_gradients_are_freed_as_they_are_used() -> None:
    """A chain of n large arrays needs a few of them at a time on the way back, not n."""
    import tracemalloc

    x = tg.ones(1 << 17, requires_grad=True)  # 512 kB
    y = x
    for _ in range(40):
        y = y + 1.0  # saves nothing
    tracemalloc.start()
    y.backward(tg.ones(1 << 17))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * (1 << 19)


# ---------------------------------------------------------------------- threads


def test_threads_that_share_a_leaf() -> None:
    """16 threads, 200 backwards each, onto one leaf and through one shared graph. The leaf is so
    large that NumPy lets other threads run while it adds."""
    x = leaf(np.ones(4096))
    shared = x * 2
    errors = []

    def work(k: int) -> None:
        try:
            for _ in range(200):
                (shared * k).sum().backward(retain_graph=True)
        except Exception as error:  # reported by the main thread
            errors.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(16)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    finally:
        sys.setswitchinterval(interval)
    assert errors == []
    assert (numbers(x.grad) == 2.0 * 200 * sum(range(16))).all()


# ---------------------------------------------------------------------- changed in place since

CHANGES: dict[str, tuple[Callable, str]] = {
    "itself": (lambda t: t.add_(1), "add_"),
    "operator": (lambda t: t.__imul__(2), "mul_"),
    "setitem": (lambda t: t.__setitem__(0, 5.0), "setitem"),
    "zero_": (lambda t: t.zero_(), "zero_"),
    "fill_": (lambda t: t.fill_(2), "fill_"),
    "copy_": (lambda t: t.copy_(tg.ones(2, 2)), "copy_"),
    "uniform_": (lambda t: t.uniform_(), "uniform_"),
    "normal_": (lambda t: t.normal_(), "normal_"),
    "view": (lambda t: t[0].add_(1), "add_"),
    "reshaped": (lambda t: t.reshape(4).exp_(), "exp_"),
    "transposed": (lambda t: t.T.neg_(), "neg_"),
    "view of a view": (lambda t: t.view(4)[1:].unsqueeze(0).sqrt_(), "sqrt_"),
    "piece": (lambda t: t.split(1)[1].clamp_(0, 1), "clamp_"),
    "detach": (lambda t: t.detach().sub_(1), "sub_"),
    "data": (lambda t: t.data.div_(2), "div_"),
    "detached view": (lambda t: t.detach()[1].relu_(), "relu_"),
    "new data": (lambda t: setattr(t, "data", tg.ones(2, 2, dtype=t.dtype)), "Tensor.data"),
    "scatter_": (lambda t: t.scatter_(0, tg.tensor([[0, 1]]), 3.0), "scatter_"),
    "masked_fill_": (lambda t: t.masked_fill_(tg.ones(2, 2, dtype=bool), 0.0), "masked_fill_"),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("kind", ["input", "result"])
@each_device
def test_what_was_saved_and_changed_since_raises(name: str, kind: str, device: str) -> None:
    """The message names the operation that saved the array, and the one that changed it."""
    change, changer = CHANGES[name]
    x = leaf([[1.0, 2.0], [3.0, 4.0]], device)
    before = x.detach().clone()
    saved = x if kind == "input" else x.exp()
    y = (saved * 2).sin().sum() if kind == "result" else (x * before).log().sum() + x.sin().sum()
    with tg.no_grad():
        if device != "cpu" and name in ("copy_", "new data", "scatter_", "masked_fill_"):
            pytest.skip("the change is written for the CPU")
        change(saved)
    saver = "exp" if kind == "result" else "sin"
    with pytest.raises(RuntimeError, match=f"'{saver}' saved its {kind}.*'{changer}"):
        y.backward()
    assert x.grad is None


def test_a_change_of_the_base_reaches_its_views() -> None:
    x = leaf(np.arange(1.0, 5.0))
    base = tg.ones(2, 4, dtype="float64")
    y = (x * base[1]).sum()
    base[0, 0] = 7.0  # of other elements, but of the same memory: one counter for all
    with pytest.raises(RuntimeError, match=r"'multiply'.*'setitem'"):
        y.backward()


@pytest.mark.parametrize(
    "make",
    [lambda p: tg.optim.SGD(p, lr=0.1), lambda p: tg.optim.Adam(p), lambda p: tg.optim.AdamW(p)],
    ids=["SGD", "Adam", "AdamW"],
)
def test_a_change_by_an_optimizer(make: Callable) -> None:
    w = leaf([1.0, 2.0])
    optimizer = make([w])
    loss = (w * w).sum()
    loss.backward(retain_graph=True)
    optimizer.step()
    name = type(optimizer).__name__
    with pytest.raises(RuntimeError, match=rf"'multiply'.*'optim\.{name}\.step'"):
        loss.backward()


def test_changes_before_saving_and_of_what_is_not_saved_are_fine() -> None:
    x = leaf([1.0, 2.0])
    y = x * 1
    y.add_(1)
    z = y.exp()
    unsaved = z + 1
    unsaved.mul_(2)
    w = unsaved.sum()
    w.backward()
    np.testing.assert_allclose(numbers(x.grad), 2 * np.exp(numbers(x) + 1))


def test_only_what_is_needed_is_watched() -> None:
    """x * c with only x differentiated keeps c and not x."""
    x, c = leaf([1.0, 2.0]), tg.tensor([3.0, 4.0], dtype="float64")
    y = (x * c).sum()
    with tg.no_grad():
        x.add_(1)
    y.backward()
    assert numbers(x.grad).tolist() == [3.0, 4.0]


def test_a_saved_tensor_changed_before_a_second_gradient() -> None:
    x = leaf([1.0, 2.0])
    (g,) = grad((x**3).sum(), x, create_graph=True)
    with tg.no_grad():
        x.mul_(2)
    with pytest.raises(RuntimeError, match="mul_"):
        g.sum().backward()


def test_version_counts_the_changes_through_every_alias() -> None:
    x = tg.zeros(4)
    assert x._version == 0
    x.add_(1)
    view = x[1:]
    view.mul_(2)
    x.detach().zero_()
    assert x._version == view._version == 3


def _changeable(row: Any) -> list:
    random = np.random.default_rng(3)
    return [np.asarray(make(random)) for make in row.samples[0]]


@pytest.mark.parametrize("row", [c for c in CASES if c.grad], ids=lambda row: row.name)
@pytest.mark.parametrize("device", ["cpu", "emulated"])
def test_no_operation_uses_what_changed_after_it(row: Any, device: str) -> None:
    """Change each input (indices and masks too), then the result: backward refuses, naming the
    change, or its gradients are those of the values at the time of the call."""

    def run(changed: int | None) -> list | None:
        data = _changeable(row)
        inputs = [tg.tensor(a, device=device) for a in data]
        for t, make in zip(inputs, row.samples[0], strict=True):
            t.requires_grad_(t.is_floating_point() and not getattr(make, "constant", False))
        y = row.call(tg, *inputs)
        if not y.requires_grad:
            return None
        seed = tg.tensor(np.random.default_rng(5).standard_normal(y.shape), device=device)
        if changed is not None:
            target = [*inputs, y][changed].detach()
            if target.stride() != tg.empty(tuple(target.shape)).stride():
                return expected  # an expanded or unfolded tensor cannot be changed in place
            if target.dtype.kind == "b":
                target.copy_(~target)
            else:
                target.fill_(1)
        y.backward(seed)
        return [None if t.grad is None else numbers(t.grad) for t in inputs]

    expected = run(None)
    if expected is None:
        pytest.skip("nothing to differentiate in this sample")
    for changed in range(len(expected) + 1):
        try:
            found = run(changed)
        except RuntimeError as error:
            assert "has changed it in place since" in str(error)  # noqa: PT017
            continue
        for mine, theirs in zip(found, expected, strict=True):
            np.testing.assert_array_equal(mine, theirs)


# ---------------------------------------------------------------------- changing in place


def _grad_enabled_error(change: Callable, x: tg.Tensor, words: str) -> None:
    before = numbers(x).copy()
    with pytest.raises(RuntimeError, match=words):
        change(x)
    np.testing.assert_array_equal(numbers(x), before)


REFUSED: dict[str, tuple[Callable[[], tg.Tensor], Callable, str]] = {
    "a leaf": (lambda: leaf([1.0, 2.0]), lambda x: x.add_(1), "leaf.*no_grad"),
    "a leaf by setitem":
        (lambda: leaf([1.0, 2.0]), lambda x: x.__setitem__(0, 1.0), "leaf.*no_grad"),
    "a leaf by zero_": (lambda: leaf([1.0, 2.0]), lambda x: x.zero_(), "leaf.*no_grad"),
    "a leaf by uniform_": (lambda: leaf([1.0, 2.0]), lambda x: x.uniform_(), "leaf.*no_grad"),
    "an expanded tensor": (lambda: tg.ones(1).expand(3), lambda x: x.add_(1), "expanded.*clone"),
    "an expanded tensor by setitem":
        (lambda: tg.ones(3, 1).expand(3, 2), lambda x: x.__setitem__(0, 2.0), "expanded.*clone"),
    "an expanded tensor by copy_":
        (lambda: tg.ones(1).expand(3), lambda x: x.copy_(tg.zeros(3)), "expanded.*clone"),
    "a result that does not fit":
        (lambda: tg.ones(3), lambda x: x.add_(tg.ones(2, 3)), r"\(2, 3\).*\(3,\)"),
    "a float result into integers":
        (lambda: tg.tensor([1, 2]), lambda x: x.mul_(1.5), "float32.*int64"),
    "a float result into integers, by division":
        (lambda: tg.tensor([1, 2]), lambda x: x.div_(2), "float32.*int64"),
    "numbers into bools": (lambda: tg.tensor([True]), lambda x: x.add_(1), "int64.*bool"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_in_place_changes_that_are_refused(name: str) -> None:
    make, change, words = REFUSED[name]
    _grad_enabled_error(change, make(), words)


def test_a_view_may_be_changed_after_its_base_is_gone() -> None:
    x = leaf(np.ones((2, 2)))
    base = x * 3
    view = base[0]
    del base
    view.mul_(view)
    view.sum().backward()
    assert numbers(view).tolist() == [9.0, 9.0]
    assert numbers(x.grad).tolist() == [[18.0, 18.0], [0.0, 0.0]]


def test_in_place_after_operations_that_reshape_inside() -> None:
    x = leaf(np.ones((2, 2, 3)))
    y = tg.nn.functional.layer_norm(x @ tg.ones(3, 3, dtype="float64"), (3,))
    y += 1
    y[0].sum().item()
    y *= 2
    y.sum().backward()
    assert numbers(y).max() == 2.0
    assert x.grad is not None


@pytest.mark.parametrize("number", [2, 2.7, True, -1, np.float32(3.5), 1e39, 2**40])
@pytest.mark.parametrize("dtype", ["float32", "int64", "int32", "uint8", "bool"])
def test_copying_a_number(number: Any, dtype: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    made, expected = tg.ones(2, dtype=dtype), torch.ones(2, dtype=getattr(torch, dtype))
    assert made.copy_(number) is made
    assert np.array_equal(made.numpy(), expected.copy_(number).numpy())
    x = leaf([1.0, 2.0])
    y = x * 1
    y.copy_(3.0).sum().backward()
    assert numbers(x.grad).tolist() == [0.0, 0.0]
    with pytest.raises(TypeError, match=r"\[copy_\] expects a Tensor or a number, got list"):
        tg.ones(2).copy_([1.0, 2.0])


def test_what_is_overwritten_has_gradient_zero() -> None:
    x = leaf([1.0, 2.0])
    y = x * 1
    y.copy_(tg.tensor([3.0, math.inf], dtype="float64"))
    (y * 3).sum().backward()
    assert numbers(x.grad).tolist() == [0.0, 0.0]


def test_a_detached_alias_does_not_stop_in_place_changes() -> None:
    x = leaf([1.0, 2.0])
    y = x * 2
    shown = y.detach()
    y.mul_(3)
    y.sum().backward()
    assert numbers(x.grad).tolist() == [6.0, 6.0]
    assert numbers(shown).tolist() == [6.0, 12.0]


def test_leaves_change_freely_under_no_grad() -> None:
    x = leaf([1.0, 2.0])
    with tg.no_grad():
        x.add_(1)
        x[0] = 5.0
        x -= 1
    assert numbers(x).tolist() == [4.0, 2.0]
    assert x.is_leaf
    assert x.requires_grad
    (x * x).sum().backward()
    assert numbers(x.grad).tolist() == [8.0, 4.0]


def _chain(y: Any, *steps: Callable) -> Any:
    for step in steps:
        step(y)
    return y


CHAINS: dict[str, Callable] = {
    "add_mul": lambda t, x, w: _chain(x * 1, lambda y: y.add_(w), lambda y: y.mul_(3)),
    "mul_w": lambda t, x, w: _chain(x * 1, lambda y: y.mul_(w)),
    "onto a constant": lambda t, x, w: _chain(t.zeros(3, dtype=t.float64), lambda y: y.add_(x * w)),
    "operators": lambda t, x, w: _chain(
        x * 1, lambda y: y.__isub__(w), lambda y: y.__itruediv__(w)),
    "exp_": lambda t, x, w: _chain(x * w, lambda y: y.exp_()) + x,
    "relu_": lambda t, x, w: _chain(x - w, lambda y: y.relu_(), lambda y: y.sqrt() * 0 + y),
    "pow_": lambda t, x, w: _chain(x * w, lambda y: y.pow_(3), lambda y: y.neg_()),
    "clamp_": lambda t, x, w: _chain(x * w, lambda y: y.clamp_(-1, 2)),
    "masked_fill_": lambda t, x, w: _chain(x * w, lambda y: y.masked_fill_(y > 1, 0.5)),
    "setitem": lambda t, x, w: _chain(x * 1, lambda y: y.__setitem__(0, w[1] * w[2])),
    "setitem slice": lambda t, x, w: _chain(x * w, lambda y: y.__setitem__(slice(1, 3), w[:2])),
    "setitem number": lambda t, x, w: _chain(x * w, lambda y: y.__setitem__(1, 7.0)),
    "setitem mask": lambda t, x, w: _chain(x * w, lambda y: y.__setitem__(y > 1, 0.0)),
    "setitem list": lambda t, x, w: _chain(x * w, lambda y: y.__setitem__([2, 0], w[0])),
    "setitem into a constant": lambda t, x, w: _chain(
        t.ones(3, dtype=t.float64), lambda y: y.__setitem__(0, (x * w).sum())),
    "copy_": lambda t, x, w: _chain(x * 1, lambda y: y.copy_(w * x), lambda y: y.add_(x)),
    "zero_": lambda t, x, w: _chain(x * w, lambda y: y.zero_(), lambda y: y.add_(w)),
    "fill_": lambda t, x, w: _chain(x * w, lambda y: y.fill_(2.0)),
    "scatter_add_": lambda t, x, w: _chain(
        x * 1, lambda y: y.scatter_add_(0, t.tensor([0, 0, 2]), w * x)),
    "itself": lambda t, x, w: _chain(x * w, lambda y: y.add_(y)),
    "used before": lambda t, x, w: (lambda y: (y + 1) * _chain(y, lambda z: z.add_(w)))(x * 1),
}  # fmt: skip


@pytest.mark.parametrize("name", CHAINS)
def test_in_place_changes_have_pytorchs_gradients(name: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
    results = []
    for lib in (tg, torch):
        x = lib.tensor([1.0, -2.0, 3.0], dtype=lib.float64, requires_grad=True)
        w = lib.tensor([2.0, 0.5, -1.5], dtype=lib.float64, requires_grad=True)
        y = CHAINS[name](lib, x, w)
        (y * lib.tensor([1.0, 10.0, 100.0], dtype=lib.float64)).sum().backward()
        results.append([y.detach().numpy(), *(
            np.zeros(3) if t.grad is None else t.grad.numpy() for t in (x, w))])  # fmt: skip
    for mine, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12)


def test_an_operation_with_itself_in_place() -> None:
    x = leaf([1.0, 2.0])
    y = x * 3
    y.mul_(y)
    y.sum().backward()
    assert numbers(x.grad).tolist() == [18.0, 36.0]


# ---------------------------------------------------------------------- what requires grad

x_, c_ = leaf([1.0, 2.0]), tg.ones(2, dtype="float64")

REQUIRES: dict[str, tuple[Callable, bool]] = {
    "a result of a leaf": (lambda: x_ * c_, True),
    "a result of constants": (lambda: c_ * c_, False),
    "a comparison": (lambda: x_ > c_, False),
    "argmax": (lambda: x_.argmax(), False),
    "an integer cast": (lambda: x_.long(), False),
    "a float cast": (lambda: x_.float(), True),
    "detach": (lambda: x_.detach(), False),
    "data": (lambda: x_.data, False),
    "clone": (lambda: x_.clone(), True),
    "indexing": (lambda: x_[0], True),
    "max's indices": (lambda: x_.max(0).indices, False),
    "max's values": (lambda: x_.max(0).values, True),
    "where, by its condition": (lambda: tg.where(x_ > 0, c_, c_), False),
    "zeros_like": (lambda: tg.zeros_like(x_), False),
    "masked": (lambda: c_.masked_fill(c_ > 0, 1.0), False),
    "cat": (lambda: tg.cat([c_, x_]), True),
    "sign": (lambda: tg.sign(x_), True),
}


@pytest.mark.parametrize("name", REQUIRES)
def test_requires_grad_is_inferred(name: str) -> None:
    make, expected = REQUIRES[name]
    y = make()
    assert y.requires_grad is expected
    assert y.is_leaf is not expected
    assert (y.grad_fn is None) is not expected


def test_requires_grad_of_leaves_can_be_switched() -> None:
    x = tg.ones(2)
    assert x.requires_grad_() is x
    assert x.requires_grad
    x.requires_grad = False
    assert not (x * 2).requires_grad
    with pytest.raises(RuntimeError, match=r"floating-point.*int64"):
        tg.tensor([1]).requires_grad_()
    y = x.requires_grad_() * 2
    assert y.requires_grad_() is y
    with pytest.raises(RuntimeError, match="detach"):
        y.requires_grad_(False)


def test_grad_fn_has_a_readable_name() -> None:
    x = leaf(np.ones((2, 2)))
    names = {
        "MultiplyBackward": x * 2, "ExpBackward": x.exp(), "MatmulBackward": x @ x,
        "SumBackward": x.sum(), "GetitemBackward": x[0], "LogSoftmaxBackward": x.log_softmax(0),
        "ReshapeBackward": x.flatten(), "SquareBackward": AddOneTo.apply(x).square(),
    }  # fmt: skip
    assert {y.grad_fn.name() for y in names.values()} == set(names)
    for name, y in names.items():
        assert repr(y.grad_fn) == f"<{name}>"
        assert f"grad_fn=<{name}>" in repr(y)
    assert x.grad_fn is None
    assert (x * 2).grad_fn.next_functions[0][0].name() == "AccumulateGrad"


class AddOneTo(Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x + 1

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g


# ---------------------------------------------------------------------- leaves' other lives


def test_deepcopy_copies_leaves_and_their_gradients() -> None:
    x = leaf([1.0, 2.0])
    (x * x).sum().backward()
    x.note = ["kept"]
    y = copy.deepcopy(x)
    assert y.requires_grad
    assert y.is_leaf
    assert y.note == ["kept"]
    for mine, theirs in ((x, y), (x.grad, y.grad)):
        np.testing.assert_array_equal(numbers(mine), numbers(theirs))
        assert not np.shares_memory(numbers(mine), numbers(theirs))
    (y * 3).sum().backward()
    assert numbers(x.grad).tolist() == [2.0, 4.0]
    a, b = copy.deepcopy([x, x])
    assert a is b
    with pytest.raises(RuntimeError, match=r"MultiplyBackward.*detach"):
        copy.deepcopy(x * 2)
    kind = copy.deepcopy(tg.nn.Parameter(tg.ones(2)))
    assert type(kind) is tg.nn.Parameter


def test_data_reads_and_writes_around_the_tape() -> None:
    x = leaf([1.0, 2.0])
    x.data.mul_(10)
    assert numbers(x).tolist() == [10.0, 20.0]
    x.data = tg.tensor([3.0, 4.0, 5.0], dtype="float64")
    assert x.shape == (3,)
    (x * 2).sum().backward()
    assert numbers(x.grad).tolist() == [2.0, 2.0, 2.0]
    with pytest.raises(TypeError, match="Tensor"):
        x.data = np.ones(3)
    with pytest.raises(RuntimeError, match="int64"):
        x.data = tg.tensor([1, 2, 3])


def test_views_of_a_tensor_that_gets_other_data_keep_theirs() -> None:
    x = leaf([1.0, 2.0, 3.0])
    y = x * 1
    v, w = y[:2], y[1:]
    y.data = tg.full((3,), 7.0, dtype="float64")
    v.mul_(tg.tensor([2.0, 5.0], dtype="float64"))
    assert numbers(v).tolist() == [2.0, 10.0]
    assert numbers(w).tolist() == [10.0, 3.0]
    assert numbers(y).tolist() == [7.0] * 3
    assert v._base is w._base is not y
    for t, expected in ((v, [2.0, 5.0, 0.0]), (w, [0.0, 5.0, 1.0]), (y, [1.0, 1.0, 1.0])):
        (dx,) = tg.autograd.grad(t.sum(), x, retain_graph=True)
        assert numbers(dx).tolist() == expected


def test_views_of_a_tensor_that_is_resized_keep_their_memory() -> None:
    y, p = tg.ones(3, dtype=tg.float64), leaf([2.0, 5.0])
    v, w = y[:2], y[1:]
    y.resize_(100)
    v.mul_(p)
    assert numbers(w).tolist() == [5.0, 1.0]
    assert (y.shape, y.requires_grad) == ((100,), False)
    (dp,) = tg.autograd.grad(w.sum(), p)
    assert numbers(dp).tolist() == [0.0, 1.0]


def test_a_gradient_for_a_tensor_that_is_gone_is_dropped() -> None:
    def build() -> tuple[tg.Tensor, tg.Tensor]:
        kept, gone = leaf(2.0), leaf(3.0)
        return kept, kept * 5 + gone

    x, y = build()
    y.backward()
    assert x.grad.item() == 5.0


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (tg.ones(3, dtype="float64"), RuntimeError, r"\(2,\).*\(3,\)"),
        (tg.ones(2), RuntimeError, "float64.*float32"),
        (np.ones(2), TypeError, "ndarray"),
        (tg.ones(2, dtype="float64", device="emulated"), RuntimeError, "emulated.*cpu"),
    ],
    ids=["shape", "dtype", "array", "device"],
)
def test_grad_can_only_be_a_fitting_tensor(value: Any, error: type, words: str) -> None:
    x = leaf([1.0, 2.0])
    with pytest.raises(error, match=words):
        x.grad = value
    with pytest.raises(RuntimeError, match="own gradient"):
        x.grad = x
    assert x.grad is None


def test_views_of_a_detached_base_keep_their_history_until_it_changes() -> None:
    x = tg.ones(2, requires_grad=True)
    y = x * 2
    view = y[:1]
    y.detach_()
    assert view.requires_grad  # and shows what was recorded
    assert tg.autograd.grad(view.sum(), x, retain_graph=True)[0].tolist() == [2, 0]
    y.neg_()
    assert not view.requires_grad  # as in PyTorch: its values are no longer those of x * 2
    y = x * 2
    view, other = y[:1], y[1:]
    y.detach_()
    y[:1].mul_(x[:1] * 3)
    assert tg.autograd.grad(view.sum(), x)[0].tolist() == [6, 0]
    assert y.requires_grad
    assert other.tolist() == [2]
