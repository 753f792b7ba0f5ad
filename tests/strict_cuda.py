"""The part of the stand-in for CuPy (see strict_cupy.py) that is cupy.cuda: memory that is
counted, devices of which one is current, streams that have an address, events; and the capture of
a stream, in which every synchronisation and every allocation outside a pool of its own is refused.
What is captured is noted by the arrays of tapegrad's emulated device (tapegrad.cuda.recorded)."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tapegrad.core.kernels import set_instead
from tapegrad.cuda.recorded import Recorded, Recording, computing

DEVICES = 2


class OutOfMemoryError(MemoryError):
    def __init__(self, size: int, total: int, limit: int = 0):
        text = f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes"
        super().__init__(text + (f", limit set to: {limit:,} bytes)." if limit else ")."))


class MemoryPool:
    """Counts the bytes in use and those kept for reuse."""

    def __init__(self, *allocator: Any):
        self.used = self.total = 0
        self.limit = 1 << 34  # what a small GPU has

    def malloc(self, size: int) -> None:
        """What ``using_allocator`` is given: the stand-in asks whose method it is."""

    def take(self, size: int) -> int:
        size = -(-size // 512) * 512
        total = max(self.total, self.used + size)
        if self.limit and total > self.limit:
            raise OutOfMemoryError(size, self.total, self.limit)
        self.used, self.total = self.used + size, total
        return size

    def give_back(self, size: int) -> None:
        self.used -= size

    def used_bytes(self) -> int:
        return self.used

    def total_bytes(self) -> int:
        return self.total

    def free_bytes(self) -> int:
        return self.total - self.used

    def free_all_blocks(self, stream: Any = None) -> None:
        self.total = self.used

    def get_limit(self) -> int:
        return self.limit

    def set_limit(self, size: int | None = None, fraction: float | None = None) -> None:
        self.limit = size or 1 << 34


pools = [MemoryPool() for _ in range(DEVICES)]


def set_allocator(allocator: Any = None) -> None:
    """It is asked before the pool: to see whether it refuses."""
    global allocate
    allocate = allocator or (lambda size: None)


set_allocator()


hooks: list[Any] = []


class MemoryHook:
    """Told of every block that the pool gives and takes back, once it is entered."""

    def __enter__(self) -> MemoryHook:
        hooks.append(self)
        return self

    def __exit__(self, *error: Any) -> None:
        hooks.remove(self)


class Memory:
    """What an array that owns its data owns."""

    def __init__(self, size: int):
        allocate(size)
        self.device = current.device
        if current.pool is None:
            refuse_in_capture("memory outside the graph's pool")
        self.pool = current.pool or pools[self.device]
        self.size = self.pool.take(size)
        for hook in hooks:
            hook.malloc_postprocess(
                device_id=self.device, size=size, mem_size=self.size, mem_ptr=0, pmem_id=0
            )

    def __del__(self) -> None:
        if hasattr(self, "size"):
            self.pool.give_back(self.size)
            for hook in hooks or ():  # (None: Python ends)
                hook.free_postprocess(
                    device_id=self.device, mem_size=self.size, mem_ptr=0, pmem_id=0
                )


class Current(threading.local):
    device = 0
    pool: Any = None  # of ``using_allocator``
    capture: Any = None  # of a stream

    def __init__(self) -> None:
        self.streams: list[Any] = []


current = Current()


class CUDARuntimeError(RuntimeError):
    pass


def refuse_in_capture(what: str) -> None:
    if current.capture is not None:
        raise CUDARuntimeError(
            f"cudaErrorStreamCaptureUnsupported: not permitted when stream is capturing: {what}"
        )


def synchronize() -> None:
    refuse_in_capture("synchronize")


@contextlib.contextmanager
def using_allocator(allocator: Any) -> Iterator[None]:
    before, current.pool = current.pool, allocator.__self__
    try:
        yield
    finally:
        current.pool = before


class Capture:
    """What is launched and computed on a stream, to be replayed; nothing has happened in the end.
    ``arrays()`` are all there are."""

    arrays: Callable[[], list] = list

    def __init__(self, stream: Stream):
        self.stream, self.recording = stream, Recording()

    def begin(self) -> None:
        for array in self.arrays():
            array._a = array._a.view(Recorded)
        self.recording.begin(array._a for array in self.arrays())
        computing.append(self.recording)
        self._before = set_instead(self.launch)
        current.capture = self

    def launch(self, device: Any, launcher: Any, arguments: tuple) -> Any:
        assert arguments[-1] == self.stream.ptr, "a launch on another stream"
        step = functools.partial(launcher, *arguments)
        self.recording.steps.append(step)
        return step()

    def end(self) -> Graph:
        current.capture = None
        set_instead(self._before)
        computing.remove(self.recording)
        self.recording.end()
        for array in self.arrays():
            array._a = array._a.view(np.ndarray)
        return Graph(self.recording)


class Graph:
    def __init__(self, recording: Recording):
        self._recording = recording

    def launch(self, stream: Any = None) -> None:
        refuse_in_capture("the launch of a graph")
        self._recording.replay()


class Device:
    def __init__(self, device: int | None = None):
        self.id = current.device if device is None else int(device)
        self._before: list[int] = []

    def __enter__(self) -> Device:
        self._before.append(current.device)
        current.device = self.id
        return self

    def __exit__(self, *error: Any) -> None:
        current.device = self._before.pop()

    def __int__(self) -> int:
        return self.id

    def use(self) -> None:
        current.device = self.id

    def synchronize(self) -> None:
        synchronize()

    pci_bus_id = property(lambda self: f"0000:{self.id:02x}:00.0")
    mem_info = property(lambda self: (1 << 20, 1 << 20))


def properties(device: int) -> dict[str, Any]:
    """Those of cudaDeviceProp that tapegrad asks for."""
    return {
        "name": b"stand-in", "major": 9, "minor": 0, "totalGlobalMem": 1 << 20, "l2CacheSize": 1000,
        "multiProcessorCount": 1,
    }  # fmt: skip


class Stream:
    _count = 0

    def __init__(self, null: bool = False, non_blocking: bool = False):
        Stream._count += not null
        self.ptr = 0 if null else 0x1000 + Stream._count

    def __enter__(self) -> Stream:
        current.streams.append(self)
        return self

    def __exit__(self, *error: Any) -> None:
        current.streams.pop()

    def synchronize(self) -> None:
        synchronize()

    def use(self) -> Stream:
        current.streams[:] = [self]
        return self

    def record(self, event: Event | None = None) -> Event:
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        assert isinstance(event, Event)

    def begin_capture(self, mode: Any = None) -> None:
        if self.ptr == 0:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        self._capture = Capture(self)
        self._capture.begin()

    def end_capture(self) -> Graph:
        return self._capture.end()

    def is_capturing(self) -> bool:
        return current.capture is not None and current.capture.stream is self

    @property
    def done(self) -> bool:
        refuse_in_capture("a query")
        return True


null_stream = Stream(null=True)
Stream.null = null_stream  # type: ignore[attr-defined]


def get_current_stream(device: Any = None) -> Stream:
    return current.streams[-1] if current.streams else null_stream


class Event:
    def __init__(self, *flags: Any, **options: Any):
        self.time = 0.0

    def record(self, stream: Any = None) -> None:
        self.time = time.perf_counter()

    def synchronize(self) -> None:
        synchronize()

    @property
    def done(self) -> bool:
        refuse_in_capture("a query")
        return True


def get_elapsed_time(start: Event, end: Event) -> float:
    return 1e3 * (end.time - start.time)


def device_count() -> int:
    return DEVICES
