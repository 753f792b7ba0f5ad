"""Is a result right? Every float is compared with a reference computed in float64."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad.core.devices import to_numpy
from tapegrad.core.dtypes import is_floating, is_low_precision

_EPS = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
FLOATS = tuple(_EPS)
_SAMPLE = 1 << 16  # elements


class BenchmarkError(RuntimeError):
    """A benchmark would mislead: a wrong result, a file without results, unknown names."""


def check_seconds(function: str, name: str, value: float) -> None:
    """Raise ValueError for a negative number of seconds, and for nan."""
    if not value >= 0:  # nor nan
        raise ValueError(f"[{function}] {name} must be seconds, 0 or more, not {value}")


def tolerance(dtype: Any, depth: int = 1) -> float:
    """The largest error accepted, as a part of |expected| + rms(expected).

    Some units in the last place of ``dtype``, and what the rounding of a sum of ``depth`` terms of
    random sign adds up to, about eps * sqrt(depth) (Higham 2002, section 2.8), where eps is that of
    the dtype that sums are carried in.
    """
    eps = _EPS[dtype.name]
    if is_low_precision(dtype):
        return 2 * eps + 4 * _EPS["float32"] * math.sqrt(depth)
    return (64 if dtype.itemsize == 8 else 16) * eps + 4 * eps * math.sqrt(depth)


@dataclass(frozen=True)
class Difference:
    """How far results are from their references: the largest error, in the tolerance's units, and,
    where it is too large, what is wrong and where first."""

    error: float
    problem: str = ""


def compare_all(got: Sequence[Any], expected: Sequence[Any], limit: float, xp: Any) -> Difference:
    """Compare results with references, in the array library ``xp`` of the references. Of several
    results, as many are compared as were got."""
    largest = 0.0
    for number, (g, e) in enumerate(zip(got, expected, strict=False)):
        difference = compare(g, e, limit, xp)
        largest = max(largest, difference.error)
        if difference.problem:
            which = f"result {number}: " if len(got) > 1 else ""
            return Difference(largest, which + difference.problem)
    return Difference(largest)


def compare(got: Any, expected: Any, limit: float, xp: Any = np) -> Difference:
    """Compare one array with its reference: shape, not-a-numbers, and every value. Integers must be
    equal; a float may be off by ``limit`` * (|expected| + rms(expected)), where rms counts for 100
    usual elements at most."""
    if xp is np:
        got, expected = to_numpy(got), to_numpy(expected)
    else:
        got = xp.asarray(got)  # which may come from the CPU
    if got.shape != expected.shape:
        return Difference(math.inf, f"its shape is {got.shape}, expected {expected.shape}")
    if not got.size:
        return Difference(0.0)
    if not is_floating(got.dtype):
        error = (got != expected).astype(np.float64)
    else:
        # In place: results may be as large as a good part of the memory.
        error = got.astype(np.float64)
        expected = expected.astype(np.float64)
        finite = xp.isfinite(expected)
        alike = (error == expected) | (xp.isnan(error) & xp.isnan(expected))
        size = xp.abs(xp.where(finite, expected, 0))
        size += _scale(size, xp) + np.finfo(np.float64).tiny
        error -= expected
        error = xp.where(alike, 0, xp.where(finite, xp.abs(error) / size, math.inf))
        error = xp.where(xp.isnan(error), math.inf, error)
    worst = float(error.max())
    if worst <= limit:
        return Difference(worst)
    flat = int((error.reshape(-1) > limit).argmax())
    index = tuple(int(i) for i in np.unravel_index(flat, got.shape))
    return Difference(
        worst, f"at index {index} it is {_value(got, flat)}, expected {_value(expected, flat)}"
    )


def _scale(size: Any, xp: Any) -> float:
    """What errors are measured by beside an element's own size: the root of the mean square; but
    not more than a usual element times 100, so that among a few huge ones the others may not be
    zero."""
    rms = math.sqrt(float((size * size).mean()))
    flat = size.reshape(-1)
    some = flat[:: max(1, flat.size // _SAMPLE)]
    some = some[some > 0]
    return min(rms, 100 * float(xp.median(some))) if some.size else rms


def require_telling(expected: Sequence[Any], xp: Any = np) -> None:
    """Raise BenchmarkError for references with which wrong results would agree: those that are zero
    everywhere, and those with a nan."""
    for number, e in enumerate(expected):
        if is_floating(e.dtype) and (at := xp.isnan(e)).any():
            index = tuple(int(i) for i in np.unravel_index(int(at.argmax()), e.shape))
            raise BenchmarkError(
                f"the reference of result {number} is nan at index {index}: choose inputs for "
                "which it is a number"
            )
        if e.size and not e.any():
            raise BenchmarkError(
                f"the reference of result {number} is zero everywhere, as is what nothing was "
                "written to: choose inputs for which it is not"
            )


def _value(array: Any, flat: int) -> str:
    value = to_numpy(array.reshape(-1)[flat : flat + 1])[0]
    return f"{float(value):.9g}" if is_floating(array.dtype) else str(value)
