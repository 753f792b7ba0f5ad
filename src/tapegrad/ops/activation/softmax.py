"""Softmax and log-softmax, with their kernels (kernels/softmax.cu)."""

from __future__ import annotations

from typing import Any

from tapegrad.core.devices import Device
from tapegrad.core.kernels import kernel
from tapegrad.core.launches import launching
from tapegrad.core.memory import Array
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import axis as one_axis
from tapegrad.ops.common.arguments import require_floating, require_tensor
from tapegrad.ops.common.precision import in_float32, largest, stable_sum
from tapegrad.ops.reduction.reduce import to_dtype


def _dot(xp: Any, a: Array, b: Array, axis: int) -> Any:
    return xp.sum(a * b, axis=(axis,), keepdims=True)


@primitive(
    vjp=(
        "softmax_backward",
        # d/dresult of sum(g * result * (grad - sum(grad * result)))
        lambda xp, g, grad, result, axis: (
            g * (grad - _dot(xp, grad, result, axis)) - grad * _dot(xp, g, result, axis)
        ),
    )
)
@in_float32
def softmax_backward(xp: Any, grad: Array, result: Array, *, axis: int) -> Array:
    return result * (grad - _dot(xp, grad, result, axis))


@primitive("softmax", vjp="softmax_backward")
@in_float32
def _softmax(xp: Any, x: Array, *, axis: int) -> Array:
    y = xp.exp(x - largest(x, axis))
    y /= stable_sum(y, axis, True)
    return y


def _log_softmax_rule(xp: Any, g: Array, grad: Array, result: Array, axis: int) -> Array:
    return -g * xp.exp(result) * xp.sum(grad, axis=(axis,), keepdims=True)


@primitive(
    vjp=(lambda xp, g, result, axis: g - _dot(xp, g, xp.exp(result), axis), _log_softmax_rule)
)
@in_float32
def log_softmax_backward(xp: Any, grad: Array, result: Array, *, axis: int) -> Array:
    # Where the result is -inf the probability is exactly 0, and so is what it passes on.
    return grad - xp.exp(result) * xp.sum(grad, axis=(axis,), keepdims=True)


@primitive("log_softmax", vjp="log_softmax_backward")
@in_float32
def _log_softmax(xp: Any, x: Array, *, axis: int) -> Array:
    shifted = x - largest(x, axis)
    shifted -= xp.log(stable_sum(xp.exp(shifted), axis, True))
    return shifted


# ---------------------------------------------------------------------- kernels


def _launch_rows(name: str, launcher: str, text: str) -> None:
    """The kernels work along contiguous rows; another axis is moved last and back."""
    run = launching(launcher, text)

    @kernel(name, contiguous="")
    def along(device: Device, *arrays: Array, axis: int) -> Array:
        contiguous = device.ops["contiguous"]
        return run(device, *[contiguous(a.swapaxes(axis, -1)) for a in arrays]).swapaxes(axis, -1)


for _name in ("softmax", "log_softmax"):
    _launch_rows(_name, f"{_name}_forward", "x[*rows, cols] -> y[*rows, cols]")
    _back = f"{_name}_backward"
    _launch_rows(_back, _back, "grad[*rows, cols], y[*rows, cols] -> dx[*rows, cols]")


# ---------------------------------------------------------------------- PyTorch's signatures


def softmax(input: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """exp(x) / sum(exp(x)) along ``dim``, of floats. ``dtype``: convert the input to it first.
    Raises TypeError without a ``dim``."""
    return _along("softmax", _softmax, input, dim, dtype)


def log_softmax(input: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """log(softmax(x)) along ``dim``, without the loss of precision of taking both steps.
    Arguments and errors are ``softmax``'s."""
    return _along("log_softmax", _log_softmax, input, dim, dtype)


def _along(op: str, apply: Any, x: Tensor, dim: int | None, dtype: Any) -> Tensor:
    require_tensor(op, x)
    if dtype is not None:
        x = to_dtype(x, dtype)
    if dim is None:
        raise TypeError(f"[{op}] needs the dimension to work along, e.g. dim=-1")
    d = one_axis(op, dim, x._array.ndim)
    require_floating(op, x)
    if not x._array.size:
        return x + 0
    if x._array.ndim == 0:
        return apply(x.reshape(1), axis=0).reshape(())
    return apply(x, axis=d)
