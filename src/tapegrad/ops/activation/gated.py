"""Smooth activations, gates, and relatives of softmax, made of other functions."""

from __future__ import annotations

from typing import Any

from tapegrad.core import dtypes
from tapegrad.core.memory import Array
from tapegrad.core.tape import array_function, primitive, unary
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common.arguments import axis, require_floating, require_tensor
from tapegrad.ops.common.limits import fading
from tapegrad.ops.common.precision import compute_in_float32, in_float32, to_float32
from tapegrad.ops.indexing.inplace import inplace as in_place
from tapegrad.ops.movement.split import narrow
from tapegrad.ops.sampling.philox import draw

from .activation import ramp, sigmoid, tanh
from .softmax import softmax


@primitive("logsigmoid", vjp=(to_float32(lambda xp, g, x: g * xp.sigmoid(-x)),))
@in_float32
def _logsigmoid(xp: Any, x: Array) -> Array:
    return xp.minimum(x, 0) - xp.log1p(xp.exp(-xp.abs(x)))


@array_function
@in_float32
@ramp
def mish_backward(xp: Any, grad: Array, x: Array) -> Array:
    t = xp.tanh(xp.softplus(x, beta=1.0, threshold=20.0))
    return grad * (t + x * xp.sigmoid(x) * (1 - t * t))


@primitive("mish", vjp="mish_backward", plain=True)
@in_float32
@ramp
def _mish(xp: Any, x: Array) -> Array:
    return x * xp.tanh(xp.softplus(x, beta=1.0, threshold=20.0))


def logsigmoid(input: Tensor) -> Tensor:
    """log(1 / (1 + exp(-x))), without overflow."""
    require_floating("logsigmoid", input)
    return _logsigmoid(input)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x tanh(softplus(x)) (Misra 2019)."""
    if inplace:
        return mish_(input)
    require_floating("mish", input)
    return _mish(input)


mish_ = in_place(mish)


@in_float32
def _softsign(xp: Any, x: Array) -> Array:
    return xp.where(xp.isinf(x), xp.sign(x), x / (xp.absolute(x) + 1))


softsign = unary(
    "softsign",
    to_float32(fading(lambda xp, g, x: g / xp.square(xp.absolute(x) + 1))),
    _softsign,
    doc="x / (1 + |x|)",
)


@compute_in_float32
def tanhshrink(input: Tensor) -> Tensor:
    """x - tanh(x)."""
    require_tensor("tanhshrink", input)
    return input - tanh(input)


@compute_in_float32
def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a sigmoid(b), where a and b are the halves of the input along ``dim`` (Dauphin et al. 2017).

    Raises RuntimeError where that dimension's size is odd.
    """
    require_floating("glu", input)
    if input.ndim == 0:
        raise RuntimeError("[glu] a 0-d tensor has no halves")
    d = axis("glu", dim, input.ndim)
    size = input.shape[d]
    if size % 2:
        raise RuntimeError(
            f"[glu] dim {d} must have an even size to be halved, got shape {tuple(input.shape)}"
        )
    return narrow(input, d, 0, size // 2) * sigmoid(narrow(input, d, size // 2, size // 2))


@compute_in_float32
def gumbel_softmax(
    logits: Tensor, tau: float = 1.0, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """A random sample, near to one-hot for small ``tau``, of which the logits are the
    unnormalised log-probabilities (Jang et al. 2016): softmax((logits + gumbel noise) / tau).

    hard: exactly one-hot, with the gradient of the soft sample. ``eps`` has no effect. Raises
    ValueError unless tau is positive.
    """
    require_floating("gumbel_softmax", logits)
    if not tau > 0:
        raise ValueError(f"[gumbel_softmax] the temperature tau must be positive, got {tau}")
    u = draw("uniform", tuple(logits.shape), dtypes.float64, logits.device, None)
    xp = logits._device.xp
    noise = -xp.log(-xp.log1p(-xp.maximum(u, 2.0**-54)))
    soft = softmax((logits + wrap(noise.astype(logits.dtype), logits._device)) / tau, dim)
    if not hard:
        return soft
    d = axis("gumbel_softmax", dim, logits.ndim)
    values = soft._array
    if not values.ndim:
        one = xp.ones_like(values)
    else:
        positions = xp.arange(values.shape[d]).reshape((-1,) + (1,) * (values.ndim - d - 1))
        one = (xp.library.expand_dims(values.argmax(axis=d), d) == positions).astype(values.dtype)
    return wrap(one, logits._device) - soft.detach() + soft
