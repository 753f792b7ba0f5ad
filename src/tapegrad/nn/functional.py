"""The functions behind the layers, under PyTorch's names."""

from __future__ import annotations

from typing import Any

from ..ops import activation as _activation
from ..ops import inplace as _inplace
from ..ops.conv import conv2d
from ..ops.embedding import embedding
from ..ops.linalg import linear
from ..ops.loss import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    l1_loss,
    mse_loss,
    nll_loss,
)
from ..ops.norm import batch_norm, layer_norm, rms_norm
from ..ops.pool import avg_pool2d, max_pool2d
from ..ops.random import dropout
from ..ops.products import bilinear
from ..ops.softmax import log_softmax, softmax
from ..tensor import Tensor

__all__ = [
    "bilinear",
    "avg_pool2d", "batch_norm", "binary_cross_entropy_with_logits", "conv2d", "cross_entropy",
    "dropout", "elu", "embedding", "gelu", "l1_loss", "layer_norm", "leaky_relu", "linear",
    "log_softmax", "max_pool2d", "mse_loss", "nll_loss", "relu", "rms_norm", "sigmoid", "silu",
    "softmax", "softplus", "tanh",
]  # fmt: skip


def _activated(op: str, x: Tensor, y: Any, inplace: bool) -> Tensor:
    return _inplace.become(x, y, op) if inplace else y


def _floating(op: str, x: Tensor) -> Tensor:
    if not isinstance(x, Tensor):
        raise TypeError(f"[{op}] expects a Tensor, got {type(x).__name__}")
    if not x.is_floating_point():
        raise RuntimeError(
            f"[{op}] needs a floating-point tensor, got {x.dtype.name}: convert with .float()"
        )
    return x


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0); slope 0 at 0."""
    return input.relu_() if inplace else _activation.relu(input)


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return _activation.sigmoid(input)


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return _activation.tanh(input)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x where positive, negative_slope * x elsewhere."""
    y = _activation.leaky_relu(_floating("leaky_relu", input), negative_slope=negative_slope)
    return _activated("leaky_relu_", input, y, inplace)


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x where positive, alpha * (exp(x) - 1) elsewhere (Clevert et al. 2015)."""
    y = _activation.elu(_floating("elu", input), alpha=alpha)
    return _activated("elu_", input, y, inplace)


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x Phi(x), with the normal distribution's Phi (Hendrycks & Gimpel 2016): exact ("none"), or
    their approximation by "tanh"."""
    if approximate not in ("none", "tanh"):
        raise RuntimeError(f"[gelu] approximate must be 'none' or 'tanh', got {approximate!r}")
    f = _activation.gelu if approximate == "none" else _activation.gelu_tanh
    return f(_floating("gelu", input))


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x sigmoid(x)."""
    y = _activation.silu(_floating("silu", input))
    return _activated("silu_", input, y, inplace)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta x)) / beta; x itself where beta x exceeds the threshold."""
    return _activation.softplus(_floating("softplus", input), beta=beta, threshold=threshold)
