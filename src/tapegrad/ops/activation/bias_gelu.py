"""gelu of a sum with a bias, in one pass over memory (kernels/activation.cu)."""

from __future__ import annotations

import math
from typing import Any

from tapegrad.core.devices import Device
from tapegrad.core.kernels import kernel
from tapegrad.core.launches import launching
from tapegrad.core.memory import Array
from tapegrad.core.tape import array_function, primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_floating, same_dtype
from tapegrad.ops.common.precision import in_float32

_NAMES = {"none": "gelu", "tanh": "gelu_tanh"}


def _rule(
    xp: Any, g: Array, x: Array, bias: Array, approximate: str, needs: tuple[bool, ...]
) -> tuple:
    dx = xp.bias_gelu_backward(g, x, bias, approximate=approximate)
    columns = dx.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    return dx if needs[0] else None, xp.column_sum(columns) if needs[1] else None


@primitive("bias_gelu", vjp_all=_rule, plain=True)
@in_float32
def _bias_gelu(xp: Any, x: Array, bias: Array, *, approximate: str) -> Array:
    return getattr(xp, _NAMES[approximate])(x + bias)


@array_function
@in_float32
def bias_gelu_backward(xp: Any, grad: Array, x: Array, bias: Array, *, approximate: str) -> Array:
    """The gradient of x. That of the bias is its sum over all rows."""
    return getattr(xp, f"{_NAMES[approximate]}_backward")(grad, x + bias)


_FORWARD, _BACKWARD = (
    {approximate: launching(f"bias_{name}_{way}", text) for approximate, name in _NAMES.items()}
    for way, text in (
        ("forward", "x[*rows, cols], bias[cols] -> y[*rows, cols]"),
        ("backward", "grad[*rows, cols], x[*rows, cols], bias[cols] -> dx[*rows, cols]"),
    )
)


@kernel("bias_gelu")
def _forward_kernel(device: Device, x: Array, bias: Array, *, approximate: str) -> Array:
    return _FORWARD[approximate](device, x, bias)


@kernel("bias_gelu_backward")
def _backward_kernel(
    device: Device, grad: Array, x: Array, bias: Array, *, approximate: str
) -> Array:
    return _BACKWARD[approximate](device, grad, x, bias)


def bias_gelu(input: Tensor, bias: Tensor, approximate: str = "none") -> Tensor:
    """``gelu(input + bias, approximate)`` in one pass over memory: what follows the matrix product
    of a transformer's feed-forward layer. PyTorch has no such function.

    input: floats (..., n). bias: (n,), of the same dtype. Returns the input's shape and dtype;
    float16 and bfloat16 are added in float32. Raises RuntimeError for other shapes and dtypes.
    """
    same_dtype("bias_gelu", input, bias, ("input", "bias"))
    require_floating("bias_gelu", input)
    if approximate not in _NAMES:
        raise RuntimeError(f"[bias_gelu] approximate must be 'none' or 'tanh', got {approximate!r}")
    if not input.ndim or tuple(bias.shape) != tuple(input.shape[-1:]):
        raise RuntimeError(
            f"[bias_gelu] input {tuple(input.shape)} and bias {tuple(bias.shape)} do not fit: "
            "expected (..., n) and (n,)"
        )
    return _bias_gelu(input, bias, approximate=approximate)
