"""``compare``: functions of your own, measured now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from tapegrad.core.devices import CPU, Device, device_count
from tapegrad.core.dtypes import is_floating
from tapegrad.core.tensor import Tensor

from .arrays import memory
from .cases.case import several
from .ceilings import Ceilings, measure
from .check import BenchmarkError, check_seconds
from .drawing import Drawing
from .judge import Job
from .measure import Bench
from .own import Own, named
from .peers import choose
from .results import Results
from .row import Row
from .runner import jobs_of, measure_jobs
from .timing import Clock


def compare(
    f: Callable[..., Any] | Mapping[str, Callable[..., Any]],
    *others: Any,
    inputs: Any = None,
    sizes: Sequence[Any] | None = None,
    reference: Any = None,
    backward: bool = False,
    peers: Sequence[str] | None = None,
    dtypes: Sequence[Any] | None = None,
    rtol: float | None = None,
    seconds: float = 1.0,
    bytes: float | None = None,
    flops: float | None = None,
    device: Any = None,
) -> Results:
    """Check functions against a reference, then time them in turns; ``print`` the result, or write
    it with ``to_csv`` or ``to_markdown``.

    f, others: functions, or one dict of them by name, with the inputs behind it; the first is
    compared with each other one, its plain body, if it is a kernel or fused, and the peers.
    inputs: what they are called with, a tuple of tensors and arrays (tapegrad's,
    NumPy's, CuPy's, PyTorch's) and anything else; or, where functions take other kinds, a dict with
    such a tuple for each name; or a function of the sizes that returns such a tuple; or None, where
    they are drawn, as ``case`` does. sizes: shapes, of each of which inputs are drawn.
    reference: the right result (an array, or a tuple of arrays), or a function that computes it
    from the first function's inputs as NumPy arrays in float64; by default the plain body does, or
    the first function, in float64 on the CPU. backward: also compare their gradients.
    peers: see ``run``; for a dict of functions there are none unless they are said. rtol: the
    largest error accepted, as a part of |expected| + rms(expected); some units in the last place of
    the result by default. seconds: for each row. bytes, flops: what a call moves and computes, for
    the rates. device: where drawn inputs are, and whose clock is read; by default a GPU's if an
    input or a result of any function is there. A GPU is timed on its default stream, PyTorch's and
    CuPy's alike: a function must not leave work on another one. Functions must not change their
    inputs.

    Raises BenchmarkError, naming the function and the first index, if one is wrong before or after
    it was timed, and for a function that changes its inputs; ValueError where ``seconds`` is
    negative or nan.

    >>> x = tg.randn(1000, 1000)
    >>> print(tg.bench.compare(my_tanh, tg.tanh, inputs=x))
    """
    check_seconds("compare", "seconds", seconds)
    if isinstance(f, Mapping):
        if len(others) > 1:
            raise TypeError("[compare] behind a dict of functions stand their inputs: one tuple")
        functions, peers = dict(f), peers or ()
        inputs = others[0] if others else inputs
    else:
        functions = named(f, *others)
    if not functions:
        raise BenchmarkError("compare() needs at least one function")
    each = _inputs_of_each(functions, inputs) if isinstance(inputs, Mapping) else {}
    if backward and each:
        raise BenchmarkError("gradients need inputs that are the same for all: one tuple")
    first = next(iter(each.values()), inputs)
    name, function = next(iter(functions.items()))
    drawing = Drawing(name, function, first, sizes)
    own = Own(functions, drawing, reference=reference, inputs_of=each)
    case = own.case(rtol=rtol, flops=flops, bytes=bytes)
    cases = [case, case.gradient()] if backward and case.gradient else [case]
    if drawing.is_given and sizes is not None:
        raise BenchmarkError("inputs= are given, not drawn: sizes= would mean nothing")
    if drawing.is_given:
        values = tuple(several(first))
        target = _device_of(functions, each or dict.fromkeys(functions, values), device)
        dtype = next((m.dtype for m in map(memory, values) if _is_float(m)), np.dtype("float64"))
        jobs = [Job(one, (), dtype, "given") for one in cases]
    else:
        target = Device(CPU if device is None else device)
        jobs = jobs_of(cases, target, dtypes, "default")
    found = choose(target, peers, own=True)
    is_assumed = reference is None and own.plain is function
    wanted = f"; expected is what {name!r} says in float64: reference= says better" * is_assumed
    measured = partial(_measured, wanted=wanted)
    return measure_jobs(
        target, jobs, found, {}, 0.0, seconds, measured=measured, ceilings=_known_ceilings
    )


_ceilings: dict[tuple, Ceilings] = {}


def _known_ceilings(device: Device, dtypes: Sequence[Any], clock: Clock, torch: bool) -> Ceilings:
    """Measured once in a process: it takes longer than most comparisons."""
    key = device, torch, *sorted(dtype.name for dtype in dtypes)
    if key not in _ceilings:
        _ceilings[key] = measure(device, dtypes, clock, torch)
    return _ceilings[key]


def _measured(bench: Bench, job: Job, seconds: float, wanted: str = "") -> Row:
    """The row of a job. Raises what its functions raise, and BenchmarkError for wrong results.
    wanted: what the right ones are, where nobody said it."""
    row = bench.begun(job)
    bench.fill(row, job, seconds)
    if row.status != "ok":
        raise BenchmarkError(f"{row.function!r} is {row.status}: {row.message}{wanted}")
    return row


def _inputs_of_each(functions: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, tuple]:
    missing = [n for n in functions if n not in inputs]
    if missing:
        raise BenchmarkError(f"no inputs for {missing[0]!r}: the dict has {list(inputs)}")
    return {name: tuple(several(inputs[name])) for name in functions}


def _device_of(
    functions: Mapping[str, Callable], inputs: Mapping[str, Sequence[Any]], device: Any
) -> Device:
    """Where the work is done: on a GPU if any input is there, or else any result."""
    if device is not None:
        return Device(device)
    places = [_place(value) for values in inputs.values() for value in values]
    if device_count() and all(place is None or place.type != "cuda" for place in places):
        results = [several(f(*inputs[name])) for name, f in functions.items()]
        places += [_place(value) for values in results for value in values]
    known = [place for place in places if place is not None]
    return next((p for p in known if p.type == "cuda"), known[0] if known else CPU)


def _place(value: Any) -> Device | None:
    """Where an array is; None for what does not say."""
    if isinstance(value, Tensor):
        return value.device
    if hasattr(value, "is_cuda"):  # PyTorch's, which may refuse to show its address
        return Device("cuda", value.device.index) if value.is_cuda else None
    return Device("cuda", value.device.id) if hasattr(value, "__cuda_array_interface__") else None


def _is_float(array: Any) -> bool:
    return array is not None and not hasattr(array, "detach") and is_floating(array.dtype)
