"""Streams and events: CuPy's, under PyTorch's names. Operations run on CuPy's current stream."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from tapegrad.core.devices import has_waited

from . import _gpu


class Stream:
    """A queue of work on a GPU; ``with cuda.stream(s):`` sends it there. Raises RuntimeError
    without a GPU."""

    def __init__(self, device: Any = None, priority: int = 0, *, stream: Any = None):
        self.device = _gpu("Stream", device)
        self.priority = priority
        if stream is None:
            library = self.device.library
            with library.cuda.Device(self.device.index):
                stream = library.cuda.Stream(non_blocking=True)
        self.stream = stream

    @property
    def cuda_stream(self) -> int:
        """The stream's address, for other libraries."""
        return int(self.stream.ptr)

    def synchronize(self) -> None:
        """Wait for all work that was sent here, and raise what its kernels have noted."""
        self.stream.synchronize()
        has_waited()

    def query(self) -> bool:
        """Whether all of it is done."""
        return bool(self.stream.done)

    def record_event(self, event: Event | None = None) -> Event:
        """An event that is over once all work sent so far is done."""
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        """Let what is sent from now on wait for an event."""
        self.stream.wait_event(event.event)

    def wait_stream(self, stream: Stream) -> None:
        """Let what is sent from now on wait for what was sent to another stream."""
        self.wait_event(stream.record_event())

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Stream) and self.cuda_stream == other.cuda_stream

    def __hash__(self) -> int:
        return hash(self.cuda_stream)

    def __repr__(self) -> str:
        return f"<tapegrad.cuda.Stream device={self.device} cuda_stream={self.cuda_stream:#x}>"


class Event:
    """A point in a stream's work, with its time if ``enable_timing``. Raises RuntimeError without a
    GPU."""

    def __init__(
        self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False
    ):
        library = _gpu("Event").library
        self.event = library.cuda.Event(blocking, not enable_timing, interprocess)

    def record(self, stream: Stream | None = None) -> None:
        """Put it behind the work sent so far to a stream, by default the current one."""
        self.event.record(None if stream is None else stream.stream)

    def synchronize(self) -> None:
        """Wait until it is over, and raise what kernels have noted."""
        self.event.synchronize()
        has_waited()

    def query(self) -> bool:
        """Whether it is over."""
        return bool(self.event.done)

    def wait(self, stream: Stream | None = None) -> None:
        """Let what is sent to a stream from now on, by default the current one, wait for it."""
        (stream or current_stream()).wait_event(self)

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds from this event to another, both over and made with ``enable_timing``."""
        return float(_gpu("Event").library.cuda.get_elapsed_time(self.event, end_event.event))


def current_stream(device: Any = None) -> Stream:
    """The stream to which work on a GPU is sent now. Raises RuntimeError without a GPU."""
    found = _gpu("current_stream", device)
    return Stream(found, stream=found.library.cuda.get_current_stream(found.index))


def default_stream(device: Any = None) -> Stream:
    """The stream to which it is sent unless told otherwise. Raises RuntimeError without a GPU."""
    found = _gpu("default_stream", device)
    return Stream(found, stream=found.library.cuda.Stream.null)


def stream(stream: Stream | None) -> AbstractContextManager:
    """Within this, work is sent to the stream; None changes nothing."""
    return nullcontext() if stream is None else _stream("stream", stream)


def set_stream(stream: Stream | None) -> None:
    """Send this thread's work to the stream from now on; None changes nothing."""
    if stream is not None:
        _stream("set_stream", stream).use()


def _stream(op: str, stream: Any) -> Any:
    """CuPy's. Raises TypeError for anything but a Stream."""
    if not isinstance(stream, Stream):
        raise TypeError(f"[{op}] stream must be a Stream, got {type(stream).__name__}")
    return stream.stream
