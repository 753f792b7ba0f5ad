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
    flops: tuple[int, int],
    *more: Any,
    torch: Callable | None = None,
    torch_slope: Callable | None = None,
    primitive: str = "",
    sizes: dict = _SIZES,
    inputs: Callable[..., tuple] = _vector,
    **parameters: Any,
) -> None:
    """Rows for name(x), and for its gradient of g and what that is computed from. By default
    PyTorch has both under the same names, and its gradient takes ``more`` behind the arrays."""

    def inputs_of_gradient(draw: Draw, *shape: int) -> tuple:
        return draw.normal(*shape), *inputs(draw, *shape)

    def usual(t: Any, x: Any) -> Any:
        return getattr(t.nn.functional, name)(x, **parameters)

    def usual_slope(t: Any, g: Any, x: Any) -> Any:
        return getattr(t.ops.aten, f"{name}_backward")(g, x, *more)

    key = primitive or name
    for end, given, peer, cost in (
        ("", inputs, torch or usual, flops[0]),
        ("_backward", inputs_of_gradient, torch_slope or usual_slope, flops[1]),
    ):
        CASES.append(of_primitive(name + end, sizes, given, cost, peer, key + end, parameters))


def _biased_gelu(name: str, approximate: str, flops: tuple[int, int]) -> None:
    _activation(
        name,
        flops,
        torch=lambda t, x, b: t.nn.functional.gelu(x + b, approximate=approximate),
        torch_slope=lambda t, g, x, b: t.ops.aten.gelu_backward(g, x + b, approximate=approximate),
        primitive="bias_gelu",
        sizes=_MATRICES,
        inputs=_matrix_and_bias,
        approximate=approximate,
    )


_activation("relu", (1, 1), torch_slope=lambda t, g, y: t.ops.aten.threshold_backward(g, y, 0))
_activation("leaky_relu", (2, 2), 0.01, False, negative_slope=0.01)
_activation(
    "elu",
    (3, 4),
    torch_slope=lambda t, g, x: t.ops.aten.elu_backward(g, 1.0, 1.0, 1.0, False, x),
    alpha=1.0,
)
_activation("gelu", (5, 11))
_activation(
    "gelu_tanh",
    (9, 19),
    torch=lambda t, x: t.nn.functional.gelu(x, approximate="tanh"),
    torch_slope=lambda t, g, x: t.ops.aten.gelu_backward(g, x, approximate="tanh"),
)
_biased_gelu("bias_gelu", "none", (6, 12))
_biased_gelu("bias_gelu_tanh", "tanh", (10, 20))
_activation("silu", (5, 9))
_activation("sigmoid", (4, 3))
_activation("tanh", (1, 3))
_activation("softplus", (5, 5), 1.0, 20.0, beta=1.0, threshold=20.0)
CASES.append(of_primitive("erf", _SIZES, _vector, 1, lambda t, x: t.erf(x)))
