"""In which order the emulated device runs threads, as text that fits into one word."""

from __future__ import annotations

import re
from typing import NamedTuple

ALL = 2**64 - 1  # decisions
ORDERS = ("random", "ascending", "descending")


class Schedule(NamedTuple):
    """Whose turn it is, is decided at the beginning of a launch (of blocks), and wherever a thread
    waits or ends. ``taken`` decisions, after the first ``skipped``, are taken in this order (the
    seed is that of the first launch, and each adds one to it), all others in ascending order.

    As text: ``descending``, ``random:7``, ``random:7:40-42`` (decisions 40, 41 and 42).
    """

    order: str
    seed: int = 0
    skipped: int = 0
    taken: int = ALL

    def __str__(self) -> str:
        text = self.order if self.order != "random" else f"random:{self.seed}"
        if self.taken == ALL and self.skipped == 0:
            return text
        last = "" if self.taken == ALL else self.skipped + self.taken - 1
        return f"{self.order}:{self.seed}:{self.skipped}-{last}"

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Raises ValueError for what is none."""
        found = re.fullmatch(r"(\w+)(?::(\d+))?(?::(\d+)-(\d*))?", text.strip())
        if not found or found[1] not in ORDERS:
            raise ValueError(
                f"a schedule is {', '.join(ORDERS)}, with a seed (random:7) and the decisions that "
                f"it takes (random:7:40-42), not {text!r}"
            )
        order, seed, first, last = found.groups()
        skipped = int(first or 0)
        taken = max(int(last) + 1 - skipped, 0) if last else ALL
        return cls(order, int(seed or 0), skipped, taken)
