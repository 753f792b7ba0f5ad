"""Cross-entropy of the scores that a linear layer gives, of all rows at once or of a few at a time.

A language model's scores, rows x classes, are often the largest array of a training step. With
``LinearCrossEntropyOptions`` they are computed for some rows, used, and forgotten, and once more on
the way back: a matrix product more, for memory of rows x classes less.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any
from warnings import warn

import numpy as np

from tapegrad.core import dtypes
from tapegrad.core.memory import Array
from tapegrad.core.tape import array_function, primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.activation.softmax import log_softmax
from tapegrad.ops.common.arguments import require_tensor
from tapegrad.ops.common.index import getitem
from tapegrad.ops.common.precision import compute_in_float32, stable_sum
from tapegrad.ops.indexing.take_along import pick
from tapegrad.ops.linalg.matmul import linear
from tapegrad.ops.pointwise.elementwise import clip, not_equal, where
from tapegrad.ops.reduction.reduce import sum, to_dtype

from .classification import cross_entropy
from .elementwise import check_reduction, reduce_loss


def _part(method: Any) -> int:
    """N of "aspect_ratio:N", which is 1 if it is left out, and 2 for "auto"; 0 for other words."""
    found = re.fullmatch(r"auto|aspect_ratio(:[0-9]+)?", method) if type(method) is str else None
    return 0 if found is None else 2 if method == "auto" else int((found[1] or ":1")[1:])


_POLICIES = ("auto", "accurate", "balanced", "compact")


@dataclass(frozen=True, slots=True)
class LinearCrossEntropyOptions:
    """How ``linear_cross_entropy`` divides its rows.

    ``batch_chunk_size`` rows at a time; or by ``chunking_method``: "aspect_ratio", so many that
    their scores take about as much memory as the input, "aspect_ratio:N", an N-th of that, or
    "auto", which is "aspect_ratio:2". Sums are float32 or wider and a backward pass may be
    repeated, whatever ``acc_policy``, ``acc_dtype`` and ``allow_retain_graph`` say. Raises
    ValueError for words and numbers that PyTorch does not take.
    """

    allow_retain_graph: bool = False
    batch_chunk_size: int | None = None
    chunking_method: str | None = "auto"
    acc_policy: str = "auto"
    acc_dtype: Any = None

    def __post_init__(self) -> None:
        op = "LinearCrossEntropyOptions"
        rows = self.batch_chunk_size
        if type(self.acc_policy) is not str or self.acc_policy not in _POLICIES:
            raise ValueError(
                f"{op}: acc_policy must be one of {_POLICIES}, not {self.acc_policy!r}"
            )
        if rows is not None and not (isinstance(rows, int) and rows > 0):
            raise ValueError(f"{op}: batch_chunk_size must be a positive int or None, not {rows!r}")
        if self.chunking_method is not None and not _part(self.chunking_method):
            raise ValueError(
                f"{op}: chunking_method must be 'auto', 'aspect_ratio', 'aspect_ratio:N' or None, "
                f"not {self.chunking_method!r}"
            )
        try:
            wide = self.acc_dtype is None or dtypes.is_floating(dtypes.dtype(self.acc_dtype))
        except TypeError:
            wide = False
        if not wide:
            raise ValueError(f"{op}: acc_dtype must be one of floats, not {self.acc_dtype!r}")

    def rows(self, count: int, features: int, classes: int) -> int:
        """How many of ``count`` rows are computed at once. Raises ValueError where the number and
        the method disagree."""
        rows, method = self.batch_chunk_size, self.chunking_method
        if method is None or (method == "auto" and rows is not None):
            return max(1, min(rows or count, count))
        part = _part(method)
        even = math.ceil(count / max(1, math.ceil(classes / max(1, features))))
        found = min((1 << max(0, even - 1).bit_length()) // part, count)
        if rows is not None and min(rows, count) != found:
            raise ValueError(
                f"[linear_cross_entropy] batch_chunk_size={rows} and chunking_method={method!r}, "
                f"which gives {found}, are two sizes: pass one of them"
            )
        return max(1, found)


# ---------------------------------------------------------------------- some rows at a time


def _in_turn(xp: Any, x: Any, weight: Any, bias: Any, rows: int) -> Any:
    """Slices of ``rows`` rows, with their scores, of which the largest is taken away."""
    for start in range(0, x.shape[0], rows):
        piece = slice(start, start + rows)
        scores = xp.matmul(x[piece], weight.T)
        if bias is not None:
            scores += bias
        largest = scores.max(axis=1)
        scores -= largest[:, None]
        yield piece, scores


def _plain(
    x: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, amounts: Tensor, *, rows: int
) -> Tensor:
    log_p = log_softmax(linear(x, weight, bias), 1)
    return -amounts * pick(log_p, targets.unsqueeze(1), 1, keepdim=False).values


@array_function
def chunked_cross_entropy_backward(
    xp: Any,
    g: Array,
    x: Array,
    weight: Array,
    bias: Array,
    targets: Array,
    amounts: Array,
    *,
    rows: int,
    needs: tuple[bool, ...],
) -> tuple:
    """Gradients of x, weight and bias, from the scores computed once more."""
    dx = xp.empty(x.shape, dtype=x.dtype) if needs[0] else None
    dweight = xp.zeros(weight.shape, dtype=weight.dtype) if needs[1] else None
    dbias = xp.zeros(bias.shape, dtype=bias.dtype) if needs[2] else None
    for piece, scores in _in_turn(xp, x, weight, bias, rows):
        p = xp.exp(scores)
        p /= p.sum(axis=1, keepdims=True)
        p[xp.arange(len(p)), targets[piece]] -= 1
        p *= (g[piece] * amounts[piece])[:, None]
        if dx is not None:
            dx[piece] = xp.matmul(p, weight)
        if dweight is not None:
            dweight += xp.matmul(p.T, x[piece])
        if dbias is not None:
            dbias += stable_sum(p, 0)
    return dx, dweight, dbias, None, None


@primitive("chunked_cross_entropy", vjp_all="chunked_cross_entropy_backward", plain=_plain)
def _chunked(
    xp: Any, x: Array, weight: Array, bias: Array, targets: Array, amounts: Array, *, rows: int
) -> Any:
    """(n, features), (classes, features), (classes,), (n,) and (n,) -> ``amounts`` times minus the
    log-probability of each target."""
    losses = xp.empty(targets.shape, dtype=x.dtype)
    for piece, scores in _in_turn(xp, x, weight, bias, rows):
        at_target = scores[xp.arange(len(scores)), targets[piece]]
        losses[piece] = xp.log(xp.exp(scores).sum(axis=1)) - at_target
    return losses * amounts


def _in_pieces(
    x: Tensor,
    table: Tensor,
    target: Tensor,
    bias: Tensor | None,
    weight: Tensor | None,
    reduction: str,
    ignored: int,
    options: LinearCrossEntropyOptions,
) -> Tensor:
    if x.ndim == 1:
        x, target = x.unsqueeze(0), target.reshape(1)
        losses = _in_pieces(x, table, target, bias, weight, reduction, ignored, options)
        return losses.squeeze(0) if reduction == "none" else losses
    classes = table.shape[0]
    rows = options.rows(x.shape[0], x.shape[1], classes)
    target = to_dtype(target, np.int64)
    xp = x._device.xp
    xp.check_classes(target._array, op="linear_cross_entropy", classes=classes, ignored=ignored)
    valid, safe = not_equal(target, ignored), clip(target, low=0, high=classes - 1)
    amounts = valid.to(x.dtype)
    if weight is not None:
        if tuple(weight.shape) != (classes,) or weight.dtype != x.dtype:
            raise RuntimeError(
                f"[linear_cross_entropy] expected {x.dtype.name} weights of {classes} classes, got "
                f"{weight.dtype.name} {tuple(weight.shape)}"
            )
        amounts = where(valid, getitem(weight, index=(safe._array,)), 0.0)
    losses = _chunked(x, table, bias, safe, amounts, rows=rows)
    if reduction == "mean":
        return sum(losses) / sum(amounts)
    return reduce_loss("linear_cross_entropy", losses, reduction)


# ---------------------------------------------------------------------- PyTorch's signature


@compute_in_float32
def linear_cross_entropy(
    input: Tensor,
    linear_weight: Tensor,
    target: Tensor,
    *,
    linear_bias: Tensor | None = None,
    weight: Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: LinearCrossEntropyOptions | None = None,
) -> Tensor:
    """``cross_entropy`` of the logits ``linear(input, linear_weight, linear_bias)``.

    input: (n, features) or (features,). linear_weight: (classes, d1, ..., features), for a loss of
    logits (n, classes, d1, ...). linear_bias: (classes, d1, ...). ``options``: with
    LinearCrossEntropyOptions only some rows' logits exist at a time; a warning says where they have
    no effect, that is for probabilities, label smoothing and further dimensions. Raises
    RuntimeError where shapes do not fit, and as ``cross_entropy`` does.
    """
    for x in (input, linear_weight, target):
        require_tensor("linear_cross_entropy", x)
    shape, table = tuple(input.shape), tuple(linear_weight.shape)
    if len(shape) not in (1, 2) or len(table) < 2 or shape[-1] != table[-1]:
        raise RuntimeError(
            "[linear_cross_entropy] expects input (n, features) or (features,) and linear_weight "
            f"(classes, ..., features) of as many features, got {shape} and {table}"
        )
    if len(table) > 2 and len(shape) == 1:
        raise RuntimeError(
            f"[linear_cross_entropy] linear_weight {table} has further dimensions and needs a "
            f"batch (n, features), got input {shape}"
        )
    if linear_bias is not None and tuple(linear_bias.shape) != table[:-1]:
        raise RuntimeError(
            f"[linear_cross_entropy] linear_bias must have shape {table[:-1]}, got "
            f"{tuple(linear_bias.shape)}"
        )
    logits_shape = (*shape[:-1], *table[:-1])
    if ignore_index is None:
        ignore_index = -100
    elif tuple(target.shape) == logits_shape:
        raise RuntimeError(
            "[linear_cross_entropy] ignore_index is for class targets, and these are probabilities "
            f"of shape {tuple(target.shape)}"
        )
    if options is not None:
        if not isinstance(options, LinearCrossEntropyOptions):
            raise TypeError(
                "[linear_cross_entropy] options must be LinearCrossEntropyOptions or None, got "
                f"{type(options).__name__}"
            )
        classes_only = target.dtype == np.int64 and tuple(target.shape) == shape[:-1]
        if classes_only and label_smoothing == 0 and len(table) == 2:
            check_reduction("linear_cross_entropy", reduction)
            given = (input, linear_weight, target, linear_bias, weight)
            return _in_pieces(*given, reduction, ignore_index, options)
        warn(
            "linear_cross_entropy: options have no effect but for int64 class targets, without "
            f"label smoothing and further dimensions; got {target.dtype.name} targets "
            f"{tuple(target.shape)}, label_smoothing={label_smoothing} and linear_weight {table}",
            stacklevel=2,
        )
    bias = linear_bias if linear_bias is None else linear_bias.reshape(-1)
    logits = linear(input, linear_weight.reshape(math.prod(table[:-1]), table[-1]), bias).reshape(
        logits_shape
    )
    return cross_entropy(
        logits,
        target,
        weight,
        ignore_index=ignore_index,
        reduction=reduction,
        label_smoothing=label_smoothing,
    )
