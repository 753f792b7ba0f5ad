"""Gradients of another dtype than their leaf's: float32 ones of 16-bit parameters."""

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from test_optim_launches import launched  # noqa: F401  a fixture

import tapegrad as tg
from tapegrad import nn
from tapegrad.nn import functional as F

pytest.importorskip("ml_dtypes", reason="bfloat16 comes from ml_dtypes")
DEVICES = ["cpu", "emulated", pytest.param("cuda", marks=pytest.mark.gpu)]


def array(x: Any) -> np.ndarray:
    return np.array(x.detach().float().cpu().numpy())


def layer(device: str, dtype: Any = tg.bfloat16) -> nn.Module:
    tg.manual_seed(0)
    return nn.Linear(6, 5).to(device).to(dtype)


def wide_layer(device: str) -> nn.Module:
    model = layer(device)
    for p in model.parameters():
        p.grad_dtype = tg.float32
    return model


@pytest.mark.parametrize("device", DEVICES)
def test_gradients_are_added_up_in_it(device: str) -> None:
    """Over batches, each of which rounds away in bfloat16."""
    p = tg.ones(3, dtype=tg.bfloat16, device=device).requires_grad_()
    p.grad_dtype = tg.float32
    for factor in [1.0, *[2**-9] * 4]:
        (p * factor).sum().backward()
    assert p.grad is not None
    assert (p.grad.dtype, p.grad_dtype, p.dtype) == (tg.float32, tg.float32, tg.bfloat16)
    assert p.grad.tolist() == [1 + 4 * 2**-9] * 3
    (gradient,) = tg.autograd.grad((p * p).sum(), p)
    assert gradient.dtype == tg.float32


@pytest.mark.parametrize("device", DEVICES)
def test_a_step_takes_them_with_masters(device: str) -> None:
    model = wide_layer(device)
    optimizer = tg.optim.AdamW(model.parameters(), lr=0.1, master_weights=True)
    x = tg.randn(4, 6, device=device).bfloat16()
    for _ in range(3):
        optimizer.zero_grad()
        for _ in range(2):
            model(x).square().mean().backward()
        assert {p.grad.dtype for p in model.parameters()} == {tg.float32}
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    assert np.isfinite(array(model.weight)).all()
    plain = tg.optim.AdamW(model.parameters(), lr=0.1)
    with pytest.raises(RuntimeError, match="with master_weights=True"):
        plain.step()


def test_modules_that_are_converted_keep_it() -> None:
    model = wide_layer("cpu")
    model(tg.ones(1, 6, dtype=tg.bfloat16)).sum().backward()
    before = array(model.weight.grad)
    model.half()
    assert model.weight.dtype == tg.float16
    assert model.weight.grad_dtype == model.weight.grad.dtype == tg.float32
    np.testing.assert_array_equal(array(model.weight.grad), before)
    other = layer("cpu").half()
    assert other.weight.grad_dtype == tg.float16


def error(found: Any, exact: np.ndarray) -> float:
    return float(np.abs(array(found) - exact).max() / np.abs(exact).max())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("lead", [(33,), (3, 11)])
def test_gradients_of_linear_weights_are_not_rounded(
    lead: tuple[int, ...], device: str, request: pytest.FixtureRequest
) -> None:
    """They are sums of products in float32, by one launch where there are kernels."""
    x = tg.randn(*lead, 6, device=device).bfloat16()
    g = tg.randn(*lead, 5, device=device).bfloat16()
    exact = array(g).reshape(-1, 5).astype("float64").T @ array(x).reshape(-1, 6)
    rounded, wide = layer(device), wide_layer(device)
    for model in (rounded, wide):
        model(x).backward(g)
        F.linear(x, model.weight).backward(g)  # without a bias, and added up
    assert error(wide.weight.grad, 2 * exact) < 2**-20
    assert error(rounded.weight.grad, 2 * exact) > 2**-12
    names = request.getfixturevalue("launched")
    wide_layer(device)(x).backward(g)
    assert device == "cpu" or "matmul_tensor_wide" in names


@pytest.mark.parametrize("device", DEVICES)
def test_those_of_feed_forward_are_not_either(device: str) -> None:
    x, g = (tg.randn(40, 8, device=device).bfloat16() for _ in range(2))
    found = []
    for dtype in (tg.bfloat16, tg.float32):
        weights = [tg.ones(16, 8, device=device).mul(0.1), tg.ones(8, 16, device=device).mul(0.1)]
        weights = [w.bfloat16().requires_grad_() for w in weights]
        for w in weights:
            w.grad_dtype = dtype
        F.feed_forward(x, weights[0], None, weights[1], None).backward(g)
        found.append([w.grad for w in weights])
    for rounded, wide in zip(*found, strict=True):
        assert (rounded.dtype, wide.dtype) == (tg.bfloat16, tg.float32)
        np.testing.assert_array_equal(array(wide.bfloat16()), array(rounded))
        assert not np.array_equal(array(wide), array(rounded))


@pytest.mark.parametrize("device", DEVICES)
def test_gradients_of_gradients_of_linear_weights(device: str) -> None:
    weight = tg.ones(3, 4, dtype=tg.bfloat16, device=device).requires_grad_()
    weight.grad_dtype = tg.float32
    x = tg.full((5, 4), 2.0, dtype=tg.bfloat16, device=device).requires_grad_()
    (first,) = tg.autograd.grad(F.linear(x, weight).square().sum(), weight, create_graph=True)
    assert first.dtype == tg.float32  # 2 * x.T (x w)
    first.sum().backward()
    assert weight.grad is not None
    assert weight.grad.tolist() == [[160.0] * 4] * 3  # 2 * x.T x 1


def test_hooks_and_gradients_of_gradients_see_it() -> None:
    p = tg.ones(2, dtype=tg.bfloat16).requires_grad_()
    p.grad_dtype = tg.float32
    seen: list[Any] = []
    p.register_hook(lambda g: seen.append(g.dtype))
    (p * 3).sum().backward()
    (first,) = tg.autograd.grad((p**3).sum(), p, create_graph=True)
    first.sum().backward()
    assert seen == [tg.float32] * 3
    assert first.dtype == tg.float32
    assert p.grad is not None
    assert p.grad.tolist() == [3 + 6] * 2


def test_leaves_that_are_switched_off_for_a_while_keep_it_and_their_hooks() -> None:
    p = tg.ones(2, dtype=tg.bfloat16).requires_grad_()
    p.grad_dtype = tg.float32
    seen: list[Any] = []
    p.register_hook(lambda g: seen.append(g.dtype))
    for _ in range(2):
        p.requires_grad_(False)
        assert p.grad_dtype == tg.float32
        p.requires_grad_(True)
        (p * 3).sum().backward()
    assert seen == [tg.float32] * 2
    assert p.grad is not None
    assert (p.grad.dtype, p.grad.tolist()) == (tg.float32, [6.0] * 2)


def test_leaves_that_become_another_while_switched_off() -> None:
    kept, own = layer("cpu").bfloat16(), layer("cpu").bfloat16()
    kept.weight.grad_dtype = tg.float32
    for model, expected in ((kept, tg.float32), (own, tg.float16)):
        model.requires_grad_(False)
        model.half()
        assert model.weight.grad_dtype == expected
        model.requires_grad_(True)
        model(tg.ones(1, 6, dtype=tg.float16)).sum().backward()
        assert model.weight.grad.dtype == model.weight.grad_dtype == expected


@pytest.mark.parametrize("make", [tg.Tensor.clone, nn.Parameter])
def test_deep_copies_have_it(make: Any) -> None:
    p = make(tg.ones(2, dtype=tg.bfloat16)).requires_grad_()
    p.grad_dtype = tg.float32
    p.sum().backward()
    copied = deepcopy(p)
    copied.sum().backward()
    assert copied.grad is not None
    assert copied.grad_dtype == copied.grad.dtype == tg.float32


def test_what_it_may_not_be() -> None:
    p = tg.ones(2, dtype=tg.bfloat16).requires_grad_()
    assert p.grad_dtype == tg.bfloat16
    assert tg.ones(2).grad_dtype == tg.float32
    with pytest.raises(RuntimeError, match="gradients are floats, not int32"):
        p.grad_dtype = tg.int32
    with pytest.raises(RuntimeError, match=r"call requires_grad_\(\) before"):
        tg.ones(2).grad_dtype = tg.float32
    with pytest.raises(RuntimeError, match="only leaves"):
        (p * 2).grad_dtype  # noqa: B018
    p.grad = tg.ones(2, dtype=tg.bfloat16)
    with pytest.raises(RuntimeError, match=r"there is a \.grad of bfloat16: set it to None"):
        p.grad_dtype = tg.float32
    p.grad = None
    p.grad_dtype = tg.float32
    p.grad = tg.ones(2)
    with pytest.raises(RuntimeError, match=r"dtype \(2,\) float32; got \(2,\) bfloat16"):
        p.grad = tg.ones(2, dtype=tg.bfloat16)


def test_it_is_pytorchs() -> None:
    torch = pytest.importorskip("torch", reason="the oracle is PyTorch")
    if not hasattr(torch.Tensor, "grad_dtype"):
        pytest.skip("this PyTorch has no grad_dtype")
    found = []
    for library in (tg, torch):
        p = library.ones(3, dtype=library.bfloat16).requires_grad_()
        p.grad_dtype = library.float32
        for factor in (1.0, 2**-9):
            (p * factor).sum().backward()
        with pytest.raises(RuntimeError):
            p.grad_dtype = library.float16
        found.append(([*p.grad.tolist()], str(p.grad.dtype)[-7:], str(p.grad_dtype)[-7:]))
    assert found[0] == found[1]
