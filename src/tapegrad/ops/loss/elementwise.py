"""Losses of numbers, element by element, and what all losses share.

``reduction`` is "mean", "sum" or "none". PyTorch's older ``size_average`` and ``reduce`` are not
taken; where they stand before ``reduction``, it is given by keyword only.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.core.memory import Array
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.activation.activation import softplus
from tapegrad.ops.common.arguments import require_tensor
from tapegrad.ops.common.precision import in_float32
from tapegrad.ops.pointwise.arithmetic import clamp
from tapegrad.ops.pointwise.elementwise import absolute, exp, log, square, where
from tapegrad.ops.reduction.reduce import mean, sum

REDUCTIONS = ("mean", "sum", "none")


def check_reduction(op: str, reduction: str) -> None:
    """Raise ValueError for what is no reduction."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"[{op}] reduction must be one of {REDUCTIONS}, got {reduction!r}")


def reduce_loss(loss: Tensor, reduction: str) -> Tensor:
    """The losses, their mean or their sum."""
    return loss if reduction == "none" else mean(loss) if reduction == "mean" else sum(loss)


def broadcasts_into(shape: tuple, target: tuple) -> bool:
    """Whether a tensor of ``shape`` broadcasts to ``target``."""
    try:
        return np.broadcast_shapes(shape, target) == target
    except ValueError:
        return False


def require_broadcastable(op: str, input: Tensor, target: Tensor) -> None:
    """Refuse (n, 1) against (n,): broadcasting that enlarges both compares everything with
    everything, which is never what a loss means (PyTorch warns, and computes it)."""
    require_tensor(op, input)
    require_tensor(op, target)
    a, b = tuple(input.shape), tuple(target.shape)
    if a != b and not broadcasts_into(a, b) and not broadcasts_into(b, a):
        raise ValueError(
            f"[{op}] input of shape {a} and target of shape {b} must have the same shape: "
            "reshape, squeeze or unsqueeze one of them"
        )


def _same_shape(op: str, input: Tensor, target: Tensor) -> None:
    require_tensor(op, input)
    require_tensor(op, target)
    if input.shape != target.shape:
        raise ValueError(
            f"[{op}] input and target must have one shape, got {tuple(input.shape)} and "
            f"{tuple(target.shape)}"
        )


def _weighted(op: str, losses: Tensor, input: Tensor, weight: Tensor, reduction: str) -> Tensor:
    require_tensor(op, weight)
    if weight.shape != input.shape:
        raise ValueError(
            f"[{op}] weight must have the input's shape {tuple(input.shape)}, got "
            f"{tuple(weight.shape)}"
        )
    losses = losses * weight
    return sum(losses) / sum(weight) if reduction == "mean" else reduce_loss(losses, reduction)


@primitive(vjp=(lambda g: g,))
def clamp_min_straight_through(xp: Any, x: Array, *, least: float) -> Array:
    """max(x, least), with slope 1 everywhere."""
    return xp.library.maximum(x, x.dtype.type(least))


# ---------------------------------------------------------------------- distances


def mse_loss(
    input: Tensor, target: Tensor, *, reduction: str = "mean", weight: Tensor | None = None
) -> Tensor:
    """The squared difference. Shapes must be equal or broadcast to one of the two. "mean" divides
    by the sum of the weights, where there are any."""
    require_broadcastable("mse_loss", input, target)
    check_reduction("mse_loss", reduction)
    losses = square(input - target)
    if weight is not None:
        return _weighted("mse_loss", losses, input, weight, reduction)
    return reduce_loss(losses, reduction)


def l1_loss(
    input: Tensor, target: Tensor, *, reduction: str = "mean", weight: Tensor | None = None
) -> Tensor:
    """The absolute difference. Shapes must be equal or broadcast to one of the two. "mean" divides
    by the sum of the weights, where there are any."""
    require_broadcastable("l1_loss", input, target)
    check_reduction("l1_loss", reduction)
    losses = absolute(input - target)
    if weight is not None:
        return _weighted("l1_loss", losses, input, weight, reduction)
    return reduce_loss(losses, reduction)


@primitive("huber", vjp=(lambda xp, g, x, delta: g * xp.clip(x, low=-delta, high=delta),))
@in_float32
def _huber(xp: Any, x: Array, *, delta: float) -> Array:
    """x^2 / 2 up to delta, and on along the tangent: with s = x clipped, s (x - s / 2)."""
    s = xp.clip(x, low=-delta, high=delta)
    return s * (x - 0.5 * s)


def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """Half the squared difference d up to delta, delta (|d| - delta / 2) beyond (Huber 1964).
    Shapes must be equal or broadcast to one of the two."""
    require_broadcastable("huber_loss", input, target)
    check_reduction("huber_loss", reduction)
    if not delta > 0:
        raise RuntimeError(f"[huber_loss] delta must be positive, got {delta}")
    losses = _huber(input - target, delta=delta)
    if weight is not None:
        if tuple(weight.shape) != tuple(input.shape):
            raise ValueError(
                f"[huber_loss] weight must have the input's shape {tuple(input.shape)}, got "
                f"{tuple(weight.shape)}"
            )
        losses = losses * weight
    return reduce_loss(losses, reduction)


def smooth_l1_loss(
    input: Tensor, target: Tensor, *, reduction: str = "mean", beta: float = 1.0
) -> Tensor:
    """d^2 / (2 beta) for differences |d| < beta, |d| - beta / 2 beyond (Girshick 2015). Shapes must
    be equal or broadcast to one of the two."""
    require_broadcastable("smooth_l1_loss", input, target)
    check_reduction("smooth_l1_loss", reduction)
    if beta < 0:
        raise RuntimeError(f"[smooth_l1_loss] beta must not be negative, got {beta}")
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    return reduce_loss(_huber(input - target, delta=beta) / beta, reduction)


# ---------------------------------------------------------------------- likelihoods


def _cross_entropy_slope(xp: Any, g: Array, x: Array, target: Array) -> Any:
    # As in PyTorch, bounded where x is 0 or 1; 1e-12 would be 0 in 16 bits.
    least = 1e-12 if x.dtype.itemsize > 2 else 2.0**-24
    return g * (x - target) / xp.maximum((1 - x) * x, least)


@primitive(
    "binary_cross_entropy",
    vjp=(_cross_entropy_slope, lambda xp, g, x: g * (xp.log1p(-x) - xp.log(x))),
)
@in_float32
def _binary_cross_entropy(xp: Any, x: Array, target: Array) -> Array:
    log_x, log_rest = xp.maximum(xp.log(x), -100), xp.maximum(xp.log1p(-x), -100)
    return (target - 1) * log_rest - target * log_x


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: str = "mean"
) -> Tensor:
    """-[t log x + (1 - t) log(1 - x)] of probabilities x; logarithms are cut off at -100.

    Raises RuntimeError for a probability outside 0..1, ValueError where shapes differ.
    """
    op = "binary_cross_entropy"
    check_reduction(op, reduction)
    _same_shape(op, input, target)
    if input.dtype != target.dtype or not input.is_floating_point():
        raise RuntimeError(
            f"[{op}] input and target must have one floating-point dtype, got {input.dtype.name} "
            f"and {target.dtype.name}"
        )
    outside = (input._array < 0) | (input._array > 1)
    if bool(outside.any()):
        raise RuntimeError(
            f"[{op}] probabilities must lie in 0..1, got {float(input._array[outside][0])}: for "
            "logits use binary_cross_entropy_with_logits"
        )
    losses = _binary_cross_entropy(input, target)
    return reduce_loss(losses if weight is None else losses * weight, reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """-[t log s(x) + (1 - t) log(1 - s(x))], s the sigmoid: in one expression that neither
    overflows nor takes a logarithm of 0. pos_weight multiplies the first term."""
    op = "binary_cross_entropy_with_logits"
    check_reduction(op, reduction)
    _same_shape(op, input, target)
    for name, w in (("weight", weight), ("pos_weight", pos_weight)):
        if w is not None:
            require_tensor(op, w)
            if not broadcasts_into(tuple(w.shape), tuple(input.shape)):
                raise ValueError(
                    f"[{op}] {name} of shape {tuple(w.shape)} does not broadcast to the input's "
                    f"shape {tuple(input.shape)}"
                )
    positive = 1 if pos_weight is None else (pos_weight - 1) * target + 1
    # Beyond 40, softplus(x) is x in float64 as well, and exp(x) does not overflow before it.
    losses = (1 - target) * input + positive * softplus(-input, beta=1.0, threshold=40.0)
    if weight is not None:
        losses = losses * weight
    return reduce_loss(losses, reduction)


def kl_div(
    input: Tensor, target: Tensor, *, reduction: str = "mean", log_target: bool = False
) -> Tensor:
    """The Kullback-Leibler divergence t (log t - x) of log-probabilities x from probabilities t
    (log_target: from their logarithms). "batchmean", its mathematical definition, divides the sum
    by the first dimension; "mean" divides by the number of elements."""
    require_tensor("kl_div", input)
    require_tensor("kl_div", target)
    if reduction != "batchmean":
        check_reduction("kl_div", reduction)
    if log_target:
        losses = exp(target) * (target - input)
    else:
        zero = target == 0  # of which the entropy is 0, and the slope is taken to be 0
        losses = where(zero, 0.0, target * log(where(zero, 1.0, target))) - target * input
    if reduction == "batchmean":
        return sum(losses) / input.shape[0] if input.ndim else sum(losses)
    return reduce_loss(losses, reduction)


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    *,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Tensor:
    """The negative log likelihood of counts under Poisson distributions with means exp(x), or x
    without log_input: exp(x) - t x, or x - t log(x + eps). full: with Stirling's approximation of
    log(t!) for t > 1."""
    require_tensor("poisson_nll_loss", input)
    require_tensor("poisson_nll_loss", target)
    check_reduction("poisson_nll_loss", reduction)
    losses = exp(input) - target * input if log_input else input - target * log(input + eps)
    if full:
        large = target > 1
        t = where(large, target, 1)
        stirling = t * log(t) - t + 0.5 * log(2 * math.pi * t)
        losses = losses + where(large, stirling, 0.0)
    return reduce_loss(losses, reduction)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Any,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """The negative log likelihood of normal distributions: (log v + (x - t)^2 / v) / 2 with v the
    larger of var and eps; full: plus log(2 pi) / 2.

    var: a number, or a tensor of input's shape, of that shape without the last dimension, or with
    one dimension of size 1. Raises ValueError for a negative variance.
    """
    op = "gaussian_nll_loss"
    require_tensor(op, input)
    require_tensor(op, target)
    check_reduction(op, reduction)
    if not isinstance(var, Tensor):
        var = input.detach() * 0 + float(var)
    if bool((var._array < 0).any()):
        raise ValueError(f"[{op}] var must not be negative, got {float(var._array.min())}")
    shape, given = tuple(input.shape), tuple(var.shape)
    if given != shape:
        if given == shape[:-1]:
            var = var.unsqueeze(-1)
        elif len(given) != len(shape) or [
            v for n, v in zip(shape, given, strict=True) if n != v
        ] != [1]:
            raise ValueError(
                f"[{op}] var must have input's shape {shape}, that shape without its last "
                f"dimension, or with one dimension of size 1; got {given}"
            )
    var = clamp_min_straight_through(var, least=eps)
    losses = 0.5 * (log(var) + square(input - target) / var)
    return reduce_loss(losses + 0.5 * math.log(2 * math.pi) if full else losses, reduction)


# ---------------------------------------------------------------------- of labels 1 and -1


def soft_margin_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """log(1 + exp(-t x)), without overflow."""
    require_broadcastable("soft_margin_loss", input, target)
    check_reduction("soft_margin_loss", reduction)
    return reduce_loss(softplus(-target * input, threshold=40.0), reduction)


def hinge_embedding_loss(
    input: Tensor, target: Tensor, margin: float = 1.0, *, reduction: str = "mean"
) -> Tensor:
    """x where the label is 1, max(0, margin - x) where it is -1."""
    require_broadcastable("hinge_embedding_loss", input, target)
    check_reduction("hinge_embedding_loss", reduction)
    near = where(target != -1, input, 0.0)
    far = where(target != 1, clamp(margin - input, min=0), 0.0)
    return reduce_loss(near + far, reduction)
