"""Ranks that are actors of Ray: what one sends, Ray puts into the other's mailbox.

Large arrays go through Ray's object stores, from node to node, small ones with the call. Whatever
is computed is computed here, in the order of the ranks, as with MPI. Nobody waits for a rank that
is lost: who has started the actors sees it, and ends the others.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from itertools import count
from typing import Any

import numpy as np

from tapegrad.core.memory import Array

from .backend import Backend
from .errors import DistBackendError
from .pending import Pending

_IN_CALLS = 100_000  # bytes, up to which Ray sends an array with the call
_MAIL = -1  # the tag of messages


class Mailbox:
    """What has arrived at a rank. One thread puts it there, another takes it out."""

    def __init__(self) -> None:
        self._arrived: dict[Hashable, Array] = {}

    def put(self, key: Hashable, data: Array) -> None:
        """Keep what has arrived."""
        self._arrived[key] = data

    def take(self, key: Hashable) -> Array | None:
        """What has arrived under this key, once; None: nothing yet."""
        return self._arrived.pop(key, None)


class _Letters:
    """Arrays that are filled as what they wait for arrives."""

    def __init__(self, mailbox: Mailbox, awaited: list[tuple[Array, Hashable]]):
        self._mailbox, self._awaited = mailbox, awaited

    def done(self) -> bool:
        while self._awaited:
            array, key = self._awaited[-1]
            data = self._mailbox.take(key)
            if data is None:
                return False
            if data.nbytes != array.nbytes:
                raise DistBackendError(
                    f"there came {data.nbytes} bytes where {array.nbytes} were expected: did all "
                    "ranks give equal shapes?"
                )
            array.reshape(-1).view(np.uint8)[...] = data
            self._awaited.pop()
        return True


class RayBackend(Backend):
    """The ranks of which ``deliver[rank](key, data)`` puts bytes into the mailbox of each;
    ``share`` keeps bytes for several calls (Ray's ``put``). ``name_of_group`` tells their keys from
    others'."""

    name = "ray"
    supervised = True

    def __init__(
        self,
        rank: int,
        deliver: Sequence[Callable[[Hashable, Any], Any]],
        mailbox: Mailbox,
        share: Callable[[Array], Any],
        name_of_group: tuple[Any, ...] = (),
    ):
        self.rank, self.size = rank, len(deliver)
        self._deliver, self._mailbox, self._share = deliver, mailbox, share
        self._group, self._groups = name_of_group, count()
        self._sent: Counter[tuple[int, int]] = Counter()
        self._awaited: Counter[tuple[int, int]] = Counter()
        self._mail: dict[int, Hashable] = {}

    def exchange(
        self,
        sends: Sequence[tuple[Array, int]],
        receives: Sequence[tuple[Array, int]],
        tag: int = 0,
    ) -> Pending:
        shared: dict[int, Any] = {}  # by the array, those that several get
        several = Counter(id(array) for array, _ in sends)
        for array, rank in sends:
            data: Any = array.reshape(-1).view(np.uint8)
            if array.nbytes > _IN_CALLS and several[id(array)] > 1:
                if id(array) not in shared:
                    shared[id(array)] = self._share(data)
                data = shared[id(array)]
            self._deliver[rank](self._sending(rank, tag), data)
        return _Letters(self._mailbox, [(array, self._awaiting(r, tag)) for array, r in receives])

    def _sending(self, rank: int, tag: int) -> Hashable:
        """The key of what is sent next to a rank: it says from whom it comes, and the how
        manieth."""
        self._sent[rank, tag] += 1
        return (self._group, self.rank, tag, self._sent[rank, tag])

    def _awaiting(self, rank: int, tag: int) -> Hashable:
        self._awaited[rank, tag] += 1
        return (self._group, rank, tag, self._awaited[rank, tag])

    def split(self, ranks: Sequence[int]) -> RayBackend | None:
        number = next(self._groups)
        if self.rank not in ranks:
            return None
        deliver = [self._deliver[rank] for rank in ranks]
        name = (*self._group, number)
        return RayBackend(ranks.index(self.rank), deliver, self._mailbox, self._share, name)

    def post(self, rank: int, message: bytes) -> None:
        self._deliver[rank](self._sending(rank, _MAIL), np.frombuffer(message, np.uint8))

    def receive(self) -> tuple[int, bytes] | None:
        for rank in self.others():
            key = self._mail.get(rank) or self._awaiting(rank, _MAIL)
            self._mail[rank] = key
            if (data := self._mailbox.take(key)) is not None:
                del self._mail[rank]
                return rank, data.tobytes()
        return None

    def abort(self, status: int) -> None:
        os._exit(status)  # the end of this actor, upon which the others are ended
