"""Loops over one function that fused ones call for a strip of values: NumPy's own, where loops in
C++ know no vectors.

A ufunc has an inner loop for each choice of dtypes, ``loop(arrays, size, strides, data)``, which
needs no lock of Python's for floats. A fused loop calls it for a strip of values, so that it
computes the bits that the ordinary operation does, by the vectors that NumPy has.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from .axes import Step, Unfusable
from .functions import FUNCTIONS

# Of which csrc/fused/loop.h has vectors of floats; and those that it has as loops over a strip, as
# it looks for values that take another way.
_VECTORS = ("exp", "log", "log1p", "tanh")
_STRIPS = {"sin": "sines(0, ", "cos": "sines(1, "}


class _Ufunc(ctypes.Structure):
    """The public struct PyUFuncObject, from behind what all objects begin with."""

    _fields_ = [
        *((name, ctypes.c_int) for name in ("nin", "nout", "nargs", "identity")),
        ("functions", ctypes.POINTER(ctypes.c_size_t)),
        ("data", ctypes.POINTER(ctypes.c_size_t)),
    ]


def is_called(step: Step) -> bool:
    """Whether a loop of its own computes the step."""
    known = FUNCTIONS.get(step.op)
    if known is None or not known.long or step.op == "erf":  # which NumPy has not
        return False
    return step.dtype != np.float32 or step.op not in _VECTORS


def call_of(step: Step, size: Callable[[int], str]) -> str:
    """The call of that loop up to the number of values; ``size`` tells the kernel a number."""
    if step.dtype == np.float32 and step.op in _STRIPS:
        return _STRIPS[step.op]
    function, data = map(size, loop_of(step.op, step.dtype))
    return f"loop_of_numpy({function}, {data}, "


@cache
def loop_of(name: str, dtype: np.dtype) -> Sequence[int]:
    """Where the loop is in memory, and the data that it is handed. Raises Unfusable where there is
    none."""
    ufunc = getattr(np, name)
    known = _Ufunc.from_address(id(ufunc) + object.__basicsize__)
    kinds = f"{dtype.char * ufunc.nin}->{dtype.char}"
    if kinds not in ufunc.types:
        raise Unfusable(f"{name} of {dtype.name}")
    which = ufunc.types.index(kinds)
    return known.functions[which], (known.data[which] if known.data else 0)
