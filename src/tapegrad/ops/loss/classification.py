"""Losses of classes. Softmax cross-entropy is one primitive that computes its gradient on the way
forward (kernels/cross_entropy.cu); the others are compositions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.core.deferred import out_of_range
from tapegrad.core.devices import Device, override
from tapegrad.core.dtypes import accumulator, is_floating, is_low_precision
from tapegrad.core.kernels import kernel, launch
from tapegrad.core.launches import launching
from tapegrad.core.memory import Array
from tapegrad.core.tape import array_function, is_recording, primitive
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.activation.softmax import log_softmax
from tapegrad.ops.common.arguments import require_floating, require_tensor
from tapegrad.ops.common.index import getitem
from tapegrad.ops.common.operands import two_tensors
from tapegrad.ops.common.precision import compute_in_float32, largest, to_float32
from tapegrad.ops.indexing.gather import check_index
from tapegrad.ops.indexing.take_along import pick
from tapegrad.ops.pointwise.elementwise import as_dtype, clip, multiply, not_equal, where
from tapegrad.ops.reduction.reduce import mean, sum, to_dtype

from .elementwise import check_reduction, reduce_loss
from .size_average import takes_flags

# ---------------------------------------------------------------------- softmax cross-entropy
# The target of a row is q = (1 - smoothing) w[t] onehot(t) + smoothing / classes * w, all 0 where
# t is ignored. Its loss is -sum(q log p), and the gradient of the logits is sum(q) p - q.


def _target(
    xp: Any, logits: Array, targets: Array, weight: Any, ignored: int, smoothing: float, mean_: bool
) -> tuple:
    """q in parts, for q = a onehot(t) + b w: (valid rows, t with some class where ignored, a, b, w,
    total), a and b divided by ``total``, the weight of all targets, if ``mean_``.

    Raises IndexError for a class out of range.
    """
    classes, dtype = logits.shape[1], logits.dtype
    xp.check_classes(targets, op="cross_entropy", classes=classes, ignored=ignored)
    valid, t = targets != ignored, xp.library.clip(targets, 0, classes - 1)
    w = xp.ones((classes,), dtype=dtype) if weight is None else weight
    picked = xp.where(valid, w[t], 0).astype(dtype)
    total = picked.sum() if mean_ else dtype.type(1)
    a = xp.where(valid, (1 - smoothing) * picked / total, 0)
    b = xp.where(valid, smoothing / classes / total, 0).astype(dtype)
    return valid, t, a, b, w, total


@array_function
def check_classes(xp: Any, targets: Array, *, op: str, classes: int, ignored: int) -> None:
    """Raise IndexError, on a GPU when it is waited for, for a target out of range."""
    wrong = targets[((targets < 0) | (targets >= classes)) & (targets != ignored)]
    if wrong.size:
        raise _class_error(int(wrong[0]), op, classes, ignored)


_check = launching("check_classes", "targets[*n], invalid[2] ->", int64="targets invalid")


@kernel("check_classes", floats="")
def _check_classes_kernel(
    device: Device, targets: Array, *, op: str, classes: int, ignored: int
) -> None:
    with out_of_range(device, _class_error, op, classes, ignored) as invalid:
        _check(device, targets, invalid, classes=classes, ignored=ignored)


def _class_error(wrong: int, op: str, classes: int, ignored: int) -> IndexError:
    return IndexError(
        f"[{op}] class {wrong} is out of range for {classes} classes: expected 0 "
        f"to {classes - 1}, or ignore_index={ignored}"
    )


def _cross_entropy_plain(
    logits: Tensor, targets: Tensor, weight: Tensor | None, *, gradient: bool, **settings: Any
) -> Tensor:
    device, logits = logits._device, as_dtype(logits, accumulator(logits.dtype))
    given = None if weight is None else weight._array
    _, t, a, b, w, _ = _target(device.xp, logits._array, targets._array, given, **settings)
    q = b[:, None] * w
    q[device.xp.arange(len(t)), t] += a
    return -sum(multiply(log_softmax(logits, 1), wrap(q, device)), 1)


@array_function
def cross_entropy_backward(xp: Any, g: Array, dlogits: Array) -> Array:
    return dlogits * g[:, None]


@primitive(
    "cross_entropy",
    vjp=("cross_entropy_backward", None, None),
    plain=_cross_entropy_plain,
    extras=("dlogits",),
)
@to_float32
def _cross_entropy(
    xp: Any,
    logits: Array,
    targets: Array,
    weight: Array,
    *,
    ignored: int,
    smoothing: float,
    mean_: bool,
    gradient: bool,
) -> tuple:
    """(rows, classes), (rows,) -> the loss of each row, divided by the total weight if ``mean_``
    (so that they add up to the mean), and, if wanted, its gradient for the logits. The losses of
    16-bit logits are float32: they are still to be added up."""
    valid, t, a, b, w, total = _target(xp, logits, targets, weight, ignored, smoothing, mean_)
    shifted = logits - largest(logits, 1)
    rows = xp.arange(len(t))
    at_target = shifted[rows, t]
    everywhere = shifted @ w if smoothing else 0
    p = xp.exp(shifted, out=shifted)
    norm = p.sum(axis=1)
    mass = a + b * w.sum()
    loss = xp.where(valid, mass * xp.log(norm) - a * at_target - b * everywhere, 0)
    if mean_:  # with every target ignored the mean is nan, and the gradient 0
        loss = xp.where(total == 0, math.nan, loss)
    loss = loss.astype(logits.dtype)
    if not gradient:
        return loss, None
    p *= (mass / norm)[:, None]
    p[rows, t] -= a
    if smoothing:
        p -= b[:, None] * w
    p[~valid] = 0
    return loss, p


_forward = launching(
    "cross_entropy_forward",
    "logits[rows, classes], targets[rows], weight[classes], invalid[2] "
    "-> loss[rows], dlogits[rows, classes]?, total[1]?",
    acc="loss total",
    int64="targets invalid",
)
_backward = launching(
    "cross_entropy_backward", "dlogits[rows, classes], g[n] -> dx[rows, classes]", acc="g"
)


@kernel("cross_entropy", floats="logits weight")
def _cross_entropy_kernel(
    device: Device,
    logits: Array,
    targets: Array,
    weight: Array,
    *,
    ignored: int,
    smoothing: float,
    mean_: bool,
    gradient: bool,
) -> Array:
    with out_of_range(device, _class_error, "cross_entropy", logits.shape[1], ignored) as invalid:
        loss, dlogits, total = _forward(
            device,
            logits,
            targets,
            weight,
            invalid,
            needs=(True, gradient, mean_),
            ignored=ignored,
            smoothing=smoothing,
        )
    return device.ops["divide"](loss, total) if mean_ else loss, dlogits


@kernel("cross_entropy_backward", floats="dlogits", contiguous="dlogits")
def _cross_entropy_backward_kernel(device: Device, g: Array, dlogits: Array) -> Array:
    g = g.astype(accumulator(dlogits.dtype), copy=False)
    # The gradient of a mean or sum is one number for all rows.
    g = g[:1] if g.strides[0] == 0 else device.ops["contiguous"](g)
    return _backward(device, dlogits, g)


def _class_dim(op: str, input: Tensor, weight: Tensor | None) -> tuple[int, tuple[int, ...]]:
    """The dimension of classes in (classes,) or (n, classes, ...), and the shape without it: that
    of class targets. Raises RuntimeError if there is none, or for a weight that does not fit."""
    shape = tuple(input.shape)
    if not shape:
        raise RuntimeError(f"[{op}] input needs a dimension of classes, got a 0-d tensor")
    dim = min(len(shape) - 1, 1)
    if weight is not None:
        require_tensor(op, weight)
    if weight is not None and tuple(weight.shape) != (shape[dim],):
        raise RuntimeError(
            f"[{op}] expected a weight for each of {shape[dim]} classes, got shape "
            f"{tuple(weight.shape)}"
        )
    return dim, shape[:dim] + shape[dim + 1 :]


def _one_class(op: str, input: Tensor, target: Tensor) -> Tensor:
    """The class of (classes,) scores, which may also be given as (1,). Raises ValueError for a
    target of another batch size than the input's."""
    if input.ndim > 1 and target.ndim and input.shape[0] != target.shape[0]:
        raise ValueError(
            f"[{op}] input and target must have one batch size, got shapes {tuple(input.shape)} "
            f"and {tuple(target.shape)}"
        )
    return target.reshape(()) if input.ndim == 1 and target.shape == (1,) else target


@takes_flags
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Softmax cross-entropy of logits, -sum(q log softmax(input)) with q the target.

    input: (n, classes), (n, classes, d1, ...) or (classes,). target: integer classes of the shape
    without the class dimension, or probabilities of the shape of input. weight: (classes,).
    "mean" divides by the total weight of the targets that are not ``ignore_index``.
    label_smoothing: the share of q that is spread over all classes (Szegedy et al. 2016).
    Raises IndexError for a class out of range, on a GPU when the program next waits for it;
    RuntimeError where shapes or dtypes do not fit and for an ignore_index with probabilities,
    ValueError for a smoothing outside 0..1.
    """
    check_reduction("cross_entropy", reduction)
    two_tensors("cross_entropy", input, target)
    if target.is_floating_point() and not input.is_floating_point():
        raise RuntimeError(
            f"[cross_entropy] the logits come first, then the target: got {input.dtype.name} "
            f"{tuple(input.shape)} and {target.dtype.name} {tuple(target.shape)}"
        )
    require_floating("cross_entropy", input)
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"[cross_entropy] label_smoothing must be in 0..1, got {label_smoothing}")
    dim, wanted = _class_dim("cross_entropy", input, weight)
    if target.is_floating_point() and target.shape == input.shape:
        if ignore_index >= 0:
            raise RuntimeError(
                f"[cross_entropy] ignore_index={ignore_index} is for class targets, and these are "
                f"probabilities of shape {tuple(target.shape)}"
            )
        return _probability_targets(input, target, weight, dim, reduction, label_smoothing)
    shape, target = tuple(input.shape), _one_class("cross_entropy", input, target)
    if tuple(target.shape) != wanted or target.dtype.kind not in "iu":
        raise RuntimeError(
            f"[cross_entropy] input {shape} takes integer class targets of shape {wanted} or "
            f"floating-point probabilities of shape {shape}; got {target.dtype.name} "
            f"{tuple(target.shape)}"
        )
    weight = None if weight is None else weight.detach()
    if input.ndim > 2 and not label_smoothing and _stays_as_it_lies(input, weight):
        return _nll(
            log_softmax(input, 1),
            to_dtype(target, np.int64),
            weight,
            op="cross_entropy",
            ignored=ignore_index,
            reduction=reduction,
        )
    rows = input.unsqueeze(0) if input.ndim == 1 else input
    if rows.ndim > 2:
        rows = rows.movedim(1, -1).reshape(math.prod(wanted), shape[1])
    labels = to_dtype(wrap(target._array.reshape(-1), target._device), np.int64)
    narrow = is_low_precision(input.dtype)  # gradients are not divided before they are scaled
    losses = _cross_entropy(
        rows,
        labels,
        weight,
        ignored=ignore_index,
        smoothing=label_smoothing,
        mean_=reduction == "mean" and not narrow,
        gradient=is_recording(rows),
    )
    if reduction == "none":
        losses = losses.reshape(wanted)
    elif reduction == "mean" and not math.prod(wanted):
        losses = mean(losses)  # nan, for an empty input
    else:
        losses = sum(losses)
        if reduction == "mean" and narrow:
            amount = losses._device.ops["target_weight"](
                labels._array,
                None if weight is None else weight._array,
                dtype=losses.dtype,
                ignored=ignore_index,
                classes=shape[dim],
            )
            losses = _per_weight(losses.reshape(1), wrap(amount, losses._device)).reshape(())
    return as_dtype(losses, input.dtype)


def _stays_as_it_lies(x: Tensor, weight: Tensor | None) -> bool:
    """Whether two walks along the classes of (n, classes, ...) cost less than one that has them
    beside each other first."""
    kept = x._device.type == "cpu" and not is_low_precision(x.dtype)
    return kept and (weight is None or weight.dtype == x.dtype)


@array_function
def target_weight(
    xp: Any, targets: Array, weight: Any, *, dtype: Any, ignored: int, classes: int
) -> Array:
    """The weight of all classes that are not ignored, 1 each without one: (1,), of the dtype."""
    valid = targets != ignored
    if weight is not None:
        valid = xp.where(valid, weight[xp.library.clip(targets, 0, classes - 1)], 0)
    return valid.astype(dtype).sum(keepdims=True)


@override("target_weight", "cuda", "emulated")
def _target_weight_kernel(
    device: Device, targets: Array, weight: Any, *, dtype: Any, ignored: int, classes: int
) -> Any:
    kind = dtype if weight is None else weight.dtype
    if not is_floating(kind) or accumulator(kind) != dtype:
        return NotImplemented
    contiguous, total = device.ops["contiguous"], device.ops["empty"]((1,), dtype)
    weight = None if weight is None else contiguous(weight)
    sizes = (targets.size, classes, ignored)
    launch(device, "target_weight", kind, total, contiguous(targets), weight, *sizes)
    return total


@array_function
def divide_or_zero(xp: Any, g: Array, amount: Array) -> Array:
    """g / amount, and 0 where that is 0."""
    empty = amount == 0
    return xp.where(empty, 0.0, g / xp.where(empty, 1.0, amount))


def _per_weight_plain(total: Tensor, amount: Tensor) -> Tensor:
    empty = amount == 0
    return where(empty, math.nan, total / where(empty, 1.0, amount))


@primitive("per_weight", vjp=("divide_or_zero", None), plain=_per_weight_plain)
def _per_weight(xp: Any, total: Array, amount: Array) -> Array:
    """The losses' total (1,) divided by the weight of their targets; for 0, where it is 0, nan, and
    without a slope."""
    return xp.divide(total, amount)


@compute_in_float32
def _probability_targets(
    input: Tensor, target: Tensor, weight: Any, dim: int, reduction: str, smoothing: float
) -> Tensor:
    classes = input.shape[dim]
    if smoothing:
        target = target * (1 - smoothing) + smoothing / classes
    log_p = log_softmax(input, dim)
    if weight is not None:
        log_p = log_p * weight.reshape((-1,) + (1,) * (input.ndim - 1 - dim))
    losses = -sum(log_p * target, dim)
    if reduction == "mean":  # over rows, whatever their weight
        return sum(losses) / (input.numel() // classes if classes else 0)
    return reduce_loss("cross_entropy", losses, reduction)


# ---------------------------------------------------------------------- likelihood of classes


def _nll_plain(
    x: Tensor, target: Tensor, weight: Tensor | None, *, op: str, ignored: int, reduction: str
) -> Tensor:
    dim = min(x.ndim - 1, 1)
    valid, safe = not_equal(target, ignored), clip(target, low=0, high=x.shape[dim] - 1)
    losses = where(valid, -pick(x, safe.unsqueeze(dim), dim, keepdim=False).values, 0.0)
    if weight is None:
        weights = valid.to(x.dtype)
    else:
        weights = where(valid, getitem(weight, index=(safe._array,)), 0.0)
    losses = losses * weights
    return sum(losses) / sum(weights) if reduction == "mean" else reduce_loss(op, losses, reduction)


@array_function
def nll_backward(
    xp: Any, g: Array, target: Array, factors: Array, total: Array, *, shape: tuple, ignored: int
) -> Array:
    dx = xp.zeros(shape, dtype=factors.dtype)
    places = xp.library.clip(target, 0, shape[1] - 1)[:, None]
    slopes = xp.where(target == ignored, 0, -(g * factors) / total)
    xp.library.put_along_axis(dx, places, slopes[:, None], 1)
    return dx


@primitive(
    "nll",
    vjp=(
        lambda xp, g, target, factors, total, input_shape, ignored: xp.nll_backward(
            g, target, factors, total, shape=input_shape, ignored=ignored
        ),
        None,
        None,
    ),
    plain=_nll_plain,
    extras=("factors", "total"),
)
def _nll(
    xp: Any, x: Array, target: Array, weight: Array, *, op: str, ignored: int, reduction: str
) -> tuple:
    """-x[target] times its weight, of (n, classes, ...) and (n, ...); with its factors, which are 0
    where the target is ignored, and what all was divided by. A mean without targets is nan."""
    classes = x.shape[1]
    xp.check_classes(target, op=op, classes=classes, ignored=ignored)
    valid, safe = target != ignored, xp.library.clip(target, 0, classes - 1)
    factors = xp.where(valid, 1 if weight is None else weight[safe], 0).astype(x.dtype)
    picked = xp.library.take_along_axis(x, safe[:, None], 1)[:, 0]
    losses = xp.where(valid, -picked, 0) * factors
    total = factors.sum() if reduction == "mean" else x.dtype.type(1)
    if reduction == "none":
        return losses, factors, total
    return (
        xp.where(total == 0, math.nan, losses.sum() / xp.where(total == 0, 1, total)),
        factors,
        total,
    )


@compute_in_float32
@takes_flags
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-input[target]: the negative log likelihood, of log-probabilities (n, classes, ...).

    target: integer classes (n, ...). weight: (classes,). "mean" divides by the total weight of the
    targets that are not ``ignore_index``. Raises IndexError for a class out of range, on a GPU when
    the program next waits for it; RuntimeError where shapes or dtypes do not fit.
    """
    require_floating("nll_loss", input)
    require_tensor("nll_loss", target)
    dim, wanted = _class_dim("nll_loss", input, weight)
    shape, target = tuple(input.shape), _one_class("nll_loss", input, target)
    if tuple(target.shape) != wanted or target.dtype.kind not in "iu":
        raise RuntimeError(
            f"[nll_loss] input {shape} takes integer class targets of shape {wanted}, got "
            f"{target.dtype.name} {tuple(target.shape)}"
        )
    if weight is not None and weight.dtype != input.dtype:
        raise RuntimeError(
            f"[nll_loss] weight must be {input.dtype.name}, as the input, not {weight.dtype.name}"
        )
    check_reduction("nll_loss", reduction)
    check_index("nll_loss", input, target)
    target = to_dtype(target, np.int64)  # a narrow dtype would wrap ignore_index around
    xp = input._device.xp
    settings: dict[str, Any] = {"op": "nll_loss", "ignored": ignore_index, "reduction": reduction}
    if input.ndim == 1 or is_recording(weight):
        xp.check_classes(target._array, op="nll_loss", classes=shape[dim], ignored=ignore_index)
        return _nll_plain(input, target, weight, **settings)
    return _nll(input, target, weight, **settings)
