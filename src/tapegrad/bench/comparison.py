"""``compare``: the same care for your own functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad.core.devices import CPU, Device, to_numpy
from tapegrad.core.dtypes import is_floating
from tapegrad.core.tensor import Tensor

from . import machine
from .cases.case import several
from .check import FLOATS, BenchmarkError, check_seconds, compare_all, tolerance
from .peers import from_torch
from .results import Results, Row
from .timing import Call, clock_for, current, interleave

_SETS = 3


def compare(
    functions: Mapping[str, Callable[..., Any]],
    inputs: Any,
    *,
    reference: Any,
    rtol: float | None = None,
    seconds: float = 1.0,
    bytes: float | None = None,
    flops: float = 0.0,
    device: Any = None,
) -> Results:
    """Check functions against a reference, then time them in turns; ``print`` the result.

    functions: by name; the first is compared with each other one. inputs: what they are called
    with, a tuple of tensors and arrays (tapegrad's, NumPy's, CuPy's, PyTorch's) and anything else;
    or, where functions take other kinds, a dict with such a tuple for each name. reference: the
    right result (an array, or a tuple of arrays), or a function that computes it from the first
    function's inputs as NumPy arrays in float64. rtol: the largest error accepted, as a part of
    |expected| + rms(expected); some units in the last target of the result by default.
    bytes, flops: what a call moves and computes, for the rates; bytes are those of the inputs and
    results by default. device: whose clock is read; by default a GPU's if an input or a result of
    any function is there. A GPU is timed on its default stream, PyTorch's and CuPy's alike: a
    function must not leave work on another one. Functions must not change their inputs.

    Raises BenchmarkError, naming the function and the first index, if one is wrong, and for a
    function that changes its inputs; ValueError where ``seconds`` is negative or nan.

    >>> x = tg.randn(1000, 1000)
    >>> print(tg.bench.compare({"mine": my_tanh, "tapegrad's": tg.tanh}, x, reference=np.tanh))
    """
    if not functions:
        raise BenchmarkError("compare() needs at least one function")
    check_seconds("compare", "seconds", seconds)
    given = {name: _arguments(name, functions, inputs) for name in functions}
    first = next(iter(functions))
    seen = [value for values in given.values() for value in values]
    expected = _expected(reference, given[first])
    row = Row(first, "", (), "", reference="given")
    for name, function in functions.items():
        returned = _checked_call(name, function, given[name])
        seen += returned
        got = _results(name, returned)
        limit = rtol if rtol is not None else max(_limit(g) for g in got)
        if len(got) != len(expected):
            raise BenchmarkError(
                f"{name!r} gives {len(got)} results, the reference has {len(expected)}"
            )
        difference = compare_all(got, expected, limit, np)
        if difference.problem:
            raise BenchmarkError(
                f"{name!r} is wrong: {difference.problem} (error {difference.error:.2g}, at most "
                f"{limit:.2g} is accepted)"
            )
        if name == first:
            row.shape, row.dtype = got[0].shape, got[0].dtype.name
            row.error, row.tolerance, row.flops = difference.error, limit, flops
            arrays = [a for a in map(_host, given[name]) if a is not None]
            row.bytes = sum(a.nbytes for a in (*arrays, *got)) if bytes is None else bytes
    target = _device_of(seen) if device is None else Device(device)
    results = Results.begun(target, {"functions": list(functions), "seconds": seconds})
    contestants = {name: _contestant(f, given[name]) for name, f in functions.items()}
    with current(target):
        row.times = interleave(contestants, clock_for(target), seconds)
    results.rows.append(row)
    results.after = machine.state(target)
    return results


def _arguments(name: str, functions: Mapping[str, Any], inputs: Any) -> tuple:
    if isinstance(inputs, Mapping):
        missing = [n for n in functions if n not in inputs]
        if missing:
            raise BenchmarkError(f"no inputs for {missing[0]!r}: the dict has {list(inputs)}")
        inputs = inputs[name]
    return tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)


def _expected(reference: Any, inputs: Sequence[Any]) -> list[np.ndarray]:
    if callable(reference):
        hosts = [_host(value) for value in inputs]
        wide = [
            value if host is None else host.astype(np.float64) if is_floating(host.dtype) else host
            for value, host in zip(inputs, hosts, strict=True)
        ]
        reference = reference(*wide)
    return _results("reference", several(reference))


def _checked_call(name: str, function: Callable[..., Any], inputs: Sequence[Any]) -> list:
    """What a call returned that left its inputs as they were."""
    before = [None if (host := _host(value)) is None else host.copy() for value in inputs]
    returned = several(function(*inputs))
    for number, (was, value) in enumerate(zip(before, inputs, strict=True)):
        now = _host(value)
        if was is not None and now is not None and was.tobytes() != now.tobytes():
            raise BenchmarkError(
                f"{name!r} changes its input {number}: the next call would compute something else. "
                "Let it work on a copy"
            )
    return returned


def _results(name: str, returned: Sequence[Any]) -> list[np.ndarray]:
    """The results on the host."""
    found = []
    for value in returned:
        host = _host(value)
        array = np.asarray(value) if host is None else host
        if array.dtype.kind not in "iub" and array.dtype.name not in FLOATS:
            raise BenchmarkError(
                f"{name!r} gives {array.dtype} values: expected integers or {', '.join(FLOATS)}"
            )
        found.append(array)
    return found


def _limit(array: np.ndarray) -> float:
    # How long the sums are cannot be told from outside.
    return tolerance(array.dtype, 1 << 12) if is_floating(array.dtype) else 0.0


def _host(value: Any) -> np.ndarray | None:
    """The values as a NumPy array; None for anything but an array or tensor."""
    if isinstance(value, Tensor):
        return to_numpy(value._array)
    if hasattr(value, "detach"):
        return np.asarray(from_torch(value.cpu(), CPU))
    is_array = isinstance(value, np.ndarray) or hasattr(value, "__cuda_array_interface__")
    return to_numpy(value) if is_array else None


def _device_of(values: Sequence[Any]) -> Device:
    """Where the work is done: on a GPU if any value is there."""
    places = [target for value in values if (target := _place(value))]
    return next((p for p in places if p.type == "cuda"), places[0] if places else CPU)


def _place(value: Any) -> Device | None:
    """Where an array is; None for what does not say."""
    if isinstance(value, Tensor):
        return value.device
    if hasattr(value, "is_cuda"):  # PyTorch's, which may refuse to show its address
        return Device("cuda", value.device.index) if value.is_cuda else None
    return Device("cuda", value.device.id) if hasattr(value, "__cuda_array_interface__") else None


def _copy(value: Any) -> Any:
    if hasattr(value, "detach"):  # tapegrad's and PyTorch's tensors
        return value.detach().clone().requires_grad_(value.requires_grad)
    return value.copy() if hasattr(value, "dtype") else value


def _contestant(function: Callable[..., Any], inputs: tuple) -> Call:
    """f(turn), on copies of the inputs in turns."""
    sets = [inputs, *(tuple(_copy(v) for v in inputs) for _ in range(_SETS - 1))]
    return lambda turn: function(*sets[turn % len(sets)])
