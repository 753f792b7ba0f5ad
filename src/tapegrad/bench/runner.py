"""``run``: check every case, and time those that are right."""

from __future__ import annotations

import fnmatch
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from tapegrad.core import dtypes as dtypes_
from tapegrad.core.devices import Device

from . import machine
from .cases import CASES, SIZES, Case, missing
from .ceilings import measure as measure_ceilings
from .check import BenchmarkError, check_seconds
from .measure import Bench, Job
from .peers import choose
from .progress import Progress
from .results import Results
from .timing import clock_for, current

_SIZE = {"cpu": "small", "cuda": "large", "emulated": "tiny"}
_DTYPES = {
    "cpu": ("float32",),
    "cuda": ("float32", "float16", "bfloat16"),
    "emulated": ("float32",),
}
_BUDGETS = {"cpu": 40.0, "cuda": 900.0, "emulated": 15.0}


def run(
    cases: Sequence[str] | None = None,
    device: Any = "cpu",
    dtypes: Sequence[Any] | None = None,
    sizes: str | Sequence[str] = "default",
    peers: Sequence[str] | None = None,
    budget_s: float | None = None,
    progress: bool = True,
    on_row: Callable[[Results], None] | None = None,
) -> Results:
    """Measure tapegrad's primitives on a device, against other libraries.

    cases: names or patterns such as "softmax*" (all by default); one row of each is measured first,
    in the order of the patterns, then another of each. dtypes: float32 by default, and
    on cuda float16 and bfloat16 too. sizes: "tiny", "small", "large", several of them, or
    "default": small on cpu, large on cuda, tiny on emulated. peers: of "numpy", "body" (the plain
    body, where NumPy has another way), "cupy", "torch", "torch.compile"; by default those that are
    there (on a GPU all but NumPy, else NumPy and PyTorch). budget_s: about how long it may take; it
    is shared among the rows. on_row: is called with the results so far after each row.

    A result that differs from a float64 reference is "wrong" and not timed. Ctrl-C ends the run:
    the results are then those measured so far, with ``interrupted`` set.

    Raises BenchmarkError for cases, dtypes, sizes or peers that do not exist, ValueError for a
    negative budget_s, RuntimeError for a device that does not exist.
    """
    if budget_s is not None:
        check_seconds("run", "budget_s", budget_s)
    target = Device(device)
    target.library  # noqa: B018  (says what is missing)
    jobs = list(_jobs(cases, _dtypes(target, dtypes), _sizes(target, sizes)))
    chosen = choose(target, peers)
    budget = _BUDGETS[target.type] if budget_s is None else budget_s
    settings = {
        "cases": list(cases or []),
        "dtypes": sorted({job.dtype.name for job in jobs}),
        "sizes": sorted({job.size for job in jobs}),
        "peers": list(chosen),
        "rows": len(jobs),
        "budget_s": budget,
    }
    results = Results.begun(target, settings, _notes(target))
    start = time.perf_counter()
    try:
        with current(target), Progress(len(jobs), progress) as bar:
            bar.show("ceilings")
            clock = clock_for(target)
            used = list({job.dtype.name: job.dtype for job in jobs}.values())
            ceilings = measure_ceilings(target, used, clock, "torch" in chosen)
            results.ceilings = asdict(ceilings)
            bench = Bench(target, chosen, clock, ceilings)
            order = {_key(job): position for position, job in enumerate(jobs)}
            for number, job in enumerate(_one_of_each_first(jobs)):
                bar.show(str(job))
                left = budget - (time.perf_counter() - start)
                share = max(left, 0.0) / (len(jobs) - number)
                results.rows.append(bench.measure(job, share))
                results.rows.sort(key=lambda row: order[row.key])
                bar.step()
                if on_row is not None:
                    on_row(results)
    except KeyboardInterrupt:
        results.interrupted = True
    results.seconds = round(time.perf_counter() - start, 2)
    results.after = machine.state(target)
    results.machine["threads"] = machine.threads()
    return results


# ---------------------------------------------------------------------- what to measure


def select(patterns: Sequence[str] | None) -> list[Case]:
    """The cases whose names match, in the order of the patterns. Raises BenchmarkError for a
    pattern that no case matches."""
    chosen: dict[str, Case] = {}
    for pattern in patterns or ["*"]:
        found = {c.name: c for c in CASES if fnmatch.fnmatchcase(c.name, pattern)}
        if not found:
            known = ", ".join(case.name for case in CASES)
            raise BenchmarkError(f"no case {pattern!r}: choose from {known}")
        chosen = {**chosen, **found}
    return list(chosen.values())


def _dtypes(device: Device, wanted: Sequence[Any] | None) -> list[Any]:
    chosen = []
    for spec in _DTYPES[device.type] if wanted is None else wanted:
        try:
            chosen.append(dtypes_.dtype(spec))
        except (ImportError, TypeError) as error:  # such as bfloat16 without ml_dtypes
            if wanted is not None:
                raise BenchmarkError(str(error)) from error
    for dtype in chosen:
        if not dtypes_.is_floating(dtype):
            raise BenchmarkError(f"dtype {dtype.name}: the cases need a floating-point one")
    return chosen


def _sizes(device: Device, wanted: str | Sequence[str]) -> list[str]:
    names = wanted.split(",") if isinstance(wanted, str) else list(wanted)
    for name in names:
        if name not in (*SIZES, "default"):
            raise BenchmarkError(f"unknown size {name!r}: choose from default, {', '.join(SIZES)}")
    return [_SIZE[device.type] if name == "default" else name for name in names]


def _jobs(patterns: Sequence[str] | None, dtypes: list[Any], sizes: list[str]) -> Iterator[Job]:
    for case in select(patterns):
        for size in sizes:
            for shape in case.sizes[size]:
                for dtype in dtypes:
                    if dtype.name in case.dtypes:
                        yield Job(case, shape, dtype, size)


def _key(job: Job) -> tuple:
    """``Row.key`` of its row."""
    return job.case.name, job.shape, job.dtype.name


def _one_of_each_first(jobs: Sequence[Job]) -> list[Job]:
    """The first job of each case, then the second of each, ...: a run that is ended early says
    something about all."""
    cases: dict[str, list[Job]] = {}
    for job in jobs:
        cases.setdefault(job.case.name, []).append(job)
    return [job for turn in itertools.zip_longest(*cases.values()) for job in turn if job]


def _notes(device: Device) -> list[str]:
    notes = []
    if device.type == "emulated":
        notes.append("device emulated runs GPU threads one by one: its times mean nothing")
    if names := missing():
        notes.append(f"kernels that no case measures: {', '.join(sorted(names))}")
    return notes
