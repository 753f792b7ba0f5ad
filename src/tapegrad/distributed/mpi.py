"""Ranks of MPI, by mpi4py: arrays in the memory of the host go to it as bytes, and come back so.

Nothing here waits inside MPI, which burns the core that another rank may need; and whatever is
computed is computed here, in the order of the ranks, so that no bit depends on when what arrives.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from tapegrad.core.memory import Array, shares

from . import environment, starting
from .backend import Backend
from .errors import DistBackendError
from .pending import Pending
from .watching import Call, wait

HINT = "pip install 'tapegrad[mpi]' brings mpi4py and an MPI"
# Seconds before this rank says that MPI has failed: where that is as another has died, whoever
# watches that one is to say so first.
_LAST_WORDS = 1.5
_MAIL = 1  # the tag of messages, on a communicator of their own


def load(timeout: float | None = None) -> Any:
    """mpi4py's MPI, initialised. Where ranks do not come to that in so many seconds (as the
    environment says, if this is None), the process ends. Raises ImportError, with what to install,
    where it is missing."""
    place = environment.place()
    clock: AbstractContextManager[None] = nullcontext()
    if place is not None and place.world_size > 1 and "mpi4py.MPI" not in sys.modules:
        clock = starting.limited(place, environment.timeout() if timeout is None else timeout)
    try:
        with clock:
            from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: there is no MPI that it could load
        raise ImportError(f"MPI needs mpi4py and an MPI ({error}): {HINT}") from None
    return MPI


class _Requests:
    """``receives``: the arrays that the first requests fill, and from whom; ``held`` are others
    that MPI still needs."""

    def __init__(
        self, mpi: Any, requests: list[Any], *held: Any, receives: Sequence[tuple[Array, int]] = ()
    ):
        self._mpi, self._requests, self._receives, self._held = mpi, requests, receives, held

    def done(self) -> bool:
        statuses = [self._mpi.Status() for _ in self._requests]
        try:
            if not self._mpi.Request.Testall(self._requests, statuses):
                return False
        except self._mpi.Exception as error:
            time.sleep(_LAST_WORDS)
            raise DistBackendError(
                f"MPI says: {error}: a rank is gone, or ranks gave other shapes "
                "(TAPEGRAD_DISTRIBUTED_DEBUG=1 compares them)"
            ) from None
        receives, self._requests, self._receives = self._receives, [], ()
        for (array, rank), status in zip(receives, statuses, strict=False):
            _compare(rank, status.Get_count(self._mpi.BYTE), array.nbytes)  # MPI takes fewer
        return True


class _Collective:
    """One of MPI's own, which does not look whether all ranks mean as many bytes. So their
    ``sizes``, those of ``ranks``, go beside the ``data``, and are compared with ``size``."""

    def __init__(
        self, sizes: tuple[_Requests, Array], ranks: Sequence[int], data: _Requests, size: int
    ):
        self._sizes: tuple[_Requests, Array] | None = sizes
        self._ranks, self._data, self._size = ranks, data, size

    def done(self) -> bool:
        if self._sizes is not None:
            pending, sizes = self._sizes
            if not pending.done():
                return False
            self._sizes = None
            if any(came != self._size for came in sizes.tolist()):
                _never_done.append(self._data)
            for rank, came in zip(self._ranks, sizes.tolist(), strict=True):
                _compare(rank, came, self._size)
        return self._data.done()


_never_done: list[_Requests] = []  # MPI may still write to their arrays


def _compare(rank: int, came: int, expected: int) -> None:
    if came != expected:
        raise DistBackendError(
            f"there came {came} bytes from rank {rank} where {expected} were expected: all ranks "
            "must give equal shapes and dtypes"
        )


def _bytes(array: Array) -> Array:
    return array.reshape(-1).view(np.uint8)


class MPIBackend(Backend):
    """The ranks of a communicator of mpi4py's (its ``Idup``: the user's own stays theirs), which
    have ``timeout`` seconds to come. Raises DistTimeoutError where they do not."""

    name = "mpi"

    def __init__(self, communicator: Any, timeout: float = math.inf):
        self._mpi = load()
        self._communicator, request = communicator.Idup()
        call = Call(0, 0, "init_process_group", "")
        wait(_Requests(self._mpi, [request]), call, range(communicator.Get_size()), timeout)
        self._mail: Any = None
        self._posted: list[Any] = []
        self.rank, self.size = communicator.Get_rank(), communicator.Get_size()

    def exchange(
        self,
        sends: Sequence[tuple[Array, int]],
        receives: Sequence[tuple[Array, int]],
        tag: int = 0,
    ) -> Pending:
        communicator = self._communicator
        requests = [communicator.Irecv(_bytes(array), rank, tag) for array, rank in receives]
        requests += [communicator.Isend(_bytes(array), rank, tag) for array, rank in sends]
        return _Requests(self._mpi, requests, sends, receives=receives)

    def broadcast(self, array: Array, root: int, tag: int = 0) -> Pending:
        size = np.array([array.nbytes])
        sizes, data = (
            _Requests(self._mpi, [self._communicator.Ibcast(_bytes(each), root)], each)
            for each in (size, array)
        )
        return _Collective((sizes, size), [root], data, array.nbytes)

    def all_gather(self, own: Array, parts: Array, tag: int = 0) -> Pending:
        if shares(own, parts):  # which MPI refuses
            own = own.copy()
        size, of_all = np.array([own.nbytes]), np.empty(self.size, int)
        sizes, data = (
            _Requests(self._mpi, [self._communicator.Iallgather(_bytes(a), _bytes(b))], a, b)
            for a, b in ((size, of_all), (own, parts))
        )
        return _Collective((sizes, of_all), range(self.size), data, own.nbytes)

    def split(self, ranks: Sequence[int]) -> MPIBackend | None:
        color = 0 if self.rank in ranks else self._mpi.UNDEFINED
        key = ranks.index(self.rank) if self.rank in ranks else 0
        own = self._communicator.Split(color, key)
        if own == self._mpi.COMM_NULL:
            return None
        made = MPIBackend(own)
        own.Free()
        return made

    def listen(self) -> None:
        self._mail = self._communicator.Dup()

    def post(self, rank: int, message: bytes) -> None:
        self._posted = [pair for pair in self._posted if not pair[0].Test()]
        data = np.frombuffer(message, np.uint8)
        self._posted.append((self._mail.Isend(data, rank, _MAIL), data))

    def receive(self) -> tuple[int, bytes] | None:
        status = self._mpi.Status()
        if not self._mail.Iprobe(self._mpi.ANY_SOURCE, _MAIL, status):
            return None
        data = np.empty(status.Get_count(self._mpi.BYTE), np.uint8)
        self._mail.Recv(data, status.Get_source(), _MAIL)
        return status.Get_source(), data.tobytes()

    def abort(self, status: int) -> None:
        self._mpi.COMM_WORLD.Abort(status)

    def close(self) -> None:
        self._communicator.Free()
