"""Tensors of numbers by rule: evenly spaced, the identity, and with given strides."""

from __future__ import annotations

import builtins
import math
import warnings
from typing import Any

import numpy as np

from tapegrad.core import dtypes
from tapegrad.core.devices import Device
from tapegrad.core.memory import window
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common import arguments

from .create import factory, new_from


def _number(op: str, name: str, value: Any) -> Any:
    """A number, or the one that a 0-d tensor holds."""
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


def _refuse_bool(op: str, dtype: Any) -> None:
    if dtype == dtypes.bool_:
        raise NotImplementedError(f"[{op}] makes numbers, not bools: compare them, {op}(...) != 0")


@factory
def arange(device: Device, dtype: Any, start: Any = None, end: Any = None, step: Any = 1) -> Any:
    """start, start + step, ... below end (above it for a negative step), as a vector: int64 if all
    three are integers, else of the default dtype. ``arange(end)`` starts at 0. Raises RuntimeError
    for bounds that are not finite and steps that do not lead to the end."""
    if end is None:
        start, end = None, start
    if end is None:
        raise TypeError("[arange] needs the number where it ends: arange(end)")
    start = 0 if start is None else start
    start, end, step = _steps("arange", dtype, start, end, step)
    whole = all(isinstance(v, (int, np.integer)) for v in (start, end, step))
    if dtype is None:
        dtype = dtypes.int64 if whole else dtypes.get_default_dtype()
    count = -((start - end) // step) if whole else math.ceil((end - start) / step)
    return _stepped("arange", device, dtype, start, step, count)


@factory
def range(device: Device, dtype: Any, start: Any, end: Any, step: Any = 1) -> Any:
    """start, start + step, ... up to end, which is one of them where the steps meet it, as a vector
    of the default dtype. Deprecated as in PyTorch, with a UserWarning: ``arange`` ends before its
    end, as Python's ranges. Raises as ``arange``."""
    warnings.warn(
        "[range] range(start, end) is deprecated: arange(start, end) ends before its end, as "
        "Python's ranges do",
        UserWarning,
        stacklevel=4,
    )
    start, end, step = _steps("range", dtype, start, end, step)
    dtype = dtype or dtypes.get_default_dtype()
    return _stepped("range", device, dtype, start, step, math.floor((end - start) / step) + 1)


def _steps(op: str, dtype: Any, start: Any, end: Any, step: Any) -> list[Any]:
    """Finite numbers that lead from start to end, whole ones where the dtype's are."""
    named = {"start": start, "end": end, "step": step}
    start, end, step = numbers = [_number(op, name, value) for name, value in named.items()]
    if not all(map(math.isfinite, numbers)):
        raise RuntimeError(f"[{op}] bounds must be finite, got {start} to {end} by {step}")
    if step == 0 or (end - start) * step < 0:
        raise RuntimeError(f"[{op}] cannot step from {start} to {end} by {step}")
    _refuse_bool(op, dtype)
    if dtype is not None and dtype.kind in "iu":  # as PyTorch: they are cut before all else
        numbers = [int(v) for v in numbers]
        if numbers[2] == 0:
            raise ValueError(f"[{op}] a step below 1 is 0 in {dtype.name}")
    return numbers


def _stepped(op: str, device: Device, dtype: Any, start: Any, step: Any, count: int) -> Any:
    arguments.shape(op, (count,))
    whole = isinstance(start, (int, np.integer)) and isinstance(step, (int, np.integer))
    indices = device.ops["arange"](count, dtype=np.int64 if whole else np.float64)
    counts = whole and (start, step) == (0, 1) and dtype == indices.dtype
    return indices if counts else (start + indices * step).astype(dtype)


@factory
def linspace(device: Device, dtype: Any, start: Any, end: Any, steps: int) -> Any:
    """``steps`` evenly spaced numbers from start to end, both included. The vector has the default
    dtype. Raises RuntimeError for a negative number of steps."""
    dtype = dtype or dtypes.get_default_dtype()
    return _spaced("linspace", device, dtype, start, end, steps).astype(dtype)


@factory
def logspace(
    device: Device, dtype: Any, start: Any, end: Any, steps: int, base: float = 10.0
) -> Any:
    """base ** x for ``steps`` evenly spaced x from start to end, both included. The vector has the
    default dtype. Raises RuntimeError for a negative number of steps."""
    dtype = dtype or dtypes.get_default_dtype()
    exponents = _spaced("logspace", device, dtype, start, end, steps)
    return device.xp.power(float(base), exponents).astype(dtype)


def _spaced(op: str, device: Device, dtype: Any, start: Any, end: Any, steps: Any) -> Any:
    first, last = _number(op, "start", start), _number(op, "end", end)
    _refuse_bool(op, dtype)
    if dtype.kind in "iu":  # as PyTorch: the bounds are cut to integers before all else
        first, last = int(first), int(last)
    count = arguments.sizes(op, (steps,))[0]
    if count < 0:
        raise RuntimeError(f"[{op}] the number of steps must not be negative, got {count}")
    arguments.shape(op, (count,))
    return device.ops["linspace"](first, last, count, dtype=np.float64)


@factory
def eye(device: Device, dtype: Any, n: int, m: int | None = None) -> Any:
    """An n x m matrix (m = n by default) with ones on the diagonal, zeros elsewhere. It has
    the default dtype. Raises RuntimeError for negative sizes."""
    sizes = arguments.sizes("eye", (n, n if m is None else m))
    if min(sizes) < 0:
        raise RuntimeError(f"[eye] sizes must not be negative, got {sizes[0]} and {sizes[1]}")
    return device.ops["eye"](*sizes, dtype=dtype or dtypes.get_default_dtype())


@factory
def scalar_tensor(device: Device, dtype: Any, s: Any) -> Any:
    """A 0-d tensor that holds the number ``s``, of the default dtype."""
    dtype = dtype or dtypes.get_default_dtype()
    return device.ops["full"]((), _number("scalar_tensor", "s", s), dtype=dtype)


@factory
def empty_strided(device: Device, dtype: Any, size: Any, stride: Any) -> Any:
    """Undefined values with the shape ``size`` and the strides ``stride``, in elements, of the
    default dtype. Raises RuntimeError for negative ones and for tuples of two lengths."""
    op = "empty_strided"
    shape, strides = arguments.shape(op, (size,)), arguments.shape(op, (stride,))
    if len(shape) != len(strides):
        raise RuntimeError(f"[{op}] size {shape} and stride {strides} differ in length")
    reach = 0 if 0 in shape else sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) + 1
    memory = device.ops["empty"](reach, dtype=dtype or dtypes.get_default_dtype())
    return window(memory, shape, strides)


@factory
def empty_permuted(device: Device, dtype: Any, size: Any, physical_layout: Any) -> Any:
    """Undefined values with the shape ``size``, of the default dtype. The dimensions lie in memory
    in the order ``physical_layout``, outermost first. Raises RuntimeError for anything but an order
    of all dimensions."""
    op = "empty_permuted"
    shape, order = arguments.shape(op, (size,)), arguments.sizes(op, (physical_layout,))
    if sorted(order) != list(builtins.range(len(shape))):
        raise RuntimeError(
            f"[{op}] physical_layout {order} is not an order of the {len(shape)} dimensions"
        )
    inverse = sorted(builtins.range(len(order)), key=order.__getitem__)
    dtype = dtype or dtypes.get_default_dtype()
    return device.ops["empty"](tuple(shape[d] for d in order), dtype=dtype).transpose(inverse)


new_empty_strided = new_from(empty_strided)
