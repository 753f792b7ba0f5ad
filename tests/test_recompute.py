"""utils.checkpoint: gradients of a program that runs again in the backward pass are those of the
program, and less is kept on the way."""

from __future__ import annotations

import tracemalloc
import warnings
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import pytest
from conftest import DEVICES

import tapegrad as tg
from tapegrad.autograd.graph import saved_tensors_hooks
from tapegrad.utils.checkpoint import (
    CheckpointError,
    checkpoint,
    checkpoint_sequential,
    noop_context_fn,
    set_checkpoint_debug_enabled,
    set_checkpoint_early_stop,
)

BOTH = pytest.mark.parametrize("use_reentrant", [True, False])


def plainly(function: Any, *args: Any, use_reentrant: bool = False, **kwargs: Any) -> Any:
    """In the place of checkpoint: runs the function once."""
    for name in ("preserve_rng_state", "determinism_check", "context_fn", "early_stop", "debug"):
        kwargs.pop(name, None)
    return function(*args, **kwargs)


def leaf(lib: Any, *values: float, device: str = "cpu") -> Any:
    return lib.tensor(values, dtype=lib.float64, device=device, requires_grad=True)


# ---------------------------------------------------------------------- programs
# program(lib, run) -> tensors and leaves; run is checkpoint, in one of its forms, or plainly.


def block(x: Any, w: Any) -> Any:
    return ((x * w).exp().tanh() * x).softmax(-1)


def simple(lib: Any, run: Any) -> Any:
    x, w = leaf(lib, 0.1, 0.2, -0.3), leaf(lib, 1.0, 2.0, 3.0)
    return [run(block, x, w)], [x, w]


def twice_in_a_row(lib: Any, run: Any) -> Any:
    x, w = leaf(lib, 0.1, 0.2, -0.3), leaf(lib, 1.0, 2.0, 3.0)
    return [run(block, run(block, x * 2, w) * x, w)], [x, w]


def nested(lib: Any, run: Any) -> Any:
    x, w = leaf(lib, 0.1, 0.2, -0.3), leaf(lib, 1.0, 2.0, 3.0)

    def inner(x: Any) -> Any:
        return run(block, x.sin(), w) * x.exp()

    def outer(x: Any) -> Any:
        return run(inner, run(inner, x * x)).cos() * w

    return [run(outer, x)], [x, w]


def several_results(lib: Any, run: Any) -> Any:
    x = leaf(lib, 0.1, 0.2, -0.3)
    y, n, z = run(lambda x: (x.exp(), 3, x.sin() * x), x)
    assert n == 3
    return [y * z, z], [x]


def parts_of_results(lib: Any, run: Any) -> Any:
    """Results that are not contiguous, and one that is an argument's view."""
    x = leaf(lib, *range(12))
    matrix = x.reshape(3, 4)
    y, z = run(lambda m: ((m * m).t(), m[1:]), matrix)
    assert not y.is_contiguous()
    return [y[1:] * 2, z.exp()], [x]


def what_a_closure_has(lib: Any, run: Any) -> Any:
    x, w = leaf(lib, 0.1, 0.2), leaf(lib, 3.0, 4.0)
    return [run(lambda x: (w * x).exp() * w.sin(), x)], [x, w]


def other_arguments(lib: Any, run: Any) -> Any:
    x = leaf(lib, 0.5, 0.2)

    def function(x: Any, power: int, name: str, constant: Any, nothing: Any) -> Any:
        assert name == "n"
        assert nothing is None
        return x**power * constant

    return [run(function, x * 1, 3, "n", lib.tensor([2.0, 3.0], dtype=lib.float64), None)], [x]


def by_name(lib: Any, run: Any) -> Any:
    x, w = leaf(lib, 0.1, 0.2, -0.3), leaf(lib, 1.0, 2.0, 3.0)

    def function(x: Any, *, w: Any, bias: float = 0.0) -> Any:
        return block(x, w) + bias * w * x

    return [run(function, x, w=w * 2, bias=0.5)], [x, w]


def in_lists(lib: Any, run: Any) -> Any:
    x, w = leaf(lib, 0.1, 0.2, -0.3), leaf(lib, 1.0, 2.0, 3.0)
    return [run(lambda pair, d: block(*pair) * d["w"], [x * 2, w], {"w": w * w})], [x, w]


def changed_within(lib: Any, run: Any) -> Any:
    x = leaf(lib, 0.1, 0.2, -0.3)

    def function(x: Any) -> Any:
        y = x * 2
        y.mul_(x).exp_()
        return y * y.detach()

    return [run(function, x)], [x]


def no_gradient_within(lib: Any, run: Any) -> Any:
    x = leaf(lib, 0.1, 0.2, -0.3)

    def function(x: Any) -> Any:
        with lib.no_grad():
            scale = x.exp()
        return x.sin() * scale

    return [run(function, x)], [x]


def a_function_of_ones_own(lib: Any, run: Any) -> Any:
    class Cube(lib.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            y = x * x * x
            ctx.save_for_backward(x, y)
            return y

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            x, y = ctx.saved_tensors
            return grad * (x * x * 3 + 0 * y)

    x = leaf(lib, 0.1, 0.2, -0.3)
    return [run(lambda x: Cube.apply(x.exp()).sin(), x)], [x]


def gradients_within(lib: Any, run: Any) -> Any:
    """A gradient penalty, whose function walks back itself."""
    x, w = leaf(lib, 0.1, 0.2, -0.3), leaf(lib, 1.0, 2.0, 3.0)

    def function(x: Any) -> Any:
        y = (x * w).exp()
        (g,) = lib.autograd.grad(y.sum(), x, create_graph=True)
        return y * g * g

    return [run(function, x * 1)], [x, w]


PROGRAMS = [
    simple,
    twice_in_a_row,
    nested,
    several_results,
    parts_of_results,
    what_a_closure_has,
    other_arguments,
    by_name,
    in_lists,
    changed_within,
    no_gradient_within,
    a_function_of_ones_own,
    gradients_within,
]
# The older form takes positional arguments, and gives gradients to those that are tensors.
NEWER = {by_name, in_lists, gradients_within}


def form(lib: Any, **options: Any) -> Any:
    def run(function: Any, *args: Any, **kwargs: Any) -> Any:
        return lib.utils.checkpoint.checkpoint(function, *args, **options, **kwargs)

    return run


def gradients(lib: Any, program: Any, run: Any) -> list:
    results, leaves = program(lib, run)
    sum((y * y).sum() for y in results).backward()
    return [*results, *(x.grad for x in leaves)]


@BOTH
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_gradients_are_those_of_the_program(program: Any, use_reentrant: bool) -> None:
    if use_reentrant and program in NEWER:
        pytest.skip("the older form does not take this")
    got = gradients(tg, program, form(tg, use_reentrant=use_reentrant))
    for mine, theirs in zip(got, gradients(tg, program, plainly), strict=True):
        np.testing.assert_allclose(mine.detach().numpy(), theirs.detach().numpy(), rtol=1e-13)


@pytest.mark.filterwarnings("ignore:None of the inputs:UserWarning:torch")
@BOTH
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_gradients_are_pytorchs(program: Any, use_reentrant: bool) -> None:
    if use_reentrant and program in NEWER:
        pytest.skip("the older form does not take this")
    torch = pytest.importorskip("torch", exc_type=ImportError)
    pytest.importorskip("torch.utils.checkpoint")
    got = gradients(tg, program, form(tg, use_reentrant=use_reentrant))
    expected = gradients(torch, program, form(torch, use_reentrant=use_reentrant))
    for mine, theirs in zip(got, expected, strict=True):
        np.testing.assert_allclose(mine.detach().numpy(), theirs.detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize("early_stop", [True, False])
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_grad_and_gradients_of_gradients(program: Any, early_stop: bool) -> None:
    def second(run: Any) -> list:
        results, leaves = program(tg, run)
        loss = sum((y * y).sum() for y in results)
        first = tg.autograd.grad(loss, leaves, create_graph=True)
        return [*first, *tg.autograd.grad(sum((g * g).sum() for g in first), leaves)]

    run = form(tg, use_reentrant=False, early_stop=early_stop)
    for mine, theirs in zip(second(run), second(plainly), strict=True):
        np.testing.assert_allclose(mine.detach().numpy(), theirs.detach().numpy(), rtol=1e-12)


# ---------------------------------------------------------------------- what runs, and when


def counting(x: Any) -> Any:
    counting.calls.append("start")  # type: ignore[attr-defined]
    y = (x * x).exp()
    counting.calls.append("end")  # type: ignore[attr-defined]
    return y + 1


@BOTH
def test_it_runs_once_more_and_stops_early(use_reentrant: bool) -> None:
    counting.calls = []  # type: ignore[attr-defined]
    x = leaf(tg, 1.0)
    y = checkpoint(counting, x, use_reentrant=use_reentrant)
    assert counting.calls == ["start", "end"]  # type: ignore[attr-defined]
    y.backward()
    ended = ["start", "end", "start", *(["end"] if use_reentrant else [])]
    assert counting.calls == ended  # type: ignore[attr-defined]


@pytest.mark.parametrize("by_context", [False, True])
def test_it_runs_to_the_end_when_asked(by_context: bool) -> None:
    counting.calls = []  # type: ignore[attr-defined]
    with set_checkpoint_early_stop(False) if by_context else nullcontext():
        y = checkpoint(counting, leaf(tg, 1.0), use_reentrant=False, early_stop=by_context)
    y.backward()
    assert counting.calls == ["start", "end"] * 2  # type: ignore[attr-defined]


def test_a_graph_that_is_retained_is_made_again_each_time() -> None:
    counting.calls = []  # type: ignore[attr-defined]
    x = leaf(tg, 1.0)
    y = checkpoint(counting, x, use_reentrant=False)
    y.backward(retain_graph=True)
    y.backward()
    assert counting.calls.count("start") == 3  # type: ignore[attr-defined]
    assert x.grad.item() == pytest.approx(4 * np.e)
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()


def test_nothing_is_kept_or_run_again_without_gradients() -> None:
    counting.calls = []  # type: ignore[attr-defined]
    with tg.no_grad():
        y = checkpoint(counting, leaf(tg, 1.0), use_reentrant=False)
    assert not y.requires_grad
    assert len(counting.calls) == 2  # type: ignore[attr-defined]


@BOTH
@pytest.mark.parametrize("device", DEVICES)
def test_random_numbers_are_drawn_again(use_reentrant: bool, device: str) -> None:
    """The same mask, and what is drawn after the backward pass goes on as if nothing had been."""

    def drawn(run: Any) -> tuple:
        tg.manual_seed(3)
        x = tg.ones(50, device=device, requires_grad=True)
        y = run(lambda x: tg.nn.functional.dropout(x * 3, 0.5) * x, x)
        after = tg.rand(2)
        y.sum().backward()
        return y.detach().tolist(), x.grad.tolist(), after.tolist(), tg.rand(2).tolist()

    got = drawn(form(tg, use_reentrant=use_reentrant))
    for mine, theirs in zip(got, drawn(plainly), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@BOTH
def test_random_numbers_go_on_when_asked(use_reentrant: bool) -> None:
    tg.manual_seed(0)
    draws = []

    def function(x: Any) -> Any:
        draws.append(tg.rand(1).item())
        return x * x

    y = checkpoint(function, leaf(tg, 1.0), use_reentrant=use_reentrant, preserve_rng_state=False)
    y.backward()
    assert draws[0] != draws[1]


def test_autocast_is_as_it_was() -> None:
    seen = []

    def function(x: Any) -> Any:
        y = x @ x
        seen.append(y.dtype.name)
        return y.float() * x

    pytest.importorskip("ml_dtypes")
    x = tg.ones(3, 3, requires_grad=True)
    for reentrant in (True, False):
        with tg.autocast("cpu"):
            y = checkpoint(function, x, use_reentrant=reentrant)
        y.sum().backward()
    assert seen == ["bfloat16"] * 4


def test_contexts_of_the_first_and_of_the_next_run() -> None:
    entered = []

    @contextmanager
    def noted(name: str) -> Any:
        entered.append(name)
        yield

    y = checkpoint(
        lambda x: x * x,
        leaf(tg, 1.0),
        use_reentrant=False,
        context_fn=lambda: (noted("first"), noted("again")),
    )
    assert entered == ["first"]
    y.backward()
    assert entered == ["first", "again"]
    assert len(noop_context_fn()) == 2


@BOTH
@pytest.mark.parametrize("segments", [1, 2, 3, 5])
def test_sequential(use_reentrant: bool, segments: int) -> None:
    tg.manual_seed(0)
    steps = [tg.nn.Linear(4, 4), tg.nn.Tanh(), tg.nn.Linear(4, 4), tg.nn.Dropout(0.5), tg.nn.ReLU()]
    model = tg.nn.Sequential(*steps)

    def gradients(run: Any) -> list:
        tg.manual_seed(1)
        model.zero_grad()
        x = tg.randn(2, 4, requires_grad=True)
        (run(x) ** 2).sum().backward()
        return [x.grad, *(p.grad for p in model.parameters())]

    expected = gradients(model)
    for given in (model, steps):
        got = gradients(
            lambda x, given=given: checkpoint_sequential(
                given, segments, x, use_reentrant=use_reentrant
            )
        )
        for mine, theirs in zip(got, expected, strict=True):
            np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


# ---------------------------------------------------------------------- memory


def layers(x: Any) -> Any:
    for _ in range(10):
        x = (x * 1.01).tanh()
    return x


def peak(run: Any) -> int:
    x = tg.ones(100_000, requires_grad=True)
    layers(tg.ones(2))
    tracemalloc.start()
    try:
        y = x
        for _ in range(8):
            y = run(layers, y)
        y.sum().backward()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@BOTH
def test_memory_is_that_of_the_inputs_and_of_one_part(use_reentrant: bool) -> None:
    """Of 8 parts with 10 arrays each: 8 + 10 and some, where 80 are kept otherwise."""
    array = 100_000 * 4
    assert peak(plainly) > 80 * array
    assert peak(form(tg, use_reentrant=use_reentrant)) < 30 * array


def test_nested_parts_keep_less_than_the_outer_ones() -> None:
    def part(x: Any) -> Any:
        for _ in range(4):
            x = checkpoint(layers, x, use_reentrant=False)
        return x

    kept: list = []
    x = leaf(tg, 1.0, 2.0)
    with saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        y = checkpoint(part, x, use_reentrant=False)
    assert len(kept) == 1  # the argument
    assert kept[0] is x
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), gradients_of_layers(40), rtol=1e-12)


def gradients_of_layers(count: int) -> np.ndarray:
    x, slope = np.array([1.0, 2.0]), np.ones(2)
    for _ in range(count):
        x = np.tanh(x * 1.01)
        slope = slope * (1 - x * x) * 1.01
    return slope


# ---------------------------------------------------------------------- errors


def unlike(*functions: Any, **options: Any) -> Any:
    """A function that is another one each time."""
    turns = iter(functions)

    def call(x: Any) -> Any:
        y = checkpoint(lambda x: next(turns)(x), x, use_reentrant=False, **options)
        y.sum().backward()

    return call


def change_argument(x: Any) -> Any:
    y = x * 1
    z = checkpoint(lambda t: t.exp() * t, y, use_reentrant=False)
    y.add_(1)
    z.sum().backward()


def ask_for_a_gradient(x: Any) -> Any:
    tg.autograd.grad(checkpoint(lambda t: t * t, x, use_reentrant=True).sum(), x)


def for_inputs(x: Any) -> Any:
    checkpoint(lambda t: t * t, x, use_reentrant=True).sum().backward(inputs=[x])


def without_history(x: Any) -> Any:
    checkpoint(lambda t: t.detach() * 1, x, use_reentrant=True).sum().backward()


ERRORS = {
    "other shapes": (
        unlike(lambda x: x.exp().sum(), lambda x: (x[:1]).exp().sum()),
        CheckpointError,
        r"tensor 0 of the 1 .* was float64 \(2,\) on cpu before and is float64 \(1,\) on cpu now",
    ),
    "fewer": (
        unlike(lambda x: x.exp() * x, lambda x: x * 1),
        CheckpointError,
        r"kept 3 tensors before and 0 now",
    ),
    "fewer, listed": (
        unlike(lambda x: x.exp() * x, lambda x: x * 1, debug=True),
        CheckpointError,
        r"\nbefore: float64 \(2,\) on cpu; .*\nnow: $",
    ),
    "more": (
        unlike(lambda x: x.exp(), lambda x: x.exp().sin() * x, early_stop=False),
        CheckpointError,
        r"keeps more than the 1 tensors",
    ),
    "changed": (change_argument, RuntimeError, r"shape \(2,\) was changed in place by 'add_'"),
    "grad, reentrant": (ask_for_a_gradient, RuntimeError, "pass use_reentrant=False"),
    "inputs, reentrant": (for_inputs, RuntimeError, "pass use_reentrant=False"),
    "no history": (without_history, RuntimeError, "no result of the function requires grad"),
    "keywords, reentrant": (
        lambda x: checkpoint(lambda t, b: t, x, use_reentrant=True, b=1),
        ValueError,
        "unexpected keyword arguments b",
    ),
    "context, reentrant": (
        lambda x: checkpoint(lambda t: t, x, use_reentrant=True, context_fn=lambda: None),
        ValueError,
        "need use_reentrant=False",
    ),
    "determinism_check": (
        lambda x: checkpoint(lambda t: t, x, use_reentrant=False, determinism_check="x"),
        ValueError,
        "determinism_check is 'default' or 'none', got 'x'",
    ),
    "no function": (
        lambda x: checkpoint(3, x, use_reentrant=False),
        TypeError,
        r"\[checkpoint\] a function must be callable, got int",
    ),
    "no flag": (
        lambda x: checkpoint(tg.exp, x, use_reentrant="yes"),
        TypeError,
        "use_reentrant must be True or False, got str",
    ),
    "no functions": (
        lambda x: checkpoint_sequential(3, 1, x, use_reentrant=False),
        TypeError,
        "functions are a Sequential or a list, got int",
    ),
    "segments of a half": (
        lambda x: checkpoint_sequential([tg.exp], 0.5, x, use_reentrant=False),
        TypeError,
        "segments must be an int, got float",
    ),
    "segments": (
        lambda x: checkpoint_sequential([tg.exp], 2, x, use_reentrant=False),
        ValueError,
        "1 functions make 1 to 1 segments, got 2",
    ),
    "sequential keywords": (
        lambda x: checkpoint_sequential([tg.exp], 1, x, use_reentrant=False, early_stop=True),
        ValueError,
        "unexpected keyword arguments early_stop",
    ),
    "the function's own": (
        lambda x: checkpoint(lambda t: 1 / 0, x, use_reentrant=False),
        ZeroDivisionError,
        "division by zero",
    ),
}


@pytest.mark.parametrize(("call", "error", "message"), ERRORS.values(), ids=ERRORS)
def test_errors(call: Any, error: type[Exception], message: str) -> None:
    x = leaf(tg, 1.0, 2.0)
    with pytest.raises(error, match=message):
        call(x)
    assert x.grad is None
    assert type((x * 2).grad_fn) is tg.autograd.graph.Node  # no hooks are left


def test_other_shapes_may_be_allowed() -> None:
    x = leaf(tg, 1.0, 1.0)
    first = iter([True, False])
    y = checkpoint(
        lambda x: (x if next(first) else x.reshape(1, 2)).exp().sum(),
        x,
        use_reentrant=False,
        determinism_check="none",
    )
    with set_checkpoint_debug_enabled(True):
        y.backward()
    np.testing.assert_allclose(x.grad.numpy(), np.e)


def test_a_function_that_depends_on_arguments_changed_later_is_fine_if_it_copies() -> None:
    x = leaf(tg, 1.0)
    y = x * 1
    z = checkpoint(lambda t: t.exp(), y.clone(), use_reentrant=False)
    y.add_(1)
    z.backward()
    assert x.grad.item() == pytest.approx(np.e)


def test_warnings_are_pytorchs() -> None:
    x = leaf(tg, 1.0)
    with pytest.warns(UserWarning, match="pass use_reentrant explicitly"):
        checkpoint(lambda t: t * t, x).backward()
    assert x.grad.item() == 2
    with pytest.warns(UserWarning, match="pass use_reentrant explicitly"):
        checkpoint_sequential([tg.exp], 1, x)
    with pytest.warns(UserWarning, match="no argument requires grad"):
        checkpoint(lambda t: t * x, x.detach(), use_reentrant=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checkpoint(lambda t: t * x, x.detach(), use_reentrant=False).backward()
    assert x.grad.item() == 3
