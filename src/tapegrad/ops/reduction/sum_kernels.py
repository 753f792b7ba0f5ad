"""Sums and means over any dimensions by the package's own kernel (kernels/sum.cu)."""

from __future__ import annotations

import math
from typing import Any

from tapegrad.core.devices import Device
from tapegrad.core.dtypes import float16, float32, float64
from tapegrad.core.kernels import ask, kernel, launch
from tapegrad.core.memory import Array, joined_dimensions, layout_of


@kernel("sum", contiguous="")
def _sum_kernel(device: Device, x: Array, *, axis: Any, keepdims: bool) -> Any:
    return _divided_sum(device, x, _dimensions(x, axis), keepdims, 1)


@kernel("mean", contiguous="")
def _mean_kernel(device: Device, x: Array, *, axis: Any, keepdims: bool) -> Any:
    if x.dtype == float64:  # the sum may be infinite where the mean is not
        return NotImplemented
    over = _dimensions(x, axis)
    return _divided_sum(device, x, over, keepdims, math.prod([x.shape[i] for i in over]))


def _dimensions(x: Array, axis: Any) -> tuple[int, ...]:
    """Those that an array library's ``axis`` means, which rules may give."""
    if axis is None:
        return tuple(range(x.ndim))
    return tuple([i % x.ndim for i in ((axis,) if isinstance(axis, int) else axis)])


def _divided_sum(
    device: Device, x: Array, axis: tuple[int, ...], keepdims: bool, divisor: int
) -> Any:
    told = _told(x, axis)
    if told is None:
        x = device.ops["contiguous"](x)
        told = _told(x, axis)
        if told is None:
            return NotImplemented
    empty, kept = device.ops["empty"], [n for i, n in enumerate(x.shape) if i not in axis]
    y = empty(tuple(kept), x.dtype)
    chunks = ask(device, "sum_chunks", *told)
    wide = float32 if x.dtype == float16 else float64
    parts = empty((chunks, y.size), wide) if chunks > 1 else None
    launch(device, "sum", x.dtype, y, parts, x, *told, float(divisor))
    if not keepdims:
        return y
    return y.reshape([1 if i in axis else n for i, n in enumerate(x.shape)])


def _told(x: Array, axis: tuple[int, ...]) -> list[int] | None:
    """Two sizes of what is kept, and their steps in elements; the same of what is added up. None
    where two dimensions are not enough."""
    told: list[int] = []
    steps = layout_of(x).strides
    for added in (False, True):
        own = [i for i in range(x.ndim) if (i in axis) == added]
        if added:  # in whichever order, that in which they lie
            own.sort(key=lambda i: -abs(steps[i]))
        found = joined_dimensions([x.shape[i] for i in own], [[steps[i] for i in own]])
        if len(found) > 2:
            return None
        found = [(1, [0])] * (2 - len(found)) + found
        told += [size for size, _ in found] + [step for _, (step,) in found]
    return told
