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
from tapegrad.custom import Kernel

from . import machine
from .cases import CASES, SIZES, Case, missing
from .cases.case import shape_of
from .ceilings import Ceilings
from .ceilings import measure as measure_ceilings
from .check import BenchmarkError, check_seconds
from .judge import Job
from .measure import Bench
from .peers import choose
from .progress import Progress
from .results import Results
from .row import Row
from .timing import clock_for, current

_SIZE = {"cpu": "small", "cuda": "large", "emulated": "tiny"}
DTYPES = {"cpu": ("float32",), "cuda": ("float32", "float16", "bfloat16"), "emulated": ("float32",)}
_OWN_SECONDS = 1.0  # for a row of a user's own, at least
_BUDGETS = {"cpu": 40.0, "cuda": 900.0, "emulated": 15.0}


def run(
    cases: Sequence[str | Case] | None = None,
    device: Any = "cpu",
    dtypes: Sequence[Any] | None = None,
    sizes: str | Sequence[Any] = "default",
    peers: Sequence[str] | None = None,
    budget_s: float | None = None,
    progress: bool = True,
    on_row: Callable[[Results], None] | None = None,
    backward: bool = False,
) -> Results:
    """Measure tapegrad's primitives on a device, or functions of your own, against other libraries.

    cases: names or patterns of cases or groups such as "softmax*" (all by default), and what
    ``case`` returned; one row of each is measured first, in the order given, then another of each.
    dtypes: float32 by default, and on cuda float16 and bfloat16 too. sizes: "tiny", "small",
    "large", several of them, or "default": small on cpu, large on cuda, tiny on emulated; or shapes
    like "4096x4096" and (4096, 4096), for the cases with as many numbers. peers: of "numpy", "body"
    (the plain body, where NumPy has another way), "cupy", "torch", "torch.compile", "jax"; by
    default those that are there (on a GPU all but NumPy, else NumPy and PyTorch). budget_s: about
    how long it may take; it is shared among the rows, of which one of your own gets a second at
    least. on_row: is called with the results so far after each row. backward: also measure the
    gradients of functions of your own, without their forward pass.

    A result that differs from a float64 reference, before or after it was timed, is "wrong" and has
    no time. Ctrl-C ends the run: the results are then those measured so far, with ``interrupted``
    set.

    Raises BenchmarkError for cases, dtypes, sizes or peers that do not exist, ValueError for a
    negative budget_s, RuntimeError for a device that does not exist.
    """
    if budget_s is not None:
        check_seconds("run", "budget_s", budget_s)
    target = Device(device)
    target.library  # noqa: B018  (says what is missing)
    chosen = select(cases)
    if backward:
        chosen = [c for one in chosen for c in (one, one.gradient and one.gradient()) if c]
    own = any(case.ways for case in chosen)
    jobs = jobs_of(chosen, target, dtypes, sizes)
    settings = {"cases": [c if isinstance(c, str) else c.name for c in cases or []]}
    budget = _BUDGETS[target.type] if budget_s is None else budget_s
    least = _OWN_SECONDS if own and budget_s is None else 0.0
    found = choose(target, peers, own)
    return measure_jobs(target, jobs, found, settings, budget, least, progress, on_row)


def measure_jobs(
    target: Device,
    jobs: Sequence[Job],
    peers: Sequence[str],
    settings: dict[str, Any],
    budget: float,
    least: float = 0.0,
    progress: bool = False,
    on_row: Callable[[Results], None] | None = None,
    measured: Callable[[Bench, Job, float], Row] | None = None,
    ceilings: Callable[..., Ceilings] = measure_ceilings,
) -> Results:
    """Measure the jobs in about ``budget`` seconds, and each in ``least`` at least. measured: what
    makes a row, by default ``Bench.measure``, out of which no error comes."""
    settings = {
        **settings,
        "dtypes": sorted({job.dtype.name for job in jobs}),
        "sizes": sorted({job.size for job in jobs}),
        "peers": list(peers),
        "rows": len(jobs),
        "budget_s": budget,
    }
    if any(job.case.ways for job in jobs):
        settings["functions"] = list(dict.fromkeys(job.case.label for job in jobs))
    results = Results.begun(target, settings, _notes(target, jobs))
    start = time.perf_counter()
    try:
        with current(target), Progress(len(jobs), progress) as bar:
            bar.show("ceilings")
            clock = clock_for(target)
            used = list({job.dtype.name: job.dtype for job in jobs}.values())
            limits = ceilings(target, used, clock, "torch" in peers)
            results.ceilings = asdict(limits)
            bench = Bench(target, peers, clock, limits)
            order = {_key(job): position for position, job in enumerate(jobs)}
            for number, job in enumerate(_one_of_each_first(jobs)):
                bar.show(str(job))
                left = budget - (time.perf_counter() - start)
                share = max(left, 0.0) / (len(jobs) - number)
                make = measured or Bench.measure
                results.rows.append(make(bench, job, max(share, least)))
                results.rows.sort(key=lambda row: order.get(row.key, 0))
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


def select(wanted: Sequence[str | Case] | None, among: Sequence[Case] | None = None) -> list[Case]:
    """The cases whose names or groups match, in the order of the patterns, and those that are given
    themselves. Raises BenchmarkError for a pattern that no case matches."""
    chosen: dict[str, Case] = {}
    among = CASES if among is None else among
    for pattern in wanted or ["*"]:
        if isinstance(pattern, Case):
            chosen[pattern.name] = pattern
            continue
        found = {
            c.name: c
            for c in among
            if any(fnmatch.fnmatchcase(name, pattern) for name in (c.name, c.group))
        }
        if not found:
            known = ", ".join(case.name for case in among)
            raise BenchmarkError(f"no case {pattern!r}: choose from {known}")
        chosen = {**chosen, **found}
    return list(chosen.values())


def jobs_of(
    cases: Sequence[Case], device: Device, dtypes: Sequence[Any] | None, sizes: str | Sequence[Any]
) -> list[Job]:
    """The cases in these dtypes and sizes. Raises BenchmarkError where there are none."""
    kinds, found = _dtypes(device, dtypes), _sizes(device, sizes)
    jobs = list(_jobs(cases, kinds, found))
    if not jobs:
        names = ", ".join(case.name for case in cases)
        raise BenchmarkError(f"nothing to measure: {names} cannot have sizes {sizes}")
    return jobs


def _dtypes(device: Device, wanted: Sequence[Any] | None) -> list[Any]:
    chosen = []
    for spec in DTYPES[device.type] if wanted is None else wanted:
        try:
            chosen.append(dtypes_.dtype(spec))
        except (ImportError, TypeError) as error:  # such as bfloat16 without ml_dtypes
            if wanted is not None:
                raise BenchmarkError(str(error)) from error
    for dtype in chosen:
        if not dtypes_.is_floating(dtype):
            raise BenchmarkError(f"dtype {dtype.name}: the cases need a floating-point one")
    return chosen


def _sizes(device: Device, wanted: str | Sequence[Any]) -> list[Any]:
    """Names of sizes, and shapes."""
    found: list[Any] = []
    for one in wanted.split(",") if isinstance(wanted, str) else wanted:
        if isinstance(one, str) and not one[:1].isdigit():
            for name in one.split(","):
                if name not in (*SIZES, "default"):
                    raise BenchmarkError(
                        f"unknown size {name!r}: choose from default, {', '.join(SIZES)}, or "
                        "write a shape like 4096x4096"
                    )
                found.append(_SIZE[device.type] if name == "default" else name)
        else:
            found.append(shape_of(one))
    return found


def _jobs(cases: Sequence[Case], dtypes: list[Any], sizes: list[Any]) -> Iterator[Job]:
    for case in cases:
        fitting = [d for d in dtypes if d.name in case.dtypes]
        if not fitting and case.ways:  # a kernel of one dtype, which is no matter of choice
            fitting = [dtypes_.dtype(case.dtypes[0])]
        for size in sizes:
            for shape in case.shapes(size):
                for dtype in fitting:
                    named = size if isinstance(size, str) else "x".join(map(str, size))
                    yield Job(case, shape, dtype, named)


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


def _notes(device: Device, jobs: Sequence[Job]) -> list[str]:
    notes = []
    if device.type == "emulated":
        notes.append("device emulated runs GPU threads one by one: its times mean nothing")
    kernels = {job.case.mine.name for job in jobs if isinstance(job.case.mine, Kernel)}
    if device.type == "cpu" and kernels:
        names = ", ".join(sorted(kernels))
        notes.append(f"on the CPU a kernel is its plain body, which was measured of {names}")
    if not all(job.case.ways for job in jobs) and (names := ", ".join(sorted(missing()))):
        notes.append(f"kernels that no case measures: {names}")
    return notes
