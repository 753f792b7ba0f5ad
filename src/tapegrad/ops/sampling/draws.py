"""New tensors of random numbers, under PyTorch's names."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.core import dtypes
from tapegrad.core.devices import Device
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common import arguments
from tapegrad.ops.creation.create import factory, like, made_sizes

from .philox import Generator, draw, integers


def _floating(op: str, dtype: Any) -> Any:
    chosen = dtypes.get_default_dtype() if dtype is None else dtype
    if not dtypes.is_floating(chosen):
        raise RuntimeError(f"[{op}] needs a floating-point dtype, got {chosen.name}")
    return chosen


@factory
def rand(
    device: Device, dtype: Any, *size: Any, generator: Generator | None = None, **options: Any
) -> Any:
    """Numbers uniform in [0, 1)."""
    shape = made_sizes("rand", size, options)
    return draw("uniform", shape, _floating("rand", dtype), device, generator)


@factory
def randn(
    device: Device, dtype: Any, *size: Any, generator: Generator | None = None, **options: Any
) -> Any:
    """Numbers of the standard normal distribution."""
    shape = made_sizes("randn", size, options)
    return draw("normal", shape, _floating("randn", dtype), device, generator)


@factory
def randint(
    device: Device,
    dtype: Any,
    low: Any = 0,
    high: Any = None,
    size: Any = None,
    *,
    generator: Generator | None = None,
) -> Any:
    """Integers in [low, high): randint(high, size) or randint(low, high, size)."""
    if size is None:
        low, high, size = 0, low, high
    elif high is None:  # randint(high, size=...)
        low, high = 0, low
    if size is None:
        raise TypeError("[randint] missing argument 'size'")
    shape = arguments.shape("randint", (tuple(size),))
    try:
        low, high = low.__index__(), high.__index__()
    except (AttributeError, TypeError):
        raise TypeError(f"[randint] low and high must be ints, got {low} and {high}") from None
    if high <= low:
        raise RuntimeError(f"[randint] expects low < high, got {low} and {high}")
    chosen = dtypes.int64 if dtype is None else dtype
    if chosen.kind in "iu" and (low < np.iinfo(chosen).min or high - 1 > np.iinfo(chosen).max):
        raise RuntimeError(f"[randint] {chosen.name} does not hold all of {low} to {high - 1}")
    array = integers(device, math.prod(shape), high - low, generator) + low
    return array.reshape(shape).astype(chosen)


@factory
def randperm(device: Device, dtype: Any, n: int, *, generator: Generator | None = None) -> Any:
    """The integers 0 to n - 1 in random order."""
    if n < 0:
        raise RuntimeError(f"[randperm] n must not be negative, got {n}")
    keys = integers(device, n, 2**63, generator)
    chosen = dtypes.int64 if dtype is None else dtype
    return device.ops["argsort"](keys, kind="stable").astype(chosen)


def rand_like(input: Tensor, **options: Any) -> Tensor:
    """``rand`` of the tensor's shape, dtype and device."""
    options = like("rand_like", input, options)
    return rand(tuple(input.shape), **options)


def randn_like(input: Tensor, **options: Any) -> Tensor:
    """``randn`` of the tensor's shape, dtype and device."""
    options = like("randn_like", input, options)
    return randn(tuple(input.shape), **options)


def randint_like(input: Tensor, low: Any = 0, high: Any = None, **options: Any) -> Tensor:
    """``randint`` of the tensor's shape, dtype and device: randint_like(x, high) or
    randint_like(x, low, high)."""
    options = like("randint_like", input, options)
    if high is None:
        low, high = 0, low
    low, high = (v.item() if isinstance(v, Tensor) else v for v in (low, high))
    return randint(low, high, tuple(input.shape), **options)
