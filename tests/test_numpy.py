"""NumPy's and SciPy's functions of tensors."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

# Functions of arrays, of tensors that require no grad.
FUNCTIONS: list[Callable[[Any], Any]] = [
    np.sin, np.sqrt, np.isnan, np.square, np.logical_not, lambda x: np.add(x, 1),
    lambda x: np.add(np.ones(2), x), lambda x: np.multiply(x, x), np.modf, np.argsort, np.clip,
    lambda x: np.maximum.reduce(x), lambda x: np.concatenate([x, x]),
    lambda x: np.where(x > 1, x, 0), lambda x: np.interp(x, [0, 3], [0, 6]), np.linalg.norm,
    lambda x: np.dot(x, x), np.cumsum, lambda x: np.histogram(x)[0], lambda x: np.fft.rfft(x),
    np.asarray, lambda x: np.add.outer(x, x), lambda x: np.array(x, dtype=np.float64),
    np.atleast_2d, np.sum, np.max, np.round,
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "int32"])
@pytest.mark.parametrize("number", range(len(FUNCTIONS)))
def test_numpys_functions_take_tensors(number: int, dtype: str) -> None:
    """(U05)"""
    function = FUNCTIONS[number]
    if function is np.clip:
        function = lambda x: np.clip(x, 1, 2)  # noqa: E731
    values = np.array([1, 3, 2], dtype=dtype)[:2]
    expected = function(values)
    got = function(tg.tensor(values))
    for g, e in zip(*((r if isinstance(r, tuple) else (r,)) for r in (got, expected)), strict=True):
        np.testing.assert_allclose(np.asarray(g), e, rtol=1e-3)
        if isinstance(g, tg.Tensor) and number < 9:
            assert g.dtype == np.asarray(e).dtype


def test_results_of_ufuncs_are_tensors_on_the_tensors_device() -> None:
    """(U05)"""
    for device in ("cpu", "emulated"):
        x = tg.tensor([1.0, 2.0], device=device)
        assert isinstance(np.sin(x), tg.Tensor)
        assert np.sin(x).device == x.device
    assert np.sin(tg.tensor(1.0)).shape == ()
    special = pytest.importorskip("scipy.special")
    assert isinstance(special.expit(x), tg.Tensor)
    np.testing.assert_allclose(special.gammaln(x).numpy(), special.gammaln([1.0, 2.0]))


def test_where_a_gradient_would_be_lost_numpys_functions_are_refused() -> None:
    """(U05)"""
    x = tg.ones(2, requires_grad=True)
    for function in (np.sin, np.asarray, lambda t: np.add(np.ones(2), t), np.concatenate, np.dot):
        arguments = ([x, x],) if function is np.concatenate else (x,)
        if function is np.dot:
            arguments = (x, x)
        with pytest.raises(RuntimeError, match=r"would drop its history: use tensor\.detach\(\)"):
            function(*arguments)


@pytest.mark.parametrize(
    "name",
    ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "eq", "ne", "lt", "le",
     "gt", "ge", "iadd", "imul"],
)  # fmt: skip
@pytest.mark.parametrize("scalar", [False, True])
def test_operators_of_an_array_and_a_tensor_are_tapegrads(name: str, scalar: bool) -> None:
    """(U05) NumPy leaves them to the tensor: the history is kept."""
    if scalar and name == "matmul":
        pytest.skip("of vectors")
    x = tg.tensor([1.0, 2.0], dtype=tg.float64, requires_grad=True)
    left: Any = np.float64(3) if scalar else np.array([3.0, 4.0])
    got = getattr(operator, name)(left, x)
    assert isinstance(got, tg.Tensor)
    assert got.requires_grad == (name not in ("floordiv", "eq", "ne", "lt", "le", "gt", "ge"))
    expected = getattr(operator, name)(left, x.detach().numpy())
    np.testing.assert_allclose(got.detach().numpy(), expected)
