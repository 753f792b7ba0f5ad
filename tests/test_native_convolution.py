"""Convolutions and their gradients in the CPU's loops: no less exact than the bodies, at every
level of instructions, on any number of threads, for windows of every kind, within their arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from native_loops import LEVELS, THREADS, needs_loops, placed, plain, restored  # noqa: F401

import tapegrad as tg
from tapegrad.core import native
from tapegrad.ops.conv.sliding_window import Geometry, outputs

pytestmark = [needs_loops, pytest.mark.usefixtures("restored")]

CASES: dict[str, tuple[tuple, tuple, dict[str, Any]]] = {
    "3x3": ((2, 5, 9, 37), (13, 5, 3, 3), {"padding": 1}),
    "rows as long as vectors": ((2, 3, 6, 32), (6, 3, 3, 3), {"padding": 1}),
    "one pixel": ((1, 1, 1, 1), (1, 1, 1, 1), {}),
    "1x1": ((3, 70, 7, 5), (65, 70, 1, 1), {}),
    "1x1, stride 2": ((2, 4, 9, 8), (7, 4, 1, 1), {"stride": 2}),
    "1x1, stride 3, padding": ((2, 4, 9, 8), (9, 4, 1, 1), {"stride": 3, "padding": 1}),
    "stride 2": ((2, 3, 17, 18), (8, 3, 3, 3), {"stride": 2, "padding": 1}),
    "strides 3 and 1": ((2, 3, 17, 18), (8, 3, 2, 5), {"stride": (3, 1), "padding": (0, 2)}),
    "stride beyond the kernel": ((2, 3, 20, 21), (4, 3, 2, 2), {"stride": (5, 4)}),
    "stride beyond the image": ((2, 3, 5, 6), (9, 3, 2, 2), {"stride": 9, "padding": 1}),
    "dilation": ((2, 3, 19, 22), (9, 3, 3, 3), {"dilation": (2, 3), "padding": 2}),
    "stride and dilation": ((2, 3, 19, 22), (9, 3, 3, 4), {"dilation": 3, "stride": 2}),
    "padding beyond the kernel": ((2, 3, 4, 5), (9, 3, 2, 2), {"padding": 4, "stride": 2}),
    "small images": ((9, 20, 4, 4), (70, 20, 3, 3), {"padding": 1}),
    "small odd images": ((11, 9, 7, 7), (33, 9, 3, 3), {"padding": 1}),
    "many terms": ((2, 300, 5, 5), (7, 300, 3, 3), {"padding": 1}),
    "groups": ((2, 12, 10, 11), (21, 4, 3, 3), {"groups": 3, "padding": 1}),
    "depthwise": ((3, 19, 12, 33), (19, 1, 3, 3), {"groups": 19, "padding": 1}),
    "depthwise, stride 2": (
        (3, 5, 13, 12),
        (10, 1, 5, 5),
        {"groups": 5, "padding": 2, "stride": 2},
    ),
    "few filters": ((3, 4, 15, 14), (7, 4, 5, 5), {"padding": 2}),
    "strips": ((1, 40, 90, 70), (9, 40, 3, 3), {"padding": 1}),
    "strips, stride 2": ((1, 40, 91, 71), (9, 40, 3, 3), {"padding": 1, "stride": 2}),
    "strips, few filters": ((1, 40, 90, 70), (3, 40, 3, 3), {"padding": (2, 0)}),
    "1d": ((3, 6, 50), (9, 6, 5), {"padding": 2}),
    "1d, strips": ((1, 40, 5003), (9, 40, 4), {"padding": 2}),
    "1d, strips, stride 3": ((2, 30, 9001), (9, 30, 7), {"stride": 3, "dilation": 2}),
    "1d, few filters": ((2, 30, 9001), (2, 30, 3), {"padding": 1}),
    "3d": ((2, 3, 5, 6, 7), (9, 3, 2, 3, 3), {"padding": (0, 1, 1), "stride": (1, 2, 1)}),
    "3d, one filter": ((2, 3, 5, 6, 7), (1, 3, 3, 3, 3), {"padding": 1, "dilation": (1, 1, 2)}),
    "3d, strips": ((1, 16, 20, 24, 25), (8, 16, 3, 3, 3), {"padding": 1}),
}
# By Winograd's algorithm, where there are as many channels and filters.
WINOGRAD: dict[str, tuple[tuple, tuple, dict[str, Any]]] = {
    "Winograd": ((3, 33, 18, 17), (38, 33, 3, 3), {"padding": 1}),
    "Winograd, small images": ((17, 64, 4, 4), (70, 64, 3, 3), {"padding": 1}),
    "Winograd, 64 terms and more": ((9, 150, 7, 7), (70, 150, 3, 3), {"padding": 1}),
    "Winograd, no padding": ((2, 32, 13, 18), (32, 32, 3, 3), {}),
    "Winograd, paddings": ((2, 32, 9, 21), (32, 32, 3, 3), {"padding": (3, 0)}),
    "Winograd, strips": ((2, 32, 35, 38), (33, 32, 3, 3), {"padding": 1}),
    "Winograd, long rows": ((1, 32, 5, 601), (32, 32, 3, 3), {"padding": 1}),
    "Winograd, groups": ((3, 64, 16, 16), (80, 32, 3, 3), {"padding": 1, "groups": 2}),
}
CASES |= WINOGRAD


def geometry_of(dims: int, options: dict[str, Any]) -> Geometry:
    defaults = {"stride": 1, "padding": 0, "dilation": 1}
    all = [options.get(name, value) for name, value in defaults.items()]
    all = [value if isinstance(value, tuple) else (value,) * dims for value in all]
    return Geometry(*all, options.get("groups", 1))


def calls_of(name: str) -> Iterator[tuple[str, list[np.ndarray], dict[str, Any]]]:
    """The convolution with and without a bias, and its two gradients."""
    size, filters, options = CASES[name]
    geometry = geometry_of(len(size) - 2, options)
    out = outputs(size[2:], filters[2:], geometry)
    random = np.random.default_rng(len(name))
    x, w, b, g = (
        random.standard_normal(shape).astype("float32")
        for shape in (size, filters, filters[:1], (size[0], filters[0], *out))
    )
    yield "convolution", [x, w, b], {"out": out, "geometry": geometry}
    yield "convolution", [x, w, None], {"out": out, "geometry": geometry}
    yield "convolution_input", [g, w], {"size": size[2:], "geometry": geometry}
    yield "convolution_weight", [x, g], {"kernel": filters[2:], "geometry": geometry}


def error(result: np.ndarray, exact: np.ndarray) -> tuple[float, float]:
    """The largest error, and that of the mean square, in units in the last place of the largest
    number."""
    off = (result - exact) / (np.finfo("float32").eps * (np.abs(exact).max() + 1e-30))
    return float(np.abs(off).max()), float(np.sqrt((off**2).mean()))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", CASES)
def test_convolutions_are_as_exact_as_the_bodies(name: str, level: str) -> None:
    """And have the same bits on several threads, and elsewhere in memory. By Winograd's algorithm
    the errors of transforms come on top, which shows in the gradients of inputs: there the bodies
    add up sums of few products."""
    native.compiled.use(level)
    for op, arrays, options in calls_of(name):
        wide = [None if a is None else a.astype("float64") for a in arrays]
        exact = plain[op](*wide, **options)
        body = plain[op](*arrays, **options)
        results = []
        for threads in THREADS:
            native.compiled.set_num_threads(threads)
            kept = [(a, None) if a is None else placed(a, threads, np.nan) for a in arrays]
            results.append(tg.device("cpu").ops[op](*[a for a, _ in kept], **options))
            assert results[-1].tobytes() == results[0].tobytes()
        assert results[0].shape == exact.shape
        assert results[0].dtype == np.float32
        (largest, square), (of_body, square_of_body) = error(results[0], exact), error(body, exact)
        times = 2 if name in WINOGRAD and op == "convolution_input" else 1.3
        # (Half of what is allowed beside is for the machine's BLAS, whose sums the body's are.)
        assert largest <= times * of_body + 2, op
        assert square <= times * square_of_body + 0.05, op  # some results are few numbers


def test_long_sums_keep_their_digits() -> None:
    """Positive numbers, whose sums would lose digits if they were added one by one: 4608 for each
    result, and for each weight 2048."""
    random = np.random.default_rng(0)
    geometry = geometry_of(2, {"padding": 1})
    x, w, g = (
        random.random(shape).astype("float32")
        for shape in ((2, 512, 32, 32), (8, 512, 3, 3), (2, 8, 32, 32))
    )
    for op, arrays, options in (
        ("convolution", (x, w, None), {"out": (32, 32), "geometry": geometry}),
        ("convolution_weight", (x, g), {"kernel": (3, 3), "geometry": geometry}),
    ):
        wide = [None if a is None else a.astype("float64") for a in arrays]
        exact = plain[op](*wide, **options)
        mine = tg.device("cpu").ops[op](*arrays, **options)
        body = plain[op](*arrays, **options)
        # (The body's error is that of the machine's BLAS; with short vectors our sums are longer.)
        assert error(mine, exact)[1] <= 1.3 * error(body, exact)[1] + 0.4


@pytest.mark.parametrize(("channels", "filters"), [(4, 3), (4, 9), (40, 36)])
def test_infinities_and_nan_reach_what_they_do_in_the_bodies(channels: int, filters: int) -> None:
    """Also where rows end: what is no place must not be multiplied. Nor may they reach all results
    of a tile of Winograd's algorithm."""
    geometry = geometry_of(2, {"padding": 1})
    random = np.random.default_rng(0)
    x, w, g = (
        random.standard_normal(shape).astype("float32")
        for shape in ((2, channels, 9, 21), (filters, channels, 3, 3), (2, filters, 9, 21))
    )
    x[0, 1, 0, 20], x[1, 2, 8, 0], x[1, 3, 4, 20] = np.inf, np.nan, -np.inf
    huge = np.full_like(g, 3e38)
    g[0, 1, 0, 20], g[1, 2, 8, 0] = np.inf, -np.inf
    small = np.full_like(w, 1e-4 / filters)
    for op, arrays, options in (
        ("convolution", (x, w, None), {"out": (9, 21), "geometry": geometry}),
        ("convolution_input", (g, w), {"size": (9, 21), "geometry": geometry}),
        ("convolution_input", (huge, small), {"size": (9, 21), "geometry": geometry}),
        ("convolution_weight", (x, huge / 1e9), {"kernel": (3, 3), "geometry": geometry}),
    ):
        mine, body = (run[op](*arrays, **options) for run in (tg.device("cpu").ops, plain))
        np.testing.assert_array_equal(np.isfinite(mine), np.isfinite(body))


def test_convolutions_read_arrays_of_any_layout() -> None:
    for op, arrays, options in calls_of("3x3"):
        expected = tg.device("cpu").ops[op](*arrays, **options)
        strided = [None if a is None else np.asfortranarray(a) for a in arrays[:2]] + arrays[2:]
        np.testing.assert_array_equal(tg.device("cpu").ops[op](*strided, **options), expected)


@pytest.mark.parametrize("dtype", [tg.float16, tg.bfloat16], ids=str)
def test_convolutions_of_16_bit_floats_are_those_of_float32_rounded_once(dtype: Any) -> None:
    """Of whatever computes them: so do the loops, which know no others."""
    for op, arrays, options in calls_of("Winograd"):
        narrow = [None if a is None else tg.tensor(a).to(dtype).numpy() for a in arrays]
        wide = [None if a is None else a.astype("float32") for a in narrow]
        mine = tg.device("cpu").ops[op](*narrow, **options)
        expected = tg.device("cpu").ops[op](*wide, **options).astype(mine.dtype)
        assert mine.dtype == expected.dtype
        assert mine.tobytes() == expected.tobytes()


def test_convolutions_decline_what_they_do_not_serve() -> None:
    calls: list[Any] = []
    for op, arrays, options in calls_of("groups"):
        kernel = native.compiled.Kernel(op, lambda *a, **k: calls.append((a, k)))
        assert kernel(*arrays, **options) is not None
        assert not calls
        a, b, *rest = arrays
        geometry = options["geometry"]
        size = next(name for name in options if name != "geometry")
        for given, told in (
            ((a.astype("float64"), b, *rest), options),
            ((a, b.astype("float16"), *rest), options),
            ((a[0], b, *rest), options),
            ((a[:0], b, *rest), options),
            ((a[:, :5], b, *rest), options),
            ((a, b, *rest, None), options),
            ((a, b, *rest), {**options, "geometry": geometry._replace(groups=5)}),
            ((a, b, *rest), {**options, "geometry": geometry._replace(stride=(0, 1))}),
            ((a, b, *rest), {**options, "geometry": geometry._replace(padding=(1,))}),
            ((a, b, *rest), {**options, "geometry": tuple(geometry)[:3]}),
            ((a, b, *rest), {**options, size: (3,)}),
            ((a, b, *rest), {**options, size: [3, 3]}),
            ((a, b, *rest), {"geometry": geometry}),
            ((a, b, *rest), {size: options[size], "windows": geometry}),
        ):
            kernel(*given, **told)
            assert len(calls) == 1, (op, told)
            calls.clear()
    x, w, b = next(calls_of("groups"))[1]
    options = next(calls_of("groups"))[2]
    kernel = native.compiled.Kernel("convolution", lambda *a, **k: calls.append((a, k)))
    kernel(x, w, b[:3], **options)
    kernel(x, w, b.astype("float64"), **options)
    assert len(calls) == 2
    # The gradient of an input that a single window covers, which would be sums of zeros mostly.
    kernel = native.compiled.Kernel("convolution_input", lambda *a, **k: calls.append((a, k)))
    geometry = geometry_of(2, {})
    kernel(np.ones((5, 9, 1, 1), "float32"), w[:9, :, :3, :3], size=(3, 3), geometry=geometry)
    assert len(calls) == 3
