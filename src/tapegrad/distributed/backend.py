"""What carries arrays from rank to rank: the interface that MPI, NCCL, Ray and a single process
have.

A backend needs no more than ``exchange``, ``split`` and, where it also watches over the ranks,
``post`` and ``receive``: every collective is made of exchanges. It may have better ways for some.
Ranks are those within the backend; arrays are flat and contiguous. All ranks make their calls in
one order, with the same tags, but the parts of a collective that come after its first exchange may
overtake those of another: so each collective has a tag of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tapegrad.core.memory import Array

from .pending import Pending, Steps
from .reductions import ReduceOp, bounds, combine

_SMALL = 2**15  # bytes, up to which all ranks get everything at once and reduce it themselves


class Backend:
    """The ranks of a group, and how arrays get from one to another."""

    name: str
    rank: int
    size: int
    device_type = "cpu"  # whose arrays it takes: "cpu" stands for all that NumPy holds
    supervised = False  # whether someone else ends all ranks where one raises or is gone

    def exchange(
        self,
        sends: Sequence[tuple[Array, int]],
        receives: Sequence[tuple[Array, int]],
        tag: int = 0,
    ) -> Pending:
        """Send each array to a rank, and fill each array from one, all at the same time. What one
        rank sends to another with one tag arrives in order, in arrays of equal sizes."""
        raise NotImplementedError

    def run(self, steps: Iterator[Pending]) -> Pending:
        """Begin what a collective consists of: an iterator over what is to be waited for, with what
        is computed in between."""
        return Steps(steps)

    def split(self, ranks: Sequence[int]) -> Backend | None:
        """The backend of these ranks among themselves; None on the others. All ranks call it."""
        raise NotImplementedError

    def listen(self) -> None:
        """Be ready for ``post`` and ``receive``, even when closed. All ranks call it."""

    def post(self, rank: int, message: bytes) -> None:
        """Send a short message that the other need not wait for."""

    def receive(self) -> tuple[int, bytes] | None:
        """The next message that was posted to this rank, and by whom; None: there is none."""
        return None

    def abort(self, status: int) -> None:
        """End all ranks, now."""
        raise SystemExit(status)

    def close(self) -> None:
        """Let go of what the group holds."""

    def broadcast(self, array: Array, root: int, tag: int = 0) -> Pending:
        """Fill the array on all ranks with that of ``root``. The first exchange of a collective."""
        others = [rank for rank in range(self.size) if rank != self.rank]
        if self.rank == root:
            return self.exchange([(array, rank) for rank in others], [], tag)
        return self.exchange([], [(array, root)], tag)

    def all_gather(self, own: Array, parts: Array, tag: int = 0) -> Pending:
        """Fill ``parts``, of shape (size, n), with the arrays of all ranks, of n elements each. The
        first exchange of a collective."""
        parts[self.rank] = own
        others = self.others()
        return self.exchange([(own, r) for r in others], [(parts[r], r) for r in others], tag)

    def all_reduce(
        self, library: Any, array: Array, op: ReduceOp, tag: int = 0
    ) -> Iterator[Pending]:
        """Replace ``array`` by what all ranks' arrays reduce to, on all of them."""
        if self.size == 1:
            return
        if array.nbytes <= _SMALL:
            with self.scratch(library, (self.size, array.size), array.dtype) as parts:
                yield self.all_gather(array, parts, tag)
                combine(library, op, list(parts), parts[0], array)
            return
        pieces = [array[part] for part in bounds(array.size, self.size)]
        own, others = pieces[self.rank], self.others()
        yield from self.reduce_scatter(library, pieces, own, op, tag)
        yield self.exchange([(own, r) for r in others], [(pieces[r], r) for r in others], tag)

    def reduce_scatter(
        self, library: Any, pieces: Sequence[Array], out: Array, op: ReduceOp, tag: int = 0
    ) -> Iterator[Pending]:
        """Reduce the ``pieces`` of all ranks that are for this one, ``pieces[rank]``, to
        ``out``."""
        own, others = pieces[self.rank], self.others()
        if not others:
            out[...] = own
            return
        with self.scratch(library, (len(others), own.size), own.dtype) as memory:
            received = dict(zip(sorted(others), memory, strict=False))
            sends = [(pieces[r], r) for r in others]
            yield self.exchange(sends, [(received[r], r) for r in others], tag)
            received[self.rank] = own
            parts = [received[r] for r in range(self.size)]
            combine(library, op, parts, memory[0], out)

    def others(self) -> list[int]:
        """The other ranks, each rank beginning behind its own, so that not all begin at one."""
        return [(self.rank + i) % self.size for i in range(1, self.size)]

    @contextmanager
    def scratch(self, library: Any, shape: tuple[int, ...], dtype: Any) -> Iterator[Array]:
        """An array for a while. Fresh memory costs more than filling it, so the largest of each
        dtype is kept."""
        free = self.__dict__.setdefault("_free", {})
        key, count = (library.__name__, dtype), math.prod(shape)
        memory = free.pop(key, None)
        if memory is None or memory.size < count:
            memory = library.empty(count, dtype)
        yield memory[:count].reshape(shape)
        if key not in free or free[key].size < memory.size:
            free[key] = memory
