"""A look from outside at ranks of which none waits for another: those that do have a time limit."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from .placing import load
from .rank import MAIL


class Clock:
    """Whether the ranks of these actors still call each other: ``stopped`` says where they were
    when none has waited in a call, or begun one, for so many seconds."""

    def __init__(self, actors: Sequence[Any], seconds: float):
        self._ray, self._actors, self._seconds = load(), actors, seconds
        self._asked = {self._ask(rank): rank for rank in range(len(actors))}
        self._found: dict[int, tuple[int, str]] = {}
        self._since = time.monotonic()

    def _ask(self, rank: int) -> Any:
        return self._actors[rank].progress.options(concurrency_group=MAIL).remote()

    def stopped(self) -> str:
        """Nothing, as long as they do."""
        answered, _ = self._ray.wait([*self._asked], num_returns=len(self._asked), timeout=0)
        for reference in answered:
            rank = self._asked.pop(reference)
            try:
                calls, where = self._ray.get(reference)
            except self._ray.exceptions.RayError:
                continue  # it is lost, or has ended
            if not where or self._found.get(rank, (0, ""))[0] != calls:
                self._since = time.monotonic()
            self._found[rank] = calls, where
            self._asked[self._ask(rank)] = rank
        if time.monotonic() - self._since <= self._seconds:
            return ""
        said = [f"rank {rank} {where}" for rank, (_, where) in sorted(self._found.items())]
        said += [f"rank {r} does not answer" for r in self._asked.values() if r not in self._found]
        return f"no rank has called another one for {self._seconds:g} s: {'; '.join(said)}"
