"""Operations written by users, and the checks of gradients by finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import DEVICES

import tapegrad as tg
from tapegrad.autograd import Function, grad, gradcheck, gradgradcheck

each_device = pytest.mark.parametrize("device", DEVICES)


def leaf(data: Any, device: str = "cpu") -> tg.Tensor:
    return tg.tensor(data, dtype="float64", device=device, requires_grad=True)


def numbers(t: tg.Tensor) -> np.ndarray:
    return t.detach().cpu().numpy()


# ---------------------------------------------------------------------- functions to test with


class Cube(Function):
    """Saves its input."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return 3 * x**2 * g


class Exp(Function):
    """Saves its result."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (y,) = ctx.saved_tensors
        return g * y


class Sinh(Function):
    """Saves what it made outside the tape: right once, wrong twice (as in PyTorch)."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        e = tg.from_numpy(np.exp(x.detach().cpu().numpy())).to(x.device)
        ctx.save_for_backward(e)
        return (e - 1 / e) / 2

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (e,) = ctx.saved_tensors
        return g * (e + 1 / e) / 2


class SumAndProduct(Function):
    """Several inputs, results and a parameter; a constant in between."""

    @staticmethod
    def forward(ctx: Any, a: Any, factor: float, b: Any, *, power: int = 1) -> Any:
        ctx.save_for_backward(a, None, b)
        ctx.factor, ctx.power = factor, power
        return (a + b) * factor, a * b**power

    @staticmethod
    def backward(ctx: Any, g_sum: Any, g_product: Any) -> Any:
        a, nothing, b = ctx.saved_tensors
        assert nothing is None
        da = g_sum * ctx.factor + g_product * b**ctx.power
        db = g_sum * ctx.factor + g_product * a * ctx.power * b ** (ctx.power - 1)
        return da, None, db


class AddInPlace(Function):
    @staticmethod
    def forward(ctx: Any, x: Any, amount: float) -> Any:
        x.add_(amount)
        ctx.mark_dirty(x)
        return x

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * 2, None  # wrong on purpose: to be seen


def function(forward: Callable, backward: Callable) -> type[Function]:
    return type("Given", (Function,), {
        "forward": staticmethod(forward), "backward": staticmethod(backward)})  # fmt: skip


# ---------------------------------------------------------------------- Function


@each_device
@pytest.mark.parametrize("custom", [Cube, Exp, Sinh], ids=lambda f: f.__name__)
def test_a_function_is_an_operation_like_others(custom: Any, device: str) -> None:
    x = leaf([[0.5, -1.0, 2.0]], device)
    assert gradcheck(custom.apply, x)
    y = custom.apply(x * 2)
    assert y.grad_fn.name() == f"{custom.__name__}Backward"
    y.sum().backward()
    assert x.grad.device is tg.device(device)
    plain = custom.apply(x.detach())
    assert plain.is_leaf
    assert not plain.requires_grad
    with tg.no_grad():
        assert not custom.apply(x).requires_grad


@pytest.mark.parametrize("custom", [Cube, Exp], ids=lambda f: f.__name__)
def test_a_function_is_differentiable_twice(custom: Any) -> None:
    assert gradgradcheck(lambda x: custom.apply(x * 1.5), leaf([0.5, -1.0, 2.0]))


def test_a_function_thrice() -> None:
    x = leaf(2.0)
    y = Exp.apply(x)
    for _ in range(3):
        (y,) = grad(y, x, create_graph=True)
    assert y.item() == pytest.approx(np.exp(2.0))


def test_several_results() -> None:
    a, b = leaf([1.0, 2.0]), leaf([3.0, -4.0])

    def call(a: Any, b: Any) -> Any:
        return SumAndProduct.apply(a, 2.5, b, power=3)

    assert gradcheck(call, [a, b])
    assert gradgradcheck(call, [a, b])
    total, product = call(a, b)
    assert isinstance(call(a, b), tuple)
    (total * product).sum().backward()
    u, v = numbers(a), numbers(b)
    np.testing.assert_allclose(numbers(a.grad), 2.5 * u * v**3 + 2.5 * (u + v) * v**3)


def test_a_result_that_is_not_used_has_a_gradient_of_zeros_or_none() -> None:
    seen = []

    def forward(ctx: Any, x: Any, zeros: bool) -> Any:
        ctx.set_materialize_grads(zeros)
        return x * 2, x * 3

    def backward(ctx: Any, g: Any, h: Any) -> Any:
        seen.append(h)
        return g * 2, None

    x = leaf([1.0, 2.0])
    for zeros in (True, False):
        function(forward, backward).apply(x, zeros)[0].sum().backward()
    assert numbers(seen[0]).tolist() == [0.0, 0.0]
    assert seen[1] is None
    assert numbers(x.grad).tolist() == [4.0, 4.0]


def test_results_of_one_function_used_by_each_other() -> None:
    x = leaf([1.0, 2.0])
    total, product = SumAndProduct.apply(x, 1.0, x)
    (total * product + product).sum().backward()  # 2x * x^2 + x^2
    np.testing.assert_allclose(numbers(x.grad), 6 * numbers(x) ** 2 + 2 * numbers(x))


def test_none_is_no_gradient() -> None:
    cut = function(lambda ctx, a, b: a * b, lambda ctx, g: (None, g * 2))
    a, b = leaf(3.0), leaf(4.0)
    cut.apply(a, b).backward()
    assert a.grad is None
    assert b.grad.item() == 2.0


def test_needs_input_grad() -> None:
    seen = []

    def backward(ctx: Any, g: Any) -> Any:
        seen.append(ctx.needs_input_grad)
        return g, None, None

    f = function(lambda ctx, a, b, c: a + b, backward)
    f.apply(leaf(1.0), tg.tensor(1.0), "text").backward()
    assert seen == [(True, False, False)]


def test_results_without_gradient() -> None:
    def forward(ctx: Any, x: Any) -> Any:
        top = x * 2
        ctx.mark_non_differentiable(top)
        return x * 3, top, x.argmax()

    seen = []

    def backward(ctx: Any, *grads: Any) -> Any:
        seen.append([None if g is None else g.dtype.name for g in grads])
        return grads[0] * 3

    x = leaf([1.0, 2.0])
    y, constant, index = function(forward, backward).apply(x)
    assert [t.requires_grad for t in (y, constant, index)] == [True, False, False]
    (y * constant).sum().backward()
    assert numbers(x.grad).tolist() == [6.0, 12.0]
    assert seen == [["float64", "float64", "int64"]]


def test_mark_dirty() -> None:
    x = leaf([1.0, 2.0])
    h = x * 3
    y = AddInPlace.apply(h, 5.0)
    assert y is h
    assert numbers(h).tolist() == [8.0, 11.0]
    y.sum().backward()
    assert numbers(x.grad).tolist() == [6.0, 6.0]
    with pytest.raises(RuntimeError, match=r"AddInPlace.*leaf"):
        AddInPlace.apply(leaf([1.0]), 1.0)
    saved = (g := x * 1).exp()
    square = g * g
    AddInPlace.apply(g, 1.0)
    saved.sum().backward()
    with pytest.raises(RuntimeError, match=r"'multiply'.*'AddInPlace'"):
        square.sum().backward()


class Double(tg.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.mark_dirty(x)
        return x.mul_(2)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * 2


class Power(tg.autograd.Function):
    @staticmethod
    def forward(x: Any, exponent: int) -> Any:
        return x**exponent

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Any) -> None:
        x, ctx.exponent = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return g * ctx.exponent * x ** (ctx.exponent - 1), None


def test_setup_context() -> None:
    x = leaf([1.0, 2.0])
    y = Power.apply(x, 3)
    y.sum().backward()
    assert (y.tolist(), x.grad.tolist()) == ([1.0, 8.0], [3.0, 12.0])
    assert tg.autograd.gradgradcheck(lambda x: Power.apply(x, 3), (x,))


def test_mark_dirty_of_what_shares_memory() -> None:
    x = leaf([1.0, 2.0, 3.0])
    y = x * 1
    v, w = y[:2], y[1:]
    assert Double.apply(v) is v
    assert numbers(y).tolist() == [2.0, 4.0, 3.0]
    for t, expected in ((y, [2.0, 2.0, 1.0]), (v, [2.0, 2.0, 0.0]), (w, [0.0, 2.0, 1.0])):
        (dx,) = tg.autograd.grad(t.sum(), x, retain_graph=True)
        assert numbers(dx).tolist() == expected
    Double.apply(y)
    for t, expected in ((y, [4.0, 4.0, 2.0]), (v, [4.0, 4.0, 0.0]), (w, [0.0, 4.0, 2.0])):
        (dx,) = tg.autograd.grad(t.sum(), x, retain_graph=True)
        assert numbers(dx).tolist() == expected
    with pytest.raises(RuntimeError, match=r"\[Double\] a leaf that requires grad, or a view"):
        Double.apply(x[:2])


def test_an_input_that_is_returned_is_another_tensor() -> None:
    same = function(lambda ctx, x: x, lambda ctx, g: g * 5)
    x = leaf([1.0, 2.0])
    y = same.apply(x)
    assert y is not x
    y.sum().backward()
    assert numbers(x.grad).tolist() == [5.0, 5.0]
    h = x * 2
    z = same.apply(h)
    z.mul_(2)  # changes h, too
    assert numbers(h).tolist() == [4.0, 8.0]
    (dx,) = tg.autograd.grad(h.sum(), x)
    assert numbers(dx).tolist() == [2 * 5 * 2] * 2


@pytest.mark.parametrize("custom", [Cube, Exp], ids=lambda f: f.__name__)
def test_saved_tensors_that_changed_since(custom: Any) -> None:
    x = leaf([1.0, 2.0])
    y = custom.apply(x)
    with tg.no_grad():
        (x if custom is Cube else y).mul_(2)
    with pytest.raises(RuntimeError, match=rf"'{custom.__name__}'.*'mul_'"):
        y.sum().backward()
    assert x.grad is None


def test_a_function_goes_backward_once_unless_retained() -> None:
    x = leaf([1.0, 2.0])
    y = Cube.apply(x).sum()
    y.backward(retain_graph=True)
    y.backward()
    with pytest.raises(RuntimeError, match="retain_graph"):
        y.backward()
    np.testing.assert_allclose(numbers(x.grad), 6 * numbers(x) ** 2)


def test_broadcasting_and_dtypes_are_undone_for_functions_too() -> None:
    times = function(lambda ctx, a, b: a * b, lambda ctx, g: (g * 2.0, g * 3.0))
    a, b = leaf(np.ones((2, 1))), tg.ones(3, requires_grad=True)
    times.apply(a, b).sum().backward()
    assert a.grad.tolist() == [[6.0], [6.0]]
    assert b.grad.tolist() == [6.0] * 3
    assert b.grad.dtype == tg.float32


def test_attributes_and_any_arguments() -> None:
    def forward(ctx: Any, x: Any, table: dict, name: str) -> Any:
        ctx.scale = table[name]
        return x * ctx.scale

    scaled = function(forward, lambda ctx, g: (g * ctx.scale, None, None))
    x = leaf(3.0)
    scaled.apply(x, {"two": 2.0}, "two").backward()
    assert x.grad.item() == 2.0


x2 = [1.0, 2.0]
WRONG: dict[str, tuple[Callable, Callable, type, str]] = {
    "too few gradients":
        (lambda ctx, a, b: a * b, lambda ctx, g: g, RuntimeError, r"\[Given\].*2 arguments.*1"),
    "too many gradients":
        (lambda ctx, a, b: a * b, lambda ctx, g: (g, g, g), RuntimeError, r"\[Given\].*2 arg.*3"),
    "a gradient of the wrong shape":
        (lambda ctx, a, b: a * b, lambda ctx, g: (g[:1].expand(5), g), RuntimeError,
         r"\(5,\).*\(2,\)"),
    "a gradient of too few dimensions":
        (lambda ctx, a, b: a * b, lambda ctx, g: (g.sum(), g), RuntimeError, r"\(\).*\(2,\)"),
    "a number as gradient":
        (lambda ctx, a, b: a * b, lambda ctx, g: (1.0, g), TypeError, r"\[Given\].*float.*0"),
    "an array as gradient":
        (lambda ctx, a, b: a * b, lambda ctx, g: (g, g.numpy()), TypeError,
         r"\[Given\].*ndarray.*1"),
    "a gradient on another device":
        (lambda ctx, a, b: a * b, lambda ctx, g: (g, g.to("emulated")), RuntimeError,
         r"\[Given\].*emulated.*cpu"),
    "a number as result":
        (lambda ctx, a, b: 1.0, lambda ctx, g: g, TypeError, r"\[Given\].*Tensors.*float"),
    "nothing as result":
        (lambda ctx, a, b: None, lambda ctx, g: g, TypeError, r"\[Given\].*Tensors.*NoneType"),
    "no results":
        (lambda ctx, a, b: (), lambda ctx, g: g, TypeError, r"\[Given\].*Tensor"),
    "a number saved":
        (lambda ctx, a, b: ctx.save_for_backward(3.0), lambda ctx, g: g, TypeError, "float.*ctx"),
    "an exception in backward":
        (lambda ctx, a, b: a * b, lambda ctx, g: 1 / 0, ZeroDivisionError, "division"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_function_that_is_wrong_says_so(name: str) -> None:
    forward, backward, error, words = WRONG[name]
    a, b = leaf(x2), leaf(x2)
    with pytest.raises(error, match=words):
        function(forward, backward).apply(a, b).sum().backward()
    assert a.grad is None
    assert b.grad is None
    assert tg.is_grad_enabled()


def test_what_is_not_written_is_named() -> None:
    class Half(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2

    with pytest.raises(NotImplementedError, match="backward"):
        Half.apply(leaf(1.0)).backward()
    with pytest.raises(NotImplementedError, match="forward"):
        Function.apply(leaf(1.0))


def test_functions_nest() -> None:
    class Outer(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            with tg.enable_grad():
                inner = x.detach().requires_grad_()
                y = Cube.apply(inner).sum()
            (ctx.slope,) = grad(y, inner)
            return y.detach()

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * ctx.slope

    x = leaf([1.0, 2.0])
    Outer.apply(x).backward()
    np.testing.assert_allclose(numbers(x.grad), 3 * numbers(x) ** 2)


# ---------------------------------------------------------------------- gradcheck

RIGHT: dict[str, tuple[Callable, list]] = {
    "one input": (lambda x: x.sin(), [leaf([0.5, 1.0])]),
    "several results": (lambda x: (x.exp(), x * 2), [leaf([0.5, 1.0])]),
    "no elements": (lambda x: x * 2, [leaf(np.ones((0, 3)))]),
    "a scalar": (lambda x: x * x, [leaf(3.0)]),
    "a constant input": (lambda x, c: x * c, [leaf([0.5]), tg.tensor([2.0], dtype="float64")]),
    "arguments that are no tensors": (lambda x, n: x**n, [leaf([0.5]), 3]),
    "an integer result beside": (lambda x: (x * 2, x.argmax()), [leaf([0.5, 0.7])]),
    "no dependence": (lambda x: tg.ones(2, dtype="float64") + x * 0, [leaf([0.5, 0.7])]),
}


@pytest.mark.parametrize("name", RIGHT)
def test_gradcheck_accepts_what_is_right(name: str) -> None:
    f, inputs = RIGHT[name]
    assert gradcheck(f, inputs)
    assert gradgradcheck(f, inputs)
    assert all(t.grad is None for t in inputs if isinstance(t, tg.Tensor))


def scaled(factor: Any) -> Callable:
    """x * x with a gradient that is wrong by a factor."""
    return function(
        lambda ctx, x: (ctx.save_for_backward(x), x * x)[1],
        lambda ctx, g: 2 * ctx.saved_tensors[0] * g * factor,
    ).apply


@pytest.mark.parametrize(
    "f",
    [
        scaled(-1.0),
        scaled(1.01),
        scaled(tg.tensor([1.0, 1.0, 1.02], dtype="float64")),
        function(lambda ctx, x: x * 2, lambda ctx, g: None).apply,
        lambda x: x * x.detach(),
        lambda x: (x * 2, x.detach() * 2),
    ],
    ids=["sign", "1%", "one element", "none", "detached", "second result"],
)
def test_gradcheck_refuses_what_is_wrong(f: Callable) -> None:
    x = leaf([0.5, 1.0, -2.0])
    with pytest.raises(RuntimeError, match=r"(?s)output \d with respect to input 0.*differences"):
        gradcheck(f, x)
    assert gradcheck(f, x, raise_exception=False) is False


def test_gradgradcheck_refuses_what_is_wrong_only_the_second_time() -> None:
    x = leaf([0.5, 1.0])
    assert gradcheck(Sinh.apply, x)
    with pytest.raises(RuntimeError, match="gradcheck"):
        gradgradcheck(Sinh.apply, x)
    assert gradgradcheck(Sinh.apply, x, raise_exception=False) is False


def test_gradgradcheck_takes_seeds() -> None:
    x = leaf([0.5, 1.0])
    assert gradgradcheck(lambda x: x**3, x, tg.tensor([1.0, -2.0], dtype="float64"))


@pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
def test_gradcheck_needs_float64_and_something_to_differentiate(check: Callable) -> None:
    with pytest.raises(ValueError, match=r"input 1 is float32.*float64"):
        check(lambda a, b: a * b, [leaf([1.0]), tg.ones(1, requires_grad=True)])
    with pytest.raises(ValueError, match="require grad"):
        check(lambda a: a * 2, [tg.ones(1, dtype="float64")])


def test_gradcheck_tolerances_are_used() -> None:
    x = leaf([0.5, 1.0])
    assert gradcheck(scaled(1.01), x, rtol=0.1)
    assert gradcheck(scaled(1.001), x, atol=0.1, rtol=0.0)
    with pytest.raises(RuntimeError):
        gradcheck(lambda x: x.abs().sqrt(), leaf([1e-9]), eps=1e-3)


class TimesExponential(Function):
    """x exp(x), by an intermediate that is saved and not returned."""

    noise = 0.0

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        e = x.exp() + TimesExponential.noise
        ctx.save_for_backward(x, e)
        return x * e

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        x, e = ctx.saved_tensors
        return g * (e + x * e)


def test_what_forward_made_and_saved_has_a_history_the_second_time(monkeypatch: Any) -> None:
    """(F50)"""
    x = leaf([1.0, -0.5])
    assert gradgradcheck(TimesExponential.apply, x)
    (first,) = tg.autograd.grad(TimesExponential.apply(x).sum(), x, create_graph=True)
    (second,) = tg.autograd.grad(first.sum(), x)
    np.testing.assert_allclose(
        second.numpy(), (2 + x.detach().numpy()) * np.exp(x.detach().numpy()), rtol=1e-12
    )
    y = TimesExponential.apply(x).sum()
    monkeypatch.setattr(TimesExponential, "noise", 1.0)
    with pytest.raises(RuntimeError, match=r"\[TimesExponential\].*return it as a result"):
        tg.autograd.grad(y, x, create_graph=True)


def test_what_is_no_tensor_is_handed_through() -> None:
    """(S03)"""

    class Counted(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 2, x.numel(), None, "text"

        @staticmethod
        def backward(ctx: Any, *g: Any) -> Any:
            assert g[1:] == (None, None, None)
            return g[0] * 2

    x = leaf([1.0, 2.0])
    y, *others = Counted.apply(x)
    assert others == [2, None, "text"]
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_any_iterable_of_tensors_will_do() -> None:
    """(P02, S02)"""
    layer = tg.nn.Linear(2, 1)
    loss = layer(tg.ones(1, 2)).sum()
    weight, bias = tg.autograd.grad(loss, layer.parameters(), retain_graph=True)
    assert weight.shape == (1, 2)
    assert bias.shape == (1,)
    tg.autograd.backward(iter([loss]), inputs=layer.parameters())
    assert layer.weight.grad.tolist() == [[1.0, 1.0]]
    with pytest.raises(ValueError, match=r"\[grad\] inputs"):
        tg.autograd.grad(loss, [])


def test_gradients_that_are_shown_are_contiguous() -> None:
    """As PyTorch's, so that ``view`` works on them: with create_graph, and in hooks."""
    x = tg.ones(2, 1, 4, 4, requires_grad=True)
    layer = tg.nn.Conv2d(1, 2, 3, padding=1)
    (g,) = tg.autograd.grad(layer(x).sum(), x, create_graph=True)
    assert g.view(2, -1).shape == (2, 16)
    shapes = []
    h = x * 1
    h.register_hook(lambda g: shapes.append(g.view(2, -1).shape))
    layer(h).sum().backward()
    assert shapes == [(2, 16)]
