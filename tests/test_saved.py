"""What the tape saves is what hurts least: an array may be changed in place after an operation
wherever PyTorch's backward pass survives it, and results are no views of what nobody can see.

Every entry of PyTorch's operator database is tried: each of its inputs and results is changed,
with gradients asked of all inputs and of one alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch", exc_type=ImportError)
pytest.importorskip("ml_dtypes", reason="some entries are about bfloat16")
pytest.importorskip("expecttest", reason="PyTorch's operator database needs expecttest")

import op_db as db  # noqa: E402
from op_db import Translator, Untranslatable, find, flat, label  # noqa: E402

import tapegrad as tg  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")

# Where PyTorch's backward pass survives a change in place that ours refuses: why.
_COPIES = "PyTorch computes with a copy, which it keeps"
_SEVERAL = "PyTorch's are several operations, which keep results of their own"
_SHARED = "PyTorch does not say that these results share the input's memory"
_INPUTS = "one pass makes the loss, and its gradient comes from both inputs; PyTorch keeps others"
REFUSED = {
    "__rdiv__": "PyTorch rounds twice, number * (1 / input), and keeps the reciprocal",
    "hypot": "its slopes come from the inputs alone, as 16-bit results are rounded",
    "kron": _COPIES,
    "ldexp": "a product keeps its factors, so that its result may be changed; PyTorch keeps that",
    "masked.prod": _COPIES,
    "linalg.multi_dot": "the order of the products is another",
    "nn.functional.instance_norm": _COPIES,
    "nn.functional.kl_div": _INPUTS,
    "nn.functional.l1_loss": _INPUTS,
    "nn.functional.linear_cross_entropy/chunked": "PyTorch computes gradients on the way forward",
    "nn.functional.scaled_dot_product_attention": _COPIES,
    "nn.functional.rms_norm": _SEVERAL,
    "special.ndtr": _SEVERAL,
    "special.ndtri": "its slope comes from the input, in float64: that of a rounded result cancels",
    "unsafe_chunk": _SHARED,
    "unsafe_split": _SHARED,
}
# Results that are views here and none in PyTorch.
VIEWS = {
    "flatten": "of a vector PyTorch returns the vector itself",
    "unsafe_chunk": _SHARED,
    "unsafe_split": _SHARED,
}

ENTRIES = [op for op in db.PRESENT if op.supports_autograd and torch.float64 in op.dtypes]


def each_entry(name: str) -> Any:
    return pytest.mark.parametrize(name, ENTRIES, ids=label)


def some_samples(op: Any) -> list:
    found = list(itertools.islice(db.samples(op, torch.float64, requires_grad=True), 30))
    return [*found[:3], *found[3::9]]


def twice(op: Any, sample: Any) -> Any:
    """The sample run by both, and the translator; None where one of them refuses."""
    translate = Translator()
    theirs = op.inplace_variant if op.variant_test_name == "in_place" else op.op
    try:
        return db.run_ours(find(op), sample, translate), db.run_theirs(theirs, sample), translate
    except (RuntimeError, TypeError, ValueError, Untranslatable, NotImplementedError):
        return None


def differentiable(lib: Any, result: Any) -> list:
    return [t for t in flat(result) if isinstance(t, lib.Tensor) and t.requires_grad]


def survives(lib: Any, outputs: list, changed: Any) -> bool | str:
    """Whether the backward pass works after a tensor has changed."""
    try:
        losses = [(y * 2).sum() for y in outputs if y is not changed]
        with lib.no_grad() if changed.is_leaf else lib.enable_grad():
            changed.neg_()
        if not changed.is_leaf:
            losses.append((changed * 2).sum())
        sum(losses).backward()
    except RuntimeError as error:
        return str(error)
    return True


def changes(op: Any, sample: Any) -> Iterator[tuple[str, tuple, tuple]]:
    """(what is changed, our outputs and the changed tensor, PyTorch's)."""
    run = twice(op, sample)
    count = len(run[2].pairs) if run else 0
    for i in range(count + 3):
        run = twice(op, sample)
        if run is None:
            return
        ours, theirs = differentiable(tg, run[0]), differentiable(torch, run[1])
        if not theirs:
            return
        if len(ours) != len(theirs):  # PyTorch's may have gradients of 0
            assert op.name == "triangular_solve"
            return
        if i < count:
            t, mine = list(run[2].pairs.values())[i]
            itself = any(y is t for y in theirs) or any(y is mine for y in ours)
            if t.is_floating_point() and t.is_leaf and not itself:
                yield f"input {i}", (ours, mine), (theirs, t)
                with torch.no_grad():
                    t.neg_()  # as it was
        elif i - count < len(theirs):
            k = i - count
            if not theirs[k].is_leaf and not ours[k].is_leaf:
                yield f"result {k}", (ours, ours[k]), (theirs, theirs[k])


@each_entry("op")
def test_a_change_in_place_that_PyTorch_survives(op: Any) -> None:
    """(R23)"""
    wrong = set()
    for sample in some_samples(op):
        run = twice(op, sample)
        if run is None:
            continue
        leaves = run[2].leaves()[0]
        for alone in [None, *leaves[:3]]:
            for leaf in leaves:
                leaf.requires_grad_(alone is None or leaf is alone)
            for what, mine, theirs in changes(op, sample):
                if survives(torch, *theirs) is True and (found := survives(tg, *mine)) is not True:
                    wrong.add(f"{what}, alone {alone is not None}: {found}")
    reason = REFUSED.get(label(op))
    assert bool(wrong) == bool(reason), (wrong, reason)


@each_entry("op")
def test_results_that_are_no_views_are_detached_in_place(op: Any) -> None:
    """(R22)"""
    wrong = set()
    for sample in some_samples(op):
        run = twice(op, sample)
        for mine, theirs in zip(*map(flat, run[:2]), strict=True) if run else ():
            if isinstance(theirs, torch.Tensor) and not theirs._is_view():
                try:
                    mine.detach_()
                except RuntimeError as error:
                    wrong.add(str(error))
    assert bool(wrong) == (op.name in VIEWS), wrong


# ---------------------------------------------------------------------- what fuzzing found


def test_in_place_on_a_view_of_bfloat16() -> None:
    x = tg.ones(3, dtype=tg.bfloat16, requires_grad=True)
    y = x * 1
    y[:2].mul_(2)
    y.sum().backward()
    assert x.grad.tolist() == [2, 2, 1]


def test_a_leaf_that_keeps_its_shape_stays_the_leaf_it_was() -> None:
    """What was recorded before goes on leading to it."""
    x = tg.ones(2, 1, requires_grad=True)
    y = x * 2
    with tg.no_grad():
        x.squeeze_(0)  # of size 2: nothing changes
    x.data = tg.ones(2, 1)
    (y + x).sum().backward()
    assert x.grad.tolist() == [[3], [3]]


def test_a_new_shape_under_no_grad_belongs_to_the_history() -> None:
    x = tg.arange(6.0).reshape(2, 3).requires_grad_()
    y = x * 2
    with tg.no_grad():
        y.t_()
    (y * tg.arange(6.0).reshape(3, 2)).sum().backward()
    assert x.grad.tolist() == [[0, 4, 8], [2, 6, 10]]


def test_random_numbers_have_gradient_0() -> None:
    """(P08)"""
    p = tg.full((3,), 0.5, requires_grad=True)
    drawn = [tg.bernoulli(p), tg.normal(p, p), tg.normal(0.0, p), tg.normal(p, 1.0), tg.poisson(p)]
    for y in drawn:
        p.grad = None
        y.sum().backward()
        assert p.grad.tolist() == [0, 0, 0]
    assert not tg.bernoulli(p.detach()).requires_grad


def test_linear_keeps_what_its_gradients_need() -> None:
    """(R23) For the bias alone nothing: inputs may change."""
    x, w, b = tg.ones(2, 3), tg.ones(4, 3), tg.ones(4, requires_grad=True)
    y = tg.nn.functional.linear(x, w, b)
    x.zero_()
    w.zero_()
    y.sum().backward()
    assert b.grad.tolist() == [2, 2, 2, 2]
