"""Activations and their gradients: one pass over memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .case import Case, Draw, of_primitive

CASES: list[Case] = []
_SIZES = {"tiny": [(1_003,)], "small": [(1 << 20,)], "large": [(1 << 26,)]}
_MATRICES = {"tiny": [(5, 67)], "small": [(256, 4096)], "large": [(16384, 4096)]}


def _vector(draw: Draw, n: int) -> tuple:
    return (draw.normal(n),)


def _matrix_and_bias(draw: Draw, rows: int, columns: int) -> tuple:
    return draw.normal(rows, columns), draw.normal(columns)


def _activation(
    name: str,
    torch: Callable,
    torch_slope: Callable,
    flops: tuple[int, int],
    primitive: str = "",
    sizes: dict = _SIZES,
    inputs: Callable[..., tuple] = _vector,
    **parameters: Any,
) -> None:
    """Rows for name(x), and for its gradient of g and what that is computed from."""

    def inputs_of_gradient(draw: Draw, *shape: int) -> tuple:
        return draw.normal(*shape), *inputs(draw, *shape)

    key = primitive or name
    for end, given, peer, cost in (
        ("", inputs, torch, flops[0]),
        ("_backward", inputs_of_gradient, torch_slope, flops[1]),
    ):
        CASES.append(of_primitive(name + end, sizes, given, cost, peer, key + end, parameters))


def _biased_gelu(name: str, approximate: str, flops: tuple[int, int]) -> None:
    _activation(
        name,
        lambda t, x, b: t.nn.functional.gelu(x + b, approximate=approximate),
        lambda t, g, x, b: t.ops.aten.gelu_backward(g, x + b, approximate=approximate),
        flops,
        "bias_gelu",
        _MATRICES,
        _matrix_and_bias,
        approximate=approximate,
    )


_activation(
    "relu", lambda t, x: t.relu(x), lambda t, g, y: t.ops.aten.threshold_backward(g, y, 0), (1, 1)
)
_activation(
    "leaky_relu",
    lambda t, x: t.nn.functional.leaky_relu(x, 0.01),
    lambda t, g, x: t.ops.aten.leaky_relu_backward(g, x, 0.01, False),
    (2, 2),
    negative_slope=0.01,
)
_activation(
    "elu",
    lambda t, x: t.nn.functional.elu(x),
    lambda t, g, x: t.ops.aten.elu_backward(g, 1.0, 1.0, 1.0, False, x),
    (3, 4),
    alpha=1.0,
)
_activation(
    "gelu",
    lambda t, x: t.nn.functional.gelu(x),
    lambda t, g, x: t.ops.aten.gelu_backward(g, x),
    (5, 11),
)
_activation(
    "gelu_tanh",
    lambda t, x: t.nn.functional.gelu(x, approximate="tanh"),
    lambda t, g, x: t.ops.aten.gelu_backward(g, x, approximate="tanh"),
    (9, 19),
)
_biased_gelu("bias_gelu", "none", (6, 12))
_biased_gelu("bias_gelu_tanh", "tanh", (10, 20))
_activation(
    "silu",
    lambda t, x: t.nn.functional.silu(x),
    lambda t, g, x: t.ops.aten.silu_backward(g, x),
    (5, 9),
)
_activation(
    "sigmoid", lambda t, x: t.sigmoid(x), lambda t, g, y: t.ops.aten.sigmoid_backward(g, y), (4, 3)
)
_activation("tanh", lambda t, x: t.tanh(x), lambda t, g, y: t.ops.aten.tanh_backward(g, y), (1, 3))
_activation(
    "softplus",
    lambda t, x: t.nn.functional.softplus(x),
    lambda t, g, x: t.ops.aten.softplus_backward(g, x, 1.0, 20.0),
    (5, 5),
    beta=1.0,
    threshold=20.0,
)
