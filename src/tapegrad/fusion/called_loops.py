"""NumPy's own loops over one function, for those of which loops in C++ know no vectors.

A ufunc has an inner loop for each choice of dtypes, ``loop(arrays, size, strides, data)``, which
needs no lock of Python's for floats. A fused loop calls it for a strip of values, so that it
computes the bits that the ordinary operation does, by the vectors that NumPy has.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache

import numpy as np

from .axes import Step, Unfusable
from .functions import FUNCTIONS

# Of which csrc/fused/loop.h has vectors of floats.
_VECTORS = ("exp", "log", "log1p", "tanh")


class _Ufunc(ctypes.Structure):
    """The public struct PyUFuncObject, from behind what all objects begin with."""

    _fields_ = [
        *((name, ctypes.c_int) for name in ("nin", "nout", "nargs", "identity")),
        ("functions", ctypes.POINTER(ctypes.c_size_t)),
        ("data", ctypes.POINTER(ctypes.c_size_t)),
    ]


def is_numpys(step: Step) -> bool:
    """Whether a loop of NumPy's computes the step."""
    known = FUNCTIONS.get(step.op)
    if known is None or not known.long or step.op == "erf":  # which NumPy has not
        return False
    return step.dtype != np.float32 or step.op not in _VECTORS


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
