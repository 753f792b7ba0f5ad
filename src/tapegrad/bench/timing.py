"""Timing: rounds in which all contestants take turns, on the clock that fits the device.

A round calls every contestant once, in an order that changes from round to round, so that
whatever the machine does meanwhile it does to all of them. What is reported is the median of the
rounds and their quartiles, not a mean, which one interrupted round would move.
"""

from __future__ import annotations

import ctypes
import gc
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tapegrad.core.devices import Device

if TYPE_CHECKING:
    from .inputs import Sets

Call = Callable[[int], Any]  # f(turn): the turn decides which set of inputs it gets

_WARM_UP, _WARM = 3, 0.05  # calls that are not counted, and their seconds (see the clocks)
_LEAST, _MOST = 5, 50  # rounds
_CPU_SAMPLE = 5e-4  # seconds: far above the clock's own resolution and cost
_TINY = 1e-9


@dataclass(frozen=True)
class Timing:
    """Seconds for one call: the median of the rounds, its quartiles, and every round."""

    median: float
    low: float
    high: float
    samples: tuple[float, ...]

    @classmethod
    def of(cls, samples: Sequence[float]) -> Timing:
        low, median, high = statistics.quantiles(samples, n=4, method="inclusive")
        return cls(median, low, high, tuple(samples))

    @property
    def spread(self) -> float:
        """The interquartile range as a part of the median."""
        return (self.high - self.low) / max(self.median, _TINY)

    def ties_with(self, other: Timing) -> bool:
        """Whether the two interquartile ranges touch: then neither is called the faster."""
        return self.low <= other.high and other.low <= self.high


class CpuClock:
    """Wall-clock time. Short calls are repeated within one sample, of at least so many seconds; on
    repeated calls other inputs are used, so that not all of them are in the nearest cache."""

    host = None  # a call ends when it is computed

    def __init__(self, sample: float = _CPU_SAMPLE):
        self.sample = sample

    def warm(self, calls: int, seconds: float) -> bool:
        return calls >= _WARM_UP or seconds >= _WARM

    def repeats(self, seconds: float) -> int:
        return max(1, math.ceil(self.sample / max(seconds, _TINY)))

    def time(self, turns: Sequence[tuple[Call, int, int]]) -> list[float]:
        """Seconds for each (call, repeats, number of the first turn)."""
        seconds = []
        for call, repeats, first in turns:
            start = time.perf_counter()
            for turn in range(first, first + repeats):
                call(turn)
            seconds.append((time.perf_counter() - start) / repeats)
        return seconds


class CudaClock:
    """CUDA events around each call, on CuPy's current stream and device. Before each call, lines of
    the L2 cache that were set aside to persist are normal again, and a buffer of twice the cache is
    overwritten, so that the call finds nothing of its inputs there. That also keeps the GPU busy
    while Python prepares the launch: only what takes longer than the flush is part of the time.
    host: the clock that tells what Python takes."""

    def __init__(self, device: Device):
        self._cuda = device.library.cuda
        properties = self._cuda.runtime.getDeviceProperties(device.index)
        self.flushed = 2 * max(int(properties["l2CacheSize"]), 1 << 22)
        self._reset = persisting_reset(self._cuda.runtime)
        self.host = HostClock(self._cuda.Device(device.index).synchronize)
        with current(device):
            self._buffer = device.library.empty((self.flushed,), dtype="uint8")

    def warm(self, calls: int, seconds: float) -> bool:
        return calls >= _WARM_UP and seconds >= _WARM  # idle clocks take a while to rise

    def repeats(self, seconds: float) -> int:
        return 1

    def time(self, turns: Sequence[tuple[Call, int, int]]) -> list[float]:
        stream = self._cuda.get_current_stream()
        pairs = []
        for call, _, turn in turns:
            self._reset()
            self._buffer.fill(turn % 256)
            start, end = self._cuda.Event(), self._cuda.Event()
            start.record(stream)
            call(turn)
            end.record(stream)
            pairs.append((start, end))
        pairs[-1][1].synchronize()
        return [self._cuda.get_elapsed_time(start, end) / 1e3 for start, end in pairs]


class HostClock:
    """Wall-clock time from entering a call to its return, when its launches are queued. ``wait``
    waits until the GPU is idle: before each call, so that the call waits for nothing but itself."""

    def __init__(self, wait: Callable[[], Any]):
        self._wait = wait

    def warm(self, calls: int, seconds: float) -> bool:
        return calls >= _WARM_UP

    def repeats(self, seconds: float) -> int:
        return 1

    def time(self, turns: Sequence[tuple[Call, int, int]]) -> list[float]:
        seconds = []
        for call, _, turn in turns:
            self._wait()
            start = time.perf_counter()
            call(turn)
            seconds.append(time.perf_counter() - start)
        return seconds


def persisting_reset(runtime: Any) -> Callable[[], Any]:
    """cudaCtxResetPersistingL2Cache: of CuPy's runtime where that has it, else of the driver, which
    answers older GPUs with an error that means nothing here. Does nothing without either."""
    if hasattr(runtime, "ctxResetPersistingL2Cache"):
        return runtime.ctxResetPersistingL2Cache  # type: ignore[no-any-return]
    try:
        return ctypes.CDLL("libcuda.so.1").cuCtxResetPersistingL2Cache
    except (OSError, AttributeError):
        return lambda: None


Clock = CpuClock | CudaClock | HostClock


def clock_for(device: Device) -> CpuClock | CudaClock:
    """CUDA events on cuda, the wall clock on cpu and emulated."""
    return CudaClock(device) if device.type == "cuda" else CpuClock()


@contextmanager
def current(device: Device) -> Iterator[None]:
    """Within it, a GPU is the one that CuPy computes on, on the default stream: PyTorch's too. What
    was begun on another stream is done by then."""
    if device.type != "cuda":
        yield
        return
    cuda = device.library.cuda
    with cuda.Device(device.index) as gpu, cuda.Stream.null:
        gpu.synchronize()
        yield


def interleave(
    contestants: dict[str, Call], clock: Clock, seconds: float, inputs: Sequence[Sets] = ()
) -> dict[str, Timing]:
    """Time the contestants in turns, A B A B ..., for about ``seconds`` after the warm-up; at least
    5 rounds, at most 50. Contestant number j of round r starts at turn r + j, so that one does
    not find in the cache what its neighbour has just read. inputs: what the turns choose among;
    before each round their numbers change, and no call of a sample finds those of another."""
    most = min(map(len, inputs), default=1 << 30)
    repeats = {
        name: min(clock.repeats(_warm_up(call, clock)), most) for name, call in contestants.items()
    }
    is_single = max(repeats.values(), default=1) == 1
    samples: dict[str, list[float]] = {name: [] for name in contestants}
    names = list(contestants)
    collects = gc.isenabled()
    gc.disable()
    try:
        start = time.perf_counter()
        for number in range(_MOST):
            shift = number % len(names)
            order = names[shift:] + names[:shift]
            for sets in inputs:
                # Called once a round, a contestant comes back to a set when all had their turn.
                sets.renew(number if is_single else None)
            turns = [(contestants[n], repeats[n], number + j) for j, n in enumerate(order)]
            for name, sample in zip(order, clock.time(turns), strict=True):
                samples[name].append(sample)
            if number + 1 >= _LEAST and time.perf_counter() - start > seconds:
                break
    finally:
        if collects:
            gc.enable()
    return {name: Timing.of(sample) for name, sample in samples.items()}


def _warm_up(call: Call, clock: Clock) -> float:
    """Fill caches, pools and compilers; returns the seconds of the fastest call."""
    seconds: list[float] = []
    start = time.perf_counter()
    while not clock.warm(len(seconds), time.perf_counter() - start):
        seconds += clock.time([(call, 1, len(seconds))])
    return min(seconds)
