"""The loops of matrix products do what the plain bodies do, no less exactly: at every level of
instructions, on any number of threads, for any strides and batches."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from native_loops import LEVELS, THREADS, needs_loops, placed, plain, restored  # noqa: F401

import tapegrad as tg
from tapegrad.core import native

pytestmark = [needs_loops, pytest.mark.usefixtures("restored")]

# Rows, columns and depth around the edges of tiles, strips and blocks of every level.
SIZES = (
    *[(m, n, 130) for m in (4, 5, 6, 7, 8, 9, 13, 17, 48, 65) for n in (8, 9, 15, 16, 17, 31, 33)],
    *[(12, n, 40) for n in (47, 48, 49, 63, 65, 96, 97, 131)],
    *[(m, 200, 70) for m in (9, 47, 49, 63, 66, 160, 161, 170)],
    *[(21, 50, k) for k in (7, 8, 64, 65, 383, 384, 385, 769, 1000)],
    *[(m, n, 400) for m, n in ((6, 481), (30, 500), (49, 97), (165, 490), (11, 961))],
)
BATCHES = (
    ((), ()),
    ((3,), (3,)),
    ((2, 3), (2, 3)),
    ((5,), ()),
    ((), (4,)),
    ((2, 1), (1, 3)),
    ((3, 1, 2), (2,)),
)
LAYOUTS = ("rows", "columns", "apart", "backwards", "repeated")


class Declined(Exception):
    pass


def loop(name: str) -> Any:
    """The operation by its loop, which must not decline."""

    def decline(*_: Any) -> None:
        raise Declined

    return native.with_loops(name, decline)


def laid(x: np.ndarray, layout: str) -> np.ndarray:
    """A copy of these matrices that lies in memory in another way; NaN is between the numbers."""
    if layout == "columns":
        return placed(x.swapaxes(-1, -2), 3, np.nan)[0].swapaxes(-1, -2)
    if layout == "apart":
        y = np.full((*x.shape[:-2], 2 * x.shape[-2], 3 * x.shape[-1]), np.nan, x.dtype)
        y = y[..., ::2, ::3]
        y[...] = x
        return y
    if layout == "backwards":
        return x[..., ::-1, ::-1].copy()[..., ::-1, ::-1]
    if layout == "repeated":
        return np.broadcast_to(x[..., :1, :1], x.shape)
    return placed(x, 1, np.nan)[0]


def draw(rng: np.random.Generator, *shape: int, dtype: Any = "f") -> np.ndarray:
    return rng.standard_normal(shape).astype(dtype)


def spread(y: np.ndarray, exact: np.ndarray) -> float:
    return float(np.sqrt(np.mean((y - exact) ** 2)))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_of_all_sizes(level: str, dtype: Any) -> None:
    native.compiled.use(level)
    rng = np.random.default_rng(0)
    errors = []
    for i, (m, n, k) in enumerate(SIZES):
        left, right = LAYOUTS[i % 3], LAYOUTS[i // 3 % 3]
        a = laid(draw(rng, m, k, dtype=dtype), left)
        b = laid(draw(rng, k, n, dtype=dtype), right)
        exact = a.astype(np.longdouble) @ b.astype(np.longdouble)
        y = loop("matmul")(a, b)
        assert (y.dtype, y.shape) == (dtype, (m, n))
        np.testing.assert_allclose(y, exact, rtol=0, atol=64 * np.finfo(dtype).eps * math.sqrt(k))
        errors.append((spread(y, exact), spread(np.matmul(a, b), exact)))
    mine, numpys = np.mean(errors, axis=0)
    assert mine <= 1.2 * numpys  # whose library makes short sums of some columns at the edges


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("left", LAYOUTS)
@pytest.mark.parametrize("right", LAYOUTS)
def test_products_of_matrices_wherever_they_lie(level: str, left: str, right: str) -> None:
    native.compiled.use(level)
    rng = np.random.default_rng(1)
    for m, n, k in ((19, 37, 70), (250, 210, 390), (8, 130, 65), (100, 12, 20)):
        a, b = laid(draw(rng, m, k), left), laid(draw(rng, k, n), right)
        exact = a.astype(float) @ b.astype(float)
        np.testing.assert_allclose(loop("matmul")(a, b), exact, rtol=1e-4, atol=1e-5 * math.sqrt(k))
        bias = draw(rng, n)
        y = loop("linear")(a, b.T, bias)
        np.testing.assert_allclose(y, exact + bias, rtol=1e-4, atol=1e-5 * math.sqrt(k))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("left", "right"), BATCHES)
def test_products_of_batches(level: str, left: tuple[int, ...], right: tuple[int, ...]) -> None:
    native.compiled.use(level)
    rng = np.random.default_rng(2)
    a, b = draw(rng, *left, 9, 18), draw(rng, *right, 18, 35)
    cases = [(a, b), (laid(a, "columns"), laid(b, "columns"))]
    if len(left) > 1:
        cases.append((a.swapaxes(0, 1).copy().swapaxes(0, 1), b))
    for x, y in cases:
        exact = x.astype(float) @ y.astype(float)
        found = loop("matmul")(x, y)
        assert found.shape == exact.shape
        np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("level", LEVELS)
def test_products_have_the_same_bits_on_any_number_of_threads(level: str) -> None:
    native.compiled.use(level)
    rng = np.random.default_rng(3)
    for m, n, k in ((300, 500, 400), (2000, 40, 100), (40, 2000, 100), (130, 130, 1000)):
        a, b, bias = draw(rng, m, k), draw(rng, n, k), draw(rng, n)
        results = []
        for threads in THREADS:
            native.compiled.set_num_threads(threads)
            results.append((loop("matmul")(a, b.T), loop("linear")(a, b, bias)))
        for other in results[1:]:
            for y, first in zip(other, results[0], strict=True):
                np.testing.assert_array_equal(y, first)
    stack = draw(rng, 7, 30, 40)
    one = loop("matmul")(stack, stack.swapaxes(1, 2))
    native.compiled.set_num_threads(1)
    np.testing.assert_array_equal(loop("matmul")(stack, stack.swapaxes(1, 2)), one)
    np.testing.assert_array_equal(loop("matmul")(stack[3], stack[3].T), one[3])


@pytest.mark.parametrize("level", LEVELS)
def test_products_of_numbers_that_are_none(level: str) -> None:
    native.compiled.use(level)
    rng = np.random.default_rng(4)
    a, b = draw(rng, 20, 50), draw(rng, 50, 30)
    a[3, 7], a[5, 2], b[9, 4] = np.nan, np.inf, -np.inf
    b[2, 6] = 0  # meets an infinity
    with np.errstate(invalid="ignore"):
        expected = a @ b
    for x, y in ((a, b), (laid(a, "columns"), laid(b, "columns"))):
        found = loop("matmul")(x, y)
        np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
        np.testing.assert_array_equal(np.isinf(found), np.isinf(expected))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("level", LEVELS)
def test_rows_of_stacks_are_those_of_one_matrix(level: str) -> None:
    native.compiled.use(level)
    rng = np.random.default_rng(5)
    x, weight, bias = draw(rng, 3, 4, 5, 16), draw(rng, 24, 16), draw(rng, 24)
    for given in (bias, None):
        y = loop("linear")(x, weight, given)
        exact = plain["linear"](x.astype(float), weight.astype(float), given)
        assert (y.dtype, y.shape) == (np.float32, (3, 4, 5, 24))
        np.testing.assert_allclose(y, exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "arrays"),
    [
        ("matmul", [(0, 30), (30, 40)]),
        ("matmul", [(20, 0), (0, 40)]),
        ("matmul", [(20, 30), (30, 0)]),
        ("matmul", [(4, 4), (4, 4)]),
        ("matmul", [(1, 300), (300, 40)]),
        ("matmul", [(300, 300), (300, 1)]),
        ("matmul", [(0, 20, 30), (30, 40)]),
        ("linear", [(0, 30), (40, 30), (40,)]),
        ("linear", [(20, 0), (40, 0), (40,)]),
    ],
)
def test_what_is_small_or_empty_is_numpys(name: str, arrays: list[tuple[int, ...]]) -> None:
    rng = np.random.default_rng(6)
    given = [draw(rng, *shape) for shape in arrays]
    with pytest.raises(Declined):
        loop(name)(*given)
    cpu = tg.device("cpu").ops
    np.testing.assert_array_equal(cpu[name](*given), plain[name](*given))


def test_the_tape_reaches_the_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    def decline(*_: Any) -> None:
        raise Declined

    monkeypatch.setattr(np, "matmul", decline)  # which the bodies call
    for shape in ((40, 30), (4, 10, 30)):
        x, weight = tg.randn(*shape).requires_grad_(), tg.randn(50, 30).requires_grad_()
        bias = tg.randn(50).requires_grad_()
        tg.nn.functional.linear(x, weight, bias).sum().backward()
        (x @ weight.T).sum().backward()
    tg.bmm(tg.randn(3, 20, 30), tg.randn(3, 30, 20))


@pytest.mark.parametrize("shape", [(40, 30), (2, 20, 30), (2, 3, 7, 30)])
@pytest.mark.parametrize("with_bias", [False, True])
def test_gradients_of_linear_reach_the_loops(shape: tuple[int, ...], with_bias: bool) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    rng = np.random.default_rng(7)
    arrays = [draw(rng, *shape), draw(rng, 25, 30)] + [draw(rng, 25)] * with_bias
    g = draw(rng, *shape[:-1], 25)
    found = []
    for library, dtype in ((tg, "float32"), (torch, "float64")):
        given = [library.tensor(x, dtype=getattr(library, dtype)) for x in arrays]
        given = [x.requires_grad_() for x in given]
        y = library.nn.functional.linear(*given)
        y.backward(library.tensor(g, dtype=y.dtype))
        found.append([y.detach().numpy(), *(x.grad.numpy() for x in given)])
    for mine, exact in zip(*found, strict=True):
        np.testing.assert_allclose(mine, exact, rtol=1e-4, atol=1e-4)
