"""Losses of numbers, element by element, and what all losses share.

``reduction`` is "mean", "sum" or "none". The flags ``size_average`` and ``reduce`` before it are
PyTorch's older way to say so (``size_average.py``).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.core.devices import bodies
from tapegrad.core.memory import Array
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.activation.activation import softplus
from tapegrad.ops.common.arguments import require_floating, require_tensor
from tapegrad.ops.common.operands import pair, two_tensors
from tapegrad.ops.common.precision import compute_in_float32, in_float32, stable_mean
from tapegrad.ops.creation.create import full_like
from tapegrad.ops.pointwise.arithmetic import clamp
from tapegrad.ops.pointwise.elementwise import absolute, as_dtype, exp, log, square, where
from tapegrad.ops.reduction.reduce import mean, sum

from .size_average import takes_flags

REDUCTIONS = ("mean", "sum", "none")


def check_reduction(op: str, reduction: str) -> None:
    """Raise ValueError for anything but a reduction."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"[{op}] reduction must be one of {REDUCTIONS}, got {reduction!r}")


def reduce_loss(op: str, losses: Tensor, reduction: str) -> Tensor:
    """The losses, their mean or their sum. Raises ValueError for another reduction."""
    if reduction == "mean":
        return mean(losses)
    check_reduction(op, reduction)
    return losses if reduction == "none" else sum(losses)


def broadcasts_into(shape: tuple, target: tuple) -> bool:
    """Whether a tensor of ``shape`` broadcasts to ``target``."""
    try:
        return np.broadcast_shapes(shape, target) == target
    except ValueError:
        return False


def require_broadcastable(op: str, input: Tensor, target: Tensor) -> None:
    """Refuse (n, 1) against (n,): broadcasting that enlarges both compares everything with
    everything, which is never what a loss means (PyTorch warns, and computes it). Raises
    ValueError."""
    two_tensors(op, input, target)
    a, b = tuple(input.shape), tuple(target.shape)
    if a != b and not broadcasts_into(a, b) and not broadcasts_into(b, a):
        raise ValueError(
            f"[{op}] input of shape {a} and target of shape {b} must have the same shape: "
            "reshape, squeeze or unsqueeze one of them"
        )


def _same_shape(op: str, input: Tensor, target: Tensor) -> None:
    two_tensors(op, input, target)
    if input.shape != target.shape:
        raise ValueError(
            f"[{op}] input and target must have one shape, got {tuple(input.shape)} and "
            f"{tuple(target.shape)}"
        )


def _weighted(op: str, losses: Tensor, input: Tensor, weight: Tensor) -> Tensor:
    require_tensor(op, weight)
    if weight.shape != input.shape:
        raise ValueError(
            f"[{op}] weight must have the input's shape {tuple(input.shape)}, got "
            f"{tuple(weight.shape)}"
        )
    return losses * weight


@primitive(vjp=(lambda g: g,))
def clamp_min_straight_through(xp: Any, x: Array, *, least: float) -> Array:
    """max(x, least), with slope 1 everywhere."""
    return xp.library.maximum(x, x.dtype.type(least))


# ---------------------------------------------------------------------- in one walk
# Of an input and a target alike, a loss is one primitive: its elements, or, with a ``total``, their
# sum divided by that. ``number`` is the loss's own, if it has one.


def _in_one(name: str, value: Callable, slope: Callable, of_target: Any, plain: Callable) -> Any:
    """The primitive ``name(x, target, *, total, number)`` from functions of arrays: the loss of
    each element, and its slope in x and in the target (None: the loss is one of the difference).
    ``plain``: the loss of Tensors."""
    backward = f"{name}_backward"

    def slopes(xp: Any, g: Array, x: Array, target: Array, *, total: Any, number: float) -> Array:
        return _shared(g, total) * slope(xp, x, target, number)

    def target_rule(xp: Any, g: Array, x: Array, target: Array, total: Any, number: float) -> Array:
        if of_target is None:
            return getattr(xp, backward)(g, target, x, total=total, number=number)
        return _shared(g, total) * of_target(xp, x, target)

    def losses(xp: Any, x: Array, target: Array, *, total: Any, number: float) -> Array:
        y = value(xp, x, target, number)
        return y if total is None else stable_mean(y, None, False, total)

    def of_tensors(x: Tensor, target: Tensor, *, total: Any, number: float) -> Tensor:
        y = plain(x, target, number)
        return y if total is None else sum(y) / total

    bodies[backward] = slopes
    return primitive(name, vjp=(backward, target_rule), plain=of_tensors)(losses)


def _shared(g: Array, total: Any) -> Array:
    return g if total is None else g / g.dtype.type(total)


def _reduced(
    apply: Callable, x: Tensor, target: Tensor, reduction: str, number: float = 0.0
) -> Tensor | None:
    """By a primitive of ``_in_one``; None for what those do not serve."""
    a, b = x._array, target._array
    alike = a.shape == b.shape and a.dtype == b.dtype and a.size and x._device is target._device
    if not alike or a.dtype.kind != "f" or reduction not in REDUCTIONS:
        return None
    total = None if reduction == "none" else a.size if reduction == "mean" else 1
    return apply(x, target, total=total, number=number)


# ---------------------------------------------------------------------- distances


@compute_in_float32
@takes_flags
def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """The squared difference. Shapes must be equal or broadcast to one of the two. "mean" divides
    by the sum of the weights, of the input's shape, if given. Raises ValueError for other shapes.
    """
    return _distance("mse_loss", _squared, input, target, reduction, weight)


@compute_in_float32
@takes_flags
def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """The absolute difference. Shapes must be equal or broadcast to one of the two. "mean" divides
    by the sum of the weights, of the input's shape, if given. Raises ValueError for other shapes.
    """
    return _distance("l1_loss", _absolute, input, target, reduction, weight)


_squared = _in_one(
    "squared_distance",
    lambda xp, x, t, _: xp.square(x - t),
    lambda xp, x, t, _: 2 * (x - t),
    None,
    lambda x, t, _: square(x - t),
)
_absolute = _in_one(
    "absolute_distance",
    lambda xp, x, t, _: xp.absolute(x - t),
    lambda xp, x, t, _: xp.sign(x - t),
    None,
    lambda x, t, _: absolute(x - t),
)
_ONE_BY_ONE = {_squared: square, _absolute: absolute}


def _distance(
    op: str, apply: Callable, input: Tensor, target: Tensor, reduction: str, weight: Any
) -> Tensor:
    require_broadcastable(op, input, target)
    found = _reduced(apply, input, target, reduction) if weight is None else None
    if found is not None:
        return found
    losses = _ONE_BY_ONE[apply](input - target)
    if weight is None:
        return reduce_loss(op, losses, reduction)
    losses = _weighted(op, losses, input, weight)
    return sum(losses) / sum(weight) if reduction == "mean" else reduce_loss(op, losses, reduction)


@primitive("huber", vjp=(lambda xp, g, x, delta: g * xp.clip(x, low=-delta, high=delta),))
@in_float32
def _huber(xp: Any, x: Array, *, delta: float) -> Array:
    """x^2 / 2 up to delta, and on along the tangent: with s = x clipped, s (x - s / 2)."""
    s = xp.clip(x, low=-delta, high=delta)
    return s * (x - 0.5 * s)


_huber_distance = _in_one(
    "huber_distance",
    lambda xp, x, t, delta: bodies["huber"](xp, x - t, delta=delta),
    lambda xp, x, t, delta: xp.clip(x - t, low=-delta, high=delta),
    None,
    lambda x, t, delta: _huber(x - t, delta=delta),
)


@compute_in_float32
def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """d^2 / 2 for differences |d| up to delta, delta (|d| - delta / 2) beyond (Huber 1964). Shapes
    must be equal or broadcast to one of the two; weight has the input's, and "mean" divides by the
    number of elements. Raises ValueError for other shapes, RuntimeError unless delta > 0."""
    require_broadcastable("huber_loss", input, target)
    if not delta > 0:
        raise RuntimeError(f"[huber_loss] delta must be positive, got {delta}")
    if weight is None:
        found = _reduced(_huber_distance, input, target, reduction, float(delta))
        if found is not None:
            return found
    losses = _huber(input - target, delta=delta)
    if weight is not None:
        losses = _weighted("huber_loss", losses, input, weight)
    return reduce_loss("huber_loss", losses, reduction)


@compute_in_float32
@takes_flags
def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """d^2 / (2 beta) for differences |d| < beta, |d| - beta / 2 beyond (Girshick 2015). Shapes must
    be equal or broadcast to one of the two. Raises ValueError for others, RuntimeError for a
    negative beta."""
    require_broadcastable("smooth_l1_loss", input, target)
    if beta < 0:
        raise RuntimeError(f"[smooth_l1_loss] beta must not be negative, got {beta}")
    if beta == 0:
        return _distance("smooth_l1_loss", _absolute, input, target, reduction, None)
    found = _reduced(_huber_distance, input, target, reduction, float(beta))
    losses = _huber(input - target, delta=beta) if found is None else found
    losses = losses if beta == 1 else losses / beta
    return reduce_loss("smooth_l1_loss", losses, reduction) if found is None else losses


# ---------------------------------------------------------------------- likelihoods


def _cross_entropy_slope(xp: Any, g: Array, x: Array, target: Array) -> Any:
    # As in PyTorch, bounded where x is 0 or 1.
    return g * (x - target) / xp.maximum((1 - x) * x, 1e-12)


@primitive(
    "binary_cross_entropy",
    vjp=(_cross_entropy_slope, lambda xp, g, x: g * (xp.log1p(-x) - xp.log(x))),
)
@in_float32
def _binary_cross_entropy(xp: Any, x: Array, target: Array) -> Array:
    log_x, log_rest = xp.maximum(xp.log(x), -100), xp.maximum(xp.log1p(-x), -100)
    return (target - 1) * log_rest - target * log_x


@compute_in_float32
@takes_flags
def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-[t log x + (1 - t) log(1 - x)] of probabilities x; logarithms are cut off at -100.

    input and target: one shape and floating-point dtype; weight broadcasts with them. Raises
    RuntimeError for a probability or a target outside 0..1, ValueError where shapes differ.
    """
    op = "binary_cross_entropy"
    _same_shape(op, input, target)
    if input.dtype != target.dtype or not input.is_floating_point():
        raise RuntimeError(
            f"[{op}] input and target must have one floating-point dtype, got {input.dtype.name} "
            f"and {target.dtype.name}"
        )
    for name, x in (("probabilities", input._array), ("targets", target._array)):
        outside = ~((x >= 0) & (x <= 1))  # nan, too
        if bool(outside.any()):
            raise RuntimeError(
                f"[{op}] {name} must lie in 0..1, got {float(x[outside][0])}: for logits use "
                "binary_cross_entropy_with_logits"
            )
    if weight is not None:
        require_tensor(op, weight)
    losses = _binary_cross_entropy(input, target)
    return reduce_loss(op, losses if weight is None else losses * weight, reduction)


def _softplus(xp: Any, x: Array) -> Any:
    # Beyond 40, softplus(x) is x in float64 as well, and exp(x) does not overflow before it.
    return xp.softplus(x, beta=1.0, threshold=40.0)


def _logit_rule(xp: Any, g: Array, x: Array, target: Array, positive: Any) -> Any:
    weight = target if positive is None else target * positive
    return g * ((1 - target) * xp.sigmoid(x) - weight * xp.sigmoid(-x))


def _label_rule(xp: Any, g: Array, x: Array, positive: Any) -> Any:
    if positive is None:
        return -g * x
    return g * (positive * _softplus(xp, -x) - _softplus(xp, x))


def _positive_rule(xp: Any, g: Array, x: Array, target: Array) -> Any:
    return xp.where(target == 0, 0.0, g * target * _softplus(xp, xp.where(target == 0, 0.0, -x)))


@primitive("bce_of_logits", vjp=(_logit_rule, _label_rule, _positive_rule))
def _of_logits(xp: Any, x: Array, target: Array, positive: Array) -> Array:
    """(1 - t) softplus(x) + t positive softplus(-x), of which the part that grows is |x| and the
    rest softplus(-|x|): nothing cancels, and what has no weight may be infinite."""
    weight = target if positive is None else target * positive
    size, away = xp.absolute(x), xp.where(x > 0, 1 - target, weight)
    grown = xp.where(away == 0, 0.0, away * size)
    return grown + (1 - target + weight) * _softplus(xp, -size)


_of_two = _in_one(
    "bce_of_two",
    lambda xp, x, t, _: bodies["bce_of_logits"](xp, x, t, None),
    lambda xp, x, t, _: (1 - t) * xp.sigmoid(x) - t * xp.sigmoid(-x),
    lambda xp, x, t: -x,
    lambda x, t, _: _of_logits(x, t, None),
)


@compute_in_float32
@takes_flags
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """-[t log s(x) + (1 - t) log(1 - s(x))], s the sigmoid: in one expression that neither
    overflows nor takes a logarithm of 0. pos_weight multiplies the first term; it and weight must
    broadcast to the shape of input and target. Raises ValueError for other shapes."""
    op = "binary_cross_entropy_with_logits"
    _same_shape(op, input, target)
    for name, w in (("weight", weight), ("pos_weight", pos_weight)):
        if w is not None:
            require_tensor(op, w)
            if not broadcasts_into(tuple(w.shape), tuple(input.shape)):
                raise ValueError(
                    f"[{op}] {name} of shape {tuple(w.shape)} does not broadcast to the input's "
                    f"shape {tuple(input.shape)}"
                )
    x, t = pair(op, input, target)
    if pos_weight is None and weight is None:
        found = _reduced(_of_two, x, t, reduction)
        if found is not None:
            return found
    if pos_weight is not None:
        pos_weight = as_dtype(pos_weight, x.dtype)
    losses = _of_logits(x, t, pos_weight)
    if weight is not None:
        losses = losses * weight
    return reduce_loss(op, losses, reduction)


def _divergence(x: Any, target: Any, probability: Any, where: Callable) -> Any:
    return probability * where(probability == 0, 0.0, target - x)


_of_logarithms = _in_one(
    "kl_of_logarithms",
    lambda xp, x, t, _: _divergence(x, t, xp.exp(t), xp.where),
    lambda xp, x, t, _: -xp.exp(t),
    lambda xp, x, t: (lambda p: _divergence(x, t, p, xp.where) + p)(xp.exp(t)),
    lambda x, t, _: _divergence(x, t, exp(t), where),
)


@compute_in_float32
@takes_flags
def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """The Kullback-Leibler divergence t (log t - x) of log-probabilities x from probabilities t
    (log_target: from their logarithms). "batchmean", its mathematical definition, divides the sum
    by the first dimension; "mean" divides by the number of elements. Shapes broadcast. Raises
    RuntimeError for integers."""
    require_floating("kl_div", input)
    require_floating("kl_div", target)
    if log_target:
        mean_of_rows = reduction == "batchmean"
        found = _reduced(_of_logarithms, input, target, "sum" if mean_of_rows else reduction)
        if found is not None:
            return found / input.shape[0] if mean_of_rows and input.ndim else found
        losses = _divergence(input, target, exp(target), where)
    else:
        zero = target == 0  # of which the entropy is 0, and the slope is taken to be 0
        losses = where(zero, 0.0, target * log(where(zero, 1.0, target))) - target * input
    if reduction == "batchmean":
        return sum(losses) / input.shape[0] if input.ndim else sum(losses)
    return reduce_loss("kl_div", losses, reduction)


@compute_in_float32
@takes_flags
def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """The negative log likelihood of counts under Poisson distributions with means exp(x), or x
    without log_input: exp(x) - t x, or x - t log(x + eps). full: with Stirling's approximation of
    log(t!) for t > 1. Shapes broadcast."""
    two_tensors("poisson_nll_loss", input, target)
    if log_input:  # exp(inf) leaves the product behind, and 0 times -inf is 0
        gone = (input == math.inf) | ((input == -math.inf) & (target == 0))
        losses = exp(input) - target * where(gone, 0.0, input)
    else:
        losses = input - target * log(where(input == math.inf, 0.0, input) + eps)
    if full:
        large = target > 1
        t = where(large, target, 1)
        stirling = t * log(t) - t + 0.5 * log(2 * math.pi * t)
        losses = losses + where(large, stirling, 0.0)
    return reduce_loss("poisson_nll_loss", losses, reduction)


@compute_in_float32
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
    one dimension of size 1. Raises ValueError for other shapes and for a negative variance.
    """
    op = "gaussian_nll_loss"
    two_tensors(op, input, target)
    if not isinstance(var, Tensor):
        var = full_like(input, float(var))
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
    return reduce_loss(op, losses + 0.5 * math.log(2 * math.pi) if full else losses, reduction)


# ---------------------------------------------------------------------- of labels 1 and -1


@compute_in_float32
@takes_flags
def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """log(1 + exp(-t x)), without overflow, of scores x and labels t, 1 or -1. Shapes must be equal
    or broadcast to one of the two; raises ValueError for others."""
    require_broadcastable("soft_margin_loss", input, target)
    return reduce_loss("soft_margin_loss", softplus(-target * input, threshold=40.0), reduction)


@takes_flags
def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """x where the label is 1, max(0, margin - x) where it is -1, of distances x. Shapes must be
    equal or broadcast to one of the two; raises ValueError for others."""
    require_broadcastable("hinge_embedding_loss", input, target)
    return _by_distance(input, target != -1, target != 1, margin, reduction)


@compute_in_float32
def _by_distance(x: Tensor, near: Tensor, far: Tensor, margin: float, reduction: str) -> Tensor:
    losses = where(near, x, 0.0) + where(far, clamp(margin - x, min=0), 0.0)
    return reduce_loss("hinge_embedding_loss", losses, reduction)
