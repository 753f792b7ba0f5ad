"""Arithmetic, copies and sums by kernels (kernels/elementwise.cu, kernels/sum.cu), of arrays that
lie otherwise than one behind the other: the bodies' numbers, and where results lie."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.core import kernels
from tapegrad.core.devices import PlainOperations
from tapegrad.core.memory import lies_channels_last

EMULATED = tg.device("emulated")
PLAIN = PlainOperations()


def drawn(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(len(shape)).integers(1, 9, shape).astype(dtype)


def images(dtype: Any = np.float32) -> np.ndarray:
    """Channels last."""
    return drawn(2, 4, 5, 3, dtype=dtype).transpose(0, 3, 1, 2)


LAYOUTS = {
    "alike": (drawn(3, 5), drawn(3, 5)),
    "a row": (drawn(3, 5), drawn(5)),
    "both broadcast": (drawn(3, 1, 5), drawn(4, 1)),
    "transposed": (drawn(5, 3).T, drawn(3, 5)),
    "backwards": (drawn(7)[::-1], drawn(7)),
    "every second": (drawn(9, 8)[::2, 1::3], drawn(5, 3)),
    "images": (images(), images()),
    "images and channels": (images(), drawn(3, 1, 1)),
    "images that lie differently": (images(), drawn(2, 3, 4, 5)),
    "0-d": (drawn(), drawn(4)),
    "empty": (drawn(0, 3), drawn(3)),
    "a number": (drawn(3, 5).T, 2.5),
    "of a number": (2.5, images()),
    "of five dimensions": (drawn(2, 1, 3, 1, 2), drawn(1, 2, 1, 3, 1)),
}


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the launchers that are called."""
    names: list[str] = []

    def noting(device: Any, launcher: Any, arguments: tuple) -> Any:
        names.append(launcher.__name__)
        return launcher(*arguments)

    monkeypatch.setattr(kernels, "_instead", noting)
    return names


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_arithmetic_reads_arrays_wherever_they_lie(
    name: str, layout: str, launched: list[str]
) -> None:
    a, b = LAYOUTS[layout]
    y, expected = EMULATED.ops[name](a, b), PLAIN[name](a, b)
    np.testing.assert_array_equal(y, expected)
    assert y.dtype == expected.dtype
    assert lies_channels_last(y) == ("images" in layout or layout == "of a number")
    joined = layout != "of five dimensions"
    assert launched == [f"{name}_float32"] * joined, "without a kernel, or by more than one"


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide"])
def test_a_number_keeps_the_sign_of_zero(name: str) -> None:
    x = np.array([1, -1, 0, -0.0, np.inf, -np.inf], np.float32)
    for a, b in ((x, -0.0), (-0.0, x)):
        with np.errstate(all="ignore"):
            y, expected = EMULATED.ops[name](a, b), PLAIN[name](a, b)
        np.testing.assert_array_equal(y, expected)
        real = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(y)[real], np.signbit(expected)[real])


@pytest.mark.parametrize("layout", ["alike", "a row", "images that lie differently"])
def test_gradients_are_added_in_place(layout: str, launched: list[str]) -> None:
    total, x = (np.copy(v, order="K") for v in LAYOUTS[layout])
    expected = total + x
    assert EMULATED.ops["accumulate"](total, x) is total
    np.testing.assert_array_equal(total, expected)
    assert launched == ["add_float32"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_copies_and_casts_lie_as_the_array_does(layout: str, launched: list[str]) -> None:
    x = next(v for v in LAYOUTS[layout] if hasattr(v, "flags"))
    y = EMULATED.ops["cast"](x, dtype=np.dtype("float16"))
    np.testing.assert_array_equal(y, x.astype(np.float16))
    assert lies_channels_last(y) == lies_channels_last(x)
    z = EMULATED.ops["copy"](x)
    np.testing.assert_array_equal(z, x)
    assert z.flags.c_contiguous
    assert not np.shares_memory(z, x)
    joined = layout != "of five dimensions" or x.flags.c_contiguous
    assert launched == ["cast_to_float16_float32", "cast_to_float32_float32"] * joined


@pytest.mark.parametrize("dtype", ["int64", "float64"])
def test_what_no_kernel_casts_is_left_to_the_library(dtype: str, launched: list[str]) -> None:
    x = drawn(5, dtype=dtype)
    y = EMULATED.ops["cast"](x, dtype=np.dtype("float16"))
    np.testing.assert_array_equal(y, x.astype(np.float16))
    assert launched == []


@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((3, 5), None), ((3, 5), 1), ((3, 5), (-1,)), ((3, 5), (0, 1)), ((2, 3, 4, 5), (0, 2, 3)),
        ((2, 3, 4, 5), (1,)), ((2, 3, 4, 5), (0, 2)), ((0, 3), (0,)), ((3, 0), (0,)), ((), ()),
        ((2, 2, 2, 2, 2, 2), (0, 2, 4)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("order", [lambda x: x, lambda x: x.T, lambda x: x[::-1] if x.ndim else x])
@pytest.mark.parametrize("keepdims", [False, True])
def test_sums_over_any_dimensions(shape: tuple, axis: Any, order: Any, keepdims: bool) -> None:
    x = order(drawn(*shape))
    for name in ("sum", "mean"):
        y = EMULATED.ops[name](x, axis=axis, keepdims=keepdims)
        with np.errstate(invalid="ignore"):
            over = tuple(range(x.ndim)) if axis is None else axis
            count = np.prod([x.shape[i] for i in np.atleast_1d(over).astype(int)])
            expected = x.sum(axis=axis, keepdims=keepdims) / (count if name == "mean" else 1)
        np.testing.assert_allclose(y, expected, rtol=1e-6)
        assert y.shape == np.shape(expected)


def test_a_mean_near_the_end_of_the_range_is_found() -> None:
    x = np.full(1000, 3e38, np.float32)
    mean = EMULATED.ops["mean"](x, axis=(0,), keepdims=False)
    np.testing.assert_allclose(mean, 3e38, rtol=1e-6)
