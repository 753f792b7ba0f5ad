"""A transformer's feed-forward layer, two linear ones with gelu between them, as one operation:
where tensor cores multiply, gelu and its slope are computed where sums are stored, and cost no
passes over memory (kernels/epilogue.cuh)."""

from __future__ import annotations

from typing import Any

from tapegrad.core.devices import Device
from tapegrad.core.kernels import kernel
from tapegrad.core.memory import Array
from tapegrad.core.tape import array_function, primitive, tensor_xp
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_floating, same_dtype
from tapegrad.ops.linalg.matmul import rows_of, weight_gradient
from tapegrad.ops.linalg.matmul_kernels import (
    Finish,
    finished_product,
    finished_product_and_column_sums,
)

_GELU = {"none": "gelu", "tanh": "gelu_tanh"}


@array_function
def linear_gelu(xp: Any, x: Array, weight: Array, bias: Any, *, approximate: str) -> tuple:
    """gelu of a linear layer's result, and that result: (rows, in) -> (rows, out), twice."""
    before = xp.linear(x, weight, bias)
    return getattr(xp, _GELU[approximate])(before), before


@array_function
def matmul_gelu_backward(xp: Any, g: Array, weight: Array, x: Array, *, approximate: str) -> Array:
    """The gradient of gelu's input x: that of its result is ``g @ weight``."""
    return getattr(xp, f"{_GELU[approximate]}_backward")(xp.matmul(g, weight), x)


@array_function
def matmul_gelu_backward_sums(
    xp: Any, g: Array, weight: Array, x: Array, *, approximate: str
) -> tuple:
    """The same, and the sums of its columns: the gradient of the bias that was added to x."""
    dx = xp.matmul_gelu_backward(g, weight, x, approximate=approximate)
    return dx, xp.column_sum(dx)


def _rule(
    xp: Any,
    g: Array,
    x: Array,
    weight1: Array,
    weight2: Array,
    hidden: Array,
    active: Array,
    approximate: str,
    needs: tuple[bool, ...],
    wide: tuple[bool, ...],
) -> tuple:
    dx = dweight1 = dbias1 = dweight2 = dbias2 = None
    g = rows_of(xp, g)
    if needs[3]:
        dweight2 = weight_gradient(xp, g, active, wide[3])
    if needs[4]:
        dbias2 = xp.column_sum(g)
    if needs[2]:
        g, dbias1 = xp.matmul_gelu_backward_sums(g, weight2, hidden, approximate=approximate)
    elif any(needs[:2]):
        g = xp.matmul_gelu_backward(g, weight2, hidden, approximate=approximate)
    if needs[0]:
        dx = xp.reshape(xp.matmul(g, weight1), shape=x.shape)
    if needs[1]:
        dweight1 = weight_gradient(xp, g, rows_of(xp, x), wide[1])
    return dx, dweight1, dbias1, dweight2, dbias2


def _composed(
    x: Tensor, weight1: Tensor, bias1: Any, weight2: Tensor, bias2: Any, *, approximate: str
) -> Tensor:
    hidden = tensor_xp.linear(x, weight1, bias1)
    return tensor_xp.linear(getattr(tensor_xp, _GELU[approximate])(hidden), weight2, bias2)


@primitive("feed_forward", vjp_all=_rule, plain=_composed, extras=("hidden", "active"))
def _feed_forward(
    xp: Any, x: Array, weight1: Array, bias1: Any, weight2: Array, bias2: Any, *, approximate: str
) -> tuple:
    """Kept for the rule: gelu's input and result, as rows."""
    active, hidden = xp.linear_gelu(rows_of(xp, x), weight1, bias1, approximate=approximate)
    y = xp.linear(active, weight2, bias2)
    return xp.reshape(y, shape=(*x.shape[:-1], weight2.shape[0])), hidden, active


# ---------------------------------------------------------------------- kernels

_FORWARD = {"none": Finish.GELU, "tanh": Finish.GELU_TANH}
_BACKWARD = {"none": Finish.GELU_BACKWARD, "tanh": Finish.GELU_TANH_BACKWARD}


@kernel("linear_gelu", contiguous="bias")
def _linear_gelu(device: Device, x: Array, weight: Array, bias: Any, *, approximate: str) -> Any:
    hidden = device.ops["empty"]((len(x), len(weight)), x.dtype)
    y = finished_product(device, x, weight.T, bias, _FORWARD[approximate], None, hidden)
    return y if y is NotImplemented else (y, hidden)


@kernel("matmul_gelu_backward", contiguous="x")
def _matmul_gelu_backward(
    device: Device, g: Array, weight: Array, x: Array, *, approximate: str
) -> Any:
    return finished_product(device, g, weight, None, _BACKWARD[approximate], x, None)


@kernel("matmul_gelu_backward_sums", contiguous="x")
def _matmul_gelu_backward_sums(
    device: Device, g: Array, weight: Array, x: Array, *, approximate: str
) -> Any:
    return finished_product_and_column_sums(device, g, weight, _BACKWARD[approximate], x)


# ---------------------------------------------------------------------- public


def feed_forward(
    input: Tensor,
    weight1: Tensor,
    bias1: Tensor | None,
    weight2: Tensor,
    bias2: Tensor | None,
    approximate: str = "none",
) -> Tensor:
    """``linear(gelu(linear(input, weight1, bias1), approximate), weight2, bias2)``, in fewer passes
    over memory: a transformer's feed-forward layer. ``nn.Sequential`` of a Linear, a GELU and a
    Linear calls it, as the layers of ``nn.Transformer`` do. PyTorch has no such function.

    input: floats (..., in). weight1: (hidden, in), bias1: (hidden,) or None, weight2: (out,
    hidden), bias2: (out,) or None, of the same dtype. Returns (..., out). Raises RuntimeError for
    other shapes and dtypes.
    """
    op = "feed_forward"
    require_floating(op, input)
    given = {"weight1": weight1, "bias1": bias1, "weight2": weight2, "bias2": bias2}
    for name, tensor in given.items():
        if tensor is not None or name.startswith("weight"):
            same_dtype(op, input, tensor, ("input", name))
    if approximate not in _GELU:
        raise RuntimeError(f"[{op}] approximate must be 'none' or 'tanh', got {approximate!r}")
    shapes = [None if t is None else tuple(t.shape) for t in given.values()]
    x, (w1, b1, w2, b2) = tuple(input.shape), shapes
    fits = x and len(w1) == len(w2) == 2 and (x[-1], w1[0]) == (w1[1], w2[1])  # type: ignore
    if not fits or b1 not in (None, w1[:1]) or b2 not in (None, w2[:1]):  # type: ignore
        told = ", ".join(f"{name} {shape}" for name, shape in zip(given, shapes, strict=True))
        raise RuntimeError(
            f"[{op}] input {x}, {told} do not fit: expected (..., in), (hidden, in), (hidden,), "
            "(out, hidden) and (out,)"
        )
    return _feed_forward(input, weight1, bias1, weight2, bias2, approximate=approximate)
