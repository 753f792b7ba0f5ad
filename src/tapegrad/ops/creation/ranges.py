"""Tensors of numbers by rule: evenly spaced, the identity, and with strides of one's own."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.core import dtypes
from tapegrad.core.devices import Device
from tapegrad.core.memory import window
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common import arguments

from .create import _new_like, factory


def _number(op: str, name: str, value: Any) -> Any:
    """A Python number, or what a 0-d tensor holds."""
    if isinstance(value, Tensor):
        if value.ndim:
            raise RuntimeError(
                f"[{op}] {name} must be a number or a tensor without dimensions, got shape "
                f"{tuple(value.shape)}"
            )
        return value.item()
    if isinstance(value, (int, float, np.integer, np.floating)):
        return value
    raise TypeError(f"[{op}] {name} must be a number, got {type(value).__name__}")


def _steps(op: str, steps: Any) -> int:
    count = arguments.sizes(op, (steps,))[0]
    if count < 0:
        raise RuntimeError(f"[{op}] the number of steps must not be negative, got {count}")
    return count


@factory
def arange(device: Device, dtype: Any, start: Any = 0, end: Any = None, step: Any = 1) -> Any:
    """start, start + step, ... below end (above it for a negative step); int64 if all three are
    integers. ``arange(end)`` starts at 0."""
    if end is None:
        start, end = 0, start
    start, end, step = (
        _number("arange", name, v) for name, v in (("start", start), ("end", end), ("step", step))
    )
    if not (math.isfinite(start) and math.isfinite(end) and math.isfinite(step)):
        raise RuntimeError(f"[arange] bounds must be finite, got {start} to {end} by {step}")
    if step == 0 or (end - start) * step < 0:
        raise RuntimeError(f"[arange] cannot step from {start} to {end} by {step}")
    whole = all(isinstance(v, (int, np.integer)) for v in (start, end, step))
    if dtype is None:
        dtype = dtypes.int64 if whole else dtypes.get_default_dtype()
    elif dtype.kind in "iu":  # as PyTorch: the bounds are cut to integers before all else
        start, end, step = int(start), int(end), int(step)
        whole = True
        if step == 0:
            raise ValueError(f"[arange] a step below 1 is 0 in {dtype.name}")
    count = -((start - end) // step) if whole else math.ceil((end - start) / step)
    array = start + device.ops["arange"](count, dtype=np.int64 if whole else np.float64) * step
    return array.astype(dtype)


@factory
def linspace(device: Device, dtype: Any, start: Any, end: Any, steps: int) -> Any:
    """``steps`` evenly spaced numbers from start to end, both included."""
    kind = dtypes.get_default_dtype() if dtype is None else dtype
    return _spaced("linspace", device, kind, start, end, steps).astype(kind)


@factory
def logspace(
    device: Device, dtype: Any, start: Any, end: Any, steps: int, base: float = 10.0
) -> Any:
    """base ** x for ``steps`` evenly spaced x from start to end, both included."""
    kind = dtypes.get_default_dtype() if dtype is None else dtype
    exponents = _spaced("logspace", device, kind, start, end, steps)
    return device.xp.power(float(base), exponents).astype(kind)


def _spaced(op: str, device: Device, kind: Any, start: Any, end: Any, steps: int) -> Any:
    first, last = _number(op, "start", start), _number(op, "end", end)
    if kind.kind in "iu":  # as PyTorch: the bounds are cut to integers before all else
        first, last = int(first), int(last)
    return device.ops["linspace"](first, last, _steps(op, steps), dtype=np.float64)


@factory
def eye(device: Device, dtype: Any, n: int, m: int | None = None) -> Any:
    """An n x m matrix (m = n by default) with ones on the diagonal, zeros elsewhere."""
    kind = dtypes.get_default_dtype() if dtype is None else dtype
    sizes = arguments.sizes("eye", (n, n if m is None else m))
    if min(sizes) < 0:
        raise RuntimeError(f"[eye] sizes must not be negative, got {sizes[0]} and {sizes[1]}")
    return device.ops["eye"](*sizes, dtype=kind)


@factory
def scalar_tensor(device: Device, dtype: Any, s: Any) -> Any:
    """A tensor without dimensions that holds a number, in the default dtype."""
    kind = dtypes.get_default_dtype() if dtype is None else dtype
    return device.ops["full"]((), _number("scalar_tensor", "s", s), dtype=kind)


@factory
def empty_strided(device: Device, dtype: Any, size: Any, stride: Any) -> Any:
    """Undefined values, with strides (in elements) of one's own."""
    op = "empty_strided"
    kind = dtypes.get_default_dtype() if dtype is None else dtype
    shape, strides = arguments.shape(op, (size,)), arguments.shape(op, (stride,))
    if len(shape) != len(strides):
        raise RuntimeError(f"[{op}] size {shape} and stride {strides} differ in length")
    reach = 0 if 0 in shape else sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) + 1
    return window(device.ops["empty"](reach, dtype=kind), shape, strides)


@factory
def empty_permuted(device: Device, dtype: Any, size: Any, physical_layout: Any) -> Any:
    """Undefined values, whose dimensions lie in memory in the order ``physical_layout``, outermost
    first."""
    op = "empty_permuted"
    kind = dtypes.get_default_dtype() if dtype is None else dtype
    shape, order = arguments.shape(op, (size,)), arguments.sizes(op, (physical_layout,))
    if sorted(order) != list(range(len(shape))):
        raise RuntimeError(
            f"[{op}] physical_layout {order} is not an order of the {len(shape)} dimensions"
        )
    inverse = sorted(range(len(order)), key=order.__getitem__)
    return device.ops["empty"](tuple(shape[d] for d in order), dtype=kind).transpose(inverse)


new_empty_strided = _new_like(empty_strided)
