"""func.vmap, against PyTorch's: values, gradients through it, and what each of them refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

torch = pytest.importorskip("torch", exc_type=ImportError)

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.standard_normal((4, 3)), RANDOM.standard_normal(3)

# name -> what is computed with either library: (lib, vmap, x of shape (4, 3), y of shape (3,))
PROGRAMS: dict[str, Callable] = {
    "a product of vectors": lambda l, v, x, y: v(l.dot)(x, x * 2),
    "another dimension": lambda l, v, x, y: v(l.sum, in_dims=1)(x),
    "a dimension from the end": lambda l, v, x, y: v(l.sum, in_dims=-1)(x),
    "what all share": lambda l, v, x, y: v(l.dot, in_dims=(0, None))(x, y),
    "a number that all share": lambda l, v, x, y: v(l.mul, in_dims=(0, None))(x, 3),
    "keywords are shared": lambda l, v, x, y: v(lambda a, k: a + k)(x, k=x),
    "two places": lambda l, v, x, y: v(lambda a, b: (a * b).sin(), in_dims=(0, 1))(x, x.T),
    "nested arguments": lambda l, v, x, y: v(
        lambda d: d["a"] + d["b"][0], in_dims=({"a": 0, "b": [None]},))({"a": x, "b": [y]}),
    "one for all that is nested": lambda l, v, x, y: v(lambda d: d["a"] + d["b"][0])(
        {"a": x, "b": [x]}),
    "nested results": lambda l, v, x, y: v(lambda a: {"p": a, "q": (a.sum(), [a * 2])})(x),
    "a result's other dimension": lambda l, v, x, y: v(l.exp, out_dims=1)(x),
    "a result's last dimension": lambda l, v, x, y: v(l.exp, out_dims=-1)(x),
    "out_dims of one result": lambda l, v, x, y: v(l.exp, out_dims=(1,))(x),
    "out_dims nested": lambda l, v, x, y: v(
        lambda a: (a, {"s": a}), out_dims=(0, {"s": 1}))(x),
    "what is the same": lambda l, v, x, y: v(lambda a: (a, l.ones(2)), out_dims=(0, None))(x),
    "what does not depend": lambda l, v, x, y: v(lambda a: l.ones(2))(x),
    "an outer product": lambda l, v, x, y: v(v(l.mul, (None, 0)), (0, None))(y, y * 2),
    "no examples": lambda l, v, x, y: v(lambda a: (a.sum(), l.outer(a, a)), out_dims=(0, 1))(x[:0]),
    "chunks": lambda l, v, x, y: v(l.exp, chunk_size=3)(x),
    "gradients by example": lambda l, v, x, y: v(
        l.func.grad(lambda w, a: (w * a).sin().sum()), in_dims=(None, 0))(y, x),
    "the gradient of a batch": lambda l, v, x, y: l.func.grad(
        lambda w: v(lambda a: (w * a).sin().sum())(x).pow(2).sum())(y),
    "a Jacobian": lambda l, v, x, y: v(l.func.jacrev(lambda a: a.pow(3)))(x),
    "no tensors": lambda l, v, x, y: v(lambda a: ())(x),
}  # fmt: skip


def numbers(tree: Any) -> Any:
    """The tree with lists (and shapes) for tensors."""
    if isinstance(tree, (tuple, list)):
        return [numbers(x) for x in tree]
    if isinstance(tree, dict):
        return {k: numbers(x) for k, x in tree.items()}
    return tuple(tree.shape), tree.flatten().tolist()


def compare(ours: Any, theirs: Any) -> None:
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        ours, theirs = list(ours.values()), [theirs[k] for k in ours]
    if isinstance(ours, list) and ours and not isinstance(ours[0], float):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            compare(a, b)
    elif isinstance(ours, tuple):
        assert ours[0] == theirs[0]
        np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-12)
    else:
        assert ours == theirs


@pytest.mark.parametrize("name", PROGRAMS)
def test_values(name: str) -> None:
    made = [PROGRAMS[name](l, l.func.vmap, l.tensor(X), l.tensor(Y)) for l in (tg, torch)]
    compare(*map(numbers, made))


def test_it_is_a_function_of_tapegrad_too() -> None:
    assert tg.vmap is tg.func.vmap
    assert tg.vmap(tg.sum)(tg.ones(2, 3)).tolist() == [3.0, 3.0]


def test_gradients_reach_what_the_batch_was_made_of() -> None:
    found = []
    for l in (tg, torch):
        x, y = (l.tensor(a, requires_grad=True) for a in (X, Y))
        batch = l.func.vmap(lambda a, b: (a * b).exp(), in_dims=(0, None), out_dims=1)(x, y)
        batch.sum().backward()
        found.append((x.grad.tolist(), y.grad.tolist()))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-12)
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-12)


REFUSED: dict[str, tuple[Callable, str]] = {
    "None for all": (lambda l, v, x: v(l.exp, in_dims=None)(x), "in_dims must be an int"),
    "a list": (lambda l, v, x: v(l.exp, in_dims=[0])(x), r"got \[0\]"),
    "half a dimension": (lambda l, v, x: v(l.exp, in_dims=(1.5,))(x), r"got \(1.5,\)"),
    "too large": (lambda l, v, x: v(l.exp, in_dims=2)(x), r"says 2, .* has shape \(4, 3\)"),
    "a number": (lambda l, v, x: v(l.mul)(x, 3), "no tensor but int"),
    "sizes": (lambda l, v, x: v(l.mul)(x, x[:2]), r"numbers of examples, \[2, 4\]"),
    "no batch": (lambda l, v, x: v(l.exp, in_dims=(None,))(x), "hold no batch"),
    "no arguments": (lambda l, v, x: v(l.exp)(), "hold no batch"),
    "too few": (lambda l, v, x: v(l.mul, in_dims=(0,))(x, x), "in_dims says .* nested alike"),
    "other keys": (
        lambda l, v, x: v(lambda d: d["a"], in_dims=({"b": 0},))({"a": x}), "nested alike"),
    "a result that is none": (lambda l, v, x: v(lambda a: 3)(x), "must return tensors, got int"),
    "results that differ": (lambda l, v, x: v(l.exp, out_dims=None)(x), "another for another"),
    "out_dims of words": (lambda l, v, x: v(l.exp, out_dims="a"), "out_dims must be an int"),
    "out_dims of two": (lambda l, v, x: v(l.exp, out_dims=(0, 0))(x), "out_dims says .* alike"),
    "chunks of nothing": (lambda l, v, x: v(l.exp, chunk_size=0), "chunk_size must be None or"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    call, words = REFUSED[name]
    with pytest.raises(ValueError, match=words):
        call(tg, tg.func.vmap, tg.tensor(X))
    with pytest.raises(ValueError):  # noqa: PT011 (PyTorch's words are its own)
        call(torch, torch.func.vmap, torch.tensor(X))(torch.tensor(X))


def test_an_out_dim_beyond_the_result_is_an_index_error() -> None:
    for l in (tg, torch):
        with pytest.raises(IndexError):
            l.func.vmap(l.exp, out_dims=2)(l.ones(2, 3))


def test_random_numbers_are_refused_the_same_or_different() -> None:
    def drawn(randomness: str) -> Any:
        tg.manual_seed(3)
        return tg.vmap(lambda x: x + tg.rand(2), randomness=randomness)(tg.zeros(3, 2))

    tg.manual_seed(3)
    first, second = tg.rand(2).tolist(), tg.rand(2).tolist()
    assert drawn("same").tolist() == [first] * 3
    assert tg.rand(2).tolist() == second  # drawn once
    assert drawn("different").tolist()[:2] == [first, second]
    with pytest.raises(RuntimeError, match="draws random numbers: say randomness='different'"):
        drawn("error")
    assert tg.rand(2).tolist() == first  # as if it had not been called
    with pytest.raises(RuntimeError, match="'error', 'different' or 'same', got 'all'"):
        drawn("all")


def test_another_structure_for_another_example_is_refused() -> None:
    with pytest.raises(ValueError, match="nested differently"):
        tg.vmap(lambda x: (x,) if x > 0 else [x])(tg.tensor([1.0, -1.0]))


def test_what_is_equal_for_all_is_returned_once() -> None:
    function = tg.vmap(lambda x: (x, "name", tg.tensor(float("nan"))), out_dims=(0, None, None))
    x, name, nan = function(tg.tensor([1.0, 2.0]))
    assert (x.tolist(), name, nan.shape) == ([1.0, 2.0], "name", ())
