"""New tensors of random numbers, under PyTorch's names."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.core import dtypes
from tapegrad.core.devices import Device
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common import arguments
from tapegrad.ops.common.operands import named
from tapegrad.ops.creation.create import factory, like, like_another, made_sizes, show_like_options

from .philox import DIGITS, Generator, draw, integers, whole_range


def _floats(op: str, distribution: str, doc: str) -> Callable:
    def function(
        device: Device, dtype: Any, *size: Any, generator: Generator | None = None, **options: Any
    ) -> Any:
        dtype = dtype or dtypes.get_default_dtype()
        if not dtypes.is_floating(dtype):
            raise RuntimeError(f"[{op}] needs a floating-point dtype, got {dtype.name}")
        return draw(distribution, made_sizes(op, size, options), dtype, device, generator)

    raised = "Raises RuntimeError for dtypes that are not floating-point, and for negative sizes."
    return factory(named(op, function, f"{doc}, of the default dtype. {raised}"))


rand = _floats("rand", "uniform", "Random numbers uniform in [0, 1)")
randn = _floats("randn", "normal", "Random numbers of the standard normal distribution")


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
    """Random integers in [low, high), int64 by default: randint(high, size) or randint(low, high,
    size). Raises RuntimeError for an empty range, and for a dtype that does not hold all of it."""
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
    chosen = dtype or dtypes.int64
    if chosen.kind in "iu" and (low < np.iinfo(chosen).min or high - 1 > np.iinfo(chosen).max):
        raise RuntimeError(f"[randint] {chosen.name} does not hold all of {low} to {high - 1}")
    array = integers(device, math.prod(shape), high - low, generator) + low
    return array.reshape(shape).astype(chosen)


@factory
def randperm(device: Device, dtype: Any, n: int, *, generator: Generator | None = None) -> Any:
    """The integers 0 to n - 1 in random order, int64 by default. Raises RuntimeError for n < 0, and
    for a dtype that does not hold all of them."""
    if n < 0:
        raise RuntimeError(f"[randperm] n must not be negative, got {n}")
    arguments.shape("randperm", (n,))
    chosen = dtype or dtypes.int64
    most = 2 ** DIGITS[chosen.name] if chosen.name in DIGITS else whole_range(chosen)[1]
    if n - 1 > most:
        raise RuntimeError(f"[randperm] {chosen.name} does not hold all of 0 to {n - 1}")
    keys = integers(device, n, 2**63, generator)
    return device.ops["order"](keys, axis=0, descending=False).astype(chosen, copy=False)


rand_like, randn_like = map(like_another, (rand, randn))


@show_like_options
def randint_like(input: Tensor, low: Any = 0, high: Any = None, **options: Any) -> Tensor:
    """``randint`` of the tensor's shape, and of its dtype and device by default: randint_like(x,
    high) or randint_like(x, low, high). Raises what that does."""
    options = like("randint_like", input, options)
    if high is None:
        low, high = 0, low
    low, high = (v.item() if isinstance(v, Tensor) else v for v in (low, high))
    return randint(low, high, tuple(input.shape), **options)
