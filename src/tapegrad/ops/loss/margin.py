"""Losses of scores for several classes, by the margin between right and wrong ones."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.activation.activation import _relu
from tapegrad.ops.activation.gated import logsigmoid
from tapegrad.ops.common.arguments import require_floating, require_tensor
from tapegrad.ops.common.precision import compute_in_float32
from tapegrad.ops.indexing.gather import gather
from tapegrad.ops.pointwise.elementwise import where
from tapegrad.ops.reduction.reduce import sum

from .elementwise import check_reduction, reduce_loss
from .size_average import takes_flags


def _scores(op: str, input: Tensor, target: Tensor, target_shape: tuple) -> Tensor:
    """The scores as (n, classes); a number is the score of the only class."""
    shape = tuple(input.shape)
    if len(shape) > 2 or 0 in shape[-1:] or tuple(target.shape) != target_shape:
        raise RuntimeError(
            f"[{op}] input (n, classes) or (classes,) takes a target of shape {target_shape}, got "
            f"{shape} and {tuple(target.shape)}"
        )
    if target.dtype.kind not in "iu":
        raise RuntimeError(f"[{op}] target must hold integer classes, got {target.dtype.name}")
    return input if input.ndim == 2 else input.reshape(1, -1)


def _check_classes(op: str, labels: Any, least: int, classes: int) -> None:
    wrong = labels[(labels < least) | (labels >= classes)]
    if wrong.size:
        raise IndexError(
            f"[{op}] class {int(wrong[0])} is out of range for {classes} classes: expected "
            f"{least} to {classes - 1}"
        )


@compute_in_float32
@takes_flags
def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """sum over i != t of w[t] max(0, margin - x[t] + x[i])^p / classes, for scores (n, classes) or
    (classes,) and one class t each, (n,) or () of integers; p is 1 or 2; weight: (classes,).

    Raises IndexError for a class out of range, ValueError for another p or weight, RuntimeError
    where shapes do not fit.
    """
    op = "multi_margin_loss"
    check_reduction(op, reduction)
    require_floating(op, input)
    require_tensor(op, target)
    if p not in (1, 2):
        raise ValueError(f"[{op}] p must be 1 or 2, got {p}")
    classes = input.shape[-1] if input.ndim else 1
    if weight is not None:
        require_tensor(op, weight)
    if weight is not None and tuple(weight.shape) != (classes,):
        raise ValueError(
            f"[{op}] expected a weight for each of {classes} classes, got shape "
            f"{tuple(weight.shape)}"
        )
    given = tuple(target.shape)
    if math.prod(input.shape[:-1]) == target.numel() == 1:  # a class, however it is given
        target = target.reshape(input.shape[:-1])
    x = _scores(op, input, target, tuple(input.shape[:-1]))
    device, xp = x._device, x._device.xp
    labels = target._array.reshape(-1, 1).astype(np.int64)
    _check_classes(op, labels, 0, classes)
    right = wrap(xp.arange(classes) == labels, device)
    excess = _relu(margin + (x - gather(x, 1, wrap(labels, device))))
    terms = where(right, 0.0, excess * excess if p == 2 else excess)
    if weight is not None:
        terms = terms * weight[wrap(labels, device)]
    return reduce_loss(op, (sum(terms, 1) / classes).reshape(given), reduction)


@compute_in_float32
@takes_flags
def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """sum of max(0, 1 - x[t] + x[i]) / classes over the right classes t and the wrong ones i, for
    scores (n, classes) or (classes,). target, of that shape, lists the right classes of each row,
    up to the first -1.

    Raises IndexError for a class out of range, RuntimeError where shapes do not fit.
    """
    op = "multilabel_margin_loss"
    check_reduction(op, reduction)
    require_floating(op, input)
    require_tensor(op, target)
    if input.ndim < 2 and input.numel() == target.numel() == 1 and target.ndim < 2:
        target = target.reshape(input.shape)
    x = _scores(op, input, target, tuple(input.shape))
    rows, classes = x.shape
    device, xp = x._device, x._device.xp
    labels = target._array.reshape(rows, classes).astype(np.int64)
    _check_classes(op, labels, -1, classes)
    listed = xp.library.cumsum(labels < 0, axis=1) == 0
    longest = max(int(listed.sum(axis=1).max()), 1) if rows else 1
    listed, labels = listed[:, :longest], xp.where(listed, labels, 0)[:, :longest]
    wrong = xp.ones((rows, classes), dtype=bool)
    row, _ = listed.nonzero()
    wrong[row, labels[listed]] = False
    pairs = listed[:, :, None] & wrong[:, None, :]
    at_right = gather(x, 1, wrap(labels, device)).unsqueeze(2)
    terms = where(wrap(pairs, device), _relu(1 + (x.unsqueeze(1) - at_right)), 0.0)
    losses = sum(terms, (1, 2)) / classes
    return reduce_loss(op, losses if input.ndim == 2 else losses.reshape(()), reduction)


@compute_in_float32
@takes_flags
def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-[t log s(x) + (1 - t) log s(-x)], s the sigmoid, averaged over the last dimension, of scores
    (..., classes) and labels t, 0 or 1, of that shape: (...) for "none"."""
    op = "multilabel_soft_margin_loss"
    require_floating(op, input)
    require_tensor(op, target)
    try:
        np.broadcast_shapes(tuple(input.shape), tuple(target.shape))
    except ValueError:
        raise RuntimeError(
            f"[{op}] target of shape {tuple(target.shape)} must have the shape of the input, "
            f"{tuple(input.shape)}"
        ) from None
    # A choice beside the product: of what has no weight the logarithm may be -inf.
    there = where(target == 0, 0.0, logsigmoid(input))
    absent = where(target == 1, 0.0, logsigmoid(-input))
    losses = -(target * there + (1 - target) * absent)
    if weight is not None:
        require_tensor(op, weight)
        losses = losses * weight
    return reduce_loss(op, sum(losses, -1) / input.shape[-1], reduction)
