"""The walk back in C does what the engine's Python does: same gradients to the bit, same errors."""

from __future__ import annotations

import gc
import json
import os
import pickle
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.core import accelerator, engine
from tapegrad.core.caller import tensor_xp

pytestmark = pytest.mark.skipif(
    accelerator.compiled is None, reason="needs tapegrad._tape, which a C++ compiler builds"
)


def outcome(walk: Any, *arguments: Any) -> Any:
    """What a walk finds, or how it fails."""
    try:
        found, _ = walk(*arguments)
    except Exception as error:
        return type(error), str(error)
    return found


def assert_same(a: Any, b: Any) -> None:
    if isinstance(a, tuple) or isinstance(b, tuple):
        assert a == b
        return
    assert a.keys() == b.keys()
    for edge, gradient in a.items():
        assert gradient.dtype == b[edge].dtype
        assert gradient.shape == b[edge].shape
        assert gradient.tobytes() == b[edge].tobytes()


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let every walk be made twice, in Python first, and compared; how many were."""
    walks = [0]
    walk = engine._walk

    def twice(roots: Any, seeds: Any, targets: Any, retain: bool, create: bool) -> Any:
        if create:
            return walk(roots, seeds, targets, retain, create)
        with monkeypatch.context() as patch:
            patch.setattr(engine, "compiled", None)
            expected = outcome(walk, roots, seeds, None, True, False)
        got = outcome(walk, roots, seeds, None, True, False)
        assert_same(got, expected)
        walks[0] += 1
        return walk(roots, seeds, targets, retain, create)

    monkeypatch.setattr(engine, "_walk", twice)
    return walks


def leaf(*shape: int, dtype: Any = tg.float32) -> tg.Tensor:
    return tg.randn(*shape, generator=tg.Generator().manual_seed(1)).to(dtype).requires_grad_()


def broadcast(x: tg.Tensor) -> tg.Tensor:
    return (x * x[0] + x.sum(1, keepdim=True)).tanh()


def parts(x: tg.Tensor) -> tg.Tensor:
    return x[0] * x[1] + x[tg.tensor([2, 2, 0])].sum(0)


def several(x: tg.Tensor) -> tg.Tensor:
    a, b = x.split(2)
    values, _ = x.max(0)
    return a.sum() * values + b.mean()


def hooked(x: tg.Tensor) -> tg.Tensor:
    y = x * 2
    y.register_hook(lambda g: g * 3)
    y.retain_grad()
    return y.exp()


def scalars(x: tg.Tensor) -> tg.Tensor:
    s = x.sum()
    return s * s + s


def stale(x: tg.Tensor) -> tg.Tensor:
    y = x * 1
    z = y * y
    with tg.no_grad():
        y.add_(1)
    return z


class Double(tg.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: tg.Tensor) -> tg.Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: Any, g: tg.Tensor) -> tg.Tensor:
        return g * 2


@pytest.mark.parametrize("dtype", [tg.float64, tg.float32, tg.float16], ids=lambda d: d.name)
@pytest.mark.parametrize(
    "program", [broadcast, parts, several, hooked, scalars, stale, Double.apply]
)
def test_gradients_and_errors_are_the_same(program: Any, dtype: Any, both: list[int]) -> None:
    x = leaf(4, 3, dtype=dtype)
    y = program(x)
    if program is stale:
        with pytest.raises(RuntimeError, match="changed it in place"):
            y.backward(tg.ones_like(y))
    else:
        y.backward(tg.ones_like(y))
        assert x.grad is not None
        assert bool(x.grad.isfinite().all())
    assert both[0] == 1


def test_random_programs(both: list[int]) -> None:
    pytest.importorskip("torch", exc_type=ImportError)
    import fuzz

    reports = [fuzz.check(seed) for seed in range(40_000, 40_200)]
    assert not [report for report in reports if report]
    assert both[0] > 50


@pytest.mark.filterwarnings("ignore")
def test_random_programs_leave_the_same_on_the_tape(tmp_path: Path) -> None:
    """Values, nodes, what they keep, versions, aliases, errors and gradients, to the bit."""
    pytest.importorskip("torch", exc_type=ImportError)
    import fuzz
    import tape_report

    programs = [fuzz.draw_program(seed)[0] for seed in range(50_000, 50_200)]
    (tmp_path / "programs").write_bytes(pickle.dumps(programs))
    done = subprocess.run(
        [sys.executable, tape_report.__file__, str(tmp_path / "programs")],
        env={**os.environ, "TAPEGRAD_TAPE": "python"},
        capture_output=True,
        text=True,
        check=True,
    )
    in_python = json.loads(done.stdout)
    for seed, (steps, expected) in enumerate(zip(programs, in_python, strict=True), 50_000):
        assert tape_report.report(steps) == expected, f"program {seed}"


def test_what_was_freed_is_refused() -> None:
    x = leaf(3)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="cannot go backward a second time"):
        y.backward()


def test_an_error_in_a_rule_or_hook_comes_through_and_nothing_stays_alive() -> None:
    def fails(g: tg.Tensor) -> None:
        raise KeyError("from a hook")

    x = leaf(3)
    y = x.exp()
    y.register_hook(fails)
    with pytest.raises(KeyError, match="from a hook"):
        (y * y).sum().backward()
    assert x.grad is None
    node = weakref.ref(y.grad_fn)
    del y
    gc.collect()
    assert node() is None


def test_memory_of_walks_is_returned() -> None:
    x = leaf(64)

    def step() -> None:
        x.grad = None
        ((x * x + x).tanh() * x).sum().backward()

    step()
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(50):
        step()
    gc.collect()
    assert len(gc.get_objects()) <= before + 2


def test_nodes_are_tracked_once_they_may_be_in_a_cycle() -> None:
    x = leaf(3)

    def chain() -> list[tg.Tensor]:
        y = x * x
        return [y, y * y]

    y, z = chain()
    assert not any(map(gc.is_tracked, (y.grad_fn, z.grad_fn, y)))  # z has kept y
    assert all(map(gc.is_tracked, (x, z)))
    gc.collect(0)
    assert not gc.is_tracked(y.grad_fn)
    z.register_hook(lambda g: None)
    assert all(map(gc.is_tracked, (y, y.grad_fn, z.grad_fn)))
    y, z = chain()
    gc.collect()
    assert all(map(gc.is_tracked, (y, y.grad_fn, z.grad_fn)))
    z.sum().backward()


def test_the_young_collections_do_not_walk_over_a_graph() -> None:
    x, w = leaf(3), leaf(3)
    gc.collect()
    before = len(gc.get_objects())
    y = x
    for _ in range(1000):
        y = y * w + x
    assert len(gc.get_objects()) < before + 100
    y.sum().backward()


SMALL = (
    *("absolute", "ceil", "cos", "erf", "exp", "expm1", "floor", "gelu", "gelu_tanh", "log"),
    *("log1p", "negative", "reciprocal", "relu", "sigmoid", "sign", "silu", "sin", "sqrt"),
    *("square", "tanh"),
)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_small_results_have_the_bits_of_the_operation(name: str, dtype: str) -> None:
    random = np.random.default_rng(0)
    ends = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-42, 88.8, -1e30, 700.0], dtype)
    operation, array_operation = getattr(tensor_xp, name), tg.device("cpu").ops[name]
    for shape in ((), (1,), (3,), (4, 4), (17,), (0, 2), (3, 0), (2, 3, 5), (4096,), (4097,)):
        x = np.asarray(3 * random.standard_normal(shape), dtype)
        for array in (x, x.T, np.resize(ends, shape)):
            with np.errstate(all="ignore"):
                expected = np.asarray(array_operation(array))
            with np.errstate(all="raise"):  # which is the user's
                result = operation(tg.from_numpy(array)).numpy()
            assert (result.dtype, result.shape) == (expected.dtype, expected.shape)
            assert result.tobytes() == expected.tobytes(), (name, shape)


def test_arrays_of_others_are_not_used_again() -> None:
    """What shows the array of a tensor that is gone sees no later result in it."""
    x = tg.ones(7, 3)
    array = (x + 1).numpy()
    weak = weakref.ref((x + 1)._array)
    view = (x + 1).numpy()[1:]
    memory = memoryview((x + 1).numpy())
    results = [x + 2 for _ in range(20)]
    assert weak() is None
    assert (array == 2).all()
    assert (view == 2).all()
    assert memory.tolist() == [[2.0] * 3] * 7
    assert len({r.numpy().ctypes.data for r in results}) == 20
    frozen = x + 1
    frozen.numpy().flags.writeable = False
    del frozen
    assert all((x + 2).numpy().flags.writeable for _ in range(20))
    turned = tg.from_numpy(np.empty((1, 3), "float32", order="F"))
    assert turned.numpy().strides == (4, 4)
    del turned
    assert all((x[:1] * 1).numpy().strides == (12, 4) for _ in range(20))


def test_objects_that_are_used_again_are_as_new() -> None:
    x = leaf(3)
    y = x * x
    y.label = "mine"
    y.retain_grad()
    y.add_(1)
    y.register_hook(lambda g: g)
    y.sum().backward()
    node, tensor = weakref.ref(y.grad_fn), weakref.ref(y)
    del y
    gc.collect()
    assert (node(), tensor()) == (None, None)
    for _ in range(200):
        z = x.exp()
        assert vars(z) == {}
        assert (z._grad, z._version, z.retains_grad, z._base) == (None, 0, False, None)
        assert not z.grad_fn.watched


def test_what_is_deleted_late_or_by_threads_is_deleted() -> None:
    ended = []

    class Noted(tg.Tensor):
        def __del__(self) -> None:
            ended.append(float(self.sum()))

    def work() -> None:
        y = x
        for _ in range(3000):
            y = y * x
        for i in range(10):
            Noted([i, i, i])

    x = leaf(3)
    before = len(gc.get_objects())
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gc.collect()
    assert sorted(ended) == sorted([3.0 * i for i in range(10)] * 4)
    assert len(gc.get_objects()) <= before + 1000  # of 12,000 nodes


LINEAR = """
import tapegrad as tg

def pass_of(size):
    x, weight, bias = (tg.randn(*s).requires_grad_() for s in ((size, 3), (5, 3), (5,)))
    return tg.nn.functional.linear(x, weight, bias), x, weight, bias

y = pass_of(4)[0]
y.backward(tg.ones(4, 5))  # from here on it is known who hears warnings
vars(y.grad_fn.primitive)["backward"] = None
for size in (4, 200):
    y, x, weight, bias = pass_of(size)
    y.backward(tg.ones(size, 5))
    print(bias.grad.tolist() == [size] * 5, x.grad.shape, weight.grad.shape)
"""


def test_a_linear_layers_gradients_are_made_once() -> None:
    """By rules in C: one that declined after the others would let Python make them all again. (In
    a process of its own, as pytest's filters of warnings leave it all to Python.)"""
    done = subprocess.run([sys.executable, "-c", LINEAR], capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        "True tapegrad.Size([4, 3]) tapegrad.Size([5, 3])",
        "True tapegrad.Size([200, 3]) tapegrad.Size([5, 3])",
    ], done.stderr


@pytest.mark.parametrize("size", [5, 5000])
def test_rules_in_c_may_leave_the_last_edges_to_python(size: int) -> None:
    """As for the second operand of a difference, where the arrays are large."""
    x, w = leaf(size), leaf(size)
    (x - w).backward(tg.full((size,), 3.0))
    np.testing.assert_array_equal(x.grad.numpy(), np.full(size, 3, np.float32))
    np.testing.assert_array_equal(w.grad.numpy(), np.full(size, -3, np.float32))
    x.grad = None
    (x - x).backward(tg.ones(size))
    np.testing.assert_array_equal(x.grad.numpy(), np.zeros(size, np.float32))


@pytest.mark.parametrize("dtype", [tg.float32, tg.float64], ids=lambda d: d.name)
def test_the_gradient_to_begin_with_is_shared_with_nobody(dtype: Any) -> None:
    x = leaf(3)
    seed = tg.ones(3, dtype=dtype)
    (x + 0.0).backward(seed)
    seed.fill_(5)
    assert x.grad is not None
    assert x.grad.dtype == tg.float32
    np.testing.assert_array_equal(x.grad.numpy(), np.ones(3))
    for wrong in (tg.ones(2), 1.0, tg.ones(3, device="emulated")):
        with pytest.raises(RuntimeError, match="gradient"):
            (x * 2).backward(wrong)


def test_a_backward_pass_inside_a_hook() -> None:
    x, z = leaf(3), leaf(3)
    y = x * 3

    def backward_of_another(g: tg.Tensor) -> None:
        with tg.enable_grad():
            (z * z).sum().backward()

    y.register_hook(backward_of_another)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.full(3, 3, np.float32))
    np.testing.assert_array_equal(z.grad.numpy(), 2 * z.detach().numpy())


def test_a_walk_that_is_over_takes_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    x, kept = leaf(3), []
    y = x.exp()
    primitive = y.grad_fn.primitive

    def backward(xp: Any, g: Any, saved: Any, edges: Any, arrive: Any) -> None:
        kept.append(arrive)
        arrive(edges[0], g)

    monkeypatch.setitem(vars(primitive), "backward", backward)
    y.sum().backward()
    with pytest.raises(RuntimeError, match="is over"):
        kept[0](y.grad_fn, np.ones(3, np.float32))
    with pytest.raises(RuntimeError, match="is over"):
        kept[0].push(y.grad_fn)


def test_an_incomplete_node_is_refused() -> None:
    tape = accelerator.compiled
    assert tape is not None
    node = engine.Node()
    node.device = tg.device("cpu")
    with pytest.raises(AttributeError, match="incomplete"):
        tape.visit((node,), (np.ones(1),), {}, set(), [], False, [])


def test_wrong_calls_are_refused() -> None:
    tape = accelerator.compiled
    assert tape is not None
    for arguments in ((), ((), (), {}, set(), []), ((), (1,), {}, set(), [], False, []), (1,) * 7):
        with pytest.raises(TypeError):
            tape.visit(*arguments)
    with pytest.raises(AttributeError, match="device"):
        tape.visit((1,), (np.ones(1),), {}, set(), [], False, [])
    for options in ({}, {"node": int, "leaf": 0}, {"unknown": 0}):
        with pytest.raises(TypeError):
            tape.configure(**options)
    with pytest.raises(TypeError, match="a clock is an iterator"):
        tape.set_clock(1)
    test_a_backward_pass_inside_a_hook()  # nothing was half configured


def test_python_serves_where_it_is_asked_for() -> None:
    program = "import tapegrad; print(tapegrad.core.engine.compiled)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "TAPEGRAD_TAPE": "python"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "None"
