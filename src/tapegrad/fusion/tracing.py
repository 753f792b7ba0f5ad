"""The device whose arrays have no numbers: what its operations write down."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tapegrad.core.devices import Device, Namespace, bodies, load_primitive

from .axes import Unfusable
from .numbers import is_open
from .traced import Traced, applied, broadcast, clipped, constant, full, reduced, reshaped


def _sum(x: Any, *, axis: Any, keepdims: bool) -> Any:
    return reduced("sum", x, axis, keepdims)


def _mean(x: Any, *, axis: Any, keepdims: bool) -> Any:
    return x.mean(axis=axis, keepdims=keepdims)


def _vector_norm(x: Any, *, order: float, axis: Any, keepdims: bool) -> Any:
    """In float64, where squares of floats do not overflow. (Bodies scale by what they see.)"""
    if order != 2.0 or x.dtype == np.float64:
        raise Unfusable(f"vector_norm of order {order} in {x.dtype}")
    wide = x.astype(np.float64)
    return applied("sqrt", reduced("sum", wide * wide, axis, keepdims)).astype(x.dtype)


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
    "zeros": lambda shape, dtype: full(shape, 0, dtype),
    "ones": lambda shape, dtype: full(shape, 1, dtype),
    "full": full,
    "asarray": _asarray,
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
