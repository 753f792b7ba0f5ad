"""NCCL, by CuPy's binding, for arrays on GPUs: on a stream of its own, beside a host backend that
brings the ranks together and carries everything else. (No GPU has run it: its calls are checked on
a stand-in for CuPy.)

What NCCL adds up itself, it adds up in an order that depends on the machine, and is the same in
each run on it. 16-bit floats are sent, and added up in float32 here, as with other backends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from threading import Thread
from typing import Any

import numpy as np

from tapegrad.core.devices import Device, current_gpu, device_count, make_current, set_current_gpu
from tapegrad.core.memory import Array

from .backend import Backend
from .errors import DistBackendError
from .pending import Arrived, Pending
from .reductions import ReduceOp
from .watching import Call, wait

# NCCL's numbers for what it adds up as it is done here: nccl.h.
_TYPES = {"int8": 0, "uint8": 1, "int32": 2, "int64": 4, "uint64": 5, "float32": 7, "float64": 8}
_OPERATIONS = {
    ReduceOp.SUM: 0,
    ReduceOp.PRODUCT: 1,
    ReduceOp.MAX: 2,
    ReduceOp.MIN: 3,
    ReduceOp.AVG: 4,
}
_BYTES = _TYPES["uint8"]
_HINT = "pip install 'tapegrad[cuda12]' brings CuPy, and 'nvidia-nccl-cu12' NCCL"


def _load() -> tuple[Any, Any]:
    try:
        import cupy
        from cupy.cuda import nccl
    except ImportError as error:
        raise ImportError(f"NCCL needs CuPy with NCCL ({error}): {_HINT}") from None
    if not nccl.available:
        raise ImportError(f"this CuPy finds no NCCL: {_HINT}")
    return cupy, nccl


def is_available() -> bool:
    """Whether CuPy is there, with NCCL and a GPU."""
    try:
        cupy, _ = _load()
        return cupy.cuda.runtime.getDeviceCount() > 0
    except (ImportError, RuntimeError):
        return False


class _Event:
    def __init__(self, event: Any):
        self._event = event

    def done(self) -> bool:
        return bool(self._event.done)


class _Made:
    """What ``make`` returns, as ``result``, from a thread with the GPU of this one: NCCL waits for
    other ranks without end."""

    def __init__(self, make: Callable[[], Any]):
        gpu = Device("cuda", current_gpu())
        self._error: Exception | None = None

        def run() -> None:
            try:
                make_current(gpu)
                self.result = make()
            except Exception as error:
                self._error = error

        self._thread = Thread(target=run, daemon=True)
        self._thread.start()

    def done(self) -> bool:
        if self._thread.is_alive():
            return False
        if self._error is not None:
            raise self._error
        return True


class NCCLBackend(Backend):
    """The ranks of ``host``, which are these of all, each on the GPU that "cuda" means there: which
    is that of its ``local_rank`` from here on, if no other was chosen. All of them make it at the
    same time, and have ``timeout`` seconds to come. Raises DistTimeoutError where they do not."""

    name, device_type = "nccl", "cuda"

    def __init__(self, host: Backend, ranks: Sequence[int], timeout: float, local_rank: int = 0):
        self._cupy, self._nccl = _load()
        self.rank, self.size = host.rank, host.size
        if current_gpu() == 0:
            set_current_gpu(local_rank % device_count())
        make_current(Device("cuda", current_gpu()))
        call = Call(0, 0, "init_process_group", f"NCCL's, of {self.size} ranks")
        # The name under which ranks find each other, as its bytes.
        name = np.zeros(128, np.uint8)
        if host.rank == 0:
            name[:] = [number % 256 for number in self._nccl.get_unique_id()]
        wait(host.broadcast(name, 0), call, ranks, timeout)
        signed = tuple(name.view(np.int8).tolist())
        made = _Made(lambda: self._nccl.NcclCommunicator(self.size, signed, self.rank))
        wait(made, call, ranks, timeout)
        self._communicator = made.result
        self._stream = self._cupy.cuda.Stream(non_blocking=True)

    def among(self, host: Backend, ranks: Sequence[int], timeout: float) -> NCCLBackend:
        """The backend of the ranks of another host backend, on the same GPUs."""
        return NCCLBackend(host, ranks, timeout)

    def run(self, steps: Iterator[Pending]) -> Pending:
        """All at once, into the stream, where each thing waits for the one before: all ranks' must
        be in the same order there, so none may wait until somebody asks."""
        self._stream.wait_event(self._cupy.cuda.get_current_stream().record())
        with self._stream:
            for _ in steps:
                pass
        try:
            self._communicator.check_async_error()
        except self._nccl.NcclError as error:
            raise DistBackendError(f"NCCL says: {error}") from None
        return _Event(self._stream.record())

    def exchange(
        self,
        sends: Sequence[tuple[Array, int]],
        receives: Sequence[tuple[Array, int]],
        tag: int = 0,
    ) -> Pending:
        stream, communicator = self._stream.ptr, self._communicator
        self._nccl.groupStart()
        for array, rank in receives:
            communicator.recv(array.data.ptr, array.nbytes, _BYTES, rank, stream)
        for array, rank in sends:
            communicator.send(array.data.ptr, array.nbytes, _BYTES, rank, stream)
        self._nccl.groupEnd()
        return Arrived()

    def broadcast(self, array: Array, root: int, tag: int = 0) -> Pending:
        pointer, stream = array.data.ptr, self._stream.ptr
        self._communicator.broadcast(pointer, pointer, array.nbytes, _BYTES, root, stream)
        return Arrived()

    def all_gather(self, own: Array, parts: Array, tag: int = 0) -> Pending:
        pointers = own.data.ptr, parts.data.ptr
        self._communicator.allGather(*pointers, own.nbytes, _BYTES, self._stream.ptr)
        return Arrived()

    def all_reduce(
        self, library: Any, array: Array, op: ReduceOp, tag: int = 0
    ) -> Iterator[Pending]:
        kind, operation = _TYPES.get(array.dtype.name), _OPERATIONS.get(op)
        if kind is None or operation is None:
            yield from super().all_reduce(library, array, op, tag)
            return
        pointer, stream = array.data.ptr, self._stream.ptr
        self._communicator.allReduce(pointer, pointer, array.size, kind, operation, stream)
        yield Arrived()

    def close(self) -> None:
        self._communicator.destroy()
