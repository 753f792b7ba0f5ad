"""``tg.kernel.check``: gives a kernel of your own what the package's own kernels get."""

from __future__ import annotations

import inspect
import itertools
import math
import operator
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad.core.devices import EMULATED
from tapegrad.core.kernels import KernelError, chosen_schedule, library, schedule
from tapegrad.core.schedules import Schedule
from tapegrad.units import CompileError

from . import patience
from .checkable import Checkable
from .gradients import differences, why_no_differences, wrong_rule
from .guarded import PLACES
from .mutating import survivors
from .report import Again, Report
from .runs import Runs
from .samples import Draws, check_draws, dimensions, draw, element_types, samples
from .shrinking import Failure, shrink
from .trial import SCHEDULES, Trial, Wrong, trials

# Every access is looked at in calls of so many elements, if there are any, else of the fewest.
SMALL = 3000


def check(
    kernel: Checkable,
    *,
    sizes: Mapping[str, Sequence[int]] | None = None,
    inputs: Draws | None = None,
    mutate: bool = True,
    schedule: str | None = None,
    seconds: float = patience.SECONDS,
    **numbers: Any,
) -> Report:
    """Run a kernel of your own on the emulated device in every way that shows whether it is right,
    and return a ``Report``, which is true if it is and says more when printed.

    values, gradient: of sizes around every tile edge, in every dtype, against the plain body in
    float64; with arrays aligned, misaligned, and at the end of readable memory, between pages that
    cannot be touched; in ascending, descending and random order of threads. second gradient:
    ``gradcheck`` and ``gradgradcheck`` in float64. accesses: races, memory out of bounds, shared
    memory that nothing wrote. loops on cpu: of rows and elements, values and gradient once more,
    of the loops that run there. mutants: with one barrier, shuffle, atomic or bound taken away at a
    time, all of these must not be right.

    sizes: for names of the signature, the values to try. inputs: for names of inputs, functions of
    the sizes and a ``numpy.random.Generator`` that return an array; whole numbers need one.
    mutate=False leaves the mutants out. numbers: the kernel's keyword arguments.
    schedule: run only values and gradient, with threads in this order, as the line says with which
    a failure ends: "ascending", "descending", "random:7", or "random:7:40-42", where only the
    decisions 40 to 42 are random. What fails is made smaller first, in sizes and decisions.
    seconds: of processor time, after which a launch of which no thread ends or meets others counts
    as endless; more where other launches took long, too.

    Everything runs in processes of its own: a kernel that crashes or never ends is reported. Raises
    TypeError for what is no kernel, ValueError for missing inputs and numbers and for what is no
    schedule, KernelsMissing where there is no compiler.
    """
    if not isinstance(kernel, Checkable):
        raise TypeError(f"check takes what tg.kernel makes, got {type(kernel).__name__}")
    told = {**kernel.numbers, **numbers}
    missing = [name for name, value in told.items() if value is inspect.Parameter.empty]
    unknown = {*numbers} - {*kernel.numbers}
    if missing or unknown:
        problem = f"needs {missing}" if missing else f"has no {sorted(unknown)}"
        raise ValueError(f"[{kernel.name}] {problem}: its numbers are {[*kernel.numbers]}")
    for name, values in (sizes or {}).items():
        if name not in kernel.signature.sizes:
            raise ValueError(f"[{kernel.name}] has no size {name!r}: {kernel.signature.sizes}")
        _check_values(f"[{kernel.name}] sizes[{name!r}]", values)
    if not seconds > 0:
        raise ValueError(f"[{kernel.name}] seconds= must be more than 0, got {seconds}")
    check_draws(kernel.name, kernel.signature, inputs or {})
    library("emulated")
    only = chosen_schedule() if schedule is None else Schedule.parse(schedule)
    draws = {**kernel.draws, **(inputs or {})}
    return _Check(kernel, told, sizes or {}, draws, only, seconds).run(mutate)


def _check_values(what: str, values: Any) -> None:
    try:
        whole = [operator.index(n) for n in values]
    except TypeError:
        raise TypeError(f"{what} must be whole numbers, like (1, 33), got {values!r}") from None
    if not whole or min(whole) < 0:
        raise ValueError(f"{what} must be sizes to try, like (1, 33), got {values!r}")


class _Check:
    def __init__(
        self,
        kernel: Checkable,
        numbers: dict,
        sizes: Mapping,
        draws: Draws,
        only: Schedule | None,
        seconds: float,
    ):
        self.kernel, self.numbers, self.sizes, self.draws = kernel, numbers, sizes, draws
        self.samples = samples(kernel, sizes)
        self.types = element_types(kernel)
        self.only = only
        self.schedules = SCHEDULES if only is None else (only,)
        self.orders = itertools.cycle(self.schedules)
        self.started = time.perf_counter()
        self.report = Report(kernel, kernels=1 + (kernel.backward is not None))
        self.in_child = Runs(self.report, seconds)

    def run(self, mutate: bool) -> Report:
        report = self.report
        self._leave_out_what_the_body_refuses()
        try:
            self._values()
            if self.only is not None:
                report.seconds = time.perf_counter() - self.started
                return report
            self._rule()
            self._gradients()
            self._accesses()
            self._loops()
            if not mutate:
                report.add("mutants", None, "left out")
            elif not report.ok:
                report.add("mutants", None, "not tried, as the kernel itself is wrong")
            else:
                self._mutants()
        except CompileError as error:
            report.add("compiling", False, str(error))
        report.seconds = time.perf_counter() - self.started
        return report

    # ---- values and gradients ----

    def _leave_out_what_the_body_refuses(self) -> None:
        """Such as the largest of no elements. Raises what it says where that is everything."""
        served, refused = [], []
        for index, sample in enumerate(self.samples):
            draw(
                self.kernel,
                dimensions(self.kernel, sample),
                self._wide(),
                np.random.default_rng(0),
                self.draws,
            )
            try:
                self._trials(index, self.types[0])
                served.append(sample)
            except (ArithmeticError, LookupError, RuntimeError, ValueError) as error:
                refused.append((sample, error))
        if not served:
            raise refused[0][1]
        self.samples = served
        if refused:
            first, problem = refused[0]
            more = f", and {len(refused) - 1} more" if len(refused) > 1 else ""
            self.report.add("sizes", None, f"the body refuses {first}{more}: {problem}")

    def _wide(self) -> Any:
        """What T is where it is float64; None where the kernel has no T."""
        return None if self.types[0] is None else np.dtype(np.float64)

    def _trials(self, index: int, dtype: Any) -> list[Trial]:
        return trials(self.kernel, self.samples[index], dtype, self.numbers, self.draws)

    def _next_orders(self) -> list[Schedule]:
        return [next(self.orders) for _ in self.schedules[:2]]

    def _values(self) -> None:
        """All calls, in all places, in a process of their own."""
        units = self.kernel.compiled(checked=False)

        def work(note: Callable[[str], None]) -> dict[str, Any]:
            largest: dict[str, float] = {}
            wrong: dict[str, Failure] = {}
            for dtype in self.types:
                for index in range(len(self.samples)):
                    for trial in self._trials(index, dtype):
                        if trial.what in wrong:
                            continue
                        try:
                            for place in PLACES:
                                error = trial.run(units, place, self._next_orders(), note)
                                largest[trial.what] = max(largest.get(trial.what, 0), error)
                        except CompileError:
                            raise
                        except (Wrong, KernelError) as problem:
                            wrong[trial.what] = Failure.of(trial, self.samples[index], problem)
            return {"largest": largest, "wrong": wrong}

        found = self.in_child(work, "values")
        if found is None:
            return
        kinds = ", ".join(str(t) for t in self.types if t is not None) or "its own dtypes"
        for what in ("values", "gradient"):
            if what in found["wrong"]:
                self._failed(what, found["wrong"][what], units)
            elif what in found["largest"]:
                said = (
                    f"{kinds}; {len(self.samples)} sizes, {len(PLACES)} places, "
                    f"{len(self.schedules)} orders of threads; "
                    f"{found['largest'][what]:.0%} of the error allowed"
                )
                self.report.add(what, True, said)

    def _failed(self, what: str, failure: Failure, units: Any) -> None:
        """Report it, and how it fails with less."""

        def work(note: Callable[[str], None]) -> Failure:
            def fails(sample: dict[str, int], place: Any, order: Schedule) -> Failure | None:
                made = trials(self.kernel, sample, failure.dtype, self.numbers, self.draws)
                trial = next(trial for trial in made if trial.what == what)
                try:
                    trial.run(units, place, [order], note)
                except (Wrong, KernelError) as problem:
                    return Failure.of(trial, sample, problem)
                return None

            return shrink(failure, fails, self.sizes)

        said = failure.said
        if self.only is None and not failure.is_endless:
            smaller = self.in_child(work, what) or failure
            if smaller != failure:
                failure, said = smaller, f"{said}\nand smaller: {smaller.said}"
        self.report.add(what, False, said)
        changed = {k: v for k, v in self.numbers.items() if v != self.kernel.numbers[k]}
        self.report.again = Again(failure.sample, str(failure.order), changed)

    def _rule(self) -> None:
        """A gradient that is a function of tensors, against the body's in float64."""
        kernel, dtype = self.kernel, self.types[0]
        if kernel.rule is None:
            return

        def work(note: Callable[[str], None]) -> str:
            for sample in self.samples:
                note(f"the rule, {sample}")
                name = wrong_rule(kernel, sample, dtype, self.numbers, self.draws)
                if name:
                    return f"the rule's gradient of {name} is not the body's, for {sample}"
            return ""

        problem = self.in_child(work, "gradient")
        if problem is not None:
            self.report.add("gradient", not problem, problem or "the rule's is the body's")

    def _gradients(self) -> None:
        """Of the whole function, by differences, and of its gradient."""
        reason = why_no_differences(self.kernel)
        if reason:
            self.report.add("second gradient", None, reason)
            return

        def work(note: Callable[[str], None]) -> list[str]:
            note("gradcheck")
            small = [s for s in self.samples if 0 < np.prod([*s.values()]) < 50] or self.samples[:1]
            return differences(self.kernel, small[-1], self._wide(), self.numbers, self.draws)

        problems = self.in_child(work, "second gradient")
        if problems is not None:
            said = "\n".join(problems) or "gradcheck and gradgradcheck in float64"
            self.report.add("second gradient", not problems, said)

    # ---- accesses ----

    def _accesses(self) -> None:
        units = self.kernel.compiled(checked=True)

        def work(note: Callable[[str], None]) -> tuple[str, list[str]]:
            emulator = library("emulated")
            emulator.count_bank_conflicts(True)
            return self._checked(units, note), [
                f"bank conflicts at {place}: {requests} accesses of warps to shared memory took "
                f"{passes} turns, and {least} would do"
                for place, requests, passes, least in emulator.bank_conflicts()
                if passes > least
            ]

        found = self.in_child(work, "accesses")
        if found is not None:
            wrong, slow = found
            said = wrong or (
                "no race, nothing out of bounds, no shared memory that nothing wrote"
                f"; {len(self.small)} of {len(self.samples)} sizes looked at"
            )
            self.report.add("accesses", not wrong, "\n".join([said, *slow]))

    @property
    def small(self) -> list[int]:
        """Which samples every access is looked at of."""
        elements = [math.prod(sample.values()) for sample in self.samples]
        limit = max(SMALL, min(filter(None, elements), default=0))
        return [index for index, count in enumerate(elements) if count <= limit]

    def _checked(self, units: Any, note: Callable[[str], None]) -> str:
        """What the checks of every access say, "" where nothing is wrong; not of values."""
        dtype = self.types[0]
        for index in self.small:
            for trial in self._trials(index, dtype):
                note(f"{trial}, every access looked at")
                try:
                    with schedule("ascending"):
                        trial.launch(
                            EMULATED, units, dtype, trial.arrays, trial.sizes, self.numbers
                        )
                except CompileError:
                    raise
                except KernelError as error:
                    return str(error)
        return ""

    # ---- the same on the CPU ----

    def _loops(self) -> None:
        """Of rows and elements: values and gradient of the loops that run on ``cpu``."""
        units = self.kernel.loops()
        if units is None:
            return
        if not self.report.ok:
            self.report.add("loops on cpu", None, "not tried, as the kernel itself is wrong")
            return

        def work(note: Callable[[str], None]) -> tuple[float, str]:
            largest = 0.0
            for dtype in self.types:
                for index in range(len(self.samples)):
                    for trial in self._trials(index, dtype):
                        try:
                            errors = [trial.run(units, p, [None], note) for p in PLACES]
                        except Wrong as problem:
                            return largest, str(problem)
                        largest = max(largest, *errors)
            return largest, ""

        found = self.in_child(work, "loops on cpu")
        if found is not None:
            largest, wrong = found
            kinds = ", ".join(map(str, self.types))
            said = f"{kinds}; {len(self.samples)} sizes, {len(PLACES)} places; "
            said += f"{largest:.0%} of the error allowed"
            self.report.add("loops on cpu", not wrong, wrong or said)

    def _mutants(self) -> None:
        def prove(changed: dict[str, str], note: Callable[[str], None]) -> None:
            problem = self._checked(self.kernel.compiled(True, changed), note)
            if problem:
                raise Wrong(problem)
            units = self.kernel.compiled(False, changed)
            for index in range(len(self.samples)):
                for trial in self._trials(index, self.types[0]):
                    for place in PLACES:
                        trial.run(units, place, self._next_orders(), note)

        sizes = dimensions(self.kernel, self.samples[-1])
        sources = self.kernel.sources(self.types[0], sizes, self.numbers)
        tried, surviving = survivors(self.kernel, sources, prove, self.in_child)
        said = f"{tried - len(surviving)} of {tried} noticed"
        if surviving:
            listed = "\n".join(surviving)
            said += f"; these are not needed, or nothing shows that they are:\n{listed}"
        # A bound that only chooses the faster of two ways may go unnoticed.
        self.report.add("mutants", True if not surviving else None, said)
