"""``torch.cpu``: the CPU under the names of ``torch.cuda``. Work is done when a call returns, so
there is nothing to wait for."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from tapegrad.stand_in import answering, doing_nothing, publish

from . import amp as amp


class Stream:
    """The order of the program, which is the only one."""

    def __init__(self, priority: int = -1):
        self.priority = priority

    def wait_stream(self, stream: Any) -> None:
        """Does nothing: its work is done."""


class Event:
    """A point in the program, which is over once it is passed."""

    def record(self, stream: Any = None) -> None:
        """Does nothing."""

    def synchronize(self) -> None:
        """Does nothing."""

    def wait(self, stream: Any = None) -> None:
        """Does nothing."""

    def query(self) -> bool:
        """True."""
        return True


def stream(stream: Stream | None) -> AbstractContextManager:
    """A context in which nothing changes."""
    return nullcontext()


def current_stream(device: Any = None) -> Stream:
    """A Stream."""
    return Stream()


_WHY = "work on the CPU is done when the call returns"
__getattr__, __all__ = publish(
    __name__,
    {
        **answering(True, "is_available is_initialized", "there is always a CPU"),
        **answering(1, "device_count", "there is one device 'cpu'"),
        **answering("cpu", "current_device", "there is one device 'cpu'"),
        **doing_nothing("set_device", "there is one device 'cpu'"),
        **doing_nothing("synchronize", _WHY),
        **{f.__name__: f for f in (Event, Stream, current_stream, stream)},
    },
)
