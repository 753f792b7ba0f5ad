"""Expressions as loops for the CPU, of which the C++ compiler makes vectors: one walk over memory,
where the plain body makes one for each of its steps.

A loop has its values and gradients for float32 and float64; exp, erf, tanh and expm1 of floats are
those of the package's own loops (csrc/native/loops). It is compiled when a large array first comes;
where there is no compiler, the body serves all.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad import _build
from tapegrad.core import native

from .expression import Expression

LEAST = 1 << 15  # elements; for fewer, compiling does not pay, and NumPy's steps stay in the cache

_PRELUDE = """
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>
namespace {
#include "csrc/native/loops/vector.h"
#include "csrc/native/loops/near.h"
#define OF_DOUBLE(name) inline double name(double x) { return std::name(x); }
#define OF_FLOAT(name) inline float name(float x) { return std::name(x); }
OF_DOUBLE(exp) OF_DOUBLE(erf) OF_DOUBLE(tanh) OF_DOUBLE(expm1)
using std::cos, std::fabs, std::log, std::log1p, std::pow, std::sin, std::sqrt;
"""

_LOOP = """
template <class A>
void {name}(void* const* arrays, const double* numbers, int64_t count) {{
{opening}    for (int64_t i = 0; i < count; ++i) {{
{steps}    }}
}}
"""

_ENTRIES = """
}
extern "C" __attribute__((visibility("default"))) void tapegrad_loop(
    int backward, int wide, void* const* arrays, const double* numbers, int64_t count) {
    if (backward) {
        wide ? gradient<double>(arrays, numbers, count) : gradient<float>(arrays, numbers, count);
    } else {
        wide ? value<double>(arrays, numbers, count) : value<float>(arrays, numbers, count);
    }
}
"""


class Loops:
    """The loops of one expression: ``loops("forward", inputs, numbers)`` and ``loops("backward",
    (*inputs, gradient), numbers)``, which return None for what they do not serve."""

    def __init__(self, name: str, read: Expression):
        self.name, self.read = name, read
        self._function: Any = None
        self._lock = threading.Lock()

    def __call__(self, way: str, arrays: Sequence[np.ndarray], numbers: dict[str, Any]) -> Any:
        first = arrays[0]
        if first.size < LEAST or first.dtype not in (np.float32, np.float64):
            return None
        if any(a.dtype != first.dtype for a in arrays):
            return None
        function = self._loaded()
        if function is None:
            return None
        backward = way == "backward"
        arrays = [np.ascontiguousarray(a) for a in arrays]
        made = [np.empty_like(arrays[0]) for _ in self.read.inputs[: None if backward else 1]]
        pointers = [a.ctypes.data for a in (*made, *arrays)]
        values = [float(numbers[n]) for n in self.read.numbers]
        function(
            backward,
            first.dtype == np.float64,
            (ctypes.c_void_p * len(pointers))(*pointers),
            (ctypes.c_double * len(values))(*values),
            first.size,
        )
        return tuple(made) if backward else made[0]

    def _loaded(self) -> Any:
        """The compiled function; None where it cannot be compiled."""
        with self._lock:
            if self._function is None:
                try:
                    level = "host" if native.compiled is None else native.compiled.level()
                    path = _build.build_loop(self._text(), f"expression-{self.name}", level)
                    self._function = ctypes.CDLL(str(path)).tapegrad_loop
                    self._function.argtypes = [
                        ctypes.c_int,
                        ctypes.c_int,
                        ctypes.c_void_p,
                        ctypes.c_void_p,
                        ctypes.c_int64,
                    ]
                    self._function.restype = None
                except (_build.BuildError, OSError):
                    self._function = False
            return self._function or None

    def _text(self) -> str:
        statements, value = self.read.code()
        slopes, gradients = self.read.gradient_code("v_dy_")
        inputs = self.read.inputs
        return "".join(
            [
                _PRELUDE,
                self._loop("value", ["y_"], [*inputs], statements, [value]),
                self._loop(
                    "gradient",
                    [f"d_{i}" for i in inputs],
                    [*inputs, "dy_"],
                    slopes,
                    [gradients[i] for i in inputs],
                ),
                _ENTRIES,
            ]
        )

    def _loop(
        self, name: str, made: list[str], given: list[str], statements: list[str], values: list[str]
    ) -> str:
        arrays = [*(f"A* __restrict__ r_{m}" for m in made), *(f"const A* p_{g}" for g in given)]
        opening = [
            f"    {a} = static_cast<{'const ' * (i >= len(made))}A*>(arrays[{i}]);"
            for i, a in enumerate(arrays)
        ]
        opening += [
            f"    const A v_{n} = A(numbers[{i}]);" for i, n in enumerate(self.read.numbers)
        ]
        steps = [f"        const A v_{g} = p_{g}[i];" for g in given]
        steps += [f"        {statement}" for statement in statements]
        steps += [f"        r_{m}[i] = {v};" for m, v in zip(made, values, strict=True)]
        return _LOOP.format(
            name=name, opening="\n".join(opening) + "\n", steps="\n".join(steps) + "\n"
        )
