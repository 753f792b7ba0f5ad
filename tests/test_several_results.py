"""Primitives with several results: what their rules see, and what the walk back makes of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.autograd import gradcheck, gradgradcheck
from tapegrad.core.devices import bodies
from tapegrad.core.tape import primitive, registry

seen: list = []  # which results' gradients each call of the rule found


def _rule(xp, g, y, a, b):
    """Of (a * b, exp(a), whether a > b)."""
    seen.append([gradient is not None for gradient in g])
    da = db = None
    if g[0] is not None:
        da, db = g[0] * b, g[0] * a
    if g[1] is not None:
        da = g[1] * y[1] if da is None else da + g[1] * y[1]
    return da, db


def _body(xp, a, b):
    return a * b, xp.exp(a), a > b


def _plain(a, b):
    return a * b, a.exp(), a > b


@pytest.fixture(params=["rules", "plain"])
def several(request: pytest.FixtureRequest) -> Iterator:
    name = f"several_{request.param}"
    plain = _plain if request.param == "plain" else None
    yield primitive(name, vjp_all=_rule, plain=plain, results=3)(_body)
    del registry[name], bodies[name]
    tg.device("cpu").ops.pop(name, None)
    seen.clear()


@pytest.fixture
def inputs() -> list:
    random = np.random.default_rng(0)
    return [tg.tensor(random.standard_normal(3), requires_grad=True) for _ in range(2)]


def test_results_are_tensors_with_nodes_of_their_own(several, inputs):
    y = several(*inputs)
    assert isinstance(y, tuple)
    assert [t.dtype.name for t in y] == ["float64", "float64", "bool"]
    assert [t.requires_grad for t in y] == [True, True, False]
    assert y[0].grad_fn is not y[1].grad_fn
    assert "several" in repr(y[0]).lower()
    with tg.no_grad():
        assert not any(t.requires_grad for t in several(*inputs))


@pytest.mark.parametrize("used", [(0,), (1,), (0, 1)])
def test_rule_sees_none_where_no_gradient_arrives(several, inputs, used):
    y = several(*inputs)
    tg.stack([y[i].sum() for i in used]).sum().backward()
    assert seen == [[i in used for i in range(3)]]
    a, b = (t.detach() for t in inputs)
    expected = sum([b, a.exp()][i] for i in used)
    np.testing.assert_allclose(inputs[0].grad.numpy(), expected.numpy())
    if 0 in used:
        np.testing.assert_allclose(inputs[1].grad.numpy(), a.numpy())


def test_first_and_second_gradients(several, inputs):
    def f(a, b):
        return several(a, b)[:2]

    assert gradcheck(f, inputs)
    assert gradgradcheck(f, inputs)


def test_second_gradient_through_a_result_that_is_gone(several, inputs):
    """The rule reads exp(a), which nobody holds but the node."""
    a, b = inputs
    total = several(a, b)[1].sum()
    (g,) = tg.autograd.grad(total, a, create_graph=True)
    (second,) = tg.autograd.grad(g.sum(), a)
    np.testing.assert_allclose(second.numpy(), np.exp(a.detach().numpy()))


def test_gradient_with_respect_to_a_result(several, inputs):
    a, b = inputs
    product, exp, _ = several(a, b)
    (g,) = tg.autograd.grad((product * exp).sum(), exp, retain_graph=True)
    np.testing.assert_allclose(g.numpy(), product.detach().numpy())
    if "rules" in several.__name__:  # whose gradient is made of exp itself
        (da,) = tg.autograd.grad(exp.sum(), a, create_graph=True)
        (g,) = tg.autograd.grad(da.sum(), exp)
        np.testing.assert_allclose(g.numpy(), np.ones(3))


def test_result_changed_in_place_since_raises(several, inputs):
    _, exp, _ = several(*inputs)
    total = (exp * 1.0).sum()
    exp.add_(1)
    with pytest.raises(RuntimeError, match=r"saved its result of shape \(3,\).*add_"):
        total.backward()


def test_second_backward_needs_retain_graph(several, inputs):
    total = several(*inputs)[0].sum()
    total.backward(retain_graph=True)
    total.backward()
    with pytest.raises(RuntimeError, match="second time"):
        total.backward()


def test_anomalies_are_told_of_the_whole(several, inputs):
    with tg.autograd.detect_anomaly():
        y = several(*inputs)
        wrong = tg.full_like(y[1], float("nan"))
        with pytest.raises(RuntimeError, match=r"nan in the backward pass.*there were 3 results"):
            tg.autograd.backward([y[1]], [wrong])


def test_function_keeps_the_history_of_a_result_that_is_gone():
    class ExpAndSquare(tg.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y, 2 * y

        @staticmethod
        def backward(ctx, g, h):
            (y,) = ctx.saved_tensors
            return (g + 2 * h) * y

    x = tg.tensor([0.5], dtype=tg.float64, requires_grad=True)
    total = ExpAndSquare.apply(x)[1].sum()
    (g,) = tg.autograd.grad(total, x, create_graph=True)
    (second,) = tg.autograd.grad(g.sum(), x)
    np.testing.assert_allclose(second.numpy(), 2 * np.exp(0.5) * np.ones(1))
