"""Normalisations within a sample: over its channels one by one, in groups, or across neighbours.

The first two are layer norm without weights over rows of their own, with its kernel."""

from __future__ import annotations

import math
from typing import Any

from tapegrad.core.dtypes import is_low_precision
from tapegrad.core.memory import Array
from tapegrad.core.tape import array_function, primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_tensor
from tapegrad.ops.common.precision import compute_in_float32, in_float32
from tapegrad.ops.pointwise.elementwise import power

from .norm import (
    batch_norm,
    channel_sum,
    channelwise,
    check_channels,
    fold,
    normalize_rows,
    row_distances,
    with_channels,
)


@compute_in_float32
def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise (n, c, ...) over groups of c / num_groups consecutive channels; then weight and
    bias for each channel, (c,) (Wu & He 2018). Raises RuntimeError for other shapes and for groups
    that do not divide the channels, ValueError for a single value per group."""
    op = "group_norm"
    check_channels(op, input, weight=weight, bias=bias)
    shape = tuple(input.shape)
    if num_groups < 1 or shape[1] % num_groups:
        raise RuntimeError(
            f"[{op}] num_groups {num_groups} must divide the {shape[1]} channels of input {shape}"
        )
    if input.numel() == num_groups:
        raise ValueError(f"[{op}] needs more than 1 value per group, got input {shape}")
    return _in_groups(input, weight, bias, num_groups, eps)


@array_function
def group_norm_backward(
    xp: Any,
    g: Array,
    x: Array,
    weight: Array,
    mean: Array,
    rstd: Array,
    *,
    groups: int,
    needs: tuple[bool, ...],
) -> tuple:
    """dx, dweight, dbias, in layer norm's terms."""
    rows = x.reshape(_rows(x, groups))
    u = channelwise(weight, x) * g
    dx = xp.layer_norm_backward(
        u.reshape(rows.shape), rows, None, mean, rstd, needs=(True, False, False)
    )[0]
    h = (row_distances(rows, mean[:, None]) * rstd[:, None]).reshape(x.shape)
    dweight = channel_sum(g * h) if needs[1] else None
    return dx.reshape(x.shape), dweight, channel_sum(g) if needs[2] else None


def _group_norm_plain(
    x: Tensor, weight: Tensor, bias: Tensor | None, *, groups: int, eps: float
) -> Tensor:
    y = normalize_rows(x.reshape(_rows(x, groups)), None, None, eps=eps)
    return with_channels(y.reshape(x.shape), weight, bias)


@primitive(
    "group_norm", vjp_all="group_norm_backward", plain=_group_norm_plain, extras=("mean", "rstd")
)
def _group_norm(xp: Any, x: Array, weight: Array, bias: Array, *, groups: int, eps: float) -> tuple:
    """Layer norm of rows of (n * groups, channels of a group, ...), with one weight and bias (or
    None) for each channel."""
    y, *saved = xp.layer_norm(x.reshape(_rows(x, groups)), None, None, eps=eps)
    y = y.reshape(x.shape) * channelwise(weight, x)
    return (y if bias is None else y + channelwise(bias, x)), *saved


def _rows(x: Any, groups: int) -> tuple[int, int]:
    return x.shape[0] * groups, math.prod(x.shape[1:]) // groups


def _in_groups(x: Tensor, weight: Any, bias: Any, groups: int, eps: float) -> Tensor:
    """(n, c, ...) normalised over groups of channels, then scaled by channels: in 16 bits if x is,
    though the others are float32."""
    if weight is not None and x.dtype == weight.dtype == (x if bias is None else bias).dtype:
        return _group_norm(x, weight, bias, groups=groups, eps=eps)
    y = normalize_rows(x.reshape(_rows(x, groups)), None, None, eps=eps)
    y = with_channels(y.reshape(x.shape), weight, bias)
    return y.to(x.dtype) if is_low_precision(x.dtype) else y


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each channel of each sample of (n, c, ...) by itself (Ulyanov et al. 2016).

    use_input_stats: with its own statistics, folding their means over the batch into running_mean
    and running_var in place; otherwise with the running ones. Raises RuntimeError for shapes other
    than (c,) of the others, ValueError for a single value per channel.
    """
    op = "instance_norm"
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, eps=eps)
    check_channels(
        op, input, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias
    )
    shape = tuple(input.shape)
    rows, columns = math.prod(shape[:2]), math.prod(shape[2:])
    if columns == 1:
        raise ValueError(f"[{op}] needs more than 1 value per channel, got input {shape}")
    y = _by_channel(input, weight, bias, eps)
    if input.numel() and (running_mean is not None or running_var is not None):
        each = input._array.reshape(1, rows, columns)
        centre, spread, *_ = input._device.ops["batch_moments"](each)
        means = tuple([each.reshape(shape[:2]).mean(axis=0) for each in (centre, spread)])
        unbiased = columns / (columns - 1)
        fold(op, (running_mean, running_var, None), means, momentum, unbiased)
    return y


@compute_in_float32
def _by_channel(x: Tensor, weight: Any, bias: Any, eps: float) -> Tensor:
    return _in_groups(x, weight, bias, x.shape[1], eps)


@primitive(vjp=(lambda xp, g, before, after: xp.window_sum(g, before=after, after=before),))
@in_float32
def window_sum(xp: Any, x: Array, *, before: int, after: int) -> Array:
    """Along dimension 1, each element plus as many neighbours as there are before and after it."""
    y = x.copy()
    for k in range(1, before + 1):
        y[:, k:] += x[:, :-k]
    for k in range(1, after + 1):
        y[:, :-k] += x[:, k:]
    return y


@compute_in_float32
def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """x / (k + alpha * mean of the squares of ``size`` neighbouring channels)^beta, for inputs
    (n, c, ...) of at least 3 dimensions (Krizhevsky et al. 2012); zeros surround the channels.
    Raises ValueError for fewer dimensions, RuntimeError for a size below 1."""
    op = "local_response_norm"
    require_tensor(op, input)
    if input.ndim < 3:
        raise ValueError(
            f"[{op}] expects at least 3 dimensions (n, c, ...), got shape {tuple(input.shape)}"
        )
    if size < 1:
        raise RuntimeError(f"[{op}] size must be positive, got {size}")
    if not input.numel():
        return input
    reach = input.shape[1]  # beyond it there are zeros only
    before, after = min(size // 2, reach), min((size - 1) // 2, reach)
    sums = window_sum(input * input, before=before, after=after)
    average = sums / size if input.is_floating_point() else sums // size
    return input / power(average * alpha + k, beta)
