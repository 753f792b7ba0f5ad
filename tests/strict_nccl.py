"""A stand-in for CuPy's binding of NCCL, beside the one for CuPy: MPI carries what NCCL would, and
calls that NCCL would refuse are refused. It knows one group, of all ranks."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import strict_cupy
from strict_cuda import current

available = True
_TYPES = {0: "int8", 1: "uint8", 2: "int32", 3: "uint32", 4: "int64", 5: "uint64", 6: "float16"}
_TYPES |= {7: "float32", 8: "float64"}
_group: list[Any] | None = None


class NcclError(RuntimeError):
    pass


def get_unique_id() -> tuple[int, ...]:
    return tuple(range(-64, 64))


def groupStart() -> None:
    global _group
    assert _group is None
    _group = []


def groupEnd() -> None:
    global _group
    from mpi4py import MPI

    assert _group is not None
    MPI.Request.Waitall(_group)
    _group = None


def _memory(pointer: int, count: int, kind: int) -> np.ndarray:
    assert isinstance(pointer, int)
    dtype = np.dtype(_TYPES[kind])
    if not count:
        return np.empty(0, dtype)
    held = (ctypes.c_uint8 * (count * dtype.itemsize)).from_address(pointer)
    return np.frombuffer(held, dtype)


class NcclCommunicator:
    def __init__(self, ndev: int, commId: tuple, rank: int):
        from mpi4py import MPI

        assert commId == get_unique_id()
        assert (ndev, rank) == (MPI.COMM_WORLD.size, MPI.COMM_WORLD.rank)
        self._mpi, self._world = MPI, MPI.COMM_WORLD.Dup()
        self._device = current.device
        assert self._device == rank % 2, "two ranks would share a GPU"

    def destroy(self) -> None:
        self._world.Free()

    def check_async_error(self) -> None:
        assert current.device == self._device

    def allReduce(
        self, sendbuf: int, recvbuf: int, count: int, datatype: int, op: int, stream: int
    ) -> None:
        assert stream
        assert datatype != 6, "16-bit floats are to be added up in float32"
        names = ["SUM", "PROD", "MAX", "MIN", "SUM"]
        result = np.empty(count, _TYPES[datatype])
        operation = getattr(self._mpi, names[op])
        self._world.Allreduce(_memory(sendbuf, count, datatype).copy(), result, operation)
        _memory(recvbuf, count, datatype)[:] = result / self._world.size if op == 4 else result

    def broadcast(
        self, sendbuff: int, recvbuff: int, count: int, datatype: int, root: int, stream: int
    ) -> None:
        assert stream
        assert sendbuff == recvbuff
        self._world.Bcast(_memory(recvbuff, count, datatype), root)

    def allGather(self, sendbuf: int, recvbuf: int, count: int, datatype: int, stream: int) -> None:
        assert stream
        own = _memory(sendbuf, count, datatype).copy()
        self._world.Allgather(own, _memory(recvbuf, count * self._world.size, datatype))

    def send(self, sendbuf: int, count: int, datatype: int, peer: int, stream: int) -> None:
        assert stream
        assert _group is not None, "NCCL would wait for ever"
        _group.append(self._world.Isend(_memory(sendbuf, count, datatype), peer))

    def recv(self, recvbuf: int, count: int, datatype: int, peer: int, stream: int) -> None:
        assert stream
        assert _group is not None, "NCCL would wait for ever"
        _group.append(self._world.Irecv(_memory(recvbuf, count, datatype), peer))


def install() -> None:
    """The stand-in for CuPy, with NCCL."""
    strict_cupy.install()
    names = {name: value for name, value in globals().items() if not name.startswith("_")}
    strict_cupy.module.cuda.nccl = strict_cupy._namespace("cupy.cuda.nccl", **names)  # type: ignore
    import sys

    sys.modules["cupy.cuda"] = strict_cupy.module.cuda  # type: ignore[attr-defined]
    sys.modules["cupy.cuda.nccl"] = strict_cupy.module.cuda.nccl  # type: ignore[attr-defined]
