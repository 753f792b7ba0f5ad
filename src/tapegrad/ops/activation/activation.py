"""Activations: the function, its gradient, and the kernels that override both.

Where the slope is easily told from the result (relu, sigmoid, tanh), the result is what is saved,
and the gradient is a primitive with rules of its own. The others save their input, and the
gradients of their gradients go through their bodies.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from tapegrad.core.launches import launches
from tapegrad.core.memory import Array, has_values
from tapegrad.core.tape import array_function, primitive, unary
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_floating
from tapegrad.ops.common.pieces import in_pieces
from tapegrad.ops.common.precision import compute_in_float32, in_float32
from tapegrad.ops.indexing.inplace import inplace as in_place

_SQRT_HALF = math.sqrt(0.5)
_SQRT_2_OVER_PI = math.sqrt(2 / math.pi)
_CUBIC = 0.044715  # of the tanh approximation of gelu (Hendrycks & Gimpel 2016)


# ------------------------------------------------------------ slopes told from the result


@primitive(vjp=("relu_backward", None))
def relu_backward(xp: Any, grad: Array, result: Any) -> Array:
    # Not a product: an infinite gradient times 0 would be nan.
    return xp.where(result <= 0, 0, grad)


_relu = unary(
    "relu", "relu_backward", in_float32(lambda xp, x: xp.library.maximum(x, 0)), floating=False
)


@primitive(vjp=("sigmoid_backward", lambda g, grad, result: g * grad * (1 - 2 * result)))
@in_float32
def sigmoid_backward(xp: Any, grad: Array, result: Any) -> Array:
    return grad * (result * (1 - result))


sigmoid = unary("sigmoid", "sigmoid_backward", in_float32(lambda xp, x: 1 / (1 + xp.exp(-x))))
sigmoid.__doc__ = "1 / (1 + exp(-x)); integers become floats."


@primitive(vjp=("tanh_backward", lambda g, grad, result: g * grad * (-2 * result)))
@in_float32
def tanh_backward(xp: Any, grad: Array, result: Any) -> Array:
    return grad * (1 - result * result)


tanh = unary("tanh", "tanh_backward")
tanh.__doc__ = "The hyperbolic tangent; integers become floats."


# ------------------------------------------------------------ slopes told from the input


@primitive(vjp=("leaky_relu_backward", None))
@in_float32
def leaky_relu_backward(xp: Any, grad: Array, x: Array, *, negative_slope: float) -> Array:
    return xp.where(x > 0, grad, negative_slope * grad)


@primitive("leaky_relu", vjp="leaky_relu_backward")
@in_float32
def _leaky_relu(xp: Any, x: Array, *, negative_slope: float) -> Array:
    return xp.where(x > 0, x, negative_slope * x)


_FAR = 1000.0


def ramp(body: Callable) -> Callable:
    """For an activation of x, or its slope times ``grad``, that beyond +-1000 is that of relu in
    every dtype: there x is not multiplied by itself or by what is 0."""

    @wraps(body)
    def bounded(xp: Any, *arrays: Array) -> Any:
        x = arrays[-1]
        if has_values(x) and np.vdot(x, x) < 1e20:  # nothing is large enough to harm
            return body(xp, *arrays)
        far = (x > _FAR) | (x < -_FAR)
        near = body(xp, *arrays[:-1], xp.where(far, 0.0, x))
        return xp.where(far, xp.where(x > 0, arrays[0], 0.0), near)

    return bounded


@array_function
@in_float32
@in_pieces
@ramp
def gelu_backward(xp: Any, grad: Array, x: Array) -> Array:
    density = xp.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    return grad * (0.5 * (1 + xp.erf(x * _SQRT_HALF)) + x * density)


@primitive("gelu", vjp="gelu_backward", plain=True)
@in_float32
@in_pieces
@ramp
def _gelu(xp: Any, x: Array) -> Array:
    return 0.5 * x * (1 + xp.erf(x * _SQRT_HALF))


@array_function
@in_float32
@ramp
def gelu_tanh_backward(xp: Any, grad: Array, x: Array) -> Array:
    t = xp.tanh(_SQRT_2_OVER_PI * (x + _CUBIC * x * x * x))
    inner_slope = _SQRT_2_OVER_PI * (1 + 3 * _CUBIC * x * x)
    return grad * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * inner_slope)


@primitive("gelu_tanh", vjp="gelu_tanh_backward", plain=True)
@in_float32
@ramp
def _gelu_tanh(xp: Any, x: Array) -> Array:
    return 0.5 * x * (1 + xp.tanh(_SQRT_2_OVER_PI * (x + _CUBIC * x * x * x)))


@array_function
@in_float32
@ramp
def silu_backward(xp: Any, grad: Array, x: Array) -> Array:
    s = 1 / (1 + xp.exp(-x))
    return grad * (s * (1 + x * (1 - s)))


@primitive("silu", vjp="silu_backward", plain=True)
@in_float32
@ramp
def _silu(xp: Any, x: Array) -> Array:
    return x * xp.sigmoid(x)


@array_function
@in_float32
def elu_backward(xp: Any, grad: Array, x: Array, *, alpha: float) -> Array:
    return xp.where(x > 0, grad, grad * alpha * xp.exp(xp.minimum(x, 0)))


@primitive("elu", vjp="elu_backward", plain=True)
@in_float32
def _elu(xp: Any, x: Array, *, alpha: float) -> Array:
    # Not the minimum of x and 0: its slope at 0 is a half.
    below = xp.clip(x, low=-math.inf, high=0.0)
    return xp.where(x > 0, x, alpha * xp.expm1(below))


@array_function
@in_float32
def softplus_backward(xp: Any, grad: Array, x: Array, *, beta: float, threshold: float) -> Array:
    scaled = x * beta
    return xp.where(scaled > threshold, grad, grad / (1 + xp.exp(-scaled)))


@primitive("softplus", vjp="softplus_backward", plain=True)
@in_float32
def _softplus(xp: Any, x: Array, *, beta: float, threshold: float) -> Array:
    scaled = x * beta
    # At 0 one has slope 0 and the other 1, so that their difference, -abs(scaled), has a slope.
    above, below = xp.relu(scaled), xp.clip(scaled, low=-math.inf, high=0.0)
    smooth = (above + xp.log1p(xp.exp(below - above))) / beta
    return xp.where(scaled > threshold, x, smooth)


# ---------------------------------------------------------------------- kernels


# Those of kernels/activation.cu. What is saved is what the plain gradient takes, too: the result or
# the input.
for _name in (
    "relu",
    "leaky_relu",
    "elu",
    "gelu",
    "gelu_tanh",
    "silu",
    "sigmoid",
    "tanh",
    "softplus",
):
    launches(_name, "x[*n] -> y[*n]")
    launches(f"{_name}_backward", "grad[*n], saved[*n] -> dx[*n]")


# ---------------------------------------------------------------------- PyTorch's signatures


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0); slope 0 at 0."""
    return input.relu_() if inplace else _relu(input)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where positive, negative_slope * x elsewhere."""
    if inplace:
        return leaky_relu_(input, negative_slope)
    require_floating("leaky_relu", input)
    return _leaky_relu(input, negative_slope=negative_slope)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where positive, alpha * (exp(x) - 1) elsewhere (Clevert et al. 2015)."""
    if inplace:
        return elu_(input, alpha)
    require_floating("elu", input)
    return _elu(input, alpha=alpha)


_SELU_ALPHA = 1.6732632423543772848
_SELU_SCALE = 1.0507009873554804934


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """scale * elu(x, alpha), with the constants for which mean 0 and variance 1 are a fixed point
    (Klambauer et al. 2017)."""
    if inplace:
        return selu_(input)
    require_floating("selu", input)
    return _scaled_elu(input, _SELU_ALPHA, _SELU_SCALE)


@compute_in_float32
def _scaled_elu(input: Tensor, alpha: float, scale: float) -> Tensor:
    return _elu(input, alpha=alpha) * scale


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where positive, alpha * (exp(x / alpha) - 1) elsewhere (Barron 2017). Raises
    RuntimeError for an alpha of 0."""
    if not alpha:
        raise RuntimeError("[celu] alpha must not be 0: the function divides by it")
    if inplace:
        return celu_(input, alpha)
    require_floating("celu", input)
    return _celu(input, alpha)


@compute_in_float32
def _celu(input: Tensor, alpha: float) -> Tensor:
    return _elu(input / alpha, alpha=1.0) * alpha


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x Phi(x), with the normal distribution's Phi (Hendrycks & Gimpel 2016): exact ("none"), or
    their approximation by "tanh". Raises RuntimeError for anything else."""
    if approximate not in ("none", "tanh"):
        raise RuntimeError(f"[gelu] approximate must be 'none' or 'tanh', got {approximate!r}")
    require_floating("gelu", input)
    return _gelu(input) if approximate == "none" else _gelu_tanh(input)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x sigmoid(x)."""
    if inplace:
        return silu_(input)
    require_floating("silu", input)
    return _silu(input)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta x)) / beta; x itself where beta x exceeds the threshold."""
    require_floating("softplus", input)
    return _softplus(input, beta=beta, threshold=threshold)


relu_, leaky_relu_, elu_, selu_, celu_, silu_ = (
    in_place(f) for f in (_relu, leaky_relu, elu, selu, celu, silu)
)
