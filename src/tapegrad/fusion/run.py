"""Runs kernels: as loops on ``cpu``, as kernels in CUDA on ``emulated`` and ``cuda``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from tapegrad import _build
from tapegrad.core import native
from tapegrad.core.capture import capturing
from tapegrad.core.devices import Device
from tapegrad.core.kernels import launch, watched
from tapegrad.core.memory import address
from tapegrad.units import Source, Unit

from .compiled import address_of
from .kernel import Kernel
from .launches import THREADS, Launch, write_launch
from .loops import write_loop
from .open_numbers import Values, evaluator, is_open, text_of

# Runs kernels of one text: of the arrays of steps, by their ids, to which it adds the results; the
# numbers that the trace has left open; and the arrays that results may be written to. Where it has
# one kernel, ``alone`` makes a list of its results from a list of its inputs, and these numbers.
Runner = Any
MOST_ARRAYS = 4096  # of one call of loops
MOST_PARAMETERS = 24  # of a kernel that is told what it needs; launchers take 32, with the shape


def runners(device: Device, kernels: Sequence[Kernel]) -> list[Runner] | None:
    """What runs the kernels, those of one text at once; None where nothing compiles them."""
    if device.type != "cpu":
        write: Callable = write_launch
    elif kernels and (native.compiled is None or _build.find_cxx() is None):
        return None
    else:
        write = write_loop
    alike: dict[str, list] = {}
    for kernel in kernels:
        written = write(kernel)
        alike.setdefault(written.text, []).append((kernel, written))
    found: list[Runner] = []
    if device.type == "cpu":
        for text, pairs in alike.items():
            for at_once in _in_parts(pairs):
                found.append(_Loops(text, *zip(*at_once, strict=True)))
        return found
    for pairs in alike.values():
        (kernel, written), *others = pairs
        if others or written.parameters > MOST_PARAMETERS:
            found.append(LaunchedAtOnce(device, *zip(*pairs, strict=True)))
        else:
            found.append(Launched(device, kernel, written))
    return found


def _in_parts(pairs: Sequence[tuple[Kernel, Any]]) -> Iterator[Sequence[tuple[Kernel, Any]]]:
    """Kernels of one text, so many at a time as loops are told of."""
    kernel = pairs[0][0]
    most = (MOST_ARRAYS - 1) // (1 + len(kernel.inputs) + len(kernel.results))
    for i in range(0, len(pairs), most):
        yield pairs[i : i + most]


def _told(numbers: Sequence[Any]) -> Callable[[Values], Sequence[float]]:
    """The numbers that a kernel is told, of those that a trace has left open."""
    if any(map(is_open, numbers)):
        return evaluator(f"({''.join(f'{text_of(v)}, ' for v in numbers)})")
    return lambda values: numbers


class _Results:
    """The arrays that the results of a kernel are written to."""

    def __init__(self, kernel: Kernel, empty: Callable):
        self.made = [(id(r), r.shape, r.dtype) for r in kernel.results]
        self._changed, self._empty = kernel.changed, empty

    def __call__(self, known: dict[int, Any], targets: Mapping[int, Any]) -> list:
        results = []
        for step, shape, dtype in self.made:
            array = targets.get(step) if step in self._changed else None
            if array is None or not array.flags.c_contiguous:
                array = self._empty(shape, dtype)
            results.append(array)
            known[step] = array
        return results


def _in_order(array: Any) -> np.ndarray:
    """What a loop reads: a gradient may be a number of NumPy's, or lie in any order."""
    if type(array) is np.ndarray and array.flags.c_contiguous:
        return array
    return np.ascontiguousarray(array)


class _Loops:
    """Kernels as loops on the CPU, which threads share."""

    def __init__(self, text: str, kernels: Sequence[Kernel], loops: Sequence[Any]):
        self._address = address_of(text)
        self._inputs = [[id(t) for t in kernel.inputs] for kernel in kernels]
        self._results = [_Results(kernel, np.empty) for kernel in kernels]
        self._sizes = [loop.sizes for loop in loops]
        units = np.cumsum([loop.units for loop in loops])
        numbers = [v for loop in loops for v in loop.numbers]
        self._told = _told(numbers)
        self._fixed = None if any(map(is_open, numbers)) else np.array(numbers, np.float64)
        each = 1 + len(kernels[0].inputs) + len(kernels[0].results)
        self._table = np.array([len(loops), each, len(loops[0].numbers), *units], np.int64)
        self._units = int(units[-1])
        self._each = max(1, sum(loop.units * loop.each for loop in loops) // max(1, self._units))

    def __call__(self, known: dict[int, Any], values: Values, targets: Mapping[int, Any]) -> None:
        arrays = [self._table]
        for inputs, results, sizes in zip(self._inputs, self._results, self._sizes, strict=True):
            given = [known[i] for i in inputs]
            arrays.append(sizes)
            arrays += map(_in_order, given)
            arrays += results(known, targets)
        self._run(tuple(arrays), values)

    def alone(self, arrays: Sequence[Any], values: Values) -> list:
        results = [np.empty(shape, dtype) for _, shape, dtype in self._results[0].made]
        self.launch(arrays, results, None, values)
        return results

    def launch(
        self, arrays: Sequence[Any], results: Sequence[Any], among: None, values: Values
    ) -> None:
        """As Launched's, for one kernel."""
        self._run((self._table, self._sizes[0], *map(_in_order, arrays), *results), values)

    def _run(self, arrays: tuple, values: Values) -> None:
        numbers = self._fixed
        if numbers is None:
            numbers = np.array(self._told(values), np.float64)
        native.compiled.run_loop(self._address, arrays, numbers, self._units, self._each)


_units: dict[tuple[str, str], Any] = {}  # by text and type of device


def _source(text: str, device: Device) -> tuple[Source, dict[str, Any]]:
    source = Source(text, "<fused kernel>", 1, ".")
    unit = Unit(source, device.type)
    return source, {device.type: _units.setdefault((text, device.type), unit)}


# (Looked up at every call: while launches are recorded they are others.)


def _new(device: Device, shape: tuple[int, ...], dtype: Any) -> Any:
    return device.ops["empty"](shape, dtype)


def _in_memory_order(device: Device, array: Any) -> Any:
    return device.ops["ascontiguousarray"](array)


def _table(device: Device, words: np.ndarray) -> Any:
    """Of the host's words, in the device's memory; of a recording, for each of its replays."""
    recording = capturing()
    return device.asarray(words) if recording is None else recording.live(words, lambda: words)


class Launched:
    """A kernel in CUDA: ``source``, and the call that launches it."""

    def __init__(self, device: Device, kernel: Kernel, written: Launch):
        self.device, self.kernel, self._written = device, kernel, written
        self.source, self._among = _source(written.text, device)
        self._shape = [written.blocks, 1, 1, THREADS, 1, 1, 0]
        self._told = _told(written.numbers)
        self._empty = partial(_new, device)
        self._results = _Results(kernel, self._empty)
        self._contiguous = partial(_in_memory_order, device)

    def __call__(self, known: dict[int, Any], values: Values, targets: Mapping[int, Any]) -> None:
        given = [self._contiguous(known[id(t)]) for t in self.kernel.inputs]
        self.launch(given, self._results(known, targets), self._among, values)

    def alone(self, arrays: Sequence[Any], values: Values) -> list:
        results = [self._empty(shape, dtype) for _, shape, dtype in self._results.made]
        self.launch([self._contiguous(a) for a in arrays], results, self._among, values)
        return results

    def launch(
        self, arrays: Sequence[Any], results: Sequence[Any], among: Any, values: Values = ()
    ) -> None:
        """Compute these results, by the compiled source that ``among`` has for the device."""
        told = [*self._written.sizes, *self._told(values), *self._shape]
        launch(self.device, "fused", None, *arrays, *results, *told, among=among)


class LaunchedAtOnce:
    """Kernels of one text in CUDA, as one launch: each block finds in a table which is its kernel,
    and where that one's arrays lie."""

    def __init__(self, device: Device, kernels: Sequence[Kernel], written: Sequence[Launch]):
        self.device, self.kernels = device, kernels
        self.source, self._among = _source(written[0].text_for_many, device)
        self._blocks = [one.blocks for one in written]
        self._sizes = [one.sizes for one in written]
        self._told = [_told(one.numbers) for one in written]
        self._results = [_Results(kernel, partial(_new, device)) for kernel in kernels]
        self._contiguous = partial(_in_memory_order, device)

    def __call__(self, known: dict[int, Any], values: Values, targets: Mapping[int, Any]) -> None:
        given = [self._contiguous(known[id(t)]) for kernel in self.kernels for t in kernel.inputs]
        made = [array for results in self._results for array in results(known, targets)]
        self.launch(given, made, self._among, values)

    def alone(self, arrays: Sequence[Any], values: Values) -> list:
        (kernel,) = self.kernels
        known = dict(zip(map(id, kernel.inputs), arrays, strict=True))
        self(known, values, {})
        return [known[id(r)] for r in kernel.results]

    def launch(
        self, arrays: Sequence[Any], results: Sequence[Any], among: Any, values: Values = ()
    ) -> None:
        """As Launched's, with the arrays of one kernel after those of another."""
        given, made = iter(arrays), iter(results)
        rows, first = [], 0
        for k, kernel in enumerate(self.kernels):
            pointers = [address(a) for a in islice(given, len(kernel.inputs))]
            pointers += [address(a) for a in islice(made, len(kernel.results))]
            numbers = np.array(self._told[k](values), np.float64).view(np.int64)
            rows.append([first, self._blocks[k], *pointers, *self._sizes[k], *numbers.tolist()])
            first += self._blocks[k]
        table = _table(self.device, np.array(rows, np.int64))
        shape = [first, 1, 1, THREADS, 1, 1, 0]
        with watched(self.device, [*arrays, *results]):
            launch(self.device, "fused", None, table, len(rows), *shape, among=among)
