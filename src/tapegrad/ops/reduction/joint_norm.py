"""The norm of all elements of many arrays together, and their scaling by it: what keeps gradients
within bounds. Where there are kernels (kernels/gradient_norm.cu), in a launch each for all of
them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.core.devices import Device, override
from tapegrad.core.dtypes import accumulator, is_floating
from tapegrad.core.kernels import ask, launch, watched
from tapegrad.core.memory import Array, HostTable, address
from tapegrad.core.tape import array_function


def _norm(xp: Any, x: Array, order: float) -> Any:
    """Of all elements, for 16-bit floats in float32."""
    flat = x.ravel().astype(accumulator(x.dtype), copy=False)
    if flat.size == 0:
        return xp.zeros((), dtype=flat.dtype)
    return xp.vector_norm(flat, order=order, axis=(0,), keepdims=False)


@array_function
def joint_norm(xp: Any, *arrays: Array, order: float) -> Array:
    """Of all elements of all arrays: 0-d, float32 or float64."""
    norms = [xp.library.asarray(_norm(xp, x, order)) for x in arrays]
    return xp.library.asarray(_norm(xp, xp.library.stack(norms), order))


@array_function
def scale_to_norm(xp: Any, norm: Array, *arrays: Array, most: float) -> None:
    """Multiply the arrays, in place, by what brings their ``norm`` down to ``most``."""
    factor = xp.minimum(most / (norm + 1e-6), 1.0)
    for x in arrays:
        wide = x.astype(accumulator(x.dtype), copy=False)
        wide *= factor.astype(wide.dtype)
        if wide is not x:
            x[...] = wide.astype(x.dtype)


# ---------------------------------------------------------------------- kernels

_MOST = 160  # tensors whose places a launch is told: most_tensors of the kernels


def _in_tables(arrays: tuple[Array, ...]) -> list[tuple[Any, list[Array], HostTable]]:
    """(dtype, arrays, size and address of each), as a launch takes them."""
    found = []
    by_dtype: dict[Any, list[Array]] = {}
    for x in arrays:
        by_dtype.setdefault(x.dtype, []).append(x)
    for dtype, alike in by_dtype.items():
        for start in range(0, len(alike), _MOST):
            some = alike[start : start + _MOST]
            places = [(x.size, address(x) if x.size else 0) for x in some]
            found.append((dtype, some, HostTable.of(np.array(places, np.int64), some)))
    return found


def _served(x: Array) -> bool:
    return is_floating(x.dtype) and x.itemsize <= 4


def _is_dense(x: Array) -> bool:
    return x.flags.c_contiguous or x.flags.f_contiguous


@override("joint_norm", "cuda", "emulated")
def _joint_norm(device: Device, *arrays: Array, order: float) -> Any:
    if order != 2 or not all(map(_served, arrays)):
        return NotImplemented
    contiguous, empty = device.ops["contiguous"], device.ops["empty"]
    tables = _in_tables(tuple([x if _is_dense(x) else contiguous(x) for x in arrays]))
    each = ask(device, "squares_sums")
    sums = empty((len(tables), each), np.dtype(np.float64))
    for (dtype, some, table), row in zip(tables, sums, strict=True):
        with watched(device, some):
            launch(device, "squares", dtype, row, table, len(some))
    norm = empty((), np.dtype(np.float32))
    launch(device, "root_of_sum", None, norm, sums, sums.size)
    return norm


@override("scale_to_norm", "cuda", "emulated")
def _scale_to_norm(device: Device, norm: Array, *arrays: Array, most: float) -> Any:
    dense = [x for x in arrays if _served(x) and _is_dense(x)]
    if norm.dtype != np.float32 or len(dense) < len(arrays):
        return NotImplemented
    for dtype, some, table in _in_tables(arrays):
        with watched(device, some):
            launch(device, "scale_to_norm", dtype, norm, table, len(some), float(most))
    return None
