"""Memory of a GPU that a stream still uses when nobody refers to it any more.

CuPy's pool gives a block that was freed to whoever asks on the stream where it was allocated: there
what comes later runs later. Another stream that still reads it is not waited for. So the memory of
an array that was lent to a stream is kept, when the array is gone, until an event on that stream is
over.
"""

from __future__ import annotations

import weakref
from collections import deque
from typing import Any

from .capture import capturing
from .devices import Device
from .memory import Array

_held: deque[tuple[Any, Any]] = deque()  # events, and the memory that waits for each


def hold_for(device: Device, array: Array, stream: Any) -> None:
    """Let the array's memory outlive it until what CuPy's ``stream`` was sent by then is done."""
    whole = array if array.base is None else array.base  # which its views keep alive
    weakref.finalize(whole, _hold, device, whole.data.mem, stream).atexit = False
    release()


def _hold(device: Device, memory: Any, stream: Any) -> None:
    event = device.library.cuda.Event(disable_timing=True)
    event.record(stream)
    _held.append((event, memory))
    release()


def release() -> None:
    """Let go of what no stream uses any more."""
    if capturing() is None:  # in which nothing may be asked
        for _ in range(len(_held)):
            try:
                event, memory = _held.popleft()
            except IndexError:  # another thread, or a finalizer, took the last
                return
            if not event.done:
                _held.append((event, memory))
