"""Cross-entropy of a linear layer's scores, some rows at a time."""

from __future__ import annotations

import dataclasses
import tracemalloc
import warnings
from typing import Any

import numpy as np
import pytest
from conftest import DEVICES

import tapegrad as tg
from tapegrad.nn import LinearCrossEntropyOptions as Options

F = tg.nn.functional
ROWS, FEATURES, CLASSES = 7, 3, 5


def random(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


X, WEIGHT, BIAS = random(0, ROWS, FEATURES), random(1, CLASSES, FEATURES), random(2, CLASSES)
TARGETS = np.array([0, 4, 2, 2, 1, 3, 0])
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "bias": {"linear_bias": BIAS},
    "weights": {"weight": np.abs(BIAS), "linear_bias": BIAS},
    "ignored": {"ignore_index": 2, "weight": np.abs(BIAS)},
    "all ignored but one": {"ignore_index": 2, "target": np.array([2, 2, 2, 2, 1, 2, 2])},
    "one row": {"input": X[0], "target": np.array(3)},
}


def outcome(library: Any, device: Any, case: dict, reduction: str, options: Any) -> list:
    """The loss, and its gradients."""
    given = {"input": X, "linear_weight": WEIGHT, "target": TARGETS, **case}
    tensors = {
        n: library.tensor(v, device=device) if isinstance(v, np.ndarray) else v
        for n, v in given.items()
    }
    leaves = [tensors[n].requires_grad_() for n in ("input", "linear_weight")]
    if "linear_bias" in tensors:
        leaves.append(tensors["linear_bias"].requires_grad_())
    loss = F.linear_cross_entropy if library is tg else library.nn.functional.linear_cross_entropy
    y = loss(**tensors, reduction=reduction, options=options)
    y.sum().backward()
    return [y.detach().cpu().numpy(), *(x.grad.cpu().numpy() for x in leaves)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("case", CASES)
def test_it_is_the_same_as_all_at_once(case: str, reduction: str, device: str) -> None:
    expected = outcome(tg, device, CASES[case], reduction, None)
    for rows in (1, 2, 3, 7, 100):
        options = Options(batch_chunk_size=rows)
        for a, b in zip(
            outcome(tg, device, CASES[case], reduction, options), expected, strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_it_is_pytorchs(case: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
    theirs = outcome(
        torch, "cpu", CASES[case], "mean", torch.nn.LinearCrossEntropyOptions(batch_chunk_size=3)
    )
    mine = outcome(tg, "cpu", CASES[case], "mean", Options(batch_chunk_size=3))
    for a, b in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_gradients_of_gradients() -> None:
    def loss(x: Any, w: Any, b: Any) -> Any:
        return F.linear_cross_entropy(
            x, w, tg.tensor(TARGETS), linear_bias=b, options=Options(batch_chunk_size=2)
        )

    leaves = [tg.tensor(a, requires_grad=True) for a in (X, WEIGHT, BIAS)]
    assert tg.autograd.gradcheck(loss, leaves)
    assert tg.autograd.gradgradcheck(loss, leaves)


def test_16_bit_numbers_are_added_up_in_float32() -> None:
    x, w = (tg.tensor(a).to(tg.float16) for a in (random(3, 300, 4), random(4, 6, 4)))
    targets = tg.tensor(np.arange(300) % 6)
    exact = F.linear_cross_entropy(x.double(), w.double(), targets, reduction="sum").item()
    y = F.linear_cross_entropy(x, w, targets, reduction="sum", options=Options(batch_chunk_size=16))
    assert y.dtype == tg.float16
    assert y.item() == np.float16(exact)


def test_the_scores_are_never_there_at_once() -> None:
    rows, features, classes = 512, 8, 4096
    x, w = (tg.tensor(random(i, n, features)) for i, n in enumerate((rows, classes)))
    w.requires_grad_()
    targets = tg.tensor(np.arange(rows))
    peaks = []
    for options in (None, Options(), Options(batch_chunk_size=8)):
        tracemalloc.start()
        F.linear_cross_entropy(x, w, targets, options=options).backward()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    whole, usual, small = peaks
    scores = rows * classes * 8
    assert whole >= scores
    assert usual < scores / 4
    assert small < scores / 8


@pytest.mark.parametrize("method", [None, "auto", "aspect_ratio", "aspect_ratio:3"])
def test_the_number_of_rows_is_pytorchs(method: str | None) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
    for shape in ((1, 1, 1), (7, 3, 5), (512, 8, 4096), (100, 64, 10), (1000, 16, 1000)):
        theirs = torch.nn.LinearCrossEntropyOptions(chunking_method=method)
        adjusted = theirs._adjust(*shape, torch.float64)
        assert Options(chunking_method=method).rows(*shape) == adjusted.batch_chunk_size
    assert [(f.name, f.default) for f in dataclasses.fields(Options)] == [
        (f.name, f.default) for f in dataclasses.fields(torch.nn.LinearCrossEntropyOptions)
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"acc_policy": "fast"},
        {"batch_chunk_size": 0},
        {"batch_chunk_size": 2.0},
        {"chunking_method": "aspect_ratio:0"},
        {"chunking_method": "auto:2"},
        {"chunking_method": "rows"},
        {"acc_dtype": "int64"},
    ],
    ids=str,
)
def test_what_options_refuse(options: dict) -> None:
    (name,) = options
    with pytest.raises(ValueError, match=f"LinearCrossEntropyOptions: {name}"):
        Options(**options)


def test_what_the_loss_refuses() -> None:
    x, w, targets = tg.tensor(X), tg.tensor(WEIGHT), tg.tensor(TARGETS)
    both = Options(batch_chunk_size=3, chunking_method="aspect_ratio")
    with pytest.raises(ValueError, match="are two sizes"):
        F.linear_cross_entropy(x, w, targets, options=both)
    with pytest.raises(TypeError, match="options must be LinearCrossEntropyOptions or None"):
        F.linear_cross_entropy(x, w, targets, options={"batch_chunk_size": 3})
    with pytest.raises(IndexError, match=r"\[linear_cross_entropy\] class 5 is out of range"):
        F.linear_cross_entropy(x, w, targets + 5, options=Options())
    with pytest.raises(RuntimeError, match="weight"):
        F.linear_cross_entropy(x, w, targets, weight=tg.ones(4), options=Options())


def test_a_warning_where_options_have_no_effect() -> None:
    x, w, targets = tg.tensor(X), tg.tensor(WEIGHT), tg.tensor(TARGETS)
    expected = F.linear_cross_entropy(x, w, targets, label_smoothing=0.1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        y = F.linear_cross_entropy(x, w, targets, label_smoothing=0.1, options=Options())
    assert len(caught) == 1
    assert "label_smoothing=0.1" in str(caught[0].message)
    assert y.item() == expected.item()
