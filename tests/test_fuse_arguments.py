"""What fused functions take: numbers that change, lists and dicts of tensors, tensors to change."""

from __future__ import annotations

import copy
import gc
import math
import pickle
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
import tapegrad.nn.functional as F
from tapegrad import _build
from tapegrad.core import native
from tapegrad.fusion import CannotFuse, run

pytestmark = pytest.mark.skipif(
    native.compiled is None or _build.find_cxx() is None,
    reason=f"loops: {native.status}, a C++ compiler: {_build.find_cxx()}",
)
DEVICES = ["cpu", "emulated"]


def plans(fused: Any) -> int:
    """How often the function was traced."""
    return sum(map(len, fused._plans.values()))


def repeated(x: Any, times: int) -> Any:
    for _ in range(times):
        x = x * 1.5
    return x


def signed(x: Any, n: float) -> Any:
    return x * n if n > 0 else x / n


def in_range(x: Any, n: float) -> Any:
    return x * min(max(n, -2), 2) + abs(n)


# function; numbers it is called with, one after the other; how many traces those take
NUMBERS = [
    pytest.param(lambda x, n: (x * n + (1 - n)).tanh(), (0.3, -0.7, 1.0, 5.5), 1, id="open"),
    pytest.param(lambda x, n: x * n, (0.0, -0.0, 2.0, 3.0, math.inf, math.nan), 5, id="zeros"),
    pytest.param(lambda x, n: x * (1 - 0.9**n), (1, 2, 3, 700), 1, id="steps"),
    pytest.param(lambda x, n: x * 2**n, (1, 2, 3), 3, id="whole powers"),
    pytest.param(lambda x, n: x * n**0.5, (2.0, 3.0, 0.1), 1, id="root"),
    pytest.param(lambda x, n: x.abs() ** n, (2.0, 2.5, 3.0, 1.5, 4), 4, id="exponents"),
    pytest.param(lambda x, n: n**x - n // x.numel(), (2.0, 2.5), 1, id="base"),
    pytest.param(signed, (2.0, 3.0, -1.0, -5.0, 4.0), 2, id="branch"),
    pytest.param(in_range, (0.5, 1.5, 3.0, 4.0, -0.5, -9.0), 4, id="clipped"),
    pytest.param(repeated, (1, 2, 3, 2), 3, id="loop"),
    pytest.param(lambda x, n: x * math.sqrt(n), (2.0, 3.0, 2.0), 2, id="read by C"),
    pytest.param(lambda x, n: x * float(f"{n:.1f}"), (2.01, 3.01), 2, id="formatted"),
    pytest.param(lambda x, n: x - x.mean(n, keepdim=True), (-1, 1, 0), 3, id="dimension"),
    pytest.param(lambda x, n: x.clamp(-n, n) + n, (0.5, 0.25), 1, id="clamp"),
    pytest.param(lambda x, n: tg.where(x > n, x, n), (0.5, 0.25), 1, id="where"),
    pytest.param(lambda x, n: F.leaky_relu(x, n), (0.5, 0.25), 1, id="slope"),
    pytest.param(lambda x, n: x * (n == 2), (2.0, 2, 3.0, 4.0), 3, id="equal"),
    pytest.param(lambda x, n: x * {0.5: 2, 0.25: 3}[n], (0.5, 0.25), 2, id="key"),
    pytest.param(lambda x, n: x * (n is not None), (None, True), 2, id="no numbers"),
]


@pytest.mark.parametrize(("function", "numbers", "traces"), NUMBERS)
def test_numbers_may_change(function: Callable, numbers: tuple, traces: int) -> None:
    """Each as without fusing, values and gradients, whatever was asked of others before."""
    fused = tg.fuse(function)
    for n in numbers * 2:
        results = []
        for f in (function, fused):
            x = tg.tensor(np.linspace(-2, 3, 12).reshape(3, 4), requires_grad=True)
            y = f(x, n)
            y.sum().backward()
            results += [y.detach().numpy(), x.grad.numpy()]
        for plain, found in zip(results[:2], results[2:], strict=True):
            np.testing.assert_allclose(found, plain, rtol=1e-12, atol=1e-14)
            np.testing.assert_array_equal(np.signbit(found), np.signbit(plain))
    assert plans(fused) == traces


@pytest.mark.parametrize("dtype", [tg.bool, tg.uint8, tg.int64, tg.float16, tg.bfloat16], ids=str)
def test_numbers_promote_by_their_kind(dtype: Any) -> None:
    x = tg.tensor([0, 1, 3]).to(dtype)
    fused = tg.fuse(lambda x, n: x * n + 1)
    for n in (2, 2.5, True, 3, 0.3):
        plain, found = x * n + 1, fused(x, n)
        assert found.dtype == plain.dtype
        np.testing.assert_allclose(found.double().numpy(), plain.double().numpy(), rtol=1e-7)


def test_a_backward_pass_may_ask_more_of_numbers() -> None:
    """The slope of b ** x at b = 0 is another formula than elsewhere, which only its rule asks."""
    fused = tg.fuse(lambda x, b: (b - 1) ** x)
    for b in (1.5, 1.0, 2.0, 3.0):
        x, plain = (tg.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
        fused(x, b).sum().backward()
        ((b - 1) ** plain).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), plain.grad.numpy(), rtol=1e-6)


@pytest.mark.parametrize("step", [lambda v: v + v, lambda v: -v, lambda v: 0.5 * v], ids="+-*")
def test_a_number_that_is_computed_for_long_is_pinned(step: Callable) -> None:
    """What is written down of it stays short."""

    def scaled(x: Any, n: float) -> Any:
        for _ in range(400):
            n = step(n)
        return x * n

    fused = tg.fuse(scaled)
    for n in (1.5, 2.5):
        np.testing.assert_allclose(
            fused(tg.ones(3), n).numpy(), scaled(tg.ones(3), n).numpy(), rtol=1e-6
        )


def test_of_backward_passes_the_last_are_kept() -> None:
    """Here each is of one number: those of others do not stay for ever."""
    fused = tg.fuse(lambda x, b: (b - 1) ** x)
    for n in range(2, 30):
        x = tg.ones(2, requires_grad=True)
        fused(x, 1 + 1 / n).sum().backward()
    ((plan, *_),) = fused._plans.values()
    assert plans(fused) == 1
    assert [len(known) for known in plan._backward.values()] == [8]


def test_second_gradients_have_the_numbers_of_their_call() -> None:
    fused = tg.fuse(lambda x, n: (x * n).sin())
    x = tg.tensor([0.3, 0.7], dtype=tg.float64, requires_grad=True)
    calls = [(n, fused(x, n).sum()) for n in (0.5, 2.0, 3.0)]
    for n, y in calls:
        (first,) = tg.autograd.grad(y, x, create_graph=True)
        (second,) = tg.autograd.grad(first.sum(), x)
        np.testing.assert_allclose(second.tolist(), (-n * n * (x * n).sin()).tolist())
    assert plans(fused) == 1


def test_numbers_go_on_to_fused_functions_within() -> None:
    inner = tg.fuse(lambda x, n: x * n)
    outer = tg.fuse(lambda x, n: inner(x, n) + inner(x, 1 - n))
    for n in (0.3, 0.7):
        np.testing.assert_allclose(outer(tg.ones(3), n).numpy(), 1)
    assert (plans(outer), plans(inner)) == (1, 0)


def test_the_function_s_own_errors_come_out() -> None:
    @tg.fuse
    def picky(x: Any, n: int) -> Any:
        if n > 3:
            raise ValueError("too many")
        return x / (n - 2)

    assert picky(tg.ones(2), 1).tolist() == [-1, -1]
    for _ in range(2):
        with pytest.raises(ValueError, match="too many"):
            picky(tg.ones(2), 4)
        assert picky(tg.ones(2), 2).tolist() == [math.inf, math.inf]
    assert picky(tg.ones(2), 3).tolist() == [1, 1]


def test_errors_of_numbers_are_python_s() -> None:
    fused = tg.fuse(lambda x, n: x / n if 1 / (n - 1) > 2 else x * (2.0**n))
    for n, right in ((1.25, 0.8), (3, 8.0), (1.2, 1 / 1.2)):
        np.testing.assert_allclose(fused(tg.ones(1), n).item(), right, rtol=1e-6)
    for n, error in ((1, ZeroDivisionError), (5000, OverflowError)):
        with pytest.raises(error):
            fused(tg.ones(1), n)
    assert fused(tg.ones(1), 4).item() == 16


def test_numbers_within_transforms_of_functions() -> None:
    def wave(x: Any, n: float) -> Any:
        return (x * n).sin() * (1 - n)

    fused = tg.fuse(wave)
    x, v = tg.tensor([[0.1, 0.5], [2.0, -1.0]]), tg.tensor([[1.0, -2.0], [0.5, 3.0]])
    for n in (0.5, 3.0):
        for transformed in (
            lambda f, n=n: tg.func.vmap(lambda r: f(r, n))(x),
            lambda f, n=n: tg.func.grad(lambda x: f(x, n).sum())(x),
            lambda f, n=n: tg.func.vmap(tg.func.grad(lambda r: f(r, n).sum()))(x),
            lambda f, n=n: tg.func.jvp(lambda x: f(x, n), (x,), (v,))[1],
            lambda f, n=n: tg.func.hessian(lambda r: f(r, n).sum())(x[0]),
        ):
            found, plain = transformed(fused), transformed(wave)
            np.testing.assert_allclose(found.numpy(), plain.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda x: x // 2, r"division of integers.*use \(x.float\(\) / y\).floor\(\)"),
        (lambda x: x % 2, r"division of integers.*use .float\(\)"),
        (lambda x: tg.fmod(x, x), r"division of integers.*use .float\(\)"),
        (lambda x: x**2, r"a power of integers.*use .float\(\), or products"),
    ],
)
def test_what_asks_for_the_values_of_integers_says_what_to_use(
    function: Callable, says: str
) -> None:
    with pytest.raises(CannotFuse, match=says):
        tg.fuse(function)(tg.arange(1, 5))


# ---------------------------------------------------------------------- lists, tuples, dicts


def affine(layers: list, x: Any, options: dict) -> dict:
    for weight, bias in layers:
        x = x * weight + bias
    return {"y": x, "all": [x * options["scale"], (x.sum(-1),)]}


def test_tensors_may_be_in_lists_and_results_too() -> None:
    given = [tg.randn(4, 5, requires_grad=True) for _ in range(5)]
    a, b, c, d, x = given
    fused = tg.fuse(affine)
    for scale in (0.5, 0.7):
        results = []
        for f in (affine, fused):
            made = f([(a, b), (c, d)], x, {"scale": scale})
            leaves = [made["y"], made["all"][0], made["all"][1][0]]
            assert type(made["all"]) is list
            total = sum((leaf * (i + 1)).sum() for i, leaf in enumerate(leaves))
            results.append([*leaves, *tg.autograd.grad(total, given)])
        for plain, found in zip(*results, strict=True):
            np.testing.assert_allclose(
                found.detach().numpy(), plain.detach().numpy(), rtol=1e-5, atol=1e-6
            )
    assert plans(fused) == 1
    fused([(a, b)], x, {"scale": 0.5})
    assert plans(fused) == 2


@pytest.mark.parametrize("count", [6, 7, 33, 65])
def test_tensors_may_be_many(count: int) -> None:
    given = [tg.full((2,), float(i), requires_grad=True) for i in range(count)]
    y = tg.fuse(lambda xs: xs[0] * xs[-1] + xs[1])(given)
    y.sum().backward()
    assert y.tolist() == [1, 1]
    found = {i: x.grad.tolist() for i, x in enumerate(given) if x.grad is not None}
    assert found == {0: [count - 1] * 2, 1: [1, 1], count - 1: [0, 0]}


def test_unconnected_results_are_not_of_one_space() -> None:
    """Two arrays of a thousand that nothing combines are two thousand elements, not a million."""
    fused = tg.fuse(lambda x, y: (x * 2, y * 2))
    fused(tg.ones(1000), tg.ones(3, 700))
    (plan,) = (p for known in fused._plans.values() for p in known)
    assert [len(k.space.axes) for k in plan.forward.kernels] == [1, 2]
    assert len(plan.forward.runners) == 1


def test_equal_results_share_no_memory() -> None:
    y, z, w = tg.fuse(lambda x: (x * 2, x * 2, x.clone()))(x := tg.ones(3))
    y.add_(1)
    w.add_(1)
    assert (x.tolist(), y.tolist(), z.tolist()) == ([1] * 3, [3] * 3, [2] * 3)


# ---------------------------------------------------------------------- objects


class Scaled(tg.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = tg.nn.Linear(3, 3)
        self.weight = tg.nn.Parameter(tg.full((3,), 3.0))
        self.rate, self.table, self.itself = 2.0, None, [self.inner]

    @tg.fuse
    def forward(self, x: Any) -> Any:
        y = x * self.weight * self.rate if self.training else x
        return y if self.inner.training else -y


def test_methods_see_what_has_become_of_their_object() -> None:
    Scaled.forward._plans.clear()
    one, two, x = Scaled(), Scaled(), tg.ones(3)
    y = one(x)
    one.eval()  # The backward pass is traced later, and yet of what was computed.
    y.sum().backward()
    assert (y.tolist(), one.weight.grad.tolist()) == ([6] * 3, [2] * 3)
    assert one(x).tolist() == [-1] * 3
    one.inner.train()
    assert one(x).tolist() == [1] * 3
    one.train()
    with tg.no_grad():
        two.weight.fill_(5)
    for two.rate in (0.5, 0.25):
        assert two(x).tolist() == [5 * two.rate] * 3
    assert one(x).tolist() == [6] * 3
    assert plans(Scaled.forward) == 3
    kept = weakref.ref(one)
    del one, y
    gc.collect()
    assert kept() is None
    two.table = np.ones(3)
    with pytest.raises(CannotFuse, match=r"of forward .* got Scaled, Tensor .*ndarray"):
        two(x)


@dataclass(frozen=True)
class Frozen:
    value: Any


@dataclass(slots=True)
class Slotted:
    value: Any


class Plain:
    def __init__(self, value: Any):
        self.value = value


class Sentinel:
    pass


VALUES = [0.0, -0.0, True, 1, 1.0, 2, False, None, "a", (1,), (True,)]


@pytest.mark.parametrize(
    "made",
    [
        Frozen,
        Slotted,
        Plain,
        lambda v: Frozen(Plain([v])),
        lambda v: {v: None},
        lambda v: frozenset([v]),
        lambda v: (frozenset([(v,)]),),
    ],
)
def test_equal_values_of_other_kinds_are_told_apart(made: Callable) -> None:
    seen = []

    def inner(given: Any) -> Any:
        while not isinstance(given, (float, int, str, type(None))):
            given = given.value if hasattr(given, "value") else next(iter(given))
        return given

    def chosen(x: Any, given: Any) -> Any:
        seen.append(repr(inner(given)))
        return x * 1.0

    fused = tg.fuse(chosen)
    for value in VALUES:
        seen.clear()
        for _ in range(2):
            fused(tg.ones(2), made(value))
        assert seen in ([repr(inner(made(value)))], [])
        key = fused._read(((tg.ones(2), made(value)), {}), [], [])
        assert key in fused._plans
    keys = {repr(fused._read(((made(v),), {}), [], n := [])) + repr(n) for v in VALUES}
    assert len(keys) == len(VALUES)


def test_objects_without_attributes_are_themselves() -> None:
    missing = Sentinel()
    fused = tg.fuse(lambda x, y: x * 2 if y is missing else x)
    assert fused(tg.ones(1), missing).item() == 2
    assert fused(tg.ones(1), Sentinel()).item() == 1


def test_bound_methods_see_their_object() -> None:
    given = Scaled()
    fused = tg.fuse(lambda x, f: f(x) + 1)
    assert fused(tg.ones(3), given.forward.__call__).tolist() == [7] * 3
    given.eval()
    assert fused(tg.ones(3), given.forward.__call__).tolist() == [0] * 3


@pytest.mark.parametrize("of", [lambda module: module, lambda module: module.forward])
def test_a_module_and_its_methods_bring_their_parameters(of: Callable) -> None:
    module, x = tg.nn.LayerNorm(5), tg.randn(4, 5, requires_grad=True)
    fused = tg.fuse(of(module))
    for weight in (module.weight, x):
        (expected,) = tg.autograd.grad(module(x).square().sum(), weight)
        (g,) = tg.autograd.grad(fused(x).square().sum(), weight)
        np.testing.assert_allclose(g.numpy(), expected.numpy(), rtol=1e-5, atol=1e-5)
    with tg.no_grad():
        module.bias.fill_(2.0)
        np.testing.assert_allclose(fused(x).numpy(), module(x).numpy(), rtol=1e-5, atol=1e-5)


def put_in_list(x: Any, given: Any) -> Any:
    given[0] = given[0] * 2
    return x + given[0]


def put_in_dict(x: Any, given: Any) -> Any:
    given["z"] = x * 2
    return x


def put_number(x: Any, given: Any) -> Any:
    given.value += 1
    return x * given.value


def put_deep(x: Any, given: Any) -> Any:
    given["y"][0].append(np.ones(3))
    return x * 2


@pytest.mark.parametrize(
    ("function", "make"),
    [
        (put_in_list, lambda: [tg.ones(3)]),
        (put_in_dict, lambda: {"y": tg.ones(3)}),
        (put_number, lambda: Plain(2.0)),
        (put_number, lambda: Slotted(2)),
        (put_deep, lambda: {"y": ([],)}),
    ],
)
def test_arguments_that_would_be_changed_are_named(function: Callable, make: Callable) -> None:
    """And are as they were."""
    fused, given = tg.fuse(function), make()
    for options in ({}, {"given": given}):
        with pytest.raises(CannotFuse, match=f"{function.__name__} changes its argument 'given'"):
            fused(tg.ones(3), *([] if options else [given]), **options)
    assert repr(getattr(given, "value", given)) == repr(getattr(make(), "value", make()))


def test_an_object_may_lead_back_to_itself_a_list_may_not() -> None:
    given = Plain(2.0)
    given.again = [given]
    fused = tg.fuse(lambda x, g: x * g.again[0].value)
    assert fused(tg.ones(2), given).tolist() == [2, 2]
    endless: list = []
    endless.append(endless)
    with pytest.raises(CannotFuse, match="contain itself"):
        fused(tg.ones(2), endless)


# ---------------------------------------------------------------------- changes in place


def lion(params: list, grads: list, means: list, rate: float, betas: tuple, decay: float) -> None:
    """Chen et al. 2023, algorithm 2."""
    for p, g, m in zip(params, grads, means, strict=True):
        direction = (betas[0] * m + (1 - betas[0]) * g).sign_()
        p.sub_(rate * (direction + decay * p))
        m.mul_(betas[1]).add_((1 - betas[1]) * g)


def adamw(params: list, grads: list, state: dict, step: int, rate: float) -> None:
    """Loshchilov and Hutter 2019, algorithm 2, with the betas, epsilon and decay of PyTorch."""
    for p, g, m, v in zip(params, grads, state["m"], state["v"], strict=True):
        p.mul_(1 - rate * 0.01)
        m.lerp_(g, 1 - 0.9)
        v.mul_(0.999).addcmul_(g, g, value=1 - 0.999)
        root = (v / (1 - 0.999**step)).sqrt_().add_(1e-8)
        p.addcdiv_(m, root, value=-rate / (1 - 0.9**step))


SHAPES = [(70, 130), (130,), (3, 1, 5), (1,), (), (9000,)]


def random(seed: int, kind: str = "normal") -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    return [np.asarray(generator.standard_normal(s), np.float32) for s in SHAPES]


def tensors(seed: int, device: str) -> list:
    return [tg.tensor(a).to(device) for a in random(seed)]


@pytest.mark.parametrize("device", DEVICES)
def test_a_step_of_lion_over_all_parameters_is_one_launch(device: str) -> None:
    params, means = tensors(1, device), [tg.zeros(s, device=device) for s in SHAPES]
    right, moments = random(1), [np.zeros(s) for s in SHAPES]
    arrays = [p._array for p in params]
    fused = tg.fuse(lion)
    for step in range(1, 5):
        rate, grads = 0.01 / step, random(step + 5)
        with tg.no_grad():
            fused(params, tensors(step + 5, device), means, rate, (0.9, 0.99), 0.1)
        for i, g in enumerate(grads):
            direction = np.sign(0.9 * moments[i] + (1 - 0.9) * g)
            right[i] = right[i] - rate * (direction + 0.1 * right[i])
            moments[i] = 0.99 * moments[i] + (1 - 0.99) * g
    for found, exact in zip(params + means, right + moments, strict=True):
        assert found._version == 4
        np.testing.assert_allclose(found.cpu().numpy(), exact, rtol=1e-5, atol=1e-6)
    assert all(p._array is a for p, a in zip(params, arrays, strict=True))
    assert plans(fused) == 1
    (plan,) = (p for known in fused._plans.values() for p in known)
    assert len(plan.forward.kernels) == len(SHAPES)
    assert len(plan.forward.runners) == 1
    assert not plan.forward.behind


@pytest.mark.parametrize("device", DEVICES)
def test_a_step_of_adamw_is_that_of_pytorch(device: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    params = tensors(1, device)
    state = {n: [tg.zeros(s, device=device) for s in SHAPES] for n in "mv"}
    theirs = [torch.tensor(a, requires_grad=True) for a in random(1)]
    optimizer = torch.optim.AdamW(theirs, lr=0.1)
    fused = tg.fuse(adamw)
    for step in range(1, 6):
        optimizer.param_groups[0]["lr"] = rate = 0.1 / step
        for p, g in zip(theirs, random(step + 5), strict=True):
            p.grad = torch.tensor(g)
        optimizer.step()
        with tg.no_grad():
            fused(params, tensors(step + 5, device), state, step, rate)
    for found, right in zip(params, theirs, strict=True):
        np.testing.assert_allclose(found.cpu().numpy(), right.detach().numpy(), 1e-5, 1e-6)
    assert plans(fused) == 1


def update(p: Any, g: Any) -> Any:
    return p.sub_(g)


@tg.fuse
def fused_update(p: Any, g: Any) -> Any:
    return p.sub_(g)


def test_more_parameters_than_one_call_takes_are_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "MOST_ARRAYS", 13)  # four arrays each, and a table
    fused = tg.fuse(lambda p, g: [x.sub_(y) for x, y in zip(p, g, strict=True)])
    params = [tg.full((n,), float(n)) for n in range(1, 9)]
    fused(params, [tg.ones(n) for n in range(1, 9)])
    assert [p.tolist() for p in params] == [[n - 1.0] * n for n in range(1, 9)]
    (plan,) = (p for known in fused._plans.values() for p in known)
    assert len(plan.forward.runners) == 3


def test_copies_and_pickles_are_the_function_itself() -> None:
    assert copy.deepcopy({"f": fused_update})["f"] is fused_update
    assert pickle.loads(pickle.dumps(fused_update)) is fused_update


def test_what_is_changed_is_the_argument_itself() -> None:
    p = tg.nn.Parameter(tg.ones(3))
    fused = tg.fuse(update)
    with tg.no_grad():
        assert fused(p, tg.ones(3)) is p
    assert p.tolist() == [0, 0, 0]
    assert p.requires_grad
    x = tg.ones(4, 3).t()  # whose memory is not in order
    fused(x, tg.arange(12.0).reshape(3, 4))
    np.testing.assert_array_equal(x.numpy(), 1 - np.arange(12.0).reshape(3, 4))
    part = tg.zeros(10)
    fused(part[2:5], tg.ones(3))
    assert part.tolist() == [0, 0, -1, -1, -1, 0, 0, 0, 0, 0]
    row = tg.zeros(4)
    with pytest.raises(RuntimeError, match="does not fit"):
        fused(row, tg.ones(3, 4))
    assert row.tolist() == [0] * 4


def swap(a: Any, b: Any) -> tuple:
    kept = a.clone()
    a.copy_(b)
    b.copy_(kept)
    return a.clone(), a, kept


def centre(x: Any, total: Any) -> None:
    total.add_(x.sum(-1))
    x.sub_(x.mean(-1, keepdim=True))


@pytest.mark.parametrize("device", DEVICES)
def test_changes_depend_on_what_was_there_before(device: str) -> None:
    a, b = tg.arange(3.0, device=device), tg.ones(3, device=device)
    copied, given, kept = tg.fuse(swap)(a, b)
    assert given is a
    assert (a.tolist(), b.tolist()) == ([1, 1, 1], [0, 1, 2])
    a.add_(1)
    assert (copied.tolist(), kept.tolist()) == ([1, 1, 1], [0, 1, 2])
    x = tg.randn(5, 700, device=device)
    right = x.cpu().double().numpy()
    total = tg.ones(5, device=device)
    tg.fuse(centre)(x, total)
    np.testing.assert_allclose(total.cpu().numpy(), right.sum(-1) + 1, rtol=1e-5, atol=1e-4)
    right -= right.mean(-1, keepdims=True)
    np.testing.assert_allclose(x.cpu().numpy(), right, atol=1e-6)


def test_numbers_and_zeros_may_be_filled_in() -> None:
    def fill(x: Any, y: Any, value: float) -> None:
        x.fill_(value)
        y.zero_()

    fused, x, y = tg.fuse(fill), tg.ones(3), tg.ones(2, 3)
    for value in (2.5, 3.5):
        fused(x, y, value)
        assert x.tolist() == [value] * 3
    assert not y.any()
    assert plans(fused) == 1


def test_changes_that_cannot_be_are_refused_before_any() -> None:
    fused, leaf = tg.fuse(update), tg.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf tensor that requires grad"):
        fused(leaf, tg.ones(3))
    with pytest.raises(CannotFuse, match=r"no gradient can be taken.*no_grad"):
        fused(leaf * 1, tg.ones(3))
    with pytest.raises(RuntimeError, match="share one memory"):
        fused(tg.ones(1).expand(3), tg.ones(3))
    x = tg.zeros(10)
    for other in (x[:5], x[4:9], x[:10:2]):
        with pytest.raises(RuntimeError, match=r"tensor 0 or 1 .* share memory"):
            fused(x[:5], other)
    assert not x.any()
    both = tg.fuse(lambda p, g: [a.sub_(b) for a, b in zip(p, g, strict=True)])
    good = tg.zeros(3)
    with pytest.raises(RuntimeError, match="share one memory"):
        both([good, tg.ones(1).expand(3)], [tg.ones(3), tg.ones(3)])
    assert not good.any()


def test_a_backward_pass_sees_that_its_input_was_changed() -> None:
    w = tg.ones(3, requires_grad=True)
    total = (w * w).sum()
    with tg.no_grad():
        tg.fuse(update)(w, tg.ones(3))
    with pytest.raises(RuntimeError, match="changed it in place"):
        total.backward()
