"""One process, which is all there are."""

from __future__ import annotations

from collections.abc import Sequence

from tapegrad.core.memory import Array

from .backend import Backend
from .pending import Arrived, Pending


class SingleBackend(Backend):
    """Rank 0 of 1: what it sends, it gets."""

    name, rank, size = "self", 0, 1

    def exchange(
        self,
        sends: Sequence[tuple[Array, int]],
        receives: Sequence[tuple[Array, int]],
        tag: int = 0,
    ) -> Pending:
        for (source, _), (target, _) in zip(sends, receives, strict=True):
            target[...] = source
        return Arrived()

    def split(self, ranks: Sequence[int]) -> SingleBackend | None:
        return SingleBackend() if 0 in ranks else None
