"""Transforms of functions, against torch.func and torch.autograd.functional."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

torch = pytest.importorskip("torch", exc_type=ImportError)

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.standard_normal((3, 2)), RANDOM.standard_normal(2)
M = RANDOM.standard_normal((2, 2))

# name -> what is computed with either library: (lib, lib.func, lib.autograd.functional, x, y, m)
PROGRAMS: dict[str, Callable] = {
    "grad": lambda l, f, a, x, y, m: f.grad(lambda x: (x.sin() @ y).sum())(x),
    "grad of second argument": lambda l, f, a, x, y, m: f.grad(
        lambda x, y: (x.sin() * y).sum(), argnums=1)(x, y),
    "grad of both": lambda l, f, a, x, y, m: f.grad(
        lambda x, y: (x.sin() * y.exp()).sum(), argnums=(0, 1))(x, y),
    "grad of grad": lambda l, f, a, x, y, m: f.grad(
        lambda y: f.grad(lambda y: (y**3).sum())(y).sin().sum())(y),
    "grad with aux": lambda l, f, a, x, y, m: f.grad(
        lambda x: ((x**2).sum(), x.sum(0)), has_aux=True)(x),
    "grad and value": lambda l, f, a, x, y, m: f.grad_and_value(lambda x: (x**2).sum())(x),
    "grad of a dict": lambda l, f, a, x, y, m: f.grad(
        lambda p: (p["w"] @ p["v"][0]).sum())({"w": x, "v": [y]})["v"][0],
    "vjp": lambda l, f, a, x, y, m: (lambda out, pull: (out, pull(out * 2)))(
        *f.vjp(lambda x, y: (x * y).tanh(), x, y)),
    "vjp of several results": lambda l, f, a, x, y, m: (lambda out, pull: (out, pull((x, y))))(
        *f.vjp(lambda x: (x * x, x.sum(0)), x)),
    "jvp": lambda l, f, a, x, y, m: f.jvp(lambda x, y: (x * y).tanh(), (x, y), (x * 2, y + 1)),
    "jvp of several results": lambda l, f, a, x, y, m: f.jvp(
        lambda y: (y.exp(), y.prod()), (y,), (y + 1,)),
    "jvp of what does not depend": lambda l, f, a, x, y, m: f.jvp(lambda y: m * 2, (y,), (y,)),
    "jacrev": lambda l, f, a, x, y, m: f.jacrev(lambda y: x @ y.sin())(y),
    "jacrev both": lambda l, f, a, x, y, m: f.jacrev(lambda x, y: x.sin() @ y, (0, 1))(x, y),
    "jacfwd": lambda l, f, a, x, y, m: f.jacfwd(lambda y: (x @ y.sin(), y.prod()))(y),
    "jacfwd both": lambda l, f, a, x, y, m: f.jacfwd(lambda x, y: x.sin() @ y, (0, 1))(x, y),
    "hessian": lambda l, f, a, x, y, m: f.hessian(lambda y: ((m @ y).sin() * y).sum())(y),
    "hessian both": lambda l, f, a, x, y, m: f.hessian(
        lambda x, y: ((x @ y).sin()).sum(), (0, 1))(x, y),
    "jacrev of jacrev of jacrev": lambda l, f, a, x, y, m: f.jacrev(
        f.jacrev(f.jacrev(lambda y: y.prod().exp())))(y),
    "grad through jvp": lambda l, f, a, x, y, m: f.grad(
        lambda y: f.jvp(lambda z: (z * y).sin().sum(), (y,), (y * y,))[1])(y),
    "functional vjp": lambda l, f, a, x, y, m: a.vjp(lambda x, y: (x * y).sin(), (x, y), x),
    "functional jvp": lambda l, f, a, x, y, m: a.jvp(lambda x, y: (x * y).sin(), (x, y), (x, y)),
    "functional jacobian": lambda l, f, a, x, y, m: a.jacobian(lambda y: (x @ y.exp()), y),
    "functional jacobian of two": lambda l, f, a, x, y, m: a.jacobian(
        lambda x, y: (x @ y, x.sum()), (x, y)),
    "functional hessian": lambda l, f, a, x, y, m: a.hessian(
        lambda x, y: (x.sin() @ y).sum(), (x, y)),
    "functional hvp": lambda l, f, a, x, y, m: a.hvp(lambda y: (m @ y).sin().sum(), y, y * 2),
    "functional vhp": lambda l, f, a, x, y, m: a.vhp(
        lambda x, y: (x.sin() @ y).sum(), (x, y), (x, y)),
}  # fmt: skip


def flat(result: Any) -> list:
    if isinstance(result, (tuple, list)):
        return [leaf for part in result for leaf in flat(part)]
    return [result]


def run(lib: Any, name: str) -> Any:
    tensors = [lib.tensor(v) for v in (X, Y, M)]
    return PROGRAMS[name](lib, lib.func, lib.autograd.functional, *tensors)


def shape_of(result: Any) -> Any:
    if isinstance(result, (tuple, list)):
        return [shape_of(part) for part in result]
    return tuple(result.shape)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # by PyTorch's jvp
@pytest.mark.parametrize("name", PROGRAMS)
def test_against_torch(name: str) -> None:
    mine, theirs = run(tg, name), run(torch, name)
    assert shape_of(mine) == shape_of(theirs)
    for a, b in zip(flat(mine), flat(theirs), strict=True):
        assert not a.requires_grad
        np.testing.assert_allclose(a.numpy(), b.detach().numpy(), rtol=1e-9, atol=1e-12)


def test_value_and_grad() -> None:
    value, gradient = tg.func.value_and_grad(lambda x: (x * x).sum())(tg.tensor([1.0, 2.0]))
    assert value.item() == 5
    assert gradient.tolist() == [2, 4]


def test_results_stay_connected_to_what_is_outside() -> None:
    w = tg.tensor([3.0, 5.0], requires_grad=True)
    x = tg.tensor([1.0, 2.0])
    gradient = tg.func.grad(lambda x: (w * x * x).sum())(x)
    assert gradient.requires_grad
    (dw,) = tg.autograd.grad(gradient.sum(), w)
    assert dw.tolist() == [2, 4]
    assert w.grad is None
    assert x.grad is None


def test_transforms_record_under_no_grad() -> None:
    with tg.no_grad():
        gradient = tg.func.grad(lambda x: (x * x).sum())(tg.tensor([1.0, 2.0]))
    assert gradient.tolist() == [2, 4]


def test_functional_jacobian_with_create_graph() -> None:
    x = tg.tensor([1.0, 2.0], dtype=tg.float64, requires_grad=True)
    jacobian = tg.autograd.functional.jacobian(lambda x: x**3, x, create_graph=True)
    (dx,) = tg.autograd.grad(jacobian.sum(), x)
    assert dx.tolist() == [6, 12]
    assert not tg.autograd.functional.jacobian(lambda x: x**3, x).requires_grad


def test_functional_call() -> None:
    model = tg.nn.Sequential(tg.nn.Linear(2, 3), tg.nn.Tanh(), tg.nn.Linear(3, 1))
    weights = {k: p.detach() for k, p in model.named_parameters()}
    before = {k: id(p) for k, p in model.named_parameters()}
    x = tg.tensor(X, dtype=tg.float32)

    def loss(parameters: dict) -> Any:
        return tg.func.functional_call(model, parameters, (x,)).square().sum()

    gradients = tg.func.grad(loss)(weights)
    model(x).square().sum().backward()
    for name, p in model.named_parameters():
        np.testing.assert_allclose(gradients[name].numpy(), p.grad.numpy(), rtol=1e-5)
    assert {k: id(p) for k, p in model.named_parameters()} == before
    assert tg.func.functional_call(model, {"what": x}, x).shape == (len(X), 1)
    assert not hasattr(model, "what")


def test_functional_call_ties_weights() -> None:
    first, second = tg.nn.Linear(2, 2, bias=False), tg.nn.Linear(2, 2, bias=False)
    second.weight = first.weight
    model = tg.nn.Sequential(first, second)
    twice = tg.func.functional_call(model, {"0.weight": 3 * tg.eye(2)}, tg.eye(2))
    assert twice.tolist() == [[9, 0], [0, 9]]
    once = tg.func.functional_call(model, {"0.weight": 3 * tg.eye(2)}, tg.eye(2), tie_weights=False)
    assert once.tolist() != twice.tolist()


class Tied(tg.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = tg.nn.Linear(2, 2)
        self.b = tg.nn.Linear(2, 2, bias=False)
        self.b.weight = self.a.weight
        self.c = self.a
        self.scale = tg.ones(2)

    def forward(self, x: Any) -> Any:
        return self.c(self.b(self.a(x))) * self.scale


@pytest.mark.parametrize(
    ("given", "options", "error", "said"),
    [
        ({"a.weight": 2, "b.weight": 3}, {}, ValueError, "'a.weight' and 'b.weight' are one"),
        (({"a.weight": 2}, {"a.weight": 2}), {}, ValueError, r"\['a.weight'\] are in more"),
        ({"nothing": 2}, {"strict": True}, RuntimeError, r"Tied has no \['nothing'\], \['a.bias"),
        ({"a.weight": 2}, {"strict": True}, RuntimeError, r"\['a.bias', 'c.bias'\] are not given"),
        ({"d.weight": 2}, {}, AttributeError, "Tied has no submodule 'd'"),
        ({"a": 2}, {}, TypeError, "'a' of Tied is no tensor, but a Linear"),
        ({"a.in_features": 2}, {}, TypeError, "'a.in_features' of Tied is no tensor, but a int"),
        (3, {}, ValueError, "takes a dict of tensors, or several, got Tensor"),
        ([3], {}, ValueError, "takes a dict of tensors, or several, got Tensor"),
    ],
)
def test_functional_call_refuses_what_pytorch_refuses(
    given: Any, options: dict, error: type, said: str
) -> None:
    def tensors(t: Any, given: Any) -> Any:
        if isinstance(given, (tuple, list)):
            return type(given)(tensors(t, part) for part in given)
        if isinstance(given, dict):
            return {name: t.eye(2) * value for name, value in given.items()}
        return t.eye(2) * given

    model = Tied()
    before = {name: id(x) for name, x in model.state_dict(keep_vars=True).items()}
    with pytest.raises(error, match=rf"\[functional_call\] .*{said}"):
        tg.func.functional_call(model, tensors(tg, given), tg.eye(2), **options)
    assert {name: id(x) for name, x in model.state_dict(keep_vars=True).items()} == before
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)

    class TheirTied(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = torch.nn.Linear(2, 2)
            self.b = torch.nn.Linear(2, 2, bias=False)
            self.b.weight = self.a.weight  # (a third name is a KeyError there)

    with pytest.raises(error):
        torch.func.functional_call(TheirTied(), tensors(torch, given), torch.eye(2), **options)


def test_functional_call_replaces_other_tensors_and_takes_equal_ones() -> None:
    model, call = Tied(), tg.func.functional_call
    one = {"a.weight": tg.eye(2), "a.bias": tg.zeros(2)}
    scaled = call(model, {**one, "b.weight": one["a.weight"], "scale": 5 * tg.ones(2)}, tg.eye(2))
    assert scaled.tolist() == [[5, 0], [0, 5]]
    assert model.scale.tolist() == [1, 1]
    assert call(model, one, tg.eye(2), strict=True).tolist() == [[1, 0], [0, 1]]
    assert call(model, [one, {"b.weight": one["a.weight"]}], tg.eye(2)).shape == (2, 2)
    without = call(tg.nn.Linear(2, 2), {"weight": tg.eye(2), "bias": None}, tg.eye(2))
    assert without.tolist() == [[1, 0], [0, 1]]
    with pytest.raises(TypeError, match=r"\[functional_call\] 'a.bias' must be a Tensor, got int"):
        call(model, {"a.bias": 3}, tg.eye(2))


def test_functional_call_leaves_the_module_as_it_was_when_it_fails() -> None:
    model = tg.nn.Linear(2, 2)
    weight = model.weight
    with pytest.raises(RuntimeError, match=r"\[linear\]|\[matmul\]"):
        tg.func.functional_call(model, {"weight": tg.ones(5, 5)}, tg.ones(1, 2))
    assert model.weight is weight


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: tg.func.grad(lambda x: x * 2)(x), RuntimeError, r"\[grad\] .* one element"),
        (lambda x: tg.func.grad(lambda x: 1.0)(x), RuntimeError, r"\[grad\] .* one element"),
        (lambda x: tg.func.grad(lambda x: x.sum(), 3)(x), RuntimeError, "out of range"),
        (lambda x: tg.func.grad(lambda x: x.sum())(x.long()), RuntimeError, "floating-point"),
        (lambda x: tg.func.grad(lambda x: x)(2.0), TypeError, "expects tensors"),
        (lambda x: tg.func.jvp(lambda x: x, (x,), (x[:1],)), RuntimeError, "tangents must have"),
        (lambda x: tg.func.jvp(lambda x: x, x, x), RuntimeError, "are tuples"),
        (lambda x: tg.func.vjp(lambda x: x, x)[1](x[:1]), RuntimeError, "cotangents must have"),
        (lambda x: tg.func.jacrev(lambda x: 3)(x), TypeError, "must return tensors"),
        (lambda x: tg.autograd.functional.vjp(lambda x: x, x), RuntimeError, "v may be left out"),
        (lambda x: tg.autograd.functional.jacobian(lambda x: tg.ones(2), x, strict=True),
         RuntimeError, "strict=True"),
        (lambda x: tg.autograd.functional.jacobian(lambda x: x, x, strategy="sideways"),
         RuntimeError, "strategy must be"),
    ],
)  # fmt: skip
def test_refused(call: Callable, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        call(tg.tensor([1.0, 2.0]))


FREED = {
    "grad": lambda x: tg.func.grad(lambda x: x.exp().sum())(x),
    "hessian": lambda x: tg.func.hessian(lambda x: x.exp().sum())(x),
    "vjp": lambda x: tg.func.vjp(tg.exp, x)[1](x),
    "jvp": lambda x: tg.func.jvp(tg.exp, (x,), (x,)),
    "jacobian": lambda x: tg.autograd.functional.jacobian(tg.exp, x),
    "vmap": lambda x: tg.vmap(tg.exp)(x),
    "multi_dot": lambda x: tg.linalg.multi_dot([x[None], x[:, None], x[None]]),
}


@pytest.mark.parametrize("name", FREED)
def test_memory_returns_without_the_garbage_collector(name: str) -> None:
    x = tg.randn(3, requires_grad=name == "multi_dot")
    FREED[name](x)
    gc.collect()
    gc.disable()
    try:
        FREED[name](x)
        assert gc.collect() == 0
    finally:
        gc.enable()
