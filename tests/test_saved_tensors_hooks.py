"""Hooks between the tape and what it keeps: every operation's gradients survive a round trip of all
that it keeps, and the names around hooks do what PyTorch's do."""

from __future__ import annotations

import itertools
import sys
import threading
from typing import Any

import numpy as np
import pytest
from conftest import DEVICES

import tapegrad as tg
from tapegrad.autograd import graph
from tapegrad.autograd.function import Function, InplaceFunction, once_differentiable

hooks = graph.saved_tensors_hooks


def to_host(t: Any) -> tuple:
    return np.array(t.cpu().numpy(force=True)), t.device


def from_host(packed: tuple) -> Any:
    array, device = packed
    return tg.from_numpy(array.copy()).to(device)


def leaf(*values: float, device: str = "cpu") -> Any:
    return tg.tensor(values, dtype=tg.float64, device=device, requires_grad=True)


class Cube(Function):
    """Keeps an input, its result and a number of its own."""

    @staticmethod
    def forward(ctx: Any, x: Any, times: Any) -> Any:
        y = times * x**3
        ctx.save_for_backward(x, times, y)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        x, _, y = ctx.saved_tensors
        return 3 * y / x * grad, x**3 * grad


PROGRAMS = {
    "arithmetic": lambda x: ((x * x).exp() / x).sum(),
    "a kept result": lambda x: (x.softmax(0) * x.tanh()).sum(),
    "a joint rule, with further results": lambda x: tg.layer_norm(x * x, (3,), x, x).pow(3).sum(),
    "several inputs": lambda x: tg.cat([x * 2, x * x, tg.stack([x, x])[1]]).std(),
    "several results": lambda x: sum(tg.linalg.svd(tg.outer(x, x) + tg.eye(3) * x)[1] ** 2),
    "promotion": lambda x: (x * x.float() * tg.tensor([1, 2, 3])).sum(),
    "parts": lambda x: (x[1:] * x[:2] * x[[0, 2]]).sum() + x.gather(0, tg.tensor([1, 1])).prod(),
    "written over": lambda x: (x * 1).mul_(x).exp_().sum(),
    "a Function": lambda x: Cube.apply(x, x.sum()).sum(),
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice"])
@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_gradients_are_those_without_hooks(program: Any, twice: bool, device: str) -> None:
    if device == "emulated" and "linalg" in program.__code__.co_names:
        device = "cpu"

    def gradient(packs: bool) -> Any:
        x = leaf(0.7, 1.1, -0.4, device=device)
        with hooks(to_host, from_host) if packs else tg.enable_grad(), tg.device(device):
            y = program(x)
        (g,) = tg.autograd.grad(y, x, create_graph=twice)
        if twice:
            (g,) = tg.autograd.grad((g * g).sum(), x)
        return g.cpu().numpy()

    np.testing.assert_allclose(gradient(True), gradient(False), rtol=1e-12)


@pytest.mark.filterwarnings("ignore")
def test_every_operation_of_pytorchs_database() -> None:
    torch = pytest.importorskip("torch", exc_type=ImportError)
    pytest.importorskip("ml_dtypes")
    pytest.importorskip("expecttest")
    import op_db as db

    tried = 0
    for op in db.PRESENT:
        if not op.supports_autograd or torch.float64 not in op.dtypes:
            continue
        for sample in itertools.islice(db.samples(op, torch.float64, requires_grad=True), 2):
            found = []
            for packs in (False, True):
                translate = db.Translator()
                state = tg.get_rng_state()
                try:
                    with hooks(to_host, from_host) if packs else tg.enable_grad():
                        ours = db.run_ours(db.find(op), sample, translate)
                except (RuntimeError, TypeError, ValueError, db.Untranslatable):
                    break
                tg.set_rng_state(state)
                roots = [t for t in db.flat(ours) if isinstance(t, tg.Tensor) and t.requires_grad]
                leaves = [t for t in translate.leaves()[1] if t.requires_grad]
                if not roots or not leaves:
                    break
                seeds = [tg.ones_like(t) for t in roots]
                grads = tg.autograd.grad(roots, leaves, seeds, allow_unused=True)
                found.append([None if g is None else g.numpy() for g in grads])
            if len(found) == 2:
                tried += 1
                for plain, packed in zip(*found, strict=True):
                    assert (plain is None) == (packed is None), db.label(op)
                    if plain is not None:
                        np.testing.assert_array_equal(packed, plain, err_msg=db.label(op))
    assert tried > 500


# ---------------------------------------------------------------------- against PyTorch


def counted(lib: Any) -> list:
    calls = []
    x = lib.ones(3, requires_grad=True)

    def pack(t: Any) -> Any:
        calls.append(("pack", t is x, lib.is_grad_enabled()))
        return t

    def unpack(t: Any) -> Any:
        calls.append(("unpack", lib.is_grad_enabled()))
        return t

    with lib.autograd.graph.saved_tensors_hooks(pack, unpack):
        z = (x * x).sum()
    lib.autograd.grad(z, x, create_graph=True)
    z.backward()
    return calls


def innermost(lib: Any) -> list:
    calls: list = []
    x = lib.ones(3, requires_grad=True)
    Hooks = lib.autograd.graph.saved_tensors_hooks
    with Hooks(lambda t: calls.append("outer") or t, lambda t: t):
        with Hooks(lambda t: calls.append("inner") or t, lambda t: t):
            _ = x * x
        _ = x * x
    _ = x * x
    return calls


def changed_since(lib: Any) -> list:
    """Hooks decide what comes back: nothing is checked."""
    x = lib.ones(3, requires_grad=True)
    y = x * 1
    with lib.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t):
        z = (y * y).sum()
    y.add_(1)
    z.backward()
    return x.grad.tolist()


def kept_elsewhere(lib: Any) -> list:
    x = lib.ones(3, requires_grad=True)
    y = x * 1
    with lib.autograd.graph.save_on_cpu(pin_memory=False):
        z = (y * y).sum()
    z.backward()
    return x.grad.tolist()


def mutation(lib: Any) -> list:
    x = lib.arange(3.0, requires_grad=True)
    with lib.autograd.graph.allow_mutation_on_saved_tensors():
        y = x * 1
        z = (y * y * y).sum()
        y.mul_(7)
        z.backward()
    return x.grad.tolist()


def whole_group(lib: Any) -> list:
    """One call for each backward pass, with None for what it does not reach."""
    seen: list = []
    a, b, c = (lib.tensor([float(i)], requires_grad=True) for i in (1, 2, 3))
    y = a * 2
    handle = lib.autograd.graph.register_multi_grad_hook(
        (a, b, c, y), lambda gs: seen.append([None if g is None else g.item() for g in gs])
    )
    (y * b).sum().backward()
    (a * c).sum().backward()
    handle.remove()
    (a * c).sum().backward()
    return seen


def first_of_group(lib: Any) -> list:
    seen: list = []
    a, b = (lib.tensor([float(i)], requires_grad=True) for i in (1, 2))
    y = a * b
    handle = lib.autograd.graph.register_multi_grad_hook(
        (a, y), lambda g: seen.append(g.item()), mode="any"
    )
    (y * 5).sum().backward()
    (a * b * 3).sum().backward()
    handle.remove()
    (a * 2).sum().backward()
    return seen


def edges(lib: Any) -> list:
    x = lib.tensor([1.0, 2.0], requires_grad=True)
    y = x * x
    parts = (y * 3).unbind(0)
    z = parts[0] * parts[1]
    found = [lib.autograd.graph.get_gradient_edge(t) for t in (x, y, *parts)]
    grads = lib.autograd.grad(z, found, retain_graph=True)
    (alone,) = lib.autograd.grad(z, found[1], retain_graph=True)
    start = lib.autograd.graph.get_gradient_edge(z * 2), found[1]
    ones = [lib.tensor(1.0), lib.tensor([1.0, 2.0])]
    grads += lib.autograd.grad(start, x, ones, retain_graph=True)
    lib.autograd.backward(start, ones, inputs=found[0])
    grads += (x.grad,)
    assert isinstance(found[1].node, lib.autograd.graph.Node)
    return [g.tolist() for g in (*grads, alone)] + [e.output_nr for e in found[:2]]


def incremented(lib: Any) -> list:
    x = lib.ones(2)
    lib.autograd.graph.increment_version(x)
    lib.autograd.graph.increment_version([x, x])
    return [x._version]


def variables(lib: Any) -> list:
    Variable = lib.autograd.Variable
    x = lib.ones(3, requires_grad=True)
    made = [Variable(x), Variable(x * 2), Variable(lib.ones(2), requires_grad=True)]
    return [(v.requires_grad, v.is_leaf, isinstance(v, Variable)) for v in made]


@pytest.mark.parametrize(
    "program",
    [
        counted,
        innermost,
        changed_since,
        kept_elsewhere,
        mutation,
        whole_group,
        first_of_group,
        edges,
        incremented,
        variables,
    ],
    ids=lambda program: program.__name__,
)
def test_as_pytorch_does(program: Any) -> None:
    torch = pytest.importorskip("torch", exc_type=ImportError)
    expected = program(torch)
    assert program(tg) == expected, expected


# ---------------------------------------------------------------------- alone


@pytest.mark.parametrize("device", DEVICES)
def test_what_is_kept_in_the_hosts_memory(device: str) -> None:
    x = leaf(1.0, 2.0, 3.0, device=device)
    with graph.save_on_cpu(pin_memory=True):
        y = ((x * x).exp() * x).sum()
    for kept in y.grad_fn.next_functions[0][0].saved._kept:
        assert kept is None or kept._packed[1].device.type == "cpu"
    y.backward()
    values = np.array([1.0, 2.0, 3.0])
    expected = np.exp(values**2) * (1 + 2 * values**2)
    np.testing.assert_allclose(x.grad.cpu().numpy(), expected, rtol=1e-12)


def test_what_hooks_are_shown() -> None:
    """Inputs are themselves, results off the tape; both are gone with what ``pack`` drops."""
    seen = []
    x = leaf(1.0, 2.0)
    with hooks(lambda t: seen.append(t), lambda packed: leaf(1.0, 2.0)):
        y = (x * x).exp()
    assert [t is x for t in seen] == [True, True, False]
    assert [t.requires_grad for t in seen] == [True, True, False]
    np.testing.assert_array_equal(seen[2].numpy(), y.detach().numpy())


def test_hooks_are_those_of_their_thread() -> None:
    seen: list = []
    ready, done = threading.Event(), threading.Event()

    def other() -> None:
        ready.wait()
        x = leaf(1.0)
        _ = x * x
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with hooks(lambda t: seen.append(t), lambda t: t):
        ready.set()
        assert done.wait(60)
    thread.join()
    assert not seen


def test_nothing_is_left_behind_by_hooks() -> None:
    from tapegrad.core.node import Node

    with pytest.raises(ZeroDivisionError), hooks(lambda t: t, lambda t: t):
        raise ZeroDivisionError
    assert type((leaf(1.0) * 2).grad_fn) is Node


def test_double_use_frees_and_keeps_as_without_hooks() -> None:
    x = leaf(2.0)
    with hooks(to_host, from_host):
        y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 8
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()


def test_a_group_of_hooks_starts_anew_after_a_walk_that_failed() -> None:
    seen = []
    a, b = leaf(1.0), leaf(2.0)
    graph.register_multi_grad_hook((a, b), lambda gs: seen.append([g is None for g in gs]))
    y = a * b
    y.register_hook(lambda g: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        (y + a).backward()
    (a * 2).backward()
    assert seen == [[False, True]]


class Once(Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Any) -> Any:
        assert not tg.is_grad_enabled()
        (x,) = ctx.saved_tensors
        return tg.from_numpy(2 * x.numpy(force=True)) * grad


def test_once_differentiable() -> None:
    x, weight = leaf(1.0, 2.0), leaf(3.0)
    (g,) = tg.autograd.grad(Once.apply(x).sum(), x)
    assert g.tolist() == [2, 4]
    (g,) = tg.autograd.grad((Once.apply(x) * weight).sum(), x, create_graph=True)
    assert g.tolist() == [6, 12]
    with pytest.raises(RuntimeError, match=r"\[Once\] is marked @once_differentiable"):
        g.sum().backward()


def test_old_names_of_functions() -> None:
    with pytest.warns(UserWarning, match="volatile has no effect: .*no_grad"):
        assert not tg.autograd.Variable(tg.ones(2), volatile=True).requires_grad

    class Doubled(InplaceFunction):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.mark_dirty(x)
            return x.mul_(2)

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            return grad * 2

    x = leaf(1.0)
    y = x * 1
    Doubled.apply(y).sum().backward()
    assert x.grad.item() == 2
    assert y.item() == 2
    assert tg.autograd.function.FunctionCtx.save_for_backward


def times_two(x: Any) -> Any:
    with graph.disable_saved_tensors_hooks("not here"), hooks(lambda t: t, lambda t: t):
        return x * x


def under_hooks(x: Any) -> Any:
    with hooks(lambda t: t, lambda t: t), graph.disable_saved_tensors_hooks("not there"):
        return x * x


def packed(pack: Any = lambda t: t, unpack: Any = lambda t: t) -> Any:
    def call(x: Any) -> Any:
        y = x * 1
        with hooks(pack, unpack):
            z = (y * y).sum()
        z.backward()

    return call


ERRORS = [
    (times_two, RuntimeError, "^not here$"),
    (under_hooks, RuntimeError, "^not there$"),
    (packed(pack=3), TypeError, "pack_hook must be callable, got int"),
    (packed(unpack=None), TypeError, "unpack_hook must be callable, got NoneType"),
    (packed(unpack=lambda t: 3), TypeError, "unpack hook must return a Tensor, got int"),
    (packed(pack=lambda t: t.add_(1)), RuntimeError, r"changed in place.*shape \(2,\)"),
    (lambda x: graph.get_gradient_edge(3), TypeError, "expects a Tensor, got int"),
    (lambda x: graph.get_gradient_edge(x.detach()), RuntimeError, r"\(2,\) does not require grad"),
    (lambda x: graph.increment_version([x, 3]), TypeError, "expects Tensors, got int"),
    (lambda x: graph.register_multi_grad_hook([x], 3), TypeError, "fn must be callable, got int"),
    (lambda x: graph.register_multi_grad_hook([x], print, mode="x"), ValueError, "'all' or 'any'"),
    (lambda x: tg.autograd.Variable([1.0]), TypeError, "data must be a Tensor, got list"),
    (
        lambda x: (x * 2).sum().backward(inputs=graph.get_gradient_edge(x * 1)),
        RuntimeError,
        "ask for the gradient with autograd.grad",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS, ids=[e[2] for e in ERRORS])
def test_errors(call: Any, error: type[Exception], message: str) -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(error, match=message):
        call(x)
    assert x._version == 0
    assert x.grad is None
    assert type((x * 2).grad_fn) is graph.Node


def steps_of(function: Any) -> int:
    """How many instructions of Python's a call takes."""
    count = 0

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return count


def test_recording_costs_nothing_without_hooks() -> None:
    """Once hooks are gone it takes not one instruction more than before."""
    x = leaf(1.0)

    def record() -> None:
        _ = x * x

    record()
    before = steps_of(record)
    with hooks(lambda t: t, lambda t: t):
        assert steps_of(record) > before
    assert steps_of(record) == before
