"""One row: check every contestant's result, time them in turns, and check their results again."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from tapegrad.core.devices import Device

from .ceilings import Ceilings
from .inputs import Sets
from .judge import Job, Judged
from .peaks import peak_bytes
from .peers import warm_compiler, way_of
from .row import Row
from .timing import Call, CpuClock, CudaClock, interleave
from .ways import Way

_HOST_SHARE = 1 / 8  # of a row's time: on a GPU, to time the host


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

    def __init__(
        self, device: Device, peers: Sequence[str], clock: CpuClock | CudaClock, ceilings: Ceilings
    ):
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
        judged = Judged(job, self.device, row)
        ways = {}
        for name in (job.case.label, *job.case.rivals):
            way = way_of(name, job.case, self.device)
            assert way is not None
            if problem := judged.problem_of(name, way):
                row.fail(name, problem)
                return
            ways[name] = way
        judged.describe()
        for name in self.peers:
            way = self._peer(judged, name, seconds)
            if way is not None:
                ways[name] = way
        contestants = _with_sets(ways, judged)
        sets = list({id(one.sets): one.sets for one in contestants}.values())
        calls = {one.name: one.call() for one in contestants}
        with warnings.catch_warnings():  # they were given when results were checked
            warnings.simplefilter("ignore")
            for one in contestants:
                row.peaks[one.name] = peak_bytes(self.device, one.way.counts, calls[one.name])
            if self.clock.host is not None:
                hosts = interleave(calls, self.clock.host, _HOST_SHARE * seconds, sets)
                row.hosts = {name: timing.median for name, timing in hosts.items()}
            left = seconds - (time.perf_counter() - start)
            row.times = interleave(calls, self.clock, max(left, seconds / 4), sets)
        row.least = self.ceilings.least_seconds(row.dtype, row.bytes, row.flops)
        share = row.least / row.times[job.case.label].median
        row.of_ceiling = share if 0 < share <= 1 else None  # above 1 it is none: see shown.py
        del calls
        for one in contestants:
            judged.judge_again(one.name, one.way, one.sets)

    def _peer(self, judged: Judged, name: str, seconds: float) -> Way | None:
        """The peer's way if it computes the same; else None and a word in ``row.peers``."""
        row, compiles = judged.row, name == "torch.compile"
        if compiles and self._compiling > seconds:
            row.peers[name] = (
                f"skipped: compiling takes about {self._compiling:.1f} s, the row has {seconds:.1f}"
            )
            self._compiling /= 2  # a row that took long must not rule out all that follow
            return None
        start = time.perf_counter()
        try:
            way = way_of(name, judged.job.case, self.device)
            problem = way and judged.problem_of(name, way)
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


def _with_sets(ways: dict[str, Way], judged: Judged) -> list[_Contestant]:
    """The contestants with their sets of inputs: the same, but for those that change theirs and
    those that take others."""
    case, shared = judged.job.case, None
    contestants = []
    for name, way in ways.items():
        if way.inputs is not None:
            sets = Sets(way.inputs)
        elif case.changes:
            sets = Sets(judged.values, ())
        else:
            sets = shared = shared or Sets(judged.values, count=case.sets)
        contestants.append(_Contestant(name, way, sets))
    return contestants


def _is_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}"
