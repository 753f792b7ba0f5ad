"""The loops for the CPU do what the plain bodies do, no less exactly: at every level of
instructions, on any number of threads, whatever the arrays' sizes and places in memory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from native_loops import LEVELS, THREADS, needs_loops, placed, plain, restored  # noqa: F401

import tapegrad as tg
from tapegrad import _build
from tapegrad._build import building
from tapegrad.core import native
from tapegrad.optim.steps import options_of
from tapegrad.optim.steps.scalars import NUMBERS

pytestmark = [needs_loops, pytest.mark.usefixtures("restored")]

SIZES = (0, 1, 3, 7, 64, 1000, 32_768, 32_769, 100_003)


# ---------------------------------------------------------------------- steps of optimizers

OPTIONS = {
    "lr": 0.1,
    "momentum": 0.9,
    "dampening": 0.3,
    "weight_decay": 0.05,
    "nesterov": False,
    "maximize": False,
    "first_step": False,
    "lambd": 1e-2,
    "eta": 0.1,
    "mu": 0.5,
    "eta_minus": 0.5,
    "eta_plus": 1.2,
    "smallest": 0.2,
    "largest": 0.6,
    "beta1": 0.9,
    "beta2": 0.99,
    "beta3": 0.999,
    "alpha": 0.9,
    "eps": 1e-3,
    "lr_decay": 0.1,
    "rho": 0.9,
    "decoupled_weight_decay": False,
    "step": 9,
    "mu_next": 0.6,
    "mu_product": 0.3,
    "rate": 0.1,
    "part": 0.3,
}
KEPT = {  # which of its states an optimizer keeps; two, where nothing is said
    "sgd_step": ("-", "k"),
    "rmsprop_step": ("k--", "kk-", "k-k", "kkk"),
    "adam_step": ("kk-", "kkk"),
    "asgd_step": ("k",),
    "lion_step": ("k",),
    "adagrad_step": ("k",),
    "ademamix_step": ("kkk",),
}
STEPS = [(name, kept) for name in NUMBERS for kept in KEPT.get(name, ("kk",))]


def step_arrays(kept: str, size: int, dtype: str) -> list[Any]:
    """The parameter, its gradient, and the states."""
    random = np.random.default_rng(size)
    arrays: list[Any] = [random.standard_normal(size).astype(dtype) for _ in range(2)]
    for i, letter in enumerate(kept):  # the last of three may be a mean beside its square's
        state = (0.1 + random.random(size)) / (10 if i == 2 else 1)
        arrays.append(None if letter == "-" else state.astype(dtype))
    return arrays


def run_step(run: Any, name: str, arrays: list[Any], **options: Any) -> list[Any]:
    run(*arrays, **{key: OPTIONS[key] for key in options_of(name)} | options)
    return [a for a in arrays if a is not None]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "kept"), STEPS)
def test_steps_are_those_of_the_bodies(name: str, kept: str, dtype: str, level: str) -> None:
    """No further from the body in float64 than the body is, but for a few roundings."""
    native.compiled.use(level)
    for size in SIZES:
        for threads in THREADS:
            native.compiled.set_num_threads(threads)
            given = step_arrays(kept, size, dtype)
            pairs = [(None, None) if a is None else placed(a, size % 3) for a in given]
            mine = run_step(tg.device("cpu").ops[name], name, [a for a, _ in pairs])
            for array, memory in pairs:
                if array is not None:
                    assert (memory == -77).sum() == memory.size - array.size
            body = run_step(plain[name], name, [None if a is None else a.copy() for a in given])
            wide = [None if a is None else a.astype("float64") for a in given]
            exact = run_step(plain[name], name, wide)
            for a, b, c in zip(mine, body, exact, strict=True):
                scale = np.finfo(dtype).eps * (1 + np.abs(c).max(initial=0))
                assert np.abs(a - c).max(initial=0) <= np.abs(b - c).max(initial=0) + 2 * scale
    np.testing.assert_array_equal(mine[1], given[1])


@pytest.mark.parametrize("name", ["sgd_step", "adam_step", "rprop_step", "lion_step"])
def test_steps_have_the_same_bits_at_every_level(name: str) -> None:
    results = []
    for level in LEVELS:
        native.compiled.use(level)
        arrays = step_arrays(KEPT.get(name, ("kk",))[-1], 40_000, "float32")
        results.append([a.tobytes() for a in run_step(tg.device("cpu").ops[name], name, arrays)])
    assert all(result == results[0] for result in results)


def test_ends_of_the_range_are_those_of_the_bodies() -> None:
    """Where a body makes a parameter NaN, so does the loop. (Not Rprop's, where the body makes NaN
    of infinity times 0.)"""
    ends = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, 3e38, 1e-42], "float32")
    grids = np.meshgrid(ends, ends, [0.0, np.inf, np.nan, 1.0], indexing="ij")
    p, g, state = (np.ascontiguousarray(a.reshape(-1), "float32") for a in grids)
    for name, kept in [step for step in STEPS if step[0] != "rprop_step"]:
        options = {"weight_decay": 0.0} if "weight_decay" in options_of(name) else {}
        mine, body = (
            run_step(run, name, [p.copy(), g.copy(), *states], **options)
            for run in (tg.device("cpu").ops[name], plain[name])
            for states in [[None if letter == "-" else state.copy() for letter in kept]]
        )
        np.testing.assert_array_equal(np.isnan(mine[0]), np.isnan(body[0]), err_msg=name)


def declined(arrays: list[Any]) -> bool:
    added = native.compiled.Steps().add("sgd_momentum_step", (0.5,) * 7, *arrays)
    return added is NotImplemented


def test_arrays_that_the_loops_do_not_serve_are_declined() -> None:
    good = [np.ones(6, "float32") for _ in range(3)]
    assert not declined(good)
    frozen = np.ones(6, "float32")
    frozen.flags.writeable = False
    memory = np.ones(40, np.uint8)
    for bad in (
        np.ones(6),
        np.ones(5, "float32"),
        np.ones(12, "float32")[::2],
        np.ones(6, ">f4"),
        np.ones(6, "float16"),
        memory[1:25].view("float32"),
        good[0],
        [1.0] * 6,
    ):
        assert declined([bad, *good[1:]]) or bad is good[0]
        assert declined([good[0], bad, good[2]])
        assert declined([*good[:2], bad])
    assert declined([frozen, *good[1:]])
    assert not declined([good[0], frozen, good[2]])
    with pytest.raises(TypeError, match="no such step"):
        native.compiled.Steps().add("no_step", (), *good)
    with pytest.raises(TypeError, match="it takes other"):
        native.compiled.Steps().add("sgd_step", (0.5,) * 3, *good)
    with pytest.raises(TypeError, match="number"):
        native.compiled.Steps().add("sgd_step", ("x",) * 3, *good[:2])


@pytest.mark.parametrize("threads", THREADS)
def test_parameters_that_share_memory_are_stepped_one_by_one(threads: int) -> None:
    native.compiled.set_num_threads(threads)
    memory = np.zeros(200_000, "float32")
    table = native.compiled.Steps()
    for start in range(0, 50_000, 1000):
        part = memory[start : start + 150_000]
        table.add("sgd_step", (1.0, -1.0, 0.5), part, np.ones_like(part))
    table.run()
    expected = np.zeros_like(memory)
    for start in range(0, 50_000, 1000):
        part = expected[start : start + 150_000]
        part += 1 + np.float32(-1) * np.float32(0.5) * part * -1 * -1
    np.testing.assert_array_equal(memory, expected)


def test_an_optimizer_steps_many_parameters_of_several_dtypes_at_once() -> None:
    """Among them some that the loops decline; all as each by itself."""
    random = np.random.default_rng(0)
    sizes = [0, 1, 5, 70_000, 33]
    results = []
    for together in (True, False):
        params = [
            tg.tensor(random.standard_normal(size), dtype=dtype).requires_grad_()
            for dtype in ("float32", "float64", "float16")
            for size in sizes
        ]
        random = np.random.default_rng(0)
        groups = [params] if together else [[p] for p in params]
        optimizers = [tg.optim.AdamW(group, lr=0.1) for group in groups]
        for _ in range(3):
            for p in params:
                p.grad = p.detach() * 2
            for optimizer in optimizers:
                optimizer.step()
        results.append([p.detach().numpy().tobytes() for p in params])
    assert results[0] == results[1]


# ---------------------------------------------------------------------- elementwise

# Of two numbers between which lies all that floats may be, the ends of the range among them.
ACTIVATIONS = {
    "relu": {},
    "leaky_relu": {"negative_slope": 0.01},
    "gelu": {},
    "gelu_tanh": {},
    "silu": {},
    "sigmoid": {},
    "elu": {"alpha": 0.7},
    "softplus": {"beta": 1.5, "threshold": 20.0},
    "mish": {},
    "logsigmoid": {},
    "hardsigmoid": {},
    "hardswish": {},
    "softshrink": {"limit": 0.5},
    "exp": {},
    "erf": {},
    "tanh": {},
}
NAMES = [
    f"{name}{end}"
    for name in ACTIVATIONS
    for end in ("", "_backward")
    if native.compiled and name + end in native.compiled.names
]


def every_size() -> np.ndarray:
    """Floats of every order of magnitude, and a fine grid where functions bend."""
    tiny_to_huge = np.geomspace(1e-44, 3e38, 2000)
    ends = [0.0, -0.0, np.inf, -np.inf, np.nan]
    return np.concatenate(
        [
            tiny_to_huge,
            -tiny_to_huge,
            np.linspace(-14, 14, 20_000),
            np.linspace(-120, 120, 2000),
            ends,
        ]
    ).astype("float32")


def activation_arrays(name: str) -> list[np.ndarray]:
    x = every_size()
    if not name.endswith("_backward"):
        return [x]
    saved = plain[name.removesuffix("_backward")](x) if name.startswith(("sigmoid", "tanh")) else x
    return [np.random.default_rng(0).standard_normal(x.size).astype("float32"), saved]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_elementwise_loops_are_as_exact_as_the_bodies(name: str, level: str) -> None:
    """Beside the body in float64, in units in the last place of the larger of result and 1."""
    native.compiled.use(level)
    arrays = activation_arrays(name)
    options = ACTIVATIONS[name.removesuffix("_backward")]
    exact = plain[name](*[a.astype("float64") for a in arrays], **options)
    mine, body = (run[name](*arrays, **options) for run in (tg.device("cpu").ops, plain))
    assert mine.dtype is arrays[0].dtype
    np.testing.assert_array_equal(np.isnan(mine), np.isnan(exact))
    scale = np.maximum(1, np.abs(exact)) * np.finfo("float32").eps

    def worst(result: np.ndarray) -> float:
        off = np.where(result == exact, 0, np.abs(result - exact) / scale)
        return float(np.nanmax(np.where(np.isfinite(off), off, 0)))

    finite = np.isfinite(exact) & (np.abs(exact) < 3.4e38)
    assert np.isfinite(mine[finite]).all()
    assert worst(mine) <= max(1.15 * worst(body) + 0.25, 1)


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("name", NAMES)
def test_elementwise_loops_of_every_size_and_place(name: str, threads: int) -> None:
    """The same bits whatever the size, the place in memory and the number of threads."""
    arrays = activation_arrays(name)
    arrays = [np.resize(a, max(SIZES)) for a in arrays]
    options = ACTIVATIONS[name.removesuffix("_backward")]
    native.compiled.set_num_threads(1)
    whole = tg.device("cpu").ops[name](*arrays, **options)
    native.compiled.set_num_threads(threads)
    for size in SIZES:
        for shift in (0, 1, 3):
            parts = [placed(a[:size], shift) for a in arrays]
            got = tg.device("cpu").ops[name](*[a for a, _ in parts], **options)
            np.testing.assert_array_equal(got, whole[:size])
            assert all((m == -77).sum() >= m.size - size for _, m in parts)


def test_elementwise_loops_decline_what_they_do_not_serve() -> None:
    calls = []
    kernel = native.compiled.Kernel("gelu_backward", lambda *a, **k: calls.append((a, k)))
    good = np.ones((2, 3), "float32")
    assert kernel(good, good).shape == (2, 3)
    assert not calls
    for bad in (
        good.astype("float64"),
        good.astype("float16"),
        good.astype(">f4"),
        np.ones((3, 2), "float32").T,
        np.ones((3, 2), "float32"),
        np.ones(2, "float32"),
        np.ones(25, np.uint8)[1:].view("float32").reshape(2, 3),
        np.float32(1),
        True,
        None,
        good.view(np.recarray),
    ):
        kernel(good, bad)
        kernel(bad, good)
    kernel(good)
    kernel(good, good, good)
    kernel(good, good, alpha=1.0)
    kernel()
    assert len(calls) == 2 * 11 + 4
    slope = native.compiled.Kernel("leaky_relu", lambda *a, **k: calls.append((a, k)))
    assert slope(-good, negative_slope=0.5).tolist() == [[-0.5] * 3] * 2
    slope(good, negative_slope=2**60)
    slope(good, slope=0.5)
    assert calls[-2][1] == {"negative_slope": 2**60}
    assert calls[-1][1] == {"slope": 0.5}
    with pytest.raises(ValueError, match="no loops for no_operation"):
        native.compiled.Kernel("no_operation", len)


def test_what_a_body_raises_comes_through() -> None:
    def plain(x: Any) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        native.compiled.Kernel("erf", plain)(1)


# ---------------------------------------------------------------------- rows

COLUMNS = (1, 2, 3, 31, 32, 33, 100, 4096, 4129, 50_257)


def row_calls(columns: int) -> Iterator[tuple[str, tuple[np.ndarray, ...]]]:
    random = np.random.default_rng(columns)
    shape = (2, max(2, 40_000 // columns), columns)
    x = (4 * random.standard_normal(shape)).astype("float32")
    g = random.standard_normal(shape).astype("float32")
    for name in ("softmax", "log_softmax"):
        yield name, (x,)
        yield f"{name}_backward", (g, plain[name](x, axis=2))


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("level", LEVELS)
def test_loops_over_rows_are_as_exact_as_the_bodies(level: str, columns: int) -> None:
    """Beside the body in float64, in units in the last place of a row's largest number, or of what
    is added up for it; and the same bits in another place in memory, and on several threads."""
    native.compiled.use(level)
    cpu = tg.device("cpu").ops
    for name, arrays in row_calls(columns):
        exact = plain[name](*[a.astype("float64") for a in arrays], axis=2)
        native.compiled.set_num_threads(1)
        mine, body = (run[name](*arrays, axis=2) for run in (cpu, plain))
        size = np.abs(exact).max(2, keepdims=True) + 1e-6
        if len(arrays) == 2:
            p = np.exp(arrays[1]) if name.startswith("log") else arrays[1]
            size += np.abs(arrays[0]).sum(2, keepdims=True) * p.max(2, keepdims=True)
        scale = np.finfo("float32").eps * size
        mine_off, body_off = ((np.abs(y - exact) / scale).max() for y in (mine, body))
        assert mine_off <= 1.15 * body_off + 1
        native.compiled.set_num_threads(3)
        pairs = [placed(a, 5) for a in arrays]
        again = cpu[name](*[a for a, _ in pairs], axis=2)
        assert again.tobytes() == mine.tobytes()
        assert all((memory == -77).sum() >= 64 for _, memory in pairs)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_rows_with_infinities_are_those_of_the_bodies() -> None:
    inf, nan = np.inf, np.nan
    rows = [
        [1.0, -inf],
        [-inf, -inf],
        [inf, 1.0],
        [inf, inf],
        [nan, 1.0],
        [3e38, -3e38],
        [-inf, 0.0],
    ]
    for width in (2, 70):
        x = np.resize(np.array(rows, "float32"), (width // 2, 7, 2)).transpose(1, 0, 2)
        x = np.ascontiguousarray(x.reshape(7, width))
        for name in ("softmax", "log_softmax"):
            mine, body = (run[name](x, axis=1) for run in (tg.device("cpu").ops, plain))
            np.testing.assert_allclose(mine, body, rtol=1e-6)
            g = np.ones_like(x)
            for run in (mine, body):
                run[np.isnan(run)] = 0
            name = f"{name}_backward"
            mine, body = (run[name](g, body, axis=1) for run in (tg.device("cpu").ops, plain))
            np.testing.assert_allclose(mine, body, rtol=1e-5, atol=1e-6)


def test_loops_over_rows_decline_what_they_do_not_serve() -> None:
    calls = []
    kernel = native.compiled.Kernel("softmax", lambda *a, **k: calls.append((a, k)))
    good = np.ones((2, 3), "float32")
    assert kernel(good, axis=1).shape == (2, 3)
    assert not calls
    for array, axis in (
        (good, 2),
        (good, -1),
        (good, 1.0),
        (good, 2**70),
        (good[:0], 1),
        (good[:, :0], 1),
        (np.array(1, "float32"), 0),
        (good.astype("float64"), 1),
        (good.T, 1),
    ):
        kernel(array, axis=axis)
    kernel(good, dim=1)
    kernel(good)
    assert len(calls) == 11


# ---------------------------------------------------------------------- layer norm


def norm_arrays(rows: int, columns: int, shift: float) -> dict[str, np.ndarray]:
    random = np.random.default_rng(columns)
    x = 3 * random.standard_normal((rows, columns)) + shift
    made = {"x": x, "g": random.standard_normal((rows, columns))}
    made |= {name: random.standard_normal(columns) for name in ("weight", "bias")}
    return {name: array.astype("float32") for name, array in made.items()}


def norm_results(run: Any, a: dict[str, Any], saved: Any = None) -> list[np.ndarray]:
    """y, mean and rstd; dx, dweight and dbias."""
    found = run["layer_norm"](a["x"], a["weight"], a["bias"], eps=1e-5)
    _, mean, rstd = found if saved is None else saved
    back = run["layer_norm_backward"](
        a["g"], a["x"], a["weight"], mean, rstd, needs=(True, True, True)
    )
    return [*found, *back]


@pytest.mark.parametrize(
    ("rows", "columns", "shift"),
    [(1, 1, 0.0), (9000, 3, 0.0), (501, 64, 5.0), (300, 384, 1000.0), (20, 5000, 3.0)],
)
@pytest.mark.parametrize("level", LEVELS)
def test_layer_norm_is_as_exact_as_the_body(
    level: str, rows: int, columns: int, shift: float
) -> None:
    native.compiled.use(level)
    cpu = tg.device("cpu").ops
    arrays = norm_arrays(rows, columns, shift)
    exact = norm_results(plain, {name: a.astype("float64") for name, a in arrays.items()})
    saved = plain["layer_norm"](arrays["x"], arrays["weight"], arrays["bias"], eps=1e-5)
    native.compiled.set_num_threads(1)
    mine, body = (norm_results(run, arrays, saved) for run in (cpu, plain))
    for a, b, c in zip(mine, body, exact, strict=True):
        assert a.dtype == np.float32
        scale = np.finfo("float32").eps * (np.abs(c).max() + 1e-30)
        assert np.abs(a - c).max() <= 1.15 * np.abs(b - c).max() + scale
    native.compiled.set_num_threads(3)
    moved = {name: placed(a, 3)[0] for name, a in arrays.items()}
    again = norm_results(cpu, moved, saved)
    assert [a.tobytes() for a in again] == [a.tobytes() for a in mine]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_layer_norm_at_the_ends_of_the_range() -> None:
    """In double, where squares of floats have no digits."""
    cpu = tg.device("cpu").ops
    for scale in (1e-37, 1e-20, 1e18, 1e30, 1e37):
        arrays = norm_arrays(40, 70, 0.0)
        arrays["x"] *= np.float32(scale)
        wide = {name: a.astype("float64") for name, a in arrays.items()}
        for eps in (1e-12, 1e-5):
            mine, exact = (
                run["layer_norm"](a["x"], a["weight"], a["bias"], eps=eps)
                for run, a in ((cpu, arrays), (plain, wide))
            )
            np.testing.assert_allclose(mine[0], exact[0], rtol=1e-5, atol=1e-5)
    nan = np.array([[np.inf, 1.0], [np.nan, 1.0], [1.0, 2.0]], "float32")
    y, mean, rstd = cpu["layer_norm"](nan, None, None, eps=1e-5)
    assert np.isnan(y[:2]).all()
    assert np.isfinite([*y[2], mean[2], rstd[2]]).all()


def test_layer_norm_without_weight_or_bias_and_what_is_declined() -> None:
    calls: list[Any] = []
    kernel, back = (
        native.compiled.Kernel(name, lambda *a, **k: calls.append((a, k)))
        for name in ("layer_norm", "layer_norm_backward")
    )
    a = norm_arrays(4, 6, 0.0)
    x, w = a["x"], a["weight"]
    expected = plain["layer_norm"](x, None, None, eps=1e-5)
    for mine, body in zip(kernel(x, None, None, eps=1e-5), expected, strict=True):
        np.testing.assert_allclose(mine, body, rtol=1e-5, atol=1e-6)
    dx, dweight, dbias = back(x, x, None, *expected[1:], needs=(True, False, True))
    assert dx.shape == (4, 6)
    assert dweight is None
    np.testing.assert_allclose(dbias, x.sum(0), rtol=1e-5)
    assert not calls
    for given, options in (
        ((x, w[:5], None), {"eps": 1e-5}),
        ((x, w.astype("float64"), None), {"eps": 1e-5}),
        ((x[:, :0], None, None), {"eps": 1e-5}),
        ((x[0], None, None), {"eps": 1e-5}),
        ((x.T, None, None), {"eps": 1e-5}),
        ((x, w, None), {"eps": 1}),
        ((x, w), {"eps": 1e-5}),
        ((x, w, None), {}),
    ):
        kernel(*given, **options)
        assert calls.pop() == (given, options)
    for given, needs in (
        ((x, x, w, None, None), (True,) * 3),
        ((x[:3], x, w, *expected[1:]), (True,) * 3),
        ((x, x, w, expected[1], expected[2][:3]), (True,) * 3),
        ((x, x, w, *expected[1:]), (True,) * 2),
        ((x, x, w, *expected[1:]), [True] * 3),
    ):
        back(*given, needs=needs)
        assert calls.pop() == (given, {"needs": needs})


# ---------------------------------------------------------------------- attention

ATTENTIONS = (  # batch, heads, queries, keys, inner, outer
    (1, 1, 1, 1, 1, 1),
    (2, 3, 5, 7, 3, 9),
    (1, 2, 33, 31, 17, 16),
    (1, 2, 100, 130, 40, 40),
    (2, 2, 300, 257, 64, 64),
    (1, 1, 40, 1100, 8, 33),
)


def attention_arrays(sizes: tuple[int, ...], mask: str) -> dict[str, Any]:
    b, h, l, s, e, o = sizes
    random = np.random.default_rng(l)
    shapes = {"g": (l, o), "q": (l, e), "k": (s, e), "v": (s, o)}
    made: dict[str, Any] = {
        name: (2 * random.standard_normal((b, h, *shape))).astype("float32")
        for name, shape in shapes.items()
    }
    some = random.random((h, 1, s)) < 0.7
    if mask == "added":
        made["mask"] = np.where(some, random.standard_normal((h, 1, s)), -np.inf).astype("float32")
    else:  # of which the first query sees nothing
        made["mask"] = some & (np.arange(l)[:, None] > 0) if mask == "bools" else None
    return made


def attention_results(run: Any, a: dict[str, Any], causal: bool) -> list[np.ndarray]:
    options = {"scale": 0.3, "causal": causal}
    given = a["q"], a["k"], a["v"], a["mask"]
    y, *kept = run["attention"](*given, **options)
    back = run["attention_backward"](
        a["g"], *given, *kept, **options, needs=(True, True, True, False)
    )
    assert back[3] is None
    return [y, *back[:3]]


@pytest.mark.parametrize("sizes", ATTENTIONS)
@pytest.mark.parametrize("mask", ["none", "causal", "added", "bools"])
@pytest.mark.parametrize("level", LEVELS)
def test_attention_is_as_exact_as_the_body(level: str, mask: str, sizes: tuple[int, ...]) -> None:
    """And has the same bits of heads beside each other in memory, on several threads."""
    native.compiled.use(level)
    cpu, causal = tg.device("cpu").ops, mask == "causal"
    arrays = attention_arrays(sizes, mask)
    wide = {
        name: a if a is None or a.dtype == bool else a.astype("float64")
        for name, a in arrays.items()
    }
    native.compiled.set_num_threads(1)
    exact, mine, body = (
        attention_results(run, a, causal)
        for run, a in ((plain, wide), (cpu, arrays), (plain, arrays))
    )
    for a, b, c in zip(mine, body, exact, strict=True):
        assert a.dtype == np.float32
        eps = np.finfo("float32").eps
        assert np.sqrt(np.mean((a - c) ** 2)) <= (
            1.15 * np.sqrt(np.mean((b - c) ** 2)) + eps * np.abs(c).max()
        )
        assert np.abs(a - c).max() <= 2 * np.abs(b - c).max() + 2 * eps * np.abs(c).max()
    native.compiled.set_num_threads(3)
    for name in "gqkv":
        beside = np.ascontiguousarray(arrays[name].swapaxes(1, 2))
        arrays[name] = placed(beside, 3)[0].swapaxes(1, 2)
    again = attention_results(cpu, arrays, causal)
    assert [a.tobytes() for a in again] == [a.tobytes() for a in mine]
    assert again[1].swapaxes(1, 2).flags.c_contiguous


def test_attention_of_numbers_that_are_none() -> None:
    """What is no number comes out where it went in."""
    arrays = attention_arrays((1, 2, 40, 40, 16, 16), "none")
    arrays["q"][0, 0, 3] = np.nan
    arrays["v"][0, 1, 5, 2] = np.nan
    y = attention_results(tg.device("cpu").ops, arrays, False)[0]
    expected = np.zeros(y.shape, bool)
    expected[0, 0, 3] = expected[0, 1, :, 2] = True
    np.testing.assert_array_equal(np.isnan(y), expected)


def test_attention_declines_what_the_loops_do_not_serve() -> None:
    calls: list[Any] = []
    forward, back = (
        native.compiled.Kernel(name, lambda *a, **k: calls.append((a, k)))
        for name in ("attention", "attention_backward")
    )
    a = attention_arrays((2, 2, 4, 5, 3, 3), "added")
    q, k, v, mask, g = (a[name] for name in ("q", "k", "v", "mask", "g"))
    options = {"scale": 0.5, "causal": False}
    y, weights, ends = forward(q, k, v, mask, **options)
    assert weights is None
    needs = (True, True, True, False)
    assert len(back(g, q, k, v, mask, None, ends, **options, needs=needs)) == 4
    assert not calls
    swapped = ">f4"
    for given in (
        (q.astype("float64"), k, v, None),
        (q, k.astype(swapped), v, None),
        (q, k, v.astype("float16"), None),
        (q[0], k, v, None),
        (q[:1], k, v, None),
        (q[..., :2], k, v, None),
        (q, k[:, :, :4], v, None),
        (q[:, :, :0], k, v, None),
        (q, k[:, :, :0], v[:, :, :0], None),
        (q[..., :0], k[..., :0], v, None),
        (q, k, v, mask.astype("float64")),
        (q, k, v, mask[..., :4]),
        (q, k, v, mask[None, None]),
        (q, k, v, 1.0),
        (q[0, 0, 0], k[0, 0, 0], v[0, 0, 0], None),
        (q[None], k[None], v[None], None),
        (q, k, v),
        (q, k, v, None, None),
    ):
        forward(*given, **options)
        assert calls.pop() == (given, options)
    for named in ({"scale": 1, "causal": False}, {"scale": 0.5}, {**options, "p": 0.0}, {}):
        forward(q, k, v, None, **named)
        assert calls.pop()[1] == named
    for given in (
        (g.astype("float64"), q, k, v, mask, None, ends),
        (g[:1], q, k, v, mask, None, ends),
        (g, q, k, v, mask, y, ends),
        (g, q, k, v, mask, None, None),
        (g, q, k, v, mask, None, ends[:, :5]),
        (g, q, k, v, mask, None, ends[:1]),
        (g, q, k, v, mask, None),
    ):
        back(*given, **options, needs=needs)
        assert calls.pop()[0] == given
    for wanted in ((True,) * 4, (True,) * 3, [True, True, True, False]):
        back(g, q, k, v, mask, None, ends, **options, needs=wanted)
        assert calls.pop()[1]["needs"] == wanted


def test_attention_keeps_no_scores_and_copies_no_heads() -> None:
    """Of heads that were split off, result and gradients lie in memory as they do."""
    lib = tg.nn.functional
    x = tg.randn(2, 300, 3 * 4 * 8).requires_grad_()
    q, k, v = (part.view(2, 300, 4, 8).transpose(1, 2) for part in x.split(4 * 8, dim=2))
    y = lib.scaled_dot_product_attention(q, k, v, is_causal=True)
    assert y.transpose(1, 2).is_contiguous()
    saved = [a for a in y._node.saved if isinstance(a, np.ndarray)]
    assert sum(a.size for a in saved) < 4 * x.numel()
    y.square().sum().backward()
    native_grad = x.grad.numpy().copy()
    q, k, v = (part.view(2, 300, 4, 8).transpose(1, 2) for part in x.double().split(4 * 8, dim=2))
    x.grad = None
    lib.scaled_dot_product_attention(q, k, v, is_causal=True).square().sum().backward()
    np.testing.assert_allclose(native_grad, x.grad.numpy(), rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------------- recurrences

# Rows of each step, features and hidden units.
RECURRENCES = (
    ((1,), 1, 1),
    ((3, 3, 2, 1, 1), 4, 5),
    ((70,) * 3, 3, 33),
    ((35, 35, 20, 2), 7, 100),
    ((8,) * 40, 16, 64),
)


def layer_arrays(kind: str, sizes: tuple[int, ...], features: int, hidden: int) -> dict[str, Any]:
    gates, random = 4 if kind == "lstm" else 3, np.random.default_rng(hidden)
    shapes = {"x": (sum(sizes), features), "h": (sizes[0], hidden)}
    shapes |= {"c": (sizes[0], hidden)} if kind == "lstm" else {}
    shapes |= {"w_ih": (gates * hidden, features), "w_hh": (gates * hidden, hidden)}
    shapes |= {"b_ih": (gates * hidden,), "b_hh": (gates * hidden,)}
    made = {
        name: (random.standard_normal(shape) / np.sqrt(shape[-1])).astype("float32")
        for name, shape in shapes.items()
    }
    made["g"] = random.standard_normal((sum(sizes), hidden)).astype("float32")
    return made


def layer_results(kind: str, run: Any, a: dict[str, Any], **options: Any) -> list[np.ndarray]:
    inputs = [a[name] for name in a if name != "g"] + ([None] if kind == "lstm" else [])
    results, *kept = run[f"{kind}_layer"](*inputs, **options)
    weights = [a["w_ih"], a["w_hh"]] + ([None] if kind == "lstm" else [])
    back = run[f"{kind}_layer_backward"](
        [a["g"], *results[1:]],
        *inputs[: 3 if kind == "lstm" else 2],
        *weights,
        *kept,
        **options,
        needs=(True,) * len(inputs),
    )
    return [*results, *(d for d in back if d is not None)]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("sizes", "features", "hidden"), RECURRENCES)
@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize("level", LEVELS)
def test_recurrences_are_as_exact_as_the_bodies(
    level: str, kind: str, sizes: tuple[int, ...], features: int, hidden: int, reverse: bool
) -> None:
    """Results, and the gradients of all inputs; the same bits on several threads."""
    native.compiled.use(level)
    cpu, options = tg.device("cpu").ops, {"batch_sizes": sizes, "reverse": reverse}
    arrays = layer_arrays(kind, sizes, features, hidden)
    wide = {name: a.astype("float64") for name, a in arrays.items()}
    native.compiled.set_num_threads(1)
    exact, mine, body = (
        layer_results(kind, run, a, **options)
        for run, a in ((plain, wide), (cpu, arrays), (plain, arrays))
    )
    assert len(mine) == (10 if kind == "lstm" else 8)
    for a, b, c in zip(mine, body, exact, strict=True):
        assert a.dtype == np.float32
        unit = np.finfo("float32").eps * np.abs(c).max() * (4 if c.size < 30 else 1)
        assert np.sqrt(np.mean((a - c) ** 2)) <= 1.15 * np.sqrt(np.mean((b - c) ** 2)) + unit
        assert np.abs(a - c).max() <= 2 * np.abs(b - c).max() + 2 * unit
    native.compiled.set_num_threads(3)
    again = layer_results(kind, cpu, arrays, **options)
    assert [a.tobytes() for a in again] == [a.tobytes() for a in mine]


@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_recurrences_decline_what_they_do_not_serve(kind: str) -> None:
    calls: list[Any] = []
    kernel = native.compiled.Kernel(f"{kind}_steps", lambda *a, **k: calls.append((a, k)))
    gates = 4 if kind == "lstm" else 3
    options = {"batch_sizes": (3, 2), "reverse": False}

    def arrays(dtype: str = "float32", hidden: int = 6) -> list[Any]:
        def made(rows: int, width: int = 1) -> np.ndarray:
            return np.zeros((rows, width * hidden), dtype)

        states = [made(3) for _ in range(gates - 2)]
        kept = [made(5) for _ in range(4 if kind == "lstm" else 3)]
        return [made(5, gates), made(gates * hidden), None, *states, *kept]

    assert kernel(*arrays(), **options) is None
    assert not calls
    for i in range(len(arrays())):
        for bad in (arrays("float64")[i], arrays(hidden=5)[i], 1.0):
            given = arrays()
            given[i] = np.zeros((2, 2), "float32") if bad is None else bad
            kernel(*given, **options)
            assert calls.pop()[0][i] is given[i]
    for sizes in ((3, 3), (3, 1), (4, 1), (3, 2, 0), [3, 2], (3.0, 2), (), (2**70,)):
        kernel(*arrays(), batch_sizes=sizes, reverse=False)
        assert calls.pop()[1]["batch_sizes"] is sizes
    kernel(*arrays(), batch_sizes=(3, 2), reverse=0)
    kernel(*arrays(), batch_sizes=(3, 2))
    kernel(*arrays()[:-1], **options)
    kernel(*arrays(hidden=0), **options)
    assert len(calls) == 4


# ---------------------------------------------------------------------- random numbers


def random_calls(n: int) -> Iterator[tuple[str, tuple, dict[str, Any]]]:
    call = {"seed": 2**63 + 12345, "offset": 7 + 2**33}
    yield "philox", (), {"n": n, **call}
    yield "philox", (), {"n": n, "start": 4 * (2**31 - 3), **call}
    for span in (1, 10, 2**20, 3**39, 2**63):
        yield "integers_below", (), {"n": n, "span": span, **call}
    x = np.random.default_rng(0).standard_normal(n)
    for dtype in map(np.dtype, ("float32", "float64")):
        yield "uniform", (), {"n": n, "dtype": dtype, **call}
        yield "normal", (), {"n": n, "dtype": dtype, **call}
        yield "dropout", (x.astype(dtype),), {"p": 0.3, **call}


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("level", LEVELS)
def test_random_numbers_have_the_bits_of_the_bodies(level: str, threads: int) -> None:
    native.compiled.use(level)
    native.compiled.set_num_threads(threads)
    for size in (0, 1, 3, 4, 5, 255, 256, 257, 100_003):
        for name, arrays, options in random_calls(size):
            got, expected = (run[name](*arrays, **options) for run in (tg.device("cpu").ops, plain))
            if name == "dropout":
                assert got[1] is None
                got, expected = got[0], expected[0]
            assert got.dtype == expected.dtype
            assert got.shape == expected.shape
            assert got.tobytes() == expected.tobytes(), (name, size)


def test_random_loops_decline_what_they_do_not_serve() -> None:
    calls: list[Any] = []
    call = {"seed": 1, "offset": 2}
    good = np.ones(5, "float32")
    for name, arrays, options in (
        ("philox", (), {"n": 5, "start": 2, **call}),
        ("philox", (), {"n": -5, **call}),
        ("philox", (), {"n": 2**62, **call}),
        ("philox", (), {"n": 5, "seed": 2**64, "offset": 0}),
        ("philox", (), {"n": 5, "seed": 1}),
        ("philox", (5,), call),
        ("integers_below", (), {"n": 5, "span": 0, **call}),
        ("integers_below", (), {"n": 5, "span": 2**63 + 1, **call}),
        ("integers_below", (), {"n": 5, **call}),
        ("uniform", (), {"n": 5, **call}),
        ("uniform", (), {"n": 5, "dtype": np.dtype("float16"), **call}),
        ("normal", (), {"n": 5, "dtype": "float32", **call}),
        ("normal", (), {"n": 5, "dtype": np.dtype("float32"), "mean": 0.0, **call}),
        ("dropout", (good,), {"p": 1.0, **call}),
        ("dropout", (good,), {"p": 1, **call}),
        ("dropout", (good.astype("float16"),), {"p": 0.5, **call}),
        ("dropout", (good[::2],), {"p": 0.5, **call}),
        ("dropout", (good,), call),
        ("dropout", (), {"p": 0.5, **call}),
    ):
        native.compiled.Kernel(name, lambda *a, **k: calls.append((a, k)))(*arrays, **options)
        assert calls.pop() == (arrays, options)


# ---------------------------------------------------------------------- threads and settings

AFTER_FORK = """
import os, sys
import numpy as np
import tapegrad as tg
from tapegrad.core import native

native.compiled.set_num_threads(3)

def steps():
    p = tg.ones(500_000).requires_grad_()
    optimizer = tg.optim.AdamW([p])
    for _ in range(20):
        p.grad = p.detach() * 2
        optimizer.step()
    return p.sum().item()

before = steps()
for _ in range(3):
    child = os.fork()
    if child == 0:
        os._exit(0 if steps() == before else 1)
    assert os.waitpid(child, 0)[1] == 0
assert steps() == before
print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_threads_start_again_after_a_fork() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", AFTER_FORK],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout == "done\n", done.stderr


class Attended(tg.utils.data.Dataset):
    """Items that loops on several threads have made."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, i: int) -> Any:
        q = tg.tensor(np.random.default_rng(i).standard_normal((8, 300, 16))).float()
        return tg.nn.functional.scaled_dot_product_attention(q, q, q)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_workers_compute_what_the_process_does_that_they_were_forked_from() -> None:
    native.compiled.set_num_threads(3)
    here = tg.stack([Attended()[i] for i in range(4)])
    loader = tg.utils.data.DataLoader(Attended(), 2, num_workers=2, multiprocessing_context="fork")
    there = tg.cat(list(loader))
    assert there.numpy().tobytes() == here.numpy().tobytes()


def test_python_threads_may_step_at_the_same_time() -> None:
    native.compiled.set_num_threads(3)

    def steps(seed: int) -> bytes:
        p = tg.tensor(np.random.default_rng(seed).standard_normal(200_000)).requires_grad_()
        optimizer = tg.optim.SGD([p], lr=0.1, momentum=0.9)
        for _ in range(30):
            p.grad = p.detach() * 2
            optimizer.step()
        return p.detach().numpy().tobytes()

    alone = [steps(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as executor:
        assert list(executor.map(steps, range(4))) == alone


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"TAPEGRAD_NATIVE": "off"}, "None not used: TAPEGRAD_NATIVE=off"),
        ({"TAPEGRAD_NATIVE_ISA": LEVELS[0] if LEVELS else ""}, f"1 compiled, in use: {LEVELS[:1]}"),
        ({"TAPEGRAD_NATIVE_ISA": "v9"}, "None not used: no loops for v9 (TAPEGRAD_NATIVE_ISA)"),
        ({"OMP_NUM_THREADS": "5,2"}, "5 compiled"),
    ],
)
def test_environment(variables: dict[str, str], expected: str) -> None:
    program = (
        "from tapegrad.core import native\n"
        "threads = native.compiled and native.compiled.get_num_threads()\n"
        "print(threads, native.status)"
    )
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "TAPEGRAD_NATIVE_ISA": "", **variables}
    run = [sys.executable, "-W", "ignore", "-c", program]
    said = subprocess.check_output(run, env=environ, text=True)
    assert said.startswith(expected.replace("['", "").replace("']", ""))


def test_no_function_of_one_level_is_linked_for_another() -> None:
    """Of an inline function that several files have, the linker takes any: one with instructions
    that a processor lacks would end the process there."""
    if shutil.which("nm") is None or (cxx := _build.find_cxx()) is None:
        pytest.skip("needs nm and a C++ compiler")
    known = f"-DTAPEGRAD_LEVEL={LEVELS[-1]}"
    units = [u for u in _build.plan_native(cxx, _build.source_root()).units if known in u.command]
    objects = [_build.objects_folder() / f"{unit.source.stem}-{unit.key}.o" for unit in units]
    with ThreadPoolExecutor(_build.cores()) as executor:
        list(executor.map(building._compile, units, objects))
    assert objects
    said = subprocess.check_output(["nm", "-C", "--defined-only", *map(str, objects)], text=True)
    symbols = [line.split(maxsplit=2) for line in said.splitlines() if line.count(" ") >= 2]
    assert [name for _, kind, name in symbols if kind in "WVu"] == []


def test_number_of_threads_follows_set_num_threads() -> None:
    pytest.importorskip("threadpoolctl")
    before = tg.get_num_threads()
    try:
        tg.set_num_threads(2)
        assert native.compiled.get_num_threads() == 2
    finally:
        tg.set_num_threads(before)
    for bad in (0, 2000):
        with pytest.raises(ValueError, match="threads must be 1 to 1024"):
            native.compiled.set_num_threads(bad)
