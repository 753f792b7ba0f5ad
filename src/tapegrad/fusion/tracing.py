"""The device whose arrays have no numbers: what its operations write down."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tapegrad.core.devices import Device, Namespace, bodies, load_primitive
from tapegrad.core.dtypes import is_low_precision

from .axes import Unfusable
from .open_numbers import is_open
from .traced import Traced, applied, broadcast, clipped, constant, full, reduced, reshaped


def _sum(x: Any, *, axis: Any, keepdims: bool) -> Any:
    return reduced("sum", x, axis, keepdims)


def _mean(x: Any, *, axis: Any, keepdims: bool) -> Any:
    return x.mean(axis=axis, keepdims=keepdims)


def _root_of_squares(x: Any, axis: Any, keepdims: bool) -> Any:
    """The square root of the sum of squares: of floats in float64, where squares do not overflow;
    of float64, of the quotients by the largest. (Bodies scale by what they see.)"""
    if x.dtype != np.float64:
        wide = x.astype(np.float64)
        return applied("sqrt", reduced("sum", wide * wide, axis, keepdims)).astype(x.dtype)
    largest = reduced("max", applied("absolute", x), axis, True)
    usual = (largest > 0) & applied("isfinite", largest)
    scale = applied("where", usual, largest, 1.0)
    x = x / scale
    root = applied("multiply", applied("sqrt", reduced("sum", x * x, axis, True)), scale)
    return root if keepdims else root.squeeze(axis)


def _vector_norm(x: Any, *, order: float, axis: Any, keepdims: bool) -> Any:
    if order != 2.0:
        raise Unfusable(f"vector_norm of order {order}")
    return _root_of_squares(x, axis, keepdims)


def _std(x: Any, *, axis: tuple[int, ...], keepdims: bool, correction: float) -> Any:
    kind, x = x.dtype, x.astype(np.float32) if is_low_precision(x.dtype) else x
    root = _root_of_squares(x - x.mean(axis=axis, keepdims=True), axis, keepdims)
    freedom = max(math.prod(x.shape[i] for i in axis) - correction, 0)
    return (root / x.dtype.type(math.sqrt(freedom))).astype(kind)


def _array(x: Any, dtype: Any = None) -> Any:
    if not isinstance(x, Traced):
        raise Unfusable("a tensor that is no argument: make it one, or a number")
    return x.copy()


def _asarray(x: Any, dtype: Any = None) -> Any:
    if is_open(x):
        return full((), x, dtype or np.asarray(x.value).dtype)
    return constant(np.asarray(x, dtype) if dtype else np.asarray(x))


# Primitives of which the bodies look at numbers, or go by ways that are good for arrays only.
_PRIMITIVES: dict[str, Callable] = {
    "sum": _sum,
    "mean": _mean,
    "amax": lambda x, *, axis, keepdims: reduced("max", x, axis, keepdims),
    "amin": lambda x, *, axis, keepdims: reduced("min", x, axis, keepdims),
    "copy": lambda x: x.copy(),
    "cast": lambda x, *, dtype: x.astype(dtype),
    "reshape": lambda x, *, shape: reshaped(x, shape),
    "broadcast_to": lambda x, *, shape: broadcast(x, shape),
    "clip": lambda x, *, low, high: clipped(x, low, high).astype(x.dtype),
    "erf": partial(applied, "erf"),
    "vector_norm": _vector_norm,
    "std": _std,
    # Of indices that are None, ... and whole slices.
    "getitem_backward": lambda g, *, index, shape: reshaped(g, shape),
    "add_at": lambda x, index, values: x.change(x + reshaped(values, x.shape)),
    "array": _array,
    "zeros": lambda shape, dtype: full(shape, 0, dtype),
    "ones": lambda shape, dtype: full(shape, 1, dtype),
    "full": full,
    "asarray": _asarray,
}


# What they do with integers depends on their values, of which the bodies then ask .all or .any.
_OF_INTEGERS = {
    "floor_divide": "division of integers, which is not fused: use (x.float() / y).floor()",
    "remainder": "division of integers, which is not fused: use .float()",
    "fmod": "division of integers, which is not fused: use .float()",
    "power": "a power of integers, which is not fused: use .float(), or products",
}


class TracingOperations(dict):
    """name -> the function that writes down what the primitive of that name does."""

    library = np

    def __init__(self, device: TracingDevice):
        self.device = device

    def __missing__(self, name: str) -> Callable:
        load_primitive(name)
        body = bodies.get(name)
        run = _PRIMITIVES.get(name) or (
            partial(body, self.device.xp) if body else partial(applied, name)
        )

        def named(*arrays: Any, **parameters: Any) -> Any:
            try:
                result = run(*arrays, **parameters)
            except Unfusable as error:
                error.operation = name
                if error.what in ("the array's .all", "the array's .any"):
                    error.what = _OF_INTEGERS.get(name, error.what)
                raise
            except (TypeError, AttributeError) as error:  # a body that asks for arrays' numbers
                raise Unfusable(name, name) from error
            return result if isinstance(result, tuple) else constant(result)

        self[name] = named
        return named


class TracingDevice(Device):
    """Where the arrays are ``Traced``: of the type of the device for which a kernel is made."""

    def __new__(cls, kind: str) -> TracingDevice:
        self = object.__new__(cls)
        self.type, self.index, self.array_type = kind, None, Traced
        self.ops = TracingOperations(self)  # type: ignore[assignment]
        self.xp = Namespace(self.ops)
        return self

    def __init__(self, kind: str):
        pass

    def asarray(self, value: Any, dtype: Any = None) -> Any:
        return self.ops["asarray"](value, dtype)

    @property
    def library(self) -> Any:
        return np
