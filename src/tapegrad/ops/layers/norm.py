"""Normalisations, with their kernels (kernels/norm.cu)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial, wraps
from operator import setitem
from typing import Any

import numpy as np

from tapegrad.core.commit import commit
from tapegrad.core.devices import bodies
from tapegrad.core.dtypes import accumulator
from tapegrad.core.launches import launches
from tapegrad.core.memory import Array, has_values
from tapegrad.core.tape import array_function, primitive, tensor_xp
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_floating, require_tensor
from tapegrad.ops.common.precision import (
    all_finite,
    compute_in_float32,
    in_float32,
    keeps_digits,
    plus,
    stable_mean,
    stable_sum,
    times,
    to_float32,
)
from tapegrad.ops.common.writable import check_writable
from tapegrad.ops.pointwise.elementwise import rsqrt

from . import batch_norm_kernels  # noqa: F401  registers how GPUs compute the primitives below

# The running mean and variance, and how many batches they are of; each of them may be missing.
Statistics = tuple[Tensor | None, Tensor | None, Tensor | None]

# Layer and RMS norm work on rows: the primitives take x as (rows, columns).

_BLOCK = 1 << 15  # elements of which a dozen arrays on the way stay in the CPU's cache


def by_rows(sliced: Sequence[int], summed: Sequence[int] = ()) -> Callable:
    """On the CPU, let a body work on a block of rows at a time: of the inputs ``sliced``, of which
    the first has the columns. Its results, a tuple, are put together, those ``summed`` added."""

    def declare(body: Callable) -> Callable:
        @wraps(body)
        def blockwise(xp: Any, *arrays: Array, **parameters: Any) -> tuple:
            x = arrays[sliced[0]]
            rows = _BLOCK // (x.shape[1] or 1) or 1
            if not has_values(x) or len(x) <= 2 * rows:
                return body(xp, *arrays, **parameters)
            whole: list[Any] = []
            for i in range(0, len(x), rows):
                block = slice(i, i + rows)
                given = [a[block] if j in sliced else a for j, a in enumerate(arrays)]
                parts = body(xp, *given, **parameters)
                whole = whole or [
                    p if p is None or j in summed else np.empty((len(x), *p.shape[1:]), p.dtype)
                    for j, p in enumerate(parts)
                ]
                for j, part in enumerate(parts):
                    if part is not None and j not in summed:
                        whole[j][block] = part
                    elif part is not None and i:
                        whole[j] += part
            return tuple(whole)

        return blockwise

    return declare


def _row_mean(x: Any) -> Any:
    return stable_mean(x, 1, True, x.shape[1])


def _quick_row_mean(x: Any) -> Any:
    """The same, unless its sum overflows, which its caller has to see."""
    return stable_sum(x, 1, True) / x.shape[1]


def _means(x: Any) -> tuple:
    """The ways to take means, of which the first that does not overflow is good."""
    return (_quick_row_mean, _row_mean) if isinstance(x, np.ndarray) else (_row_mean,)


def row_distances(x: Any, centre: Any, mean: Callable = _row_mean) -> Any:
    """A mean is rounded, by as much as all distances from it where these are small: so what is left
    of it in the distances, which are exact, is taken from them."""
    x = x - centre
    return plus(x, -mean(x))


def _standardize(xp: Any, x: Any, eps: float) -> tuple:
    """Of each row the mean, the distances from it, and 1 / sqrt(variance + eps). That a sum has
    overflowed shows in the last of them."""
    for mean in _means(x):
        centre = mean(x)
        distances = row_distances(x, centre, mean)
        squares = mean(distances * distances) + eps
        if keeps_digits(xp, squares):
            return centre, distances, 1 / xp.sqrt(squares)
    return centre, distances, _inverse_root(xp, distances, eps)


def _root_of_squares(xp: Any, x: Any) -> Any:
    return xp.vector_norm(x, order=2.0, axis=(1,), keepdims=True)


def _inverse_root(xp: Any, x: Any, eps: float) -> Any:
    """1 / sqrt(mean(x^2) + eps) of each row, of which the squares may leave the range."""
    root = _root_of_squares(xp, x) / math.sqrt(x.shape[1])
    root = xp.where(root < math.inf, root, _root_of_squares(xp, x / math.sqrt(x.shape[1])))
    return 1 / xp.hypot(root, xp.where(root < 0, root, math.sqrt(eps)))


@array_function
@by_rows((1, 0, 3, 4), summed=(1, 2))
@in_float32
def layer_norm_backward(
    xp: Any, g: Array, x: Array, weight: Array, mean: Array, rstd: Array, *, needs: tuple[bool, ...]
) -> tuple:
    """dx, dweight, dbias. With h = (x - mean) rstd and u = g weight,
    dx = rstd (u - mean(u) - h mean(u h)) along each row."""
    u = g if weight is None else g * weight
    for row_mean in _means(x):
        h = row_distances(x, mean[:, None], row_mean) * rstd[:, None]
        of_u, of_both = row_mean(u), row_mean(u * h)
        if all_finite(of_u + of_both):
            break
    dx = u - of_u
    dx -= h * of_both
    dx *= rstd[:, None]
    dweight = stable_sum(g * h, 0) if needs[1] else None
    return dx, dweight, stable_sum(g, 0) if needs[2] else None


@primitive("layer_norm", vjp_all="layer_norm_backward", plain=True, extras=("mean", "rstd"))
@by_rows((0,))
@in_float32
def normalize_rows(xp: Any, x: Array, weight: Array, bias: Array, *, eps: float) -> tuple:
    centre, y, rstd = _standardize(xp, x, eps)
    y = times(y, rstd)
    if weight is not None:
        y = times(y, weight)
    if bias is not None:
        y = plus(y, bias)
    return y, centre[:, 0], rstd[:, 0]


@array_function
@by_rows((1, 0, 3), summed=(1,))
@in_float32
def rms_norm_backward(
    xp: Any, g: Array, x: Array, weight: Array, rstd: Array, *, needs: tuple[bool, ...]
) -> tuple:
    """dx, dweight. With h = x rstd and u = g weight, dx = rstd (u - h mean(u h))."""
    h = x * rstd[:, None]
    u = g if weight is None else g * weight
    dx = (u - h * _row_mean(u * h)) * rstd[:, None]
    return dx, stable_sum(g * h, 0) if needs[1] else None


@primitive("rms_norm", vjp_all="rms_norm_backward", plain=True, extras=("rstd",))
@by_rows((0,))
@in_float32
def _rms_norm(xp: Any, x: Array, weight: Array, *, eps: float) -> tuple:
    squares = _row_mean(x * x) + eps
    rstd = 1 / xp.sqrt(squares) if keeps_digits(xp, squares) else _inverse_root(xp, x, eps)
    y = x * rstd
    return (y if weight is None else y * weight), rstd[:, 0]


def channelwise(v: Any, x: Any) -> Any:
    return v.reshape((-1,) + (1,) * (x.ndim - 2))


@array_function
@to_float32
def batch_moments(xp: Any, x: Array) -> tuple:
    """Mean and (biased) variance of each channel, and what the mean has lost by rounding. In
    float32 for 16-bit floats. (A kernel may tell more.)"""
    centre = _channel_mean(x)
    distances = x - channelwise(centre, x)
    rest = _channel_mean(distances)
    distances = plus(distances, -channelwise(rest, x))
    return centre, _channel_mean(times(distances, distances)), rest


def _channel_distances(x: Any, centre: Any, rest: Any) -> Any:
    return plus(x - channelwise(centre, x), -channelwise(rest, x))


def _channel_mean(x: Any) -> Any:
    rows = x.reshape(*x.shape[:2], -1)
    return stable_mean(stable_mean(rows, 2, False, rows.shape[2]), 0, False, rows.shape[0])


def _inverse_spread(xp: Any, distances: Any, spread: Any, eps: float) -> Any:
    """1 / sqrt(spread + eps) of each channel, whose spread may have left the range."""
    squares = spread + eps
    if keeps_digits(xp, squares):
        return 1 / xp.sqrt(squares)
    over = (0, *range(2, distances.ndim))
    count = math.prod(distances.shape) // distances.shape[1]
    root = xp.vector_norm(distances, order=2.0, axis=over, keepdims=False) / math.sqrt(count)
    return 1 / xp.hypot(root, xp.where(root < 0, root, math.sqrt(eps)))


def channel_sum(x: Any) -> Any:
    # In two steps, the first along contiguous memory.
    return stable_sum(stable_sum(x.reshape(*x.shape[:2], math.prod(x.shape[2:])), 2), 0)


@array_function
@in_float32
def batch_norm_backward(
    xp: Any, g: Array, x: Array, weight: Array, *, moments: Any, eps: float, needs: tuple[bool, ...]
) -> tuple:
    """dx, dweight, dbias: layer norm's formula over the batch instead of over the row."""
    count = x.size // x.shape[1]
    centre, spread, rest, *_ = moments
    h = _channel_distances(x, centre, rest)
    rstd = _inverse_spread(xp, h, spread, eps)
    h *= channelwise(rstd, x)
    dbias = channel_sum(g)
    dweight = channel_sum(g * h)
    dx = None
    if needs[0]:
        h *= channelwise(dweight / count, x)
        dx = g - channelwise(dbias / count, x)
        dx -= h
        dx *= channelwise(rstd if weight is None else rstd * weight, x)
    return dx, dweight, dbias


def _batch_norm_plain(*inputs: Any, moments: Any, eps: float) -> Tensor:
    """The body, with moments that depend on x."""
    moments = batch_moments(tensor_xp, inputs[0])
    return bodies["batch_norm"](tensor_xp, *inputs, moments=moments, eps=eps)


@primitive("batch_norm", vjp_all="batch_norm_backward", plain=_batch_norm_plain)
@in_float32
def _batch_norm(
    xp: Any, x: Array, weight: Array, bias: Array, *, moments: Any, eps: float
) -> Array:
    """Over all dimensions of (n, c, ...) but the channels, with the batch's own ``moments``."""
    centre, spread, rest, *_ = moments
    y = _channel_distances(x, centre, rest)
    scale = _inverse_spread(xp, y, spread, eps)
    y = times(y, channelwise(scale if weight is None else scale * weight, x))
    return y if bias is None else plus(y, channelwise(bias, x))


@array_function
def scale_channels_backward(
    xp: Any, g: Array, x: Array, centre: Array, scale: Array, *, needs: tuple[bool, ...]
) -> tuple:
    """dx, dcentre, dscale, dbias."""
    by = channelwise(scale, x)
    dx = g * by if needs[0] else None
    dcentre = -channel_sum(g) * scale if needs[1] else None
    dscale = channel_sum(g * (x - channelwise(centre, x))) if needs[2] else None
    return dx, dcentre, dscale, channel_sum(g) if needs[3] else None


@primitive(vjp_all="scale_channels_backward", plain=True)
def scale_channels(xp: Any, x: Array, centre: Array, scale: Array, bias: Array) -> Array:
    """(x - centre) * scale + bias with one of each, or no bias, for each channel of (n, c, ...)."""
    y = times(x - channelwise(centre, x), channelwise(scale, x))
    return y if bias is None else plus(y, channelwise(bias, x))


# ---------------------------------------------------------------------- kernels


launches(
    "layer_norm",
    "x[rows, cols], weight[cols], bias[cols] -> y[rows, cols], mean[rows], rstd[rows]",
    acc="mean rstd",
)
launches("rms_norm", "x[rows, cols], weight[cols] -> y[rows, cols], rstd[rows]", acc="rstd")


launches(
    "layer_norm_backward",
    "g[rows, cols], x[rows, cols], weight[cols], mean[rows], rstd[rows] "
    "-> dx[rows, cols], dweight[cols]?, dbias[cols]?; sums[2, parts, cols]",
    acc="mean rstd sums",
    asked={"parts": "norm_partials"},
)
launches(
    "rms_norm_backward",
    "g[rows, cols], x[rows, cols], weight[cols], rstd[rows] "
    "-> dx[rows, cols], dweight[cols]?; sums[parts, cols]",
    acc="rstd sums",
    asked={"parts": "norm_partials"},
)


# ---------------------------------------------------------------------- PyTorch's signatures


def layer_norm(
    input: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(variance + eps) * weight + bias over the last dimensions, whose shape is
    ``normalized_shape`` (Ba et al. 2016), as is that of weight and bias. The variance is biased.
    Raises RuntimeError for other shapes, and for anything but floats."""
    rows, flat = _rows("layer_norm", input, normalized_shape, weight, bias)
    y = normalize_rows(_as_rows(input, rows), *flat, eps=eps)
    return _as_rows(y, input._array.shape)


def rms_norm(
    input: Tensor, normalized_shape: Any, weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight over the last dimensions (Zhang & Sennrich 2019); eps is
    the dtype's machine epsilon by default. Shapes, and what is raised, as in ``layer_norm``."""
    rows, flat = _rows("rms_norm", input, normalized_shape, weight)
    if eps is None:
        least = 2.0**-10 if input.dtype.kind == "f" else 2**-7
        eps = {8: 2.0**-52, 4: 2.0**-23}.get(input.itemsize, least)
    return _as_rows(_rms_norm(_as_rows(input, rows), *flat, eps=eps), input._array.shape)


def _as_rows(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    return x if x._array.shape == shape else x.reshape(shape)


def _rows(op: str, x: Tensor, normalized_shape: Any, *affine: Tensor | None) -> tuple:
    """x's shape as (rows, columns), and the affine parameters flattened."""
    require_floating(op, x)
    given = normalized_shape
    shape = tuple(given) if isinstance(given, (tuple, list)) else (given,)
    n = len(shape)
    if not n or x._array.shape[-n:] != shape or n > x.ndim:
        raise RuntimeError(
            f"[{op}] normalized_shape {shape} must be the last sizes of the input's shape "
            f"{tuple(x.shape)}"
        )
    for p in affine:
        if p is not None and tuple(p.shape) != shape:
            raise RuntimeError(
                f"[{op}] weight and bias must have shape {shape}, got {tuple(p.shape)}"
            )
    flat = [p if p is None or n == 1 else p.reshape(-1) for p in affine]
    return (math.prod(x._array.shape[:-n]), math.prod(shape)), flat


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each channel of (n, c, ...) over the batch (Ioffe & Szegedy 2015).

    training: with the batch's own statistics, folding them into running_mean and running_var in
    place (the variance with n - 1); otherwise with the running ones. An empty batch changes none.
    Weight, bias and statistics are (c,). Raises RuntimeError for other shapes, ValueError for an
    eps of 0 and for a single value per channel while training.
    """
    statistics = running_mean, running_var, None
    return batch_norm_counted(input, statistics, weight, bias, training, momentum, eps)


def batch_norm_counted(
    input: Tensor,
    statistics: Statistics,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float | None,
    eps: float,
) -> Tensor:
    """``batch_norm`` that also counts the batches in the third of the ``statistics``, if training
    succeeds. A momentum of None averages over the batches counted."""
    op = "batch_norm"
    running_mean, running_var, counter = statistics
    if momentum is None:
        momentum = 0.0 if counter is None else 1.0 / (float(counter.item()) + 1.0)
    check_channels(
        op, input, running_mean=running_mean, running_var=running_var, weight=weight, bias=bias
    )
    if eps < 0 or (training and eps == 0):
        raise ValueError(f"[{op}] eps must be positive, got {eps}")
    if not input.numel():
        y = with_channels(input + 0, weight, bias)
        if training:
            fold(op, (None, None, counter), (None, None), 0.0, 1.0)
        return y
    if not training:
        if running_mean is None or running_var is None:
            raise RuntimeError(f"[{op}] evaluation needs running_mean and running_var")
        return _evaluated(input, running_mean, running_var, weight, bias, eps)
    count = input.numel() // input.shape[1]
    if count == 1:
        raise ValueError(
            f"[{op}] training needs more than 1 value per channel, got input {tuple(input.shape)}"
        )
    moments = input._device.ops["batch_moments"](input._array)
    y = _batch_norm(input, weight, bias, moments=moments, eps=eps)
    fold(op, statistics, (moments[0], moments[1]), momentum, count / (count - 1))
    return y


@compute_in_float32
def _evaluated(
    x: Tensor, centre: Tensor, spread: Tensor, weight: Any, bias: Any, eps: float
) -> Tensor:
    scale = rsqrt(spread + eps)
    return scale_channels(x, centre, scale if weight is None else scale * weight, bias)


def check_channels(op: str, x: Any, **each: Any) -> None:
    """Raise unless x is a floating-point Tensor (n, c, ...), and each of the others is None or has
    one number a channel. (An empty tensor of shape (0,) has no channels.)"""
    require_floating(op, x)
    if x.ndim < 2 and x.shape != (0,):
        raise RuntimeError(f"[{op}] expects (n, c, ...), got shape {tuple(x.shape)}")
    channels = x.shape[1] if x.ndim > 1 else 0
    for name, p in each.items():
        if p is not None:
            require_tensor(op, p)
            if tuple(p.shape) != (channels,):
                raise RuntimeError(
                    f"[{op}] {name} must have shape ({channels},) for input {tuple(x.shape)}, got "
                    f"{tuple(p.shape)}"
                )


def with_channels(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """x * weight + bias, with one weight and bias for each channel."""
    x = x if weight is None else x * channelwise(weight, x)
    return x if bias is None else x + channelwise(bias, x)


@array_function
def folding(
    xp: Any,
    running_mean: Any,
    running_variance: Any,
    batches: Any,
    mean: Any,
    variance: Any,
    *,
    part: float,
    unbiased: float,
) -> list[partial]:
    """The steps (for ``commit``) by which running statistics take up ``part`` of a batch's, whose
    variance is multiplied by ``unbiased``, and a batch is counted: of those arrays that are there.
    """
    steps = [] if batches is None else [partial(setitem, batches, ..., batches + 1)]
    for running, new, factor in ((running_mean, mean, 1), (running_variance, variance, unbiased)):
        if running is not None:
            before = running.astype(accumulator(running.dtype), copy=False)
            after = before * (1 - part) + part * (new * factor)
            steps.append(partial(setitem, running, ..., after.astype(running.dtype)))
    return steps


def fold(
    op: str, statistics: Statistics, found: tuple[Any, ...], momentum: float, unbiased: float
) -> None:
    """Let running statistics, in place, take up the mean and variance found in a batch (arrays, not
    looked at where the tensor is None): all or none."""
    there = [t for t in statistics if t is not None]
    if not there:
        return
    arrays = [None if t is None else t._array for t in statistics]
    folding = there[0]._device.ops["folding"]
    steps = folding(*arrays, *found, part=momentum, unbiased=unbiased)
    for running in there:
        check_writable(running, op)
    for running in there:
        running._bump(op)
    commit(steps)
