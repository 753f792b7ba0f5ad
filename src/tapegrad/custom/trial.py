"""Calls with which a kernel is checked: their inputs, what must come out in float64, and how far
from that is too far."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad.core.devices import CPU, EMULATED
from tapegrad.core.kernels import library, schedule
from tapegrad.core.modes import no_grad
from tapegrad.core.schedules import Schedule
from tapegrad.core.signature import Sizes
from tapegrad.core.tensor import wrap

from .checkable import Checkable, Launching
from .guarded import Guarded, Place
from .launch import FLOATS, actual
from .samples import Draws, dimensions, draw

SCHEDULES = tuple(map(Schedule.parse, ("ascending", "descending", "random:1", "random:2")))
TOLERANCES = {"float32": (1.3e-6, 1e-5), "float64": (1e-12, 1e-12)}
TOLERANCES |= {"float16": (1e-3, 1e-5), "bfloat16": (1.6e-2, 1e-5)}


class Wrong(AssertionError):
    """A kernel made something else than its body."""


@dataclass
class Trial:
    """One call of one launch: arrays by name, and of each result what it must be."""

    launch: Launching
    what: str  # "values" or "gradient"
    dtype: Any
    sizes: Sizes
    numbers: Mapping[str, Any]
    arrays: dict[str, np.ndarray]
    expected: dict[str, np.ndarray]
    allowed: dict[str, np.ndarray]
    # Of the last run: where arrays lay, the order of threads, and how many decisions made it.
    ran: tuple[Place, Schedule, int] | None = None

    def __str__(self) -> str:
        sizes = ", ".join(f"{name} = {value}" for name, value in self.sizes.items())
        of = "" if self.dtype is None else f"{self.dtype}, "
        return f"{self.launch.function.name} ({of}{sizes})"

    def run(
        self,
        units: Mapping[str, Any],
        place: Place,
        orders: Iterable[Schedule | None],
        note: Callable[[str], None],
    ) -> float:
        """Run it in guarded memory under each of these schedules, None: as a loop on the CPU.
        Returns the largest error, as a part of what is allowed. Raises Wrong, KernelError."""
        largest = 0.0
        for order in orders:
            how = "as a loop on cpu" if order is None else f"threads {order}"
            where = f"{self}, arrays {place.__name__.replace('_', ' ')}, {how}"
            note(where)
            placed: list[tuple[str, Guarded]] = []

            def put(
                name: str,
                content: np.ndarray,
                is_input: bool,
                placed: list[tuple[str, Guarded]] = placed,
            ) -> Any:
                placed.append((name, Guarded(content, len(placed), place, is_input)))
                return placed[-1][1].array

            def new(
                name: str, shape: tuple[int, ...], dtype: Any, zero: bool, put: Any = put
            ) -> Any:
                empty = np.zeros(shape, dtype)
                if not zero:
                    empty.reshape(-1).view(np.uint8).fill(0xFF)
                return put(name, empty, False)

            arrays = {name: put(name, array, True) for name, array in self.arrays.items()}
            given = (units, self.dtype, arrays, self.sizes, self.numbers, new)
            if order is None:
                made = self.launch(CPU, *given)
            else:
                with schedule(*order):
                    try:
                        made = self.launch(EMULATED, *given)
                    finally:
                        decisions = order.taken - library("emulated").schedule()[3]
                        self.ran = place, order, decisions
            for name, wanted in self.expected.items():
                largest = max(largest, self._error(name, made[name], wanted, where))
            for name, guarded in placed:
                problem = guarded.finish()
                if problem:
                    raise Wrong(f"{where}: {name}: {problem}")
        return largest

    def _error(self, name: str, got: np.ndarray, wanted: np.ndarray, where: str) -> float:
        if got.dtype.kind in "iub":
            if not np.array_equal(got, wanted):
                raise Wrong(f"{where}: {name} {_first(got != wanted, got, wanted)}")
            return 0.0
        wide = got.astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            rounded = wanted.astype(got.dtype).astype(np.float64)
            same = (wide == rounded) | (np.isnan(wide) & np.isnan(wanted))
            part = np.where(same, 0, np.abs(wide - wanted) / self.allowed[name])
        bad = ~(part <= 1)
        if bad.any():
            item = next(item for item in self.launch.results if item.name == name)
            unset = not item.zero and np.isnan(wide[bad]).any()
            hint = f"; what nothing writes of {name} is nan: '= 0' clears it" if unset else ""
            raise Wrong(f"{where}: {name} {_first(bad, wide, wanted)}{hint}")
        return float(part.max(initial=0))


def _first(bad: np.ndarray, got: np.ndarray, wanted: np.ndarray) -> str:
    at = tuple(int(i) for i in np.argwhere(bad)[0])
    return (
        f"{list(at)} is {got[at]:.7g}, and should be {wanted[at]:.7g} ({bad.sum()} of {bad.size})"
    )


def trials(
    kernel: Checkable,
    sample: Mapping[str, int],
    dtype: Any,
    numbers: Mapping[str, Any],
    draws: Draws,
) -> list[Trial]:
    """The call of a kernel, and that of its gradient's, for inputs of these sizes."""
    random = np.random.default_rng(sum(sample.values()))
    sizes = dimensions(kernel, sample)
    inputs = draw(kernel, sizes, dtype, random, draws)
    named = {i.name: a for i, a in zip(kernel.signature.inputs, inputs, strict=True)}
    exact, rough = (_values(kernel, arrays, numbers) for arrays in (wide(inputs), inputs))
    forward = _trial(
        kernel.forward,
        "values",
        dtype,
        sizes,
        numbers,
        named,
        [i.name for i in kernel.signature.results],
        exact,
        rough,
    )
    if kernel.backward is None:
        return [forward]
    results = [
        y.astype(actual(i.dtype, dtype)) for y, i in zip(exact, kernel.forward.results, strict=True)
    ]
    arrived = [random.standard_normal(y.shape).astype(y.dtype) for y in results]
    for item, y, g in zip(kernel.signature.results, results, arrived, strict=True):
        named |= {item.name: y, f"d{item.name}": g}
    needs = [a.dtype.name in FLOATS for a in inputs]
    exact = body_gradients(kernel, wide(arrived), wide(inputs), numbers, needs)
    rough = body_gradients(kernel, arrived, inputs, numbers, needs)
    known = [f"d{i.name}" for i, n in zip(kernel.signature.inputs, needs, strict=True) if n]
    given = {item.name: named[item.name] for item in kernel.backward.inputs}
    backward = _trial(
        kernel.backward, "gradient", dtype, sizes, numbers, given, known, exact, rough
    )
    return [forward, backward]


def _trial(
    launch: Launching,
    what: str,
    dtype: Any,
    sizes: Sizes,
    numbers: Mapping,
    arrays: dict,
    names: Sequence[str],
    exact: Sequence[np.ndarray],
    rough: Sequence[np.ndarray],
) -> Trial:
    allowed = {}
    # Results that are small because large terms cancel are as exact as the terms.
    terms = max([rms(a) for a in arrays.values() if a.dtype.name in FLOATS], default=0.0) / 10
    for name, e, r in zip(names, exact, rough, strict=True):
        item = next(i for i in launch.results if i.name == name)
        relative, absolute = TOLERANCES.get(actual(item.dtype, dtype).name, (0, 0))
        with np.errstate(invalid="ignore", over="ignore"):
            off = np.abs(r.astype(np.float64) - e)
        scale = max(rms(e), terms)
        body = float(off[np.isfinite(off)].max(initial=0))
        with np.errstate(invalid="ignore"):
            allowed[name] = relative * np.abs(e) + absolute * scale + 4 * body + 1e-300
    expected = dict(zip(names, exact, strict=True))
    return Trial(launch, what, dtype, sizes, numbers, arrays, expected, allowed)


def rms(array: np.ndarray) -> float:
    """The root of the mean square of what is finite."""
    wide = array.astype(np.float64)
    finite = wide[np.isfinite(wide)]
    return math.sqrt(float(np.mean(finite * finite))) if finite.size else 0.0


def wide(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [a.astype(np.float64) if a.dtype.name in FLOATS else a for a in arrays]


def _values(kernel: Checkable, arrays: Sequence, numbers: Mapping) -> list[np.ndarray]:
    with no_grad():
        made = kernel.run_body([wrap(a, CPU) for a in arrays], numbers)
    return [t._array for t in made]


def body_gradients(
    kernel: Checkable, arrived: Sequence, inputs: Sequence, numbers: Mapping, needs: Sequence[bool]
) -> list[np.ndarray]:
    made = kernel.body_gradient(
        [wrap(g, CPU) for g in arrived], [wrap(a, CPU) for a in inputs], numbers, needs
    )
    zeros = [np.zeros(a.shape, a.dtype) for a in inputs]
    return [z if t is None else t._array for t, n, z in zip(made, needs, zeros, strict=True) if n]
