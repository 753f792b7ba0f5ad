"""Calls of before 2019 that PyTorch still takes: factors among the tensors."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

SHAPES = {
    "addmm": [(2, 3), (2, 4), (4, 3)],
    "addmv": [(2,), (2, 4), (4,)],
    "addr": [(2, 3), (2,), (3,)],
    "addbmm": [(2, 3), (5, 2, 4), (5, 4, 3)],
    "baddbmm": [(5, 2, 3), (5, 2, 4), (5, 4, 3)],
    "addcmul": [(2, 3)] * 3,
    "addcdiv": [(2, 3)] * 3,
    "add": [(2, 3)] * 2,
    "sub": [(2, 3)] * 2,
}


def operands(t: Any, name: str) -> list[Any]:
    rng = np.random.default_rng(0)
    return [t.tensor(rng.uniform(1, 2, shape)) for shape in SHAPES[name]]


def calls(t: Any, name: str) -> dict[str, tuple[Callable, tuple, dict]]:
    """Each old form of an operation: function, arguments, and today's keywords."""
    x, *rest = operands(t, name)
    function, method = getattr(t, name), getattr(x, name)
    changed = getattr(x.clone(), f"{name}_")
    if len(rest) == 1 or name in ("addcmul", "addcdiv"):
        factor = {"alpha" if len(rest) == 1 else "value": 3}
        return {
            "function": (function, (x, 3, *rest), factor),
            "method": (method, (3, *rest), factor),
            "in place": (changed, (3, *rest), factor),
        }
    again = getattr(x.clone(), f"{name}_")
    both = {"beta": 2, "alpha": 3}
    return {
        "function": (function, (2, x, 3, *rest), both),
        "function, beta": (function, (2, x, *rest), {"beta": 2}),
        "method": (method, (2, 3, *rest), both),
        "method, beta": (method, (2, *rest), {"beta": 2}),
        "in place": (changed, (2, 3, *rest), both),
        "in place, beta": (again, (2, *rest), {"beta": 2}),
    }


@pytest.mark.parametrize("name", SHAPES)
def test_old_calls_are_those_of_today(name: str) -> None:
    for form, (function, args, factors) in calls(tg, name).items():
        tensors = [a for a in args if isinstance(a, tg.Tensor)]
        if "in place" in form:
            expected = getattr(operands(tg, name)[0], name)(*tensors, **factors)
        else:
            expected = function(*tensors, **factors)
        with pytest.warns(UserWarning, match=rf"\[{name}\] .*deprecated: say {name}\(input, "):
            got = function(*args)
        np.testing.assert_array_equal(got.numpy(), expected.numpy(), form)


@pytest.mark.parametrize("name", SHAPES)
def test_old_calls_are_pytorchs(name: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
    for (form, (ours, args, _)), (theirs, their_args, _) in zip(
        calls(tg, name).items(), calls(torch, name).values(), strict=True
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            got, expected = ours(*args), theirs(*their_args)
        np.testing.assert_allclose(got.numpy(), expected.numpy(), 1e-12, err_msg=form)


def test_old_calls_mix_with_keywords_and_out_and_have_gradients() -> None:
    x, y = (t.requires_grad_() for t in operands(tg, "add"))
    with pytest.warns(UserWarning, match=r"say add\(input, other, alpha=alpha\)"):
        tg.add(x, tg.tensor(2.0), other=y).sum().backward()
    assert y.grad.tolist() == [[2.0] * 3] * 2
    with pytest.warns(UserWarning, match="deprecated"):
        assert tg.add(2, 2, tg.ones(1)).item() == 4
    out = tg.empty(2, 3, dtype=tg.float64)
    with pytest.warns(UserWarning, match="deprecated"):
        assert tg.add(x.detach(), 2, y.detach(), out=out) is out
    assert out.tolist() == (x + 2 * y).tolist()


REFUSED: list[Callable[[Any, Any], Any]] = [
    lambda t, x: t.add(x, 2, "a"),
    lambda t, x: t.add(x, t.tensor(2.0, requires_grad=True), x),
    lambda t, x: t.add(x, t.ones(1), x),
    lambda t, x: t.add(x, 2, x, alpha=3),
    lambda t, x: t.rsub(x, 2, x),
    lambda t, x: t.addcmul(x, 2, x, 3),
    lambda t, x: t.addcmul(x, 2, x, x, value=2),
    lambda t, x: t.addmm(2, x, 3, x),
    lambda t, x: t.addmm(2, x, x, x, beta=3),
    lambda t, x: t.addmm(2, x, x, x, alpha=3),
    lambda t, x: x.addmm_(2, x),
]


@pytest.mark.parametrize("call", REFUSED)
def test_other_calls_stay_type_errors(call: Callable) -> None:
    x = tg.ones(2, 2)
    with pytest.raises(TypeError):
        call(tg, x)
    assert x.tolist() == [[1, 1], [1, 1]]
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle", exc_type=ImportError)
    with pytest.raises(TypeError):
        call(torch, torch.ones(2, 2))
