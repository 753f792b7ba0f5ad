"""Whether results are right: before a case is timed, and after."""

from __future__ import annotations

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
from .check import FLOATS, BenchmarkError, Difference, compare_all, require_telling, tolerance
from .inputs import Sets
from .row import Row
from .ways import Way

_PEER_SLACK = 4  # a peer is not what is judged: it must only compute the same function
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


class Judged:
    """A job's inputs and what must come out, which is computed when it is first asked for."""

    def __init__(self, job: Job, device: Device, row: Row):
        self.job, self.device, self.row = job, device, row
        self.values = job.case.inputs(Draw(device, job.dtype, str(job)), *job.shape)
        self._reference: _Reference | None = None
        self._results: list[Any] = []  # of the case's own function, until it is described
        # Copies of inputs: no set may get the memory of those for which a result has been right.
        self._kept: list[list[Any]] = []
        self._shared: list[Any] | None = None

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
            self._require_unchanged(name, given, values)
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
        """Copies of the case's inputs, the same for all that leave them as they are; or of others,
        which are one contestant's."""
        if self.job.case.changes or values is not self.values:
            self._kept.append([copied(v) for v in values])
            return self._kept[-1]
        if self._shared is None:
            self._shared = [copied(v) for v in values]
        return self._shared

    def _require_unchanged(self, name: str, given: Sequence[Any], values: Sequence[Any]) -> None:
        for number, (was, value) in enumerate(zip(given, values, strict=True)):
            if not same_bits(was, value):
                self._kept.append(list(values))
                self._shared = None
                raise BenchmarkError(
                    f"{name!r} changes its input {number}: the next call would compute something "
                    "else. Let it work on a copy"
                )

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

    def judge_again(self, name: str, way: Way, sets: Sets) -> None:
        """Check a contestant that has been timed, with the first inputs in memory that it knows:
        what it has kept of earlier calls is wrong by now."""
        case, row = self.job.case, self.row
        values = sets.restored()
        self._spoil()
        is_peer = name not in (case.label, *case.rivals)
        try:
            problem = self.problem_of(name, way, values)
        except Exception as error:
            if not is_peer and not isinstance(error, BenchmarkError):
                raise
            problem = str(error)
        if problem and is_peer:
            row.peers[name] = f"wrong: after timing, {problem}"
            row.times.pop(name, None)
        elif problem:
            row.fail(name, f"after timing, {problem}")

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
        results = job.case.results(wide, returned)
        self.expected = [np.asarray(e) if np.isscalar(e) else e for e in results]
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
