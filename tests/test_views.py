"""In-place changes of tensors that share memory: random programs against PyTorch, and the rules.

A program makes views of views of one tensor, changes any of them in place, and takes gradients
through all of them. What PyTorch refuses for its own reasons is drawn again.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

torch = pytest.importorskip("torch", exc_type=ImportError)

View = Callable[[Any], Any]


def some_view(random: np.random.Generator, shape: tuple[int, ...]) -> View:
    """A view of a tensor of this shape, as a function for either library."""
    choices: list[View] = [lambda t: t[...], lambda t: t.unsqueeze(0)]
    if len(shape) > 1:
        choices += [lambda t: t.transpose(0, 1), lambda t: t[:, 0], lambda t: t.flatten()]
        choices += [lambda t: t.permute(*range(len(shape) - 1, -1, -1))]
    if shape and shape[0] > 1:
        n = shape[0]
        i, step = int(random.integers(0, n - 1)), int(random.integers(1, 3))
        choices += [
            lambda t: t[i],
            lambda t: t[i:],
            lambda t: t[::step],
            lambda t: t.narrow(0, i, 2),
        ]
        choices += [lambda t: t.as_strided((2,), (t.stride(0),)), lambda t: t[-1:]]
    return choices[int(random.integers(len(choices)))]


def some_change(random: np.random.Generator, shape: tuple[int, ...]) -> Callable:
    """An in-place change of a tensor, with a second tensor ``w`` that requires grad."""
    c = float(random.uniform(-2, 2))
    w = random.standard_normal(shape)
    choices = [
        lambda lib, t, p: t.mul_(c),
        lambda lib, t, p: t.add_(lib.tensor(w) * p),
        lambda lib, t, p: t.mul_(p),
        lambda lib, t, p: t.sin_(),
        lambda lib, t, p: t.copy_(lib.tensor(w) * p),
        lambda lib, t, p: t.fill_(c),
        lambda lib, t, p: t.zero_(),
        lambda lib, t, p: t.__setitem__(..., p * c),
        lambda lib, t, p: t.masked_fill_(lib.tensor(w) > 0, c),
    ]
    if shape and shape[0] > 1:
        choices += [
            lambda lib, t, p: t.__setitem__(0, p),
            lambda lib, t, p: t.__setitem__(slice(1, None), c),
            lambda lib, t, p: t.__setitem__([0, 1], p * 2),
            lambda lib, t, p: t[1].exp_(),
        ]
    return choices[int(random.integers(len(choices)))]


def run(lib: Any, seed: int) -> tuple[list, list]:
    """The values of all tensors at the end, and the gradients of the leaves."""
    random = np.random.default_rng(seed)
    x = lib.tensor(random.standard_normal((3, 4)), requires_grad=bool(random.integers(4)))
    p = lib.tensor(float(random.uniform(0.5, 2)), dtype=lib.float64, requires_grad=True)
    tensors = [x * 1]
    for _ in range(int(random.integers(2, 8))):
        t = tensors[int(random.integers(len(tensors)))]
        shape = tuple(t.shape)
        if random.integers(2):
            tensors.append(some_view(random, shape)(t))
        else:
            some_change(random, shape)(lib, t, p)
        if len(tensors) > 2 and not random.integers(6):
            tensors.pop(int(random.integers(len(tensors))))
    loss = sum(((t * (i + 1)).cos().sum() for i, t in enumerate(tensors)), lib.tensor(0.0))
    values = [t.detach().numpy().copy() for t in tensors]
    if not loss.requires_grad:
        return values, []
    loss.backward()
    return values, [None if leaf.grad is None else leaf.grad.numpy() for leaf in (x, p)]


# What PyTorch refuses: memory outside the storage, saved data that was overwritten, and (though it
# is no such tensor) a view of what has only now got a history.
REFUSED = ("inplace operation", "out of bounds", "a leaf Variable that requires grad")


def like_torch(seed: int) -> bool:
    """Whether PyTorch runs the program; the results must then be the same."""
    try:
        expected = run(torch, seed)
    except RuntimeError as error:
        if any(words in str(error) for words in REFUSED):
            return False
        raise
    actual = run(tg, seed)
    for mine, theirs in zip(actual, expected, strict=True):
        assert len(mine) == len(theirs)
        for a, b in zip(mine, theirs, strict=True):
            zero = np.zeros(()) if a is None or b is None else None
            a, b = (zero if v is None else v for v in (a, b))
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12, err_msg=f"seed {seed}")
    return True


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("block", range(10))
def test_random_programs(block: int) -> None:
    ran = [like_torch(seed) for seed in range(100 * block, 100 * block + 100)]
    assert sum(ran) > 60


def grad_of(build: Callable) -> list:
    """The gradient of what ``build`` makes of [1, 2, 3, 4] and of [10, 20]."""
    x = tg.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    w = tg.tensor([10.0, 20.0], requires_grad=True)
    build(x * 1, w).backward()
    return [None if t.grad is None else t.grad.tolist() for t in (x, w)]


def test_base_sees_what_is_written_to_its_view() -> None:
    def build(base: Any, w: Any) -> Any:
        base[1:3].copy_(w)
        return (base * base).sum()

    assert grad_of(build) == [[2, 0, 0, 8], [20, 40]]


def test_view_sees_what_is_written_to_its_base() -> None:
    def build(base: Any, w: Any) -> Any:
        view = base[1:]
        base[:3] = base[:3] * 5
        return (view * view).sum()

    assert grad_of(build) == [[0, 100, 150, 8], None]


def test_view_of_view_sees_what_is_written_to_another() -> None:
    def build(base: Any, w: Any) -> Any:
        matrix = base.view(2, 2)
        column, row = matrix.T[1], matrix[1]
        column.mul_(w)
        return (row * row).sum() + base.sum()

    # row = [3, 20 * 4]; column = base[1::2]
    assert grad_of(build) == [[1, 10, 7, 20 + 2 * 80 * 20], [2, 4 + 2 * 80 * 4]]


def test_results_of_unbind_may_be_changed() -> None:
    """PyTorch refuses this."""

    def build(base: Any, w: Any) -> Any:
        rows = base.view(2, 2).unbind()
        rows[0].mul_(w)
        return (base * base).sum() + rows[1].sum()

    assert grad_of(build) == [[200, 1600, 7, 9], [20, 160]]


def test_view_made_without_recording_still_writes_to_the_history_of_its_base() -> None:
    def build(base: Any, w: Any) -> Any:
        with tg.no_grad():
            view = base[:2]
        view.mul_(3)
        return base.sum() + (view * w).sum()

    assert grad_of(build) == [[33, 63, 1, 1], [3, 6]]


def test_tensor_without_gradient_gets_a_history_through_its_view() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    buffer = tg.zeros(3)
    tail = buffer[1:]
    tail[1:].copy_(x[:1] * 3)
    assert buffer.requires_grad
    assert tail.requires_grad
    (buffer.sum() + 10 * tail.sum()).backward()
    assert x.grad.tolist() == [33, 0]


def test_second_gradient_through_a_changed_view() -> None:
    def build(x: Any, w: Any) -> Any:
        base = x * x
        base[1].mul_(w)
        base.T[0].sin_()
        return base

    x = tg.tensor([[0.3, -0.4], [0.5, 0.7]], dtype=tg.float64, requires_grad=True)
    w = tg.tensor([1.5, -0.5], dtype=tg.float64, requires_grad=True)
    assert tg.autograd.gradcheck(build, (x, w))
    assert tg.autograd.gradgradcheck(build, (x, w))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[0].add_(1), r"\[add_\] a view of a leaf tensor that requires grad"),
        (lambda x: x.add_(1), r"\[add_\] a leaf tensor that requires grad"),
        (lambda x: (x * 1).expand(2, 3).add_(1), r"\[add_\] .*expanded"),
        (lambda x: (x * 1).unfold(0, 2, 1).add_(1), r"\[add_\] .*unfolded"),
        (lambda x: x.T.T.__setitem__(0, 1.0), r"\[setitem\] a view of a leaf"),
    ],
)
def test_refused(change: Callable, message: str) -> None:
    x = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    with pytest.raises(RuntimeError, match=message):
        change(x)
    assert x.tolist() == [1, 2, 3]
    assert x._version == 0


def test_error_names_who_saved_and_who_changed() -> None:
    x = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    base = x * 1
    y = base.exp().sum() + (base[1:] * base[:2]).sum()
    base.T[0:1].add_(1)
    with pytest.raises(RuntimeError, match=r"'multiply' saved its input.*'add_' has changed it"):
        y.backward()


def test_what_only_second_gradients_need_may_change() -> None:
    """Fused operations keep their inputs to be differentiated twice, and no longer count them as
    saved otherwise."""
    x = tg.tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    logits = x * 1
    loss = tg.nn.functional.cross_entropy(logits, tg.tensor([1]))
    logits.add_(1)
    (dx,) = tg.autograd.grad(loss, x, retain_graph=True)
    np.testing.assert_allclose(dx.sum().item(), 0, atol=1e-6)
    with pytest.raises(RuntimeError, match=r"'cross_entropy' saved its input.*'add_'"):
        tg.autograd.grad(loss, x, create_graph=True)


def test_gradient_of_the_base_holds_what_came_through_a_changed_view() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    base = x * 1
    base[0].mul_(3)
    base.retain_grad()
    view = base[:1]
    view.sin_()
    view.sum().backward()
    assert base.grad.tolist() == [1, 0]


def test_detached_alias_counts_versions_and_leaves_the_history_alone() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    base = x * 2
    saved = base * base
    base.data[0].fill_(5)
    assert base._version == 1
    assert base.grad_fn.name() == "MultiplyBackward"
    with pytest.raises(RuntimeError, match=r"'fill_' has changed it"):
        saved.sum().backward()


def test_detach_stops_the_gradient_also_where_a_view_of_the_alias_was_taken() -> None:
    """(R01)"""
    for keep in (True, False):
        x = tg.ones(3, requires_grad=True)
        y = x * 1
        d = y.detach()
        w = d[:2]
        if not keep:
            del w
        y.mul_(2)
        assert not d.requires_grad
        (y.sum() + d.sum()).backward()
        assert x.grad.tolist() == [2, 2, 2]


def test_changing_all_rows_costs_what_the_rows_cost() -> None:
    """(S1) Nearly linear in their number, counted in calls of functions: each change looks at the
    addresses of all the views."""

    def calls(n: int) -> int:
        x = tg.zeros(n, 4, requires_grad=True) * 1
        rows, count = x.unbind(), 0

        def counts(frame: object, event: str, argument: object) -> None:
            nonlocal count
            count += event in ("call", "c_call")

        sys.setprofile(counts)
        try:
            for row in rows:
                row.mul_(2)
        finally:
            sys.setprofile(None)
        return count

    calls(10)
    assert calls(200) < 3 * calls(100)


def test_memory_goes_without_the_garbage_collector() -> None:
    """A step that writes into views leaves nothing behind."""

    def step() -> None:
        x = tg.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
        buffer = tg.zeros(2, 4)
        row = buffer[0]
        row.copy_(x * 2)
        buffer[1] = row.detach().clone() * x
        row[1:].exp_()
        (buffer.sum() + row.sum()).backward()

    step()
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        for _ in range(50):
            step()
        assert len(gc.get_objects()) <= before + 5
    finally:
        gc.enable()


def test_windows_of_nothing() -> None:
    x = tg.zeros(4, 4, 2, 0)
    assert x.unsqueeze(2).split(2, 0)[1].unfold(0, 2, 1).shape == (1, 4, 1, 2, 0, 2)
    assert x[2:].expand(3, 2, 4, 2, 0).shape == (3, 2, 4, 2, 0)
    assert x.as_strided((0, 2), (1, 1), 5).shape == (0, 2)


def test_shape_in_place() -> None:
    x = tg.tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    y = x * 1
    assert y.as_strided_((3, 1), (1, 1)) is y
    (y * tg.tensor([[1.0], [2.0], [3.0]])).sum().backward()
    assert x.grad.tolist() == [[1, 2, 3]]
    with pytest.raises(RuntimeError, match=r"\[as_strided_\] a leaf"):
        x.as_strided_((3,), (1,))


def test_random_strides_against_torch() -> None:
    """as_strided of overlapping, reversed-order and partial regions, and its gradient."""
    random = np.random.default_rng(0)
    for _ in range(200):
        size = tuple(int(n) for n in random.integers(0, 4, int(random.integers(0, 3))))
        stride = tuple(int(s) for s in random.integers(0, 4, len(size)))
        start = int(random.integers(0, 4))
        reach = start + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
        if 0 not in size and reach >= 12:
            with pytest.raises(RuntimeError, match=r"\[as_strided\] .* reach element"):
                tg.arange(12.0).as_strided(size, stride, start)
            continue
        grads = []
        data, weight = random.standard_normal(12), random.standard_normal(size)
        for lib in (tg, torch):
            x = lib.tensor(data, requires_grad=True)
            y = (x * 1).reshape(3, 4).as_strided(size, stride, start)
            (y * lib.tensor(weight)).sum().backward()
            grads.append((y.tolist(), x.grad.tolist()))
        np.testing.assert_allclose(grads[0][1], grads[1][1], rtol=1e-12)
        assert grads[0][0] == grads[1][0]
