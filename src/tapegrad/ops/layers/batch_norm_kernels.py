"""Batch norm by the package's own kernels (kernels/batch_norm.cu), wherever pixels and channels
lie: results lie as what they are made of."""

from __future__ import annotations

import math
from typing import Any

from tapegrad.core.devices import Device, override
from tapegrad.core.dtypes import accumulator, int64, is_floating
from tapegrad.core.kernels import ask, kernel, launch, prepared_launch
from tapegrad.core.memory import Array, lies_channels_last
from tapegrad.ops.common.image_memory import empty_images, pixel_strides

Strides = tuple[int, int, int]


def _sizes(x: Array) -> tuple[int, int, int]:
    return x.shape[0], x.shape[1], math.prod(x.shape[2:])


def _lying(device: Device, x: Array) -> tuple[Any, Strides]:
    """The array, copied only where its pixels do not follow each other, and its strides."""
    strides = pixel_strides(x)
    if strides is None or min(strides) < 0:
        x = device.ops["contiguous"](x)
        strides = pixel_strides(x)
        assert strides is not None
    return x, strides


def _parts(device: Device, x: Array, strides: Strides, each: int) -> Any:
    chunks = ask(device, "channel_chunks", *_sizes(x), strides[2] == 1)
    return device.ops["empty"]((each, chunks, x.shape[1]), accumulator(x.dtype))


def _alike(device: Device, x: Array) -> tuple[Any, Strides]:
    y = empty_images(device, x.shape, x.dtype, lies_channels_last(x))
    strides = pixel_strides(y)
    assert strides is not None
    return y, strides


@kernel("batch_moments", contiguous="")
def _batch_moments_kernel(device: Device, x: Array) -> Any:
    """The body's, and the root of the variance, which does not overflow."""
    if not x.size:
        return NotImplemented
    x, strides = _lying(device, x)
    empty, kind = device.ops["empty"], accumulator(x.dtype)
    moments = tuple(empty((x.shape[1],), kind) for _ in range(4))
    parts = _parts(device, x, strides, 4)
    launch(device, "batch_moments", x.dtype, *moments, parts, x, *_sizes(x), *strides)
    return moments


def _told(device: Device, mean: Any, variance: Any, rest: Any, deviation: Any = None) -> tuple:
    """The moments that kernels take; those of the body lack the last."""
    return mean, rest, device.ops["sqrt"](variance) if deviation is None else deviation


def _is_wide(x: Array, *each: Any) -> Any:
    """Whether weights and biases are of the dtype that x is added up in, and not of x's; None if
    of neither."""
    kinds = {p.dtype for p in each if p is not None}
    return False if kinds <= {x.dtype} else True if kinds == {accumulator(x.dtype)} else None


@kernel("batch_norm", floats="x", contiguous="weight bias")
def _batch_norm_kernel(
    device: Device, x: Array, weight: Array, bias: Array, *, moments: Any, eps: float
) -> Any:
    is_wide = _is_wide(x, weight, bias)
    if is_wide is None:
        return NotImplemented
    mean, rest, deviation = _told(device, *moments)
    (y, made), (x, strides) = _alike(device, x), _lying(device, x)
    launch(
        device, "batch_norm", x.dtype, y, x, weight, bias, mean, rest, deviation, *_sizes(x),
        *made, *strides, is_wide, float(eps),
    )  # fmt: skip
    return y


@override("folding", "cuda", "emulated")
def _folding_kernel(
    device: Device, running_mean: Any, running_variance: Any, batches: Any, mean: Any,
    variance: Any, *, part: float, unbiased: float,
) -> Any:  # fmt: skip
    """One launch for all of them."""
    floats = [x for x in (running_mean, running_variance) if x is not None]
    if mean is None or not floats or not mean.size:
        return NotImplemented
    dtype, there = floats[0].dtype, [x for x in (*floats, batches, mean, variance) if x is not None]
    suits = floats[-1].dtype == dtype and accumulator(dtype) == mean.dtype == variance.dtype
    counts = batches is None or batches.dtype == int64
    if not (is_floating(dtype) and suits and counts and all(x.flags.c_contiguous for x in there)):
        return NotImplemented
    arrays = (running_mean, running_variance, batches, mean, variance)
    numbers = (mean.size, float(part), float(unbiased))
    return [prepared_launch(device, "fold_moments", dtype, *arrays, *numbers)]


@kernel("batch_norm_backward", floats="g x", contiguous="weight")
def _batch_norm_backward_kernel(
    device: Device, g: Array, x: Array, weight: Array, *, moments: Any, eps: float,
    needs: tuple[bool, ...],
) -> Any:  # fmt: skip
    is_wide = _is_wide(x, weight)
    if not x.size or is_wide is None:
        return NotImplemented
    mean, rest, deviation = _told(device, *moments)
    empty = device.ops["empty"]
    dx, made = _alike(device, x)
    (g, of_g), (x, of_x) = _lying(device, g), _lying(device, x)
    kind = accumulator(x.dtype) if is_wide else x.dtype
    dweight, dbias = (empty((x.shape[1],), kind) for _ in range(2))
    sums, parts = empty((2, x.shape[1]), accumulator(x.dtype)), _parts(device, x, of_x, 2)
    results = (dx if needs[0] else None, dweight, dbias)
    launch(
        device, "batch_norm_backward", x.dtype, *results, sums, parts, g, x, weight, mean, rest,
        deviation, *_sizes(x), *made, *of_g, *of_x, is_wide, float(eps),
    )  # fmt: skip
    return results
