"""Activations and their gradients: one pass over memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np

from tapegrad.core.memory import Array

from .case import Case, Draw

CASES: list[Case] = []
_SIZES = {"tiny": [(1_003,)], "small": [(1 << 20,)], "large": [(1 << 26,)]}
_SCIPY = find_spec("scipy") is not None


def _activation(
    name: str,
    f: Callable,
    slope: Callable,
    torch: Callable,
    torch_slope: Callable,
    flops: tuple[int, int],
    arrays: Literal[True] | None = True,
    **parameters: float,
) -> None:
    """Rows for f(xp, x) and slope(xp, g, s), s being what the gradient is computed from."""

    def forward(ops: Any, x: Any) -> Any:
        return ops[name](x, **parameters)

    def backward(ops: Any, g: Any, s: Any) -> Any:
        return ops[f"{name}_backward"](g, s, **parameters)

    def one(draw: Draw, n: int) -> tuple:
        return (draw.normal(n),)

    def two(draw: Draw, n: int) -> tuple:
        return draw.normal(n), draw.normal(n)

    CASES.append(Case(name, name, _SIZES, one, forward, f, lambda n: flops[0] * n, torch, arrays))
    back = f"{name}_backward"
    CASES.append(
        Case(back, back, _SIZES, two, backward, slope, lambda n: flops[1] * n, torch_slope, arrays)
    )


def _erf(xp: Any, x: Array) -> Any:
    if xp is not np:
        from cupyx.scipy.special import erf
    elif _SCIPY:
        from scipy.special import erf
    else:
        erf = np.vectorize(math.erf, otypes=[np.float64])
    return erf(x)


def _sigmoid(xp: Any, x: Array) -> Any:
    return 1 / (1 + xp.exp(-x))


def _gelu_slope(xp: Any, g: Array, x: Array) -> Any:
    density = xp.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    return g * (0.5 * (1 + _erf(xp, x / math.sqrt(2))) + x * density)


_ROOT = math.sqrt(2 / math.pi)


def _inner(x: Any) -> Any:
    return _ROOT * (x + 0.044715 * x * x * x)


def _gelu_tanh_slope(xp: Any, g: Array, x: Array) -> Any:
    t = xp.tanh(_inner(x))
    return g * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * _ROOT * (1 + 3 * 0.044715 * x * x))


def _gelu(xp: Any, x: Array) -> Any:
    return 0.5 * x * (1 + _erf(xp, x / math.sqrt(2)))


def _gelu_tanh(xp: Any, x: Array) -> Any:
    return 0.5 * x * (1 + xp.tanh(_inner(x)))


def _biased_gelu(approximate: str) -> None:
    """Rows for gelu(x + bias), and for its gradient with respect to x."""
    exact = approximate == "none"
    f, slope = (_gelu, _gelu_slope) if exact else (_gelu_tanh, _gelu_tanh_slope)
    name = "bias_gelu" if exact else "bias_gelu_tanh"
    sizes = {"tiny": [(5, 67)], "small": [(256, 4096)], "large": [(16384, 4096)]}
    arrays: Literal[True] | None = True if _SCIPY or not exact else None

    def inputs(draw: Draw, rows: int, columns: int) -> tuple:
        return draw.normal(rows, columns), draw.normal(columns)

    forward = Case(
        name,
        "bias_gelu",
        sizes,
        inputs,
        lambda ops, x, b: ops["bias_gelu"](x, b, approximate=approximate),
        lambda xp, x, b: f(xp, x + b),
        lambda rows, columns: (6 if exact else 10) * rows * columns,
        lambda t, x, b: t.nn.functional.gelu(x + b, approximate=approximate),
        arrays,
    )
    backward = Case(
        f"{name}_backward",
        "bias_gelu_backward",
        sizes,
        lambda draw, *shape: (draw.normal(*shape), *inputs(draw, *shape)),
        lambda ops, g, x, b: ops["bias_gelu_backward"](g, x, b, approximate=approximate),
        lambda xp, g, x, b: slope(xp, g, x + b),
        lambda rows, columns: (12 if exact else 20) * rows * columns,
        lambda t, g, x, b: t.ops.aten.gelu_backward(g, x + b, approximate=approximate),
        arrays,
    )
    CASES.extend([forward, backward])


def _silu_slope(xp: Any, g: Array, x: Array) -> Any:
    s = _sigmoid(xp, x)
    return g * s * (1 + x * (1 - s))


_activation(
    "relu",
    lambda xp, x: xp.maximum(x, 0),
    lambda xp, g, y: xp.where(y > 0, g, 0),
    lambda t, x: t.relu(x),
    lambda t, g, y: t.ops.aten.threshold_backward(g, y, 0),
    (1, 1),
)
_activation(
    "leaky_relu",
    lambda xp, x: xp.where(x > 0, x, 0.01 * x),
    lambda xp, g, x: xp.where(x > 0, g, 0.01 * g),
    lambda t, x: t.nn.functional.leaky_relu(x, 0.01),
    lambda t, g, x: t.ops.aten.leaky_relu_backward(g, x, 0.01, False),
    (2, 2),
    negative_slope=0.01,
)
_activation(
    "elu",
    lambda xp, x: xp.where(x > 0, x, xp.expm1(xp.minimum(x, 0))),
    lambda xp, g, x: xp.where(x > 0, g, g * xp.exp(xp.minimum(x, 0))),
    lambda t, x: t.nn.functional.elu(x),
    lambda t, g, x: t.ops.aten.elu_backward(g, 1.0, 1.0, 1.0, False, x),
    (3, 4),
    alpha=1.0,
)
_activation(
    "gelu",
    _gelu,
    _gelu_slope,
    lambda t, x: t.nn.functional.gelu(x),
    lambda t, g, x: t.ops.aten.gelu_backward(g, x),
    (5, 11),
    True if _SCIPY else None,  # without SciPy, NumPy has no erf to be timed
)
_activation(
    "gelu_tanh",
    _gelu_tanh,
    _gelu_tanh_slope,
    lambda t, x: t.nn.functional.gelu(x, approximate="tanh"),
    lambda t, g, x: t.ops.aten.gelu_backward(g, x, approximate="tanh"),
    (9, 19),
)
for _approximate in ("none", "tanh"):
    _biased_gelu(_approximate)
_activation(
    "silu",
    lambda xp, x: x * _sigmoid(xp, x),
    _silu_slope,
    lambda t, x: t.nn.functional.silu(x),
    lambda t, g, x: t.ops.aten.silu_backward(g, x),
    (5, 9),
)
_activation(
    "sigmoid",
    _sigmoid,
    lambda xp, g, y: g * y * (1 - y),
    lambda t, x: t.sigmoid(x),
    lambda t, g, y: t.ops.aten.sigmoid_backward(g, y),
    (4, 3),
)
_activation(
    "tanh",
    lambda xp, x: xp.tanh(x),
    lambda xp, g, y: g * (1 - y * y),
    lambda t, x: t.tanh(x),
    lambda t, g, y: t.ops.aten.tanh_backward(g, y),
    (1, 3),
)
_activation(
    "softplus",
    lambda xp, x: xp.logaddexp(x, 0),
    lambda xp, g, x: g * _sigmoid(xp, x),
    lambda t, x: t.nn.functional.softplus(x),
    lambda t, g, x: t.ops.aten.softplus_backward(g, x, 1.0, 20.0),
    (5, 5),
    beta=1.0,
    threshold=20.0,
)
