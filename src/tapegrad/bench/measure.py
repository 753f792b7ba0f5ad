"""One row: check the result first, then time it in turns with the peers'."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tapegrad.core import native
from tapegrad.core.devices import Device, KernelsMissing, Operations, overrides, to_numpy
from tapegrad.core.dtypes import is_floating

from .cases import Case, Draw
from .cases.case import rolled
from .ceilings import Ceilings
from .check import BenchmarkError, Difference, compare_all, tolerance
from .peers import call_of, from_torch, inputs_of, warm_compiler
from .results import Row
from .timing import Call, Clock, interleave

MINE = "tapegrad"

_PEER_SLACK = 4  # a peer is not on trial: it must only compute the same function
_SETS, _SET_BYTES = 4, 1 << 29  # sets of inputs, and the memory for them (but two at least)
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


class Bench:
    """What all rows of a run share."""

    def __init__(self, device: Device, peers: Sequence[str], clock: Clock, ceilings: Ceilings):
        self.device, self.peers, self.clock, self.ceilings = device, peers, clock, ceilings
        self._compiling = 0.0  # seconds that torch.compile took last
        if "torch.compile" in peers:
            warm_compiler(device)

    def measure(self, job: Job, seconds: float) -> Row:
        """The row of a job, in about so many seconds. Nothing but Ctrl-C escapes from it."""
        row = Row(job.case.name, job.case.primitive, job.shape, job.dtype.name, job.size)
        try:
            self._fill(row, job, seconds)
        except Exception as error:  # one case that fails must not end the others
            row.times = {}
            row.status = "skipped" if _is_memory(error) else "failed"
            row.message = _one_line(error)
        self._give_memory_back()
        return row

    def _give_memory_back(self) -> None:
        """To the GPU, so that no library keeps from others what it needs no more."""
        if self.device.type == "cuda":
            self.device.library.get_default_memory_pool().free_all_blocks()
            if torch := sys.modules.get("torch"):
                torch.cuda.empty_cache()

    def _fill(self, row: Row, job: Job, seconds: float) -> None:
        start, case = time.perf_counter(), job.case
        arrays = case.inputs(Draw(self.device, job.dtype, str(job)), *job.shape)

        def mine(*inputs: Any) -> Any:
            return case.mine(self.device.ops, *inputs)

        # Before anything else has computed the right result: a kernel that writes nothing must not
        # find it in memory that was given back.
        own = _copies(arrays)
        got = case.results(own, mine(*own))
        reference = _Reference(job, self.device, arrays)
        row.reference = str(reference.xp.__name__)
        row.tolerance = tolerance(job.dtype, case.depth(*job.shape))
        difference = reference.check(got, row.tolerance)
        row.error = min(difference.error, 1e300)  # infinity has no place in a JSON file
        if difference.problem:
            row.status, row.message = "wrong", difference.problem
            return
        row.kernel = _kernel_accepts(case, self.device, arrays)
        row.flops = case.flops(*job.shape)
        moved = sum(a.nbytes for a in (*arrays, *got))
        row.bytes = case.bytes(job.dtype.itemsize, *job.shape) if case.bytes else moved
        sets = _input_sets(arrays)
        contestants = {MINE: _contestant(mine, sets, case)}
        for name in self.peers:
            call = self._peer(row, name, case, arrays, reference, seconds)
            if call is not None:
                contestants[name] = _contestant(call, sets, case, name)
        del got, own, reference
        left = seconds - (time.perf_counter() - start)
        row.times = interleave(contestants, self.clock, max(left, seconds / 4))
        ideal = self.ceilings.least_seconds(row.dtype, row.bytes, row.flops)
        share = ideal / row.times[MINE].median
        row.of_ceiling = share if 0 < share <= 1 else None  # above 1 it is none: see results.py

    def _peer(
        self,
        row: Row,
        name: str,
        case: Case,
        arrays: Sequence[Any],
        reference: _Reference,
        seconds: float,
    ) -> Callable[..., Any] | None:
        """The peer's function if it computes the same; else None and a word in ``row.peers``."""
        compiles = name == "torch.compile"
        if compiles and self._compiling > seconds:
            row.peers[name] = (
                f"skipped: compiling takes about {self._compiling:.1f} s, the row has {seconds:.1f}"
            )
            self._compiling /= 2  # a row that took long must not rule out all that follow
            return None
        start = time.perf_counter()
        try:
            call = call_of(name, case, self.device)
            if call is None:
                return None
            inputs = inputs_of(name, _copies(arrays))
            with warnings.catch_warnings():  # a peer's are not about tapegrad
                warnings.simplefilter("ignore")
                got = case.results(inputs, call(*inputs))
            got = [from_torch(result, self.device) for result in got]
            difference = (
                reference.check_shapes(got)
                if case.peers_draw
                else reference.check(got, _PEER_SLACK * row.tolerance)
            )
        except Exception as error:  # another library may raise anything
            row.peers[name] = f"failed: {_one_line(error)}"
            return None
        finally:
            if compiles:
                self._compiling = time.perf_counter() - start
        if difference.problem:
            row.peers[name] = f"wrong: {difference.problem}"
            return None
        return call


class _Reference:
    """The results in float64, from the inputs as rounded to the row's dtype."""

    def __init__(self, job: Job, device: Device, arrays: Sequence[Any]):
        large = sum(a.size for a in arrays) > _NUMPY_ELEMENTS
        large = large or job.case.flops(*job.shape) > _NUMPY_FLOPS
        self.xp: Any = device.library if device.type == "cuda" and large else np
        wide = [self._float64(a) for a in arrays]
        self.expected = job.case.results(wide, job.case.plain(self.xp)(*wide))

    def _float64(self, array: Any) -> Any:
        array = to_numpy(array) if self.xp is np else array
        return array.astype(np.float64) if is_floating(array.dtype) else array.copy()

    def check(self, got: Sequence[Any], limit: float) -> Difference:
        if not got or len(got) > len(self.expected):
            raise BenchmarkError(f"expected {len(self.expected)} results, got {len(got)}")
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
    case.mine(probe, *_copies(arrays))
    return probe.accepted


def _copies(arrays: Sequence[Any]) -> list[Any]:
    return [a.copy() for a in arrays]


def _input_sets(arrays: Sequence[Any]) -> list[Sequence[Any]]:
    size = sum(a.nbytes for a in arrays)
    count = max(2, min(_SETS, _SET_BYTES // max(size, 1)))
    return [arrays, *([rolled(a, 7 * n) for a in arrays] for n in range(1, count))]


def _contestant(
    call: Callable[..., Any], sets: Sequence[Sequence[Any]], case: Case, peer: str = MINE
) -> Call:
    """f(turn), with copies of its own where inputs are changed."""
    inputs = [inputs_of(peer, _copies(s) if case.changes else s) for s in sets]
    count = len(inputs)
    return lambda turn: call(*inputs[turn % count])


def _is_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}"
