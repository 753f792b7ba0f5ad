"""A rule that is a name calls the function of that name; a body may be its own plain version."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.autograd import grad
from tapegrad.core import devices, tape
from tapegrad.core.tape import array_function, primitive

NAMES = [
    "bent",
    "bent_backward",
    "doubled_backward",
    "odd",
    "odd_backward",
    "cube",
    "cube_backward",
]


@pytest.fixture(autouse=True)
def _declared_here() -> Iterator[None]:
    """What a test declares is forgotten after it."""
    yield
    for name in NAMES:
        for known in (tape.registry, devices.bodies, devices.CPU.ops, vars(devices.CPU.xp)):
            known.pop(name, None)


def test_a_named_rule_gets_what_its_arguments_name() -> None:
    seen: list[Any] = []

    @array_function
    def bent_backward(xp: Any, arriving: Any, result: Any, b: Any, *, power: int) -> Any:
        seen[:] = result, b, power
        return arriving * 10

    @primitive("bent", vjp=("bent_backward", None))
    def bent(xp: Any, a: Any, b: Any, *, power: int) -> Any:
        return (a * b) ** power

    a = tg.tensor([1.0, 2.0], requires_grad=True)
    bent(a, tg.tensor([3.0, 4.0]), power=2).backward(tg.tensor([1.0, 5.0]))
    assert a.grad.tolist() == [10.0, 50.0]
    assert [v.tolist() for v in seen[:2]] == [[9.0, 64.0], [3.0, 4.0]]
    assert seen[2] == 2


def test_result_is_an_input_where_one_has_that_name() -> None:
    @primitive(vjp=("doubled_backward", None))
    def doubled_backward(xp: Any, grad: Any, result: Any) -> Any:
        return grad * result

    g = tg.tensor([3.0], requires_grad=True)
    doubled_backward(g, tg.tensor([7.0])).backward()
    assert g.grad.tolist() == [7.0]


def test_a_named_rule_that_cannot_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match="'no_such' of 'odd' is the name of no primitive"):
        primitive("odd", vjp="no_such")(lambda xp, x: x)

    @array_function
    def odd_backward(xp: Any, grad: Any, x: Any, *, slope: float) -> Any:
        return grad

    with pytest.raises(TypeError, match=r"rule 'odd_backward' of 'odd' asks for {'slope'}"):
        primitive("odd", vjp="odd_backward")(lambda xp, x: x)


def test_a_body_is_its_own_plain_version() -> None:
    @array_function
    def cube_backward(xp: Any, grad: Any, x: Any) -> Any:
        return np.asarray(3 * grad * x * x)  # no code for Tensors

    @primitive("cube", vjp="cube_backward", plain=True, extras=("square",))
    def cube(xp: Any, x: Any) -> tuple:
        return xp.multiply(x, x) * x, x * x

    x = tg.tensor([2.0], requires_grad=True)
    (first,) = grad(cube(x), x, create_graph=True)
    (second,) = grad(first, x)
    assert (first.tolist(), second.tolist()) == ([12.0], [12.0])


@pytest.mark.parametrize(
    ("f", "slope", "curvature"),
    [
        (lambda x: tg.nn.functional.elu(x, 1.5), 1.5, 1.5),
        (tg.nn.functional.softplus, 0.5, 0.25),
        (tg.nn.functional.silu, 0.5, 0.5),
        (tg.nn.functional.mish, 0.6, 0.64),
    ],
)
def test_activations_have_both_slopes_at_0(f: Any, slope: float, curvature: float) -> None:
    """Where a minimum or an absolute value in a body would halve or lose one."""
    x = tg.tensor([0.0], dtype=tg.float64, requires_grad=True)
    (first,) = grad(f(x), x, create_graph=True)
    (second,) = grad(first, x)
    assert first.item() == pytest.approx(slope)
    assert second.item() == pytest.approx(curvature)


@pytest.mark.parametrize("value", [1e4, -1e4, float("inf"), -float("inf")])
def test_slopes_of_slopes_of_large_numbers_are_numbers(value: float) -> None:
    for f in (tg.nn.functional.elu, tg.nn.functional.softplus):
        x = tg.tensor([value], requires_grad=True)
        (first,) = grad(f(x), x, create_graph=True)
        (second,) = grad(first, x)
        assert second.item() == 0.0
