"""Making tensors: from data, from numbers, and like others."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import dtypes
from ..backend import CPU, Device
from ..tensor import Tensor, wrap
from . import arguments
from .arguments import require_tensor


def _new(array: Any, device: Device, requires_grad: bool) -> Tensor:
    result = wrap(array, device)
    return result.requires_grad_() if requires_grad else result


def _default_dtype(data: Any) -> Any:
    """Python floats have the default dtype, NumPy arrays their own."""
    if isinstance(data, (np.ndarray, np.generic)) or hasattr(data, "__cuda_array_interface__"):
        return dtypes.dtype(data.dtype)
    kind = np.asarray(data).dtype.kind
    if kind not in "biufV":  # V: bfloat16
        raise TypeError("it holds what is no real number")
    if kind in "fV":
        return dtypes.get_default_dtype()
    return dtypes.bool_ if kind == "b" else dtypes.int64


def tensor(data: Any, *, dtype: Any = None, device: Any = None,
           requires_grad: bool = False) -> Tensor:  # fmt: skip
    """A new tensor with a copy of ``data``: a number, nested lists of numbers (or of 0-d tensors),
    an array or a tensor. Floats get the default dtype, integers int64."""
    place = Device(device) if device is not None else None
    if isinstance(data, Tensor):
        place = place or data.device
        array = place.receive(data._array)
    else:
        if isinstance(data, (list, tuple)):
            data = _plain(data)
        place = place or CPU
        wanted = None if dtype is None else dtypes.dtype(dtype)
        try:
            inferred = _default_dtype(data)  # refuses text, even of digits
            array = place.ops["array"](data, dtype=wanted or inferred)
        except (ValueError, TypeError, OverflowError) as error:
            into = "" if wanted is None else f"{wanted.name} "
            raise (TypeError if isinstance(error, TypeError) else ValueError)(
                f"[tensor] cannot make a {into}tensor of {type(data).__name__}: {error}"
            ) from error
    if dtype is not None:
        array = array.astype(dtypes.dtype(dtype), copy=False)
    return _new(array, place, requires_grad)


def _plain(data: Any) -> Any:
    if isinstance(data, (list, tuple)):
        return [_plain(d) for d in data]
    return data.tolist() if isinstance(data, Tensor) else data


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """``data`` as a tensor, without a copy where none is needed."""
    if isinstance(data, Tensor):
        return data.to(device=device, dtype=dtype)
    if hasattr(data, "__array__") and not hasattr(data, "__cuda_array_interface__"):
        data = np.asarray(data)  # another library's tensor on the CPU
    if isinstance(data, np.ndarray) and device in (None, "cpu", CPU):
        shared = from_numpy(data.astype(dtypes.dtype(data.dtype), copy=False))
        return shared if dtype is None else shared.to(dtype)
    return tensor(data, dtype=dtype, device=device)


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor that shares the array's memory. Raises TypeError for dtypes there are none of."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"[from_numpy] expects a NumPy array, got {type(array).__name__}")
    dtypes.dtype(array.dtype)
    if not array.dtype.isnative:
        raise TypeError(
            f"[from_numpy] the array's byte order ({array.dtype.str}) is not this machine's: "
            "convert it with array.astype(array.dtype.newbyteorder('='))"
        )
    return wrap(array, CPU)


def full(size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None,
         requires_grad: bool = False) -> Tensor:  # fmt: skip
    """A tensor of one value."""
    place = Device(device or "cpu")
    if isinstance(fill_value, Tensor):
        fill_value = fill_value.item()
    kind = dtypes.scalar_dtype(fill_value)
    if dtype is not None:
        kind = dtypes.dtype(dtype)
    shape = arguments.shape("full", (size,))
    try:
        array = place.ops["full"](shape, fill_value, dtype=kind)
    except OverflowError as error:
        raise RuntimeError(f"[full] {kind.name} does not hold {fill_value}: {error}") from error
    return _new(array, place, requires_grad)


def _filled(op: str, value: float, size: tuple, dtype: Any, device: Any, grad: bool) -> Tensor:
    kind = dtypes.get_default_dtype() if dtype is None else dtypes.dtype(dtype)
    place = Device(device or "cpu")
    array = (
        place.ops["zeros"](arguments.shape(op, size), dtype=kind)
        if value == 0
        else place.ops["full"](arguments.shape(op, size), value, dtype=kind)
    )
    return _new(array, place, grad)


def zeros(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of zeros."""
    return _filled("zeros", 0, size, dtype, device, requires_grad)


def ones(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of ones."""
    return _filled("ones", 1, size, dtype, device, requires_grad)


def empty(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of undefined values."""
    kind = dtypes.get_default_dtype() if dtype is None else dtypes.dtype(dtype)
    place = Device(device or "cpu")
    return _new(
        place.ops["empty"](arguments.shape("empty", size), dtype=kind), place, requires_grad
    )


def like(x: Tensor, options: dict) -> dict:
    """The options given, with x's dtype and device for those that are None or missing."""
    return {"dtype": x.dtype, "device": x.device, **{k: v for k, v in options.items() if v}}


def zeros_like(x: Tensor, **options: Any) -> Tensor:
    """Zeros of x's shape, dtype and device."""
    require_tensor("zeros_like", x)
    return zeros(tuple(x.shape), **like(x, options))


def ones_like(x: Tensor, **options: Any) -> Tensor:
    """Ones of x's shape, dtype and device."""
    require_tensor("ones_like", x)
    return ones(tuple(x.shape), **like(x, options))


def empty_like(x: Tensor, **options: Any) -> Tensor:
    """Undefined values of x's shape, dtype and device."""
    require_tensor("empty_like", x)
    return empty(tuple(x.shape), **like(x, options))


def full_like(x: Tensor, fill_value: Any, **options: Any) -> Tensor:
    """One value, of x's shape, dtype and device."""
    require_tensor("full_like", x)
    return full(tuple(x.shape), fill_value, **like(x, options))


def arange(start: Any, end: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None,
           requires_grad: bool = False) -> Tensor:  # fmt: skip
    """start, start + step, ... below end; int64 if all are integers."""
    if end is None:
        start, end = 0, start
    for value in (start, end, step):
        if not isinstance(value, (int, float, np.integer, np.floating)):
            raise TypeError(f"[arange] expects numbers, got {type(value).__name__}")
    finite = math.isfinite(start) and math.isfinite(end) and math.isfinite(step)
    if not finite or step == 0 or (end - start) * step < 0:
        raise RuntimeError(f"[arange] cannot step from {start} to {end} by {step}")
    place = Device(device or "cpu")
    whole = all(isinstance(v, (int, np.integer)) for v in (start, end, step))
    kind = (dtypes.int64 if whole else dtypes.get_default_dtype()) if dtype is None else (
        dtypes.dtype(dtype))  # fmt: skip
    count = math.ceil((end - start) / step)
    array = start + place.ops["arange"](count, dtype=np.int64 if whole else np.float64) * step
    return _new(array.astype(kind), place, requires_grad)


def linspace(start: float, end: float, steps: int, *, dtype: Any = None, device: Any = None,
             requires_grad: bool = False) -> Tensor:  # fmt: skip
    """``steps`` evenly spaced numbers from start to end, both included."""
    if steps < 0:
        raise RuntimeError(f"[linspace] the number of steps must not be negative, got {steps}")
    kind = dtypes.get_default_dtype() if dtype is None else dtypes.dtype(dtype)
    place = Device(device or "cpu")
    array = place.ops["linspace"](start, end, steps, dtype=np.float64)
    return _new(array.astype(kind), place, requires_grad)


def eye(n: int, m: int | None = None, *, dtype: Any = None, device: Any = None,
        requires_grad: bool = False) -> Tensor:  # fmt: skip
    """Ones on the diagonal, zeros elsewhere."""
    kind = dtypes.get_default_dtype() if dtype is None else dtypes.dtype(dtype)
    place = Device(device or "cpu")
    if n < 0 or (m is not None and m < 0):
        raise RuntimeError(f"[eye] sizes must not be negative, got {n} and {m}")
    return _new(place.ops["eye"](n, m, dtype=kind), place, requires_grad)


def _new_like(function: Any) -> Any:
    def new(self: Tensor, *args: Any, **options: Any) -> Tensor:
        return function(*args, **like(self, options))

    new.__doc__ = f"{function.__name__} with this tensor's dtype and device."
    return new


new_empty, new_full, new_ones, new_tensor, new_zeros = map(
    _new_like, (empty, full, ones, tensor, zeros)
)
