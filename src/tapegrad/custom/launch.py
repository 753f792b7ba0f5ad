"""One function of a source, and how it is launched: which of its parameters is which array, size or
number, how many blocks and threads it gets, and what its results are."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tapegrad.core import dtypes
from tapegrad.core.devices import Device
from tapegrad.core.kernels import AccessError, KernelError, launch
from tapegrad.core.signature import Item, Signature, Sizes, counts
from tapegrad.units.source import INTEGERS, NUMBERS, Function, Parameter

from .checkable import Launching
from .guarded import Result

MOST_PARAMETERS = 24  # kernels/launch.h: what a launch takes, less its grid and shared memory
FLOATS = ("float32", "float64", "float16", "bfloat16")
# The least and the most of each dimension, as check_launch knows them (kernels/launch.h).
_LIMITS = {
    "blocks": (0, (2**31 - 1, 65535, 65535)),
    "threads": (1, (1024, 1024, 64)),
    "shared": (0, (227 * 1024,)),
}


@dataclass(frozen=True)
class Grid:
    """How many blocks of how many threads, and the bytes of dynamic shared memory: numbers, tuples
    of up to three, or functions whose arguments are named like sizes and numbers. blocks=None: one
    thread for each element of the first result. sizes: others than the inputs', by name, as such
    functions, too."""

    blocks: Any = None
    threads: Any = 256
    shared: Any = 0
    sizes: Mapping[str, Callable] = field(default_factory=dict)

    def check(self, kernel: str, known: Sequence[str]) -> None:
        """Raise TypeError or ValueError for what can never be a grid."""
        for what, value in (
            ("blocks", self.blocks),
            ("threads", self.threads),
            ("shared", self.shared),
        ):
            if callable(value):
                _check_asked(kernel, f"{what}=", value, [*known, *self.sizes])
            elif value is not None or what != "blocks":
                _three(kernel, what, value)
        for name, function in self.sizes.items():
            if not callable(function):
                raise TypeError(
                    f"[{kernel}] sizes= has functions of sizes and numbers, but {name!r} is "
                    f"{function!r}"
                )
            if name in known:
                raise ValueError(f"[{kernel}] sizes= names {name!r}, which is known already")
            _check_asked(kernel, f"sizes= for {name!r}", function, known)

    def all_sizes(self, kernel: str, sizes: Sizes, known: Mapping[str, Any]) -> Sizes:
        """The inputs' sizes, and the others. Raises TypeError or ValueError for what is none."""
        more = {name: _called(function, known) for name, function in self.sizes.items()}
        for name, value in more.items():
            _check_size(kernel, name, value)
        return {**sizes, **more}

    def of(self, kernel: str, known: Mapping[str, Any], elements: int) -> tuple[list[int], int]:
        """(grid and block, six numbers; bytes of shared memory) for these sizes and numbers."""
        block = _three(kernel, "threads", _called(self.threads, known))
        if self.blocks is None:
            grid = [-(-elements // math.prod(block)), 1, 1]
        else:
            grid = _three(kernel, "blocks", _called(self.blocks, known))
        return [*grid, *block], _three(kernel, "shared", _called(self.shared, known))[0]


def _check_asked(kernel: str, what: str, function: Callable, known: Sequence[str]) -> None:
    unknown = [name for name in inspect.signature(function).parameters if name not in known]
    if unknown:
        raise ValueError(f"[{kernel}] {what} is a function of {unknown}: it can ask for {[*known]}")


def _check_size(kernel: str, name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"[{kernel}] {name} is a size and must be an int, got {value!r}")
    if value < 0:
        raise ValueError(f"[{kernel}] {name} is a size and must not be negative, got {value}")


def _called(value: Any, known: Mapping[str, Any]) -> Any:
    if not callable(value):
        return value
    return value(**{name: known[name] for name in inspect.signature(value).parameters})


def _three(kernel: str, what: str, value: Any) -> list[int]:
    values = [*value] if isinstance(value, (tuple, list)) else [value]
    whole = all(isinstance(v, (int, np.integer)) and not isinstance(v, bool) for v in values)
    if not whole or not 1 <= len(values) <= 3 or (what == "shared" and len(values) > 1):
        kinds = "an int" if what == "shared" else "an int or up to three"
        raise TypeError(
            f"[{kernel}] {what}= must be {kinds} (or a function that returns it), got {value!r}"
        )
    least, most = _LIMITS[what]
    within = all(least <= v <= m for v, m in zip(values, most, strict=False))
    if not within or (what == "threads" and math.prod(values) > most[0]):
        told = ", ".join(f"{least} to {m}" for m in most[: len(values)])
        together = f", and {most[0]} together" if what == "threads" and len(values) > 1 else ""
        raise ValueError(f"[{kernel}] {what}= is {value!r}, but must be {told}{together}")
    return [*map(int, values), 1, 1][:3]


class Launch(Launching):
    """A function of a source with its inputs and results, and the ``scratch`` that it works in.
    Raises ValueError or TypeError where its parameters do not fit them, with what to change."""

    def __init__(
        self,
        function: Function,
        signature: Signature,
        inputs: Sequence[Item],
        results: Sequence[Item],
        numbers: Sequence[str],
        grid: Grid,
        scratch: Sequence[Item] = (),
    ):
        self.function, self.signature, self.grid = function, signature, grid
        name = function.name
        parameters = {p.name: p for p in function.parameters}
        given = {item.name: item for item in inputs}
        made = {item.name: item for item in (*results, *scratch)}
        signature.check_known([*numbers, *grid.sizes], [*made.values()])
        self.arguments = [p for p in function.parameters if p.type != "cudaStream_t"]
        if len(self.arguments) > MOST_PARAMETERS:
            raise ValueError(
                f"{name} has {len(self.arguments)} parameters, and a kernel takes at most "
                f"{MOST_PARAMETERS}: give it one array of what belongs together"
            )
        if not function.is_kernel and [p.type for p in function.parameters][-1:] != [
            "cudaStream_t"
        ]:
            raise ValueError(
                f"{name} is no __global__ kernel, so it launches some: its last parameter must be "
                "'cudaStream_t stream', to be handed to LAUNCH"
            )
        for p in self.arguments:
            self._check(p, given, made, numbers)
        for item in made.values():
            if item.name not in parameters:
                raise ValueError(
                    f"nothing writes {item}: {name} has no parameter {item.name!r}, only "
                    f"{[*parameters]}"
                )
        element = function.template
        self.inputs = [self._typed(item, parameters, element) for item in inputs]
        self.results = [self._typed(item, parameters, element) for item in results]
        self.scratch = [self._typed(item, parameters, element) for item in scratch]
        if element and not any(item.dtype == "T" for item in self.inputs):
            raise ValueError(
                f"{name} is a template of {element}, but no input is of it: make one "
                f"'const {element}*', or write the type that it works on"
            )
        grid.check(name, [*signature.sizes, *numbers, "itemsize"])

    def _check(
        self, p: Parameter, given: Mapping[str, Item], made: Mapping[str, Item], numbers: Sequence
    ) -> None:
        name, sizes = self.function.name, [*self.signature.sizes, *self.grid.sizes]
        if p.pointer:
            if p.name in given and not p.const:
                raise ValueError(
                    f"{name}: {p.name} is an input: declare it 'const {p.type}* {p.name}'"
                )
            if p.name in made and p.const:
                raise ValueError(
                    f"{name}: {p.name} is a result: declare it '{p.type}* {p.name}', without const"
                )
            if p.name not in given and p.name not in made:
                raise ValueError(
                    f"{name}: no array is called {p.name!r}; inputs are {[*given]}, results "
                    f"{[*made]}"
                )
        elif p.name in sizes:
            if p.type not in INTEGERS:
                raise ValueError(f"{name}: {p.name} is a size: declare it 'int64_t {p.name}'")
        elif p.name in numbers:
            if p.type not in (*INTEGERS, *NUMBERS, "bool"):
                raise ValueError(
                    f"{name}: {p.name} is a number: declare it double, float, int64_t, int or bool,"
                    f" not {p.type}"
                )
        else:
            known = f"sizes are {sizes}, numbers {[*numbers]}"
            raise ValueError(
                f"{name}: parameter {p.name!r} is neither a size nor a number: {known} (sizes "
                "stand in the signature; numbers are the body's keyword arguments, behind a '*')"
            )

    def _shape(self, item: Item, sizes: Sizes, numbers: Mapping[str, Any]) -> tuple[int, ...]:
        for size in item.sizes or ():
            if size not in sizes and size in numbers:
                _check_size(self.function.name, size, numbers[size])
        return self.signature.shape(item, {**numbers, **sizes})

    def _typed(self, item: Item, parameters: Mapping[str, Parameter], element: str) -> Item:
        """With the dtype that its parameter says; of what the function does not ask for, T."""
        if item.name not in parameters:
            return replace(item, dtype="T" if element else "")
        try:
            return replace(item, dtype=parameters[item.name].dtype(element))
        except ValueError as error:
            raise ValueError(f"{self.function.name}: {error}") from None

    def __call__(
        self,
        device: Device,
        units: Mapping[str, Any],
        dtype: Any,
        arrays: Mapping[str, Any],
        sizes: Sizes,
        numbers: Mapping[str, Any],
        new: Callable | None = None,
    ) -> dict[str, Any]:
        """Launch it on contiguous arrays, by name; returns the results by theirs, for which
        ``new(name, shape, dtype, zero)`` has made arrays."""
        return self.planned(dtype, sizes, numbers).run(device, units, arrays, new)

    def planned(
        self, dtype: Any, sizes: Sizes, numbers: Mapping[str, Any], without: Sequence[str] = ()
    ) -> Planned:
        """The launch for a dtype, sizes and numbers, ``without`` some of its results. Raises
        TypeError and ValueError where its grid, a number or a size cannot be."""
        name = self.function.name
        known = {**counts(sizes), **numbers, "itemsize": 0 if dtype is None else dtype.itemsize}
        sizes = self.grid.all_sizes(name, sizes, known)
        known |= {size: sizes[size] for size in self.grid.sizes}
        made = [item for item in (*self.results, *self.scratch) if item.name not in without]
        shapes = [self._shape(item, sizes, numbers) for item in made]
        for item, shape in zip(made, shapes, strict=True):
            if math.prod(shape) * actual(item.dtype, dtype).itemsize >= 2**63:
                raise ValueError(f"[{name}] {item} would have shape {shape}, more than memory is")
        extents: list[int] = []
        starts = True
        if self.function.is_kernel:
            grid, shared = self.grid.of(name, known, math.prod(shapes[0]))
            starts, extents = 0 not in grid[:3], [*grid, shared]
            if not starts and 0 not in counts(sizes).values():
                raise ValueError(
                    f"[{name}] blocks= is {tuple(grid[:3])} for {counts(sizes)}: no block would "
                    "compute anything; round up, as in lambda n: -(-n // 256)"
                )
        results = [
            (item.name, shape, actual(item.dtype, dtype), item.zero or not starts)
            for item, shape in zip(made, shapes, strict=True)
        ]
        given: list[tuple[str | None, Any]] = [
            (None if p.name in without else p.name, None)
            if p.pointer
            else (None, _number(name, p, known[p.name]))
            for p in self.arguments
            if starts
        ]
        element = str(dtype) if self.function.template else None
        return Planned(name, element, results, given, extents, starts)


@dataclass(frozen=True)
class Planned:
    """One launch, but for its arrays. results: name, shape, dtype and whether zeros come first.
    given: the arguments in order, each an array's name or a number (None: a null
    pointer). starts: whether there is a block."""

    name: str
    element: str | None
    results: list[tuple[str, tuple[int, ...], Any, bool]]
    given: list[tuple[str | None, Any]]
    extents: list[int]
    starts: bool

    def run(
        self,
        device: Device,
        units: Mapping[str, Any],
        arrays: Mapping[str, Any],
        new: Callable | None = None,
    ) -> dict[str, Any]:
        """See ``Launch.__call__``."""
        made: dict[str, Any] = {}
        watched: list[tuple[str, Result]] = []
        for name, shape, of, zero in self.results:
            if new is None and device.type == "emulated" and self.starts:
                try:
                    memory = Result.take(shape, of, zero)
                except (OSError, OverflowError) as error:
                    raise MemoryError(
                        f"[{self.name}] {name} of shape {shape} takes more memory than there is"
                    ) from error
                watched.append((name, memory))
                made[name] = memory.array
            elif new is None:
                made[name] = device.ops["zeros" if zero else "empty"](shape, of)
            else:
                made[name] = new(name, shape, of, zero)
        if self.starts:
            values = {**arrays, **made}
            given = [number if name is None else values[name] for name, number in self.given]
            try:
                launch(device, self.name, self.element, *given, *self.extents, among=units)
            except KernelError as error:
                error.args = (self._with_names(str(error)),)
                raise
        for name, memory in watched:
            made[name], written = memory.finish()
            if written:
                raise AccessError(
                    f"[{self.name}] the memory {written} {name} was written, which has shape "
                    f"{memory.array.shape}: tg.kernel.check says where"
                )
        return made

    def _with_names(self, message: str) -> str:
        """What the checks call "argument 2", by its name."""
        names = [name for name, _ in self.given]
        return re.sub(
            r"\bargument (\d+)\b",
            lambda m: (int(m[1]) < len(names) and names[int(m[1])]) or m[0],
            message,
        )


def actual(dtype: str, common: Any) -> Any:
    """The NumPy dtype that an item has where T is ``common``."""
    if dtype in ("T", ""):
        return common
    if dtype == "acc":
        return dtypes.accumulator(common)
    return dtypes.dtype(dtype)


def _number(kernel: str, p: Parameter, value: Any) -> Any:
    if p.type == "bool":
        if value not in (0, 1):
            raise TypeError(f"[{kernel}] {p.name} must be True or False, got {value!r}")
        return bool(value)
    if p.type in NUMBERS:
        most = float(np.finfo(np.float32 if p.type == "float" else np.float64).max)
        if most < abs(value) < math.inf:
            raise ValueError(f"[{kernel}] {p.name} is {value}, too large for {p.type}")
        return float(value)
    if isinstance(value, float):
        raise TypeError(f"[{kernel}] {p.name} must be an int, got {value!r}")
    limits = np.iinfo(INTEGERS[p.type])
    if not limits.min <= value <= limits.max:
        raise ValueError(
            f"[{kernel}] {p.name} is {value}, too {'small' if value < limits.min else 'large'} for "
            f"{p.type} ({limits.min} to {limits.max}): declare it int64_t"
        )
    return int(value)
