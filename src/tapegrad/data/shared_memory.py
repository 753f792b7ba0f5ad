"""Messages between two processes, whose arrays go through shared memory.

Small values are sent as they are. Anything larger is written into a segment of memory that both
processes map: a file without a name (``memfd_create``), whose descriptor is sent once. So nothing
can be left behind, whichever process is killed and whenever. (Where a system has no such files, all
goes with the message.)

The arrays that are received lie in the segment. When the last of them is gone, its number goes back
with the next message, and the segment is used again: no memory is mapped, cleared or copied for the
next batch. A reader that keeps what it receives gets copies from some point on, so that no number
of batches exhausts descriptors.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
import struct
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from typing import Any

import numpy as np

from tapegrad.core import dtypes
from tapegrad.core.devices import Device
from tapegrad.core.tensor import Tensor, wrap

_INLINE = 1024  # bytes that go with the message: some dozens fit into a socket that nobody reads
_LENT = 8  # segments that arrays may keep
_ALIGNED = 64
_HEADER = struct.Struct("<iiii")  # the segment or -1, whether it is new, freed segments, parts
_CAN_SHARE = hasattr(os, "memfd_create")


class Channel:
    """One end of a connection (a duplex ``Pipe``). Not for several threads at a time."""

    def __init__(self, connection: Connection):
        self.connection = connection
        self._sent: list[_Segment] = []
        self._free: list[int] = []  # of those, the ones that may be written
        self._received: list[_Segment] = []
        self._let_go: deque[int] = deque()  # of those, the ones to give back

    def send(self, value: Any) -> None:
        """Send a value. What cannot be pickled raises before anything is sent."""
        file = io.BytesIO()
        buffers: list[pickle.PickleBuffer] = []
        _Pickler(file, protocol=5, buffer_callback=buffers.append).dump(value)
        parts = [file.getbuffer(), *(buffer.raw() for buffer in buffers)]
        sizes = [part.nbytes for part in parts]
        size = _total(sizes)
        place, fresh, inline = -1, False, bytearray()
        if size <= _INLINE or not _CAN_SHARE:
            inline = bytearray(size)
            _fill(inline, parts)
        else:
            place, fresh = self._write(parts, size)
        freed = [self._let_go.popleft() for _ in range(len(self._let_go))]
        header = _HEADER.pack(place, fresh, len(freed), len(sizes))
        numbers = struct.pack(f"<{len(freed)}i{len(sizes)}q", *freed, *sizes)
        self.connection.send_bytes(header + numbers + inline)
        if fresh:
            send_handle(self.connection, self._sent[place].file, None)  # type: ignore[arg-type]

    def receive(self) -> Any:
        """The next value. Raises EOFError or OSError where the other end is closed."""
        message = memoryview(self.connection.recv_bytes())
        place, fresh, freed, count = _HEADER.unpack_from(message)
        numbers = struct.unpack_from(f"<{freed}i{count}q", message, _HEADER.size)
        self._free += numbers[:freed]
        sizes = numbers[freed:]
        if place < 0:
            start = _HEADER.size + 4 * freed + 8 * count
            return _loads(np.array(message[start:], np.uint8), sizes)
        if fresh:
            self._received.append(_Segment(recv_handle(self.connection)))
        return self._read(place, sizes)

    def _write(self, parts: list[memoryview], size: int) -> tuple[int, bool]:
        fresh = not self._free
        segment = _Segment(os.memfd_create("tapegrad")) if fresh else self._sent[self._free[-1]]
        segment.hold(size, enlarge=True)  # where it raises, nothing has changed
        if fresh:
            self._sent.append(segment)
        place = len(self._sent) - 1 if fresh else self._free.pop()
        _fill(segment.memory, parts)
        return place, fresh

    def _read(self, place: int, sizes: tuple[int, ...]) -> Any:
        segment = self._received[place]
        size = _total(sizes)
        segment.hold(size)
        whole = np.frombuffer(segment.memory, np.uint8, size)  # type: ignore[arg-type]
        if sum(s.lease is not None and s.lease() is not None for s in self._received) >= _LENT:
            whole = whole.copy()
            self._let_go.append(place)
        else:
            segment.lease = weakref.ref(whole, partial(_give_back, self._let_go, place))
        return _loads(whole, sizes)


def _give_back(numbers: deque[int], place: int, lease: Any) -> None:
    numbers.append(place)


class _Segment:
    """Memory that two processes share."""

    def __init__(self, file: int):
        self.file = file
        self.memory: mmap.mmap | None = None
        self.lease: weakref.ref | None = None  # what the arrays over it keep alive

    def hold(self, size: int, enlarge: bool = False) -> None:
        """Map at least this much, after enlarging the file if need be."""
        if self.memory is not None and len(self.memory) >= size:
            return
        length = os.fstat(self.file).st_size
        if enlarge and length < size:
            size += size // 4
            os.posix_fallocate(self.file, 0, size)  # raises here, where a write would be a signal
            length = size
        self.memory = mmap.mmap(self.file, length)

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        close(self.file)


def _total(sizes: Sequence[int]) -> int:
    return sum(map(_aligned, sizes))


def _aligned(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED


def _fill(target: Any, parts: list[memoryview]) -> None:
    start = 0
    with memoryview(target) as memory:
        for part in parts:
            memory[start : start + part.nbytes] = part
            start += _aligned(part.nbytes)


# ---------------------------------------------------------------------- tensors in pickles


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        """Tensors of this class, on the host and off the tape, are dtype, shape and memory; what
        else they may be, their own way of being pickled takes along."""
        if (
            type(value) is Tensor
            and value._device.type != "cuda"
            and value._node is None
            and not value._attributes()
        ):
            array: Any = np.ascontiguousarray(value._array).reshape(-1).view(np.uint8)
            facts = value._array.dtype.name, value._array.shape, value._device
            return _tensor, (pickle.PickleBuffer(array), *facts)
        return NotImplemented


def _tensor(memory: Any, dtype: str, shape: tuple[int, ...], device: Device) -> Tensor:
    return wrap(np.ndarray(shape, dtypes.dtype(dtype), memory), device)


def _loads(whole: np.ndarray, sizes: tuple[int, ...]) -> Any:
    parts: list[Any] = []
    start = 0
    for size in sizes:
        parts.append(whole[start : start + size])
        start += _aligned(size)
    return pickle.loads(parts[0], buffers=parts[1:])
