"""One row: check every contestant's result, time them in turns, and check their results again."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad.core import native
from tapegrad.core.devices import Device, KernelsMissing, Operations, overrides
from tapegrad.core.dtypes import is_floating

from .arrays import copied, memory, on_host, same_bits
from .cases import Case, Draw
from .ceilings import Ceilings
from .check import FLOATS, BenchmarkError, Difference, compare_all, require_telling, tolerance
from .inputs import Sets
from .peaks import peak_bytes
from .peers import warm_compiler, way_of
from .results import Row
from .timing import Call, Clock, interleave
from .ways import Way

_PEER_SLACK = 4  # a peer is not on trial: it must only compute the same function
# Above these, references for a GPU are computed on it, in float64 by CuPy: NumPy takes minutes.
_NUMPY_ELEMENTS, _NUMPY_FLOPS = 1 << 22, 1e10


@dataclass(frozen=True)
class Job:
    """A case at one shape and dtype."""

    case: Case
    shape: tuple[int, ...]
    dtype: Any
    size: str

    def __str__(self) -> str:
        return f"{self.case.name} {'x'.join(map(str, self.shape))} {self.dtype.name}"


@dataclass(frozen=True)
class _Contestant:
    """Who computes a case, on which sets of inputs."""

    name: str
    way: Way
    sets: Sets

    def call(self) -> Call:
        inputs = [self.way.take(values) for values in self.sets.sets]
        count, call = len(inputs), self.way.call
        return lambda turn: call(*inputs[turn % count])


class Bench:
    """What all rows of a run share."""

    def __init__(self, device: Device, peers: Sequence[str], clock: Clock, ceilings: Ceilings):
        self.device, self.peers, self.clock, self.ceilings = device, peers, clock, ceilings
        self._compiling = 0.0  # seconds that torch.compile took last
        if "torch.compile" in peers:
            warm_compiler(device)

    def measure(self, job: Job, seconds: float) -> Row:
        """The row of a job, in about so many seconds. Nothing but Ctrl-C escapes from it."""
        row = self.begun(job)
        try:
            self.fill(row, job, seconds)
        except Exception as error:  # one case that fails must not end the others
            row.times = {}
            row.status = "skipped" if _is_memory(error) else "failed"
            row.message = _one_line(error)
        self._give_memory_back()
        return row

    def begun(self, job: Job) -> Row:
        """The row of a job before anything is measured."""
        return Row(job.case.name, job.case.primitive, job.shape, job.dtype.name, job.size)

    def _give_memory_back(self) -> None:
        """To the GPU, so that no library keeps from others what it needs no more."""
        if self.device.type == "cuda":
            self.device.library.get_default_memory_pool().free_all_blocks()
            if torch := sys.modules.get("torch"):
                torch.cuda.empty_cache()

    def fill(self, row: Row, job: Job, seconds: float) -> None:
        """Measure the row. Raises what the case's own functions raise."""
        start = time.perf_counter()
        trial = _Trial(job, self.device, row)
        ways = {}
        for name in (job.case.label, *job.case.rivals):
            way = way_of(name, job.case, self.device)
            assert way is not None
            if problem := trial.problem_of(name, way):
                row.fail(name, problem)
                return
            ways[name] = way
        trial.describe()
        for name in self.peers:
            way = self._peer(trial, name, seconds)
            if way is not None:
                ways[name] = way
        contestants = _with_sets(ways, trial)
        sets = list({id(one.sets): one.sets for one in contestants}.values())
        calls = {one.name: one.call() for one in contestants}
        with warnings.catch_warnings():  # they were given when results were checked
            warnings.simplefilter("ignore")
            for one in contestants:
                row.peaks[one.name] = peak_bytes(self.device, one.way.counts, calls[one.name])
            left = seconds - (time.perf_counter() - start)
            row.times = interleave(calls, self.clock, max(left, seconds / 4), sets)
        row.least = self.ceilings.least_seconds(row.dtype, row.bytes, row.flops)
        share = row.least / row.times[job.case.label].median
        row.of_ceiling = share if 0 < share <= 1 else None  # above 1 it is none: see results.py
        del calls
        for one in contestants:
            trial.judge_again(one)

    def _peer(self, trial: _Trial, name: str, seconds: float) -> Way | None:
        """The peer's way if it computes the same; else None and a word in ``row.peers``."""
        row, compiles = trial.row, name == "torch.compile"
        if compiles and self._compiling > seconds:
            row.peers[name] = (
                f"skipped: compiling takes about {self._compiling:.1f} s, the row has {seconds:.1f}"
            )
            self._compiling /= 2  # a row that took long must not rule out all that follow
            return None
        start = time.perf_counter()
        try:
            way = way_of(name, trial.job.case, self.device)
            problem = way and trial.problem_of(name, way)
        except Exception as error:  # another library may raise anything
            row.peers[name] = f"failed: {_one_line(error)}"
            return None
        finally:
            if compiles:
                self._compiling = time.perf_counter() - start
        if problem:
            row.peers[name] = f"wrong: {problem}"
            return None
        return way


def _with_sets(ways: dict[str, Way], trial: _Trial) -> list[_Contestant]:
    """The contestants with their sets of inputs: the same, but for those that change theirs and
    those that take others."""
    case, shared = trial.job.case, None
    contestants = []
    for name, way in ways.items():
        if way.inputs is not None:
            sets = Sets(way.inputs)
        elif case.changes:
            sets = Sets(trial.values, ())
        else:
            sets = shared = shared or Sets(trial.values, count=case.sets)
        contestants.append(_Contestant(name, way, sets))
    return contestants


class _Trial:
    """A job's inputs and what must come out, which is computed when it is first asked for."""

    def __init__(self, job: Job, device: Device, row: Row):
        self.job, self.device, self.row = job, device, row
        self.values = job.case.inputs(Draw(device, job.dtype, str(job)), *job.shape)
        self._reference: _Reference | None = None
        self._results: list[Any] = []  # of the case's own function, until it is described
        # No set of inputs may get the memory of those for which a result has been right.
        self._kept: list[Any] = []

    def problem_of(self, name: str, way: Way, values: Sequence[Any] | None = None) -> str:
        """What is wrong with this contestant's results for the inputs, or for these ``values`` of
        the same numbers; "" if nothing is."""
        case, row = self.job.case, self.row
        given = self.values if way.inputs is None else way.inputs
        values = self._copies(given) if values is None else values
        inputs = way.take(values)
        with warnings.catch_warnings():
            if name not in (case.label, *case.rivals):
                warnings.simplefilter("ignore")  # a peer's are not about tapegrad
            returned = (way.check or way.call)(*inputs)
        got = [_array(name, way.give(r)) for r in case.results(inputs, returned)]
        if not case.changes and not way.check:
            _require_unchanged(name, given, values)
        if self._reference is None:
            # Only now: a kernel that writes nothing must not find the right result in memory that
            # was given back.
            self._reference = _Reference(self.job, self.device, self.values)
            row.reference = str(self._reference.xp.__name__)
        is_peer = name not in (case.label, *case.rivals)
        if is_peer and case.peers_draw:
            return self._reference.check_shapes(got).problem
        limit = case.rtol or _limit(self.job, got)
        difference = self._reference.check(name, got, limit * (_PEER_SLACK if is_peer else 1))
        if name == case.label:
            row.error = min(difference.error, 1e300)  # infinity has no place in a JSON file
            row.tolerance = limit
            self._results = got
        return difference.problem

    def _copies(self, values: Sequence[Any]) -> list[Any]:
        self._kept.append([copied(v) for v in values])
        return self._kept[-1]

    def describe(self) -> None:
        """What the row says about the work that is done."""
        case, shape, row, got = self.job.case, self.job.shape, self.row, self._results
        if case.primitive:
            row.kernel = _kernel_accepts(case, self.device, self._copies(self.values))
        row.flops = case.work(self.values) if case.work else case.flops(*shape)
        moved = sum(getattr(memory(v), "nbytes", 0) for v in (*self.values, *got))
        row.bytes = case.bytes(self.job.dtype.itemsize, *shape) if case.bytes else moved
        if not shape and case.sets is None:  # its inputs were given
            row.shape, row.dtype = got[0].shape, got[0].dtype.name
        self._sizes, self._results = [g.nbytes for g in got], []

    def judge_again(self, one: _Contestant) -> None:
        """Check a contestant that has been timed, with the first inputs in memory that it knows:
        what it has kept of earlier calls is wrong by now."""
        case, row = self.job.case, self.row
        values = one.sets.restored()
        self._spoil()
        try:
            problem = self.problem_of(one.name, one.way, values)
        except BenchmarkError as error:
            problem = str(error)
        if not problem:
            return
        if one.name in (case.label, *case.rivals):
            row.fail(one.name, f"after timing, {problem}")
        else:
            row.peers[one.name] = f"wrong: after timing, {problem}"
            row.times.pop(one.name, None)

    def _spoil(self) -> None:
        """Leave nothing right in the memory that results are likely to get."""
        xp = self.device.library
        blocks = [xp.full(size, 0xFF, np.uint8) for size in self._sizes]
        del blocks


def _array(name: str, result: Any) -> Any:
    array = memory(result)
    array = result if array is not None and not hasattr(array, "detach") else on_host(result)
    array = np.asarray(result) if array is None else memory(array)
    if array.dtype.kind not in "iub" and array.dtype.name not in FLOATS:
        raise BenchmarkError(
            f"{name!r} gives {array.dtype} values: expected integers or {', '.join(FLOATS)}"
        )
    return array


def _require_unchanged(name: str, given: Sequence[Any], values: Sequence[Any]) -> None:
    for number, (was, value) in enumerate(zip(given, values, strict=True)):
        if not same_bits(was, value):
            raise BenchmarkError(
                f"{name!r} changes its input {number}: the next call would compute something else. "
                "Let it work on a copy"
            )


def _limit(job: Job, got: Sequence[Any]) -> float:
    """The largest error accepted, by the dtypes of the inputs and the results."""
    kinds = [d for d in (job.dtype, *(g.dtype for g in got)) if is_floating(d)]
    return max((tolerance(d, job.case.depth(*job.shape)) for d in kinds), default=0.0)


class _Reference:
    """The results in float64, from the inputs as rounded to the row's dtype."""

    def __init__(self, job: Job, device: Device, values: Sequence[Any]):
        arrays = [a for a in map(memory, values) if a is not None]
        large = sum(a.size for a in arrays if hasattr(a, "strides")) > _NUMPY_ELEMENTS
        large = large or job.case.flops(*job.shape) > _NUMPY_FLOPS
        self.xp: Any = device.library if device.type == "cuda" and large else np
        wide = [self._float64(v) for v in values]
        returned = job.case.plain(self.xp)(*wide)
        self.expected = [np.asarray(e) if np.isscalar(e) else e
                         for e in job.case.results(wide, returned)]  # fmt: skip
        require_telling(self.expected, self.xp)

    def _float64(self, value: Any) -> Any:
        array = on_host(value) if self.xp is np else memory(value)
        if array is None:
            return value
        return array.astype(np.float64) if is_floating(array.dtype) else array.copy()

    def check(self, name: str, got: Sequence[Any], limit: float) -> Difference:
        if not got or len(got) > len(self.expected):
            raise BenchmarkError(
                f"{name!r} gives {len(got)} results, the reference has {len(self.expected)}"
            )
        return compare_all(got, self.expected, limit, self.xp)

    def check_shapes(self, got: Sequence[Any]) -> Difference:
        same = [g.shape for g in got] == [e.shape for e in self.expected]
        return Difference(0.0, "" if same else "the shape differs")


class _Probe(Operations):
    """A device's operations, which notice whether a kernel, or a loop of the CPU's, accepts the
    call of one of them."""

    def __init__(self, device: Device, name: str):
        super().__init__(device)
        self.accepted: bool | None = None  # None: this device has no kernel
        self._name = name
        self[name] = self._call

    def __missing__(self, name: str) -> Callable:
        return self.device.ops[name]

    def _call(self, *arrays: Any, **parameters: Any) -> Any:
        if self.device.type == "cpu" and self._name in native.names():
            declined: list[str] = []
            native.with_loops(self._name, lambda *_, **__: declined.append(self._name))(
                *arrays, **parameters
            )
            self.accepted = not declined
        for types, f in overrides.get(self._name, ()):
            if self.device.type in types and not self.accepted:
                try:
                    self.accepted = f(self.device, *arrays, **parameters) is not NotImplemented
                except KernelsMissing:
                    self.accepted = False
        return self.device.ops[self._name](*arrays, **parameters)


def _kernel_accepts(case: Case, device: Device, arrays: Sequence[Any]) -> bool | None:
    """Whether a hand-written kernel or a loop runs; if not, the plain body does. None: there is
    none."""
    probe = _Probe(device, case.primitive)
    case.mine(probe, *arrays)
    return probe.accepted


def _is_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}"
