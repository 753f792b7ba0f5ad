"""Loops for norms, softmax, losses and embeddings do what the plain bodies do, no less exactly: at
every level of instructions, with the same bits on any number of threads and anywhere in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from native_loops import LEVELS, needs_loops, placed, plain, restored  # noqa: F401

import tapegrad as tg
from tapegrad.core import native

pytestmark = [needs_loops, pytest.mark.usefixtures("restored")]

Call = tuple[str, tuple, dict[str, Any]]


def draw(*shape: int, scale: float = 1.0, shift: float = 0.0, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng((sum(shape), seed))
    return (scale * random.standard_normal(shape) + shift).astype("float32")


def wide(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(wide, value))
    is_float = isinstance(value, np.ndarray) and value.dtype.kind == "f"
    return value.astype("float64") if is_float else value


def results(name: str, found: Any) -> list[np.ndarray]:
    if name == "batch_moments":  # the mean in two parts
        centre, spread, rest = found
        return [centre.astype("float64") + rest, spread]
    if name == "bag_maxima":  # of bags that have any
        rows, filled = found
        return [rows[filled], filled]
    parts = found if isinstance(found, tuple) else (found,)
    return [np.asarray(part) for part in parts if part is not None]


# (samples, channels, ...): pixels few and many, none but one, and channels that fill no tile
CHANNELS = [(4, 3, 5, 5), (70, 5, 4), (3, 2, 40, 41), (33, 70), (2, 1, 3000), (1000, 40)]


def channel_calls() -> Iterator[Call]:
    for shape in CHANNELS:
        for shift in (0.0, 300.0):
            x, g, w = draw(*shape, scale=3, shift=shift), draw(*shape, seed=1), draw(shape[1])
            b = draw(shape[1], shift=2)
            yield "batch_moments", (x,), {}
            moments = plain["batch_moments"](x)
            options = {"moments": moments, "eps": 1e-5}
            yield "batch_norm", (x, w, b), options
            yield "batch_norm", (x, None, None), options
            yield "batch_norm_backward", (g, x, w), {**options, "needs": (True, True, True)}
            yield "batch_norm_backward", (g, x, None), {**options, "needs": (False, False, False)}
            yield "scale_channels", (x, b, w, b), {}
            yield "scale_channels", (x, b, w, None), {}
            needs = {"needs": (True, False, True, True)}
            yield "scale_channels_backward", (g, x, b, w), needs


def norm_calls() -> Iterator[Call]:
    for rows, columns in ((1, 1), (9, 3), (501, 64), (30, 384), (9, 5000)):
        x, g, w = draw(rows, columns, shift=2), draw(rows, columns, seed=1), draw(columns)
        for weight in (w, None):
            yield "rms_norm", (x, weight), {"eps": 1e-5}
            rstd = plain["rms_norm"](x, weight, eps=1e-5)[1]
            yield "rms_norm_backward", (g, x, weight, rstd), {"needs": (True, weight is not None)}
    for shape, groups in (((3, 6, 5, 5), 2), ((9, 8, 70), 8), ((64, 12), 4), ((2, 6, 3000), 3)):
        x, g, w = draw(*shape, shift=200), draw(*shape, seed=1), draw(shape[1])
        yield "group_norm", (x, w, w), {"groups": groups, "eps": 1e-5}
        yield "group_norm", (x, w, None), {"groups": groups, "eps": 1e-5}
        _, mean, rstd = plain["group_norm"](x, w, w, groups=groups, eps=1e-5)
        options = {"groups": groups, "needs": (True, True, True)}
        yield "group_norm_backward", (g, x, w, mean, rstd), options


def axis_calls() -> Iterator[Call]:
    for shape, axis in (((5, 7), 0), ((3, 40, 5, 7), 1), ((300, 33), 0), ((2, 3, 1), 1), ((9,), 0)):
        x, g = draw(*shape, scale=4), draw(*shape, seed=1)
        for name in ("softmax", "log_softmax"):
            yield name, (x,), {"axis": axis}
            yield f"{name}_backward", (g, plain[name](x, axis=axis)), {"axis": axis}


def class_calls() -> Iterator[Call]:
    random = np.random.default_rng(0)
    for rows, classes in ((1, 1), (7, 3), (50, 10), (300, 50), (20, 5000)):
        x, weight = draw(rows, classes, scale=3), np.abs(draw(classes)) + np.float32(0.1)
        targets = random.integers(0, classes, rows)
        targets[1::5] = -100
        for w in (weight, None):
            for smoothing in (0.0, 0.1):
                for mean in (True, False):
                    options = {"ignored": -100, "smoothing": smoothing, "mean_": mean}
                    for gradient in (True, False):
                        yield "cross_entropy", (x, targets, w), {**options, "gradient": gradient}
            for reduction in ("mean", "sum", "none"):
                options = {"op": "nll_loss", "ignored": -100, "reduction": reduction}
                yield "nll", (x, targets, w), options
        yield "cross_entropy_backward", (draw(rows), x), {}
        yield "cross_entropy_backward", (np.broadcast_to(np.float32(0.3), (rows,)), x), {}
    x, targets = draw(3, 5, 4, 7), random.integers(0, 5, (3, 4, 7))
    options = {"op": "nll_loss", "ignored": 2}
    for reduction in ("mean", "none"):
        _, factors, total = plain["nll"](x, targets, None, reduction=reduction, **options)
        yield "nll", (x, targets, None), {**options, "reduction": reduction}
        g = draw(3, 4, 7) if reduction == "none" else np.array(0.7, "float32")
        arrays = (g, targets, factors, np.array(total))
        yield "nll_backward", arrays, {"shape": x.shape, "ignored": 2}


def loss_calls() -> Iterator[Call]:
    ends = np.array([0.0, -0.0, 1.0, -1.0, 1e-30, 50.0, -50.0, 120.0, -120.0], "float32")
    for size in (1, 7, 33, 1000, 100_003):
        x, t = np.resize(np.append(draw(size, scale=5), ends), size + 9), draw(size + 9)
        g = draw(size + 9, shift=1)
        for name, number, target in (
            ("squared_distance", 0.0, t),
            ("absolute_distance", 0.0, t),
            ("huber_distance", 0.7, t),
            ("bce_of_two", 0.0, np.abs(t) % 1),
            ("kl_of_logarithms", 0.0, -np.abs(t)),
        ):
            options = {"total": None, "number": number}
            yield name, (x, target), options
            yield f"{name}_backward", (g, x, target), options
            options = {"total": size, "number": number}
            yield name, (g, target), options
            yield f"{name}_backward", (np.array(1.5, "float32"), x, target), options


def embedding_calls() -> Iterator[Call]:
    random = np.random.default_rng(0)
    for rows, columns, count in ((1, 1, 1), (10, 4, 7), (65, 33, 5000), (5000, 20, 300)):
        table, indices = draw(rows, columns), random.integers(0, rows, count)
        bags = np.sort(random.integers(0, count + 1, count))
        yield "embedding", (table, indices), {"skip": None}
        yield "embedding", (table, indices.reshape(1, count, 1)), {"skip": 0}
        for skip in (None, 0):
            options = {"rows": rows, "skip": skip}
            yield "embedding_backward", (draw(count, columns), indices), options
        yield "add_rows", (table, indices, bags), {"rows": count + 2}
        table[::3, 0] = np.nan
        yield "bag_maxima", (table, indices, bags), {"rows": count + 2}


CALLS = [
    *channel_calls(),
    *norm_calls(),
    *axis_calls(),
    *class_calls(),
    *loss_calls(),
    *embedding_calls(),
]


@pytest.mark.parametrize("level", LEVELS)
def test_loops_are_as_exact_as_the_bodies(level: str) -> None:
    """Beside the body in float64, in units in the last place of a result's largest number and of
    what was added up for each: their root of squares."""
    native.compiled.use(level)
    for name, arrays, options in CALLS:
        exact = results(
            name, plain[name](*map(wide, arrays), **{k: wide(v) for k, v in options.items()})
        )
        body = results(name, plain[name](*arrays, **options))

        def declined(*_: Any, **__: Any) -> None:
            raise AssertionError(f"{name} was declined")  # noqa: B023

        kernel = native.compiled.Kernel(name, declined)
        native.compiled.set_num_threads(1)
        mine = results(name, kernel(*arrays, **options))
        assert len(mine) == len(body)
        inputs = [a.astype("float64") for a in arrays if isinstance(a, np.ndarray)]
        squares = max(float(np.nansum(a * a)) for a in inputs if a.dtype.kind == "f")
        largest = max(a.size for a in inputs)
        for a, b, c in zip(mine, body, exact, strict=True):
            assert (a.dtype, a.shape) == (b.dtype, b.shape), name
            np.testing.assert_array_equal(np.isnan(a), np.isnan(c), err_msg=name)
            if a.dtype.kind == "f":
                off, its = (float(np.nanmax(np.abs(y - c), initial=0)) for y in (a, b))
                size = np.nanmax(np.abs(c), initial=0)
                size += np.sqrt(squares / max(a.size, 1)) * (0.5 if a.size < largest else 0.02)
                assert off <= 1.15 * its + 2 * np.finfo("float32").eps * size, name
            else:
                np.testing.assert_array_equal(a, b)
        native.compiled.set_num_threads(3)
        moved = [placed(a, 5) if is_whole(a) else (a, None) for a in arrays]
        again = results(name, kernel(*[a for a, _ in moved], **options))
        for a, b in zip(mine, again, strict=True):
            assert a.tobytes() == b.tobytes(), name
        for a, memory in moved:
            assert memory is None or (memory == -77).sum() >= memory.size - a.size


def is_whole(a: Any) -> bool:
    return isinstance(a, np.ndarray) and a.ndim > 0 and a.flags.c_contiguous


def test_every_loop_for_rows_is_in_the_table() -> None:
    told = {name for name, _, _ in CALLS}
    norms = ("batch_", "group_norm", "layer_norm", "rms_norm", "scale_channels")
    losses = ("absolute_d", "bce_of_two", "cross", "huber", "kl_of", "nll", "squared_distance")
    others = ("add_rows", "bag_", "embedding", "log_softmax", "softmax")
    there = {n for n in native.compiled.names if n.startswith(norms + losses + others)}
    assert there - told == {"layer_norm", "layer_norm_backward"}  # tests/test_native.py has them


def declined_calls() -> Iterator[Call]:
    x, w, half = draw(4, 3, 5), draw(3), draw(4, 3, 5).astype("float16")
    moments = plain["batch_moments"](x)
    batch = {"moments": moments, "eps": 1e-5}
    for bad in (half, x.astype("float64"), x.T, x[:0], x[0, 0], x[:, ::2]):
        yield "batch_moments", (bad,), {}
        yield "batch_norm", (bad, w, w), batch
        yield "scale_channels", (bad, w, w, w), {}
        yield "group_norm", (bad, w, w), {"groups": 1, "eps": 1e-5}
    yield "batch_norm", (x, w[:2], w), batch
    yield "batch_norm", (x, w, w), {**batch, "eps": 1}
    infinite = (moments[0], moments[1] + np.float32(np.inf), moments[2])
    yield "batch_norm", (x, w, w), {**batch, "moments": infinite}
    yield "batch_norm_backward", (x[:2], x, w), {**batch, "needs": (True,) * 3}
    yield "scale_channels", (x, w, None, w), {}
    yield "scale_channels_backward", (x, x, w, w), {"needs": (True, True, True, True)}
    yield "group_norm", (x, w, w), {"groups": 2, "eps": 1e-5}
    yield "group_norm", (x, None, w), {"groups": 1, "eps": 1e-5}
    yield "rms_norm", (x, w), {"eps": 1e-5}
    rows, targets = draw(4, 3), np.array([0, 1, 2, 0])
    entropy = {"ignored": -100, "smoothing": 0.0, "mean_": True, "gradient": True}
    picked = {"op": "nll_loss", "ignored": -100, "reduction": "mean"}
    for name, options in (("cross_entropy", entropy), ("nll", picked)):
        for bad in (
            targets + 1,
            targets - 1,
            targets[:3],
            targets.astype("int32"),
            targets * 0 - 100,
        ):
            yield name, (rows, bad, None), options
        yield name, (rows.astype("float64"), targets, None), options
        yield name, (rows, targets, w[:2]), options
        yield name, (rows, targets, None), {**options, "ignored": 1.0}
    yield "cross_entropy_backward", (w, rows), {}
    options = {"total": None, "number": 0.0}
    yield "squared_distance", (rows, rows[:2]), options
    yield "squared_distance", (rows * np.float32(1e30), rows), {**options, "total": 12}
    yield "squared_distance", (rows, rows), {**options, "number": 0}
    yield "squared_distance_backward", (rows[:2], rows, rows), options
    for bad in (np.array([0, 4]), np.array([-1]), targets.astype("int32"), targets[::2]):
        yield "embedding", (rows, bad), {"skip": None}
        yield "add_rows", (rows, bad, bad * 0), {"rows": 4}
        yield "embedding_backward", (draw(len(bad), 3), bad), {"rows": 4, "skip": None}
        yield "bag_maxima", (rows, bad, bad * 0), {"rows": 4}


def test_what_the_loops_do_not_serve_is_declined() -> None:
    calls: list[Any] = []
    for name, arrays, options in declined_calls():
        kernel = native.compiled.Kernel(name, lambda *a, **k: calls.append((a, k)))
        kernel(*arrays, **options)
        assert len(calls) == 1, name
        assert all(a is b for a, b in zip(calls.pop()[0], arrays, strict=True))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_losses_of_infinities_are_those_of_the_bodies() -> None:
    ends = [np.inf, -np.inf, np.nan, 0.0, -0.0, 1.0, 3e38, -3e38, 1e-42]
    x, t = (np.ascontiguousarray(a.reshape(-1), "float32") for a in np.meshgrid(ends, ends))
    for name in ("squared_distance", "absolute_distance", "huber_distance", "bce_of_two"):
        for end, given in (("", (x, t)), ("_backward", (np.ones_like(x), x, t))):
            options = {"total": None, "number": 0.5}
            mine, body = (
                run[name + end](*given, **options) for run in (tg.device("cpu").ops, plain)
            )
            np.testing.assert_allclose(mine, body, rtol=1e-6, err_msg=name + end)


@pytest.mark.parametrize("shape", [(5, 6), (2, 6, 3), (2, 3, 200)])
def test_what_is_not_finite_stays_where_it_is_at_fixed_statistics(shape: tuple[int, ...]) -> None:
    """(An infinity or a NaN once made the gradient of its whole channel NaN.)"""
    x, g, w = draw(*shape), draw(*shape, seed=1), draw(shape[1])
    x[0, 0], x[1, 1] = np.nan, np.inf
    needs = (True, False, False, False)
    for run in (tg.device("cpu").ops, plain):
        dx = run["scale_channels_backward"](g, x, w, w, needs=needs)[0]
        np.testing.assert_array_equal(dx, g * w.reshape(-1, *[1] * (len(shape) - 2)))
