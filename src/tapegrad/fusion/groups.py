"""A pass over the columns as several loops, a strip of columns at a time.

The vectors of one column after the other do not depend on each other, but a processor looks only so
far ahead. Of a loop over several long functions in a row it sees little more than one column, and
waits for each instruction of it. As several loops with one long function each, that hand each other
a strip of values in the nearest cache, they take half the time (measured of four tanh in a row).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .functions import FUNCTIONS
from .plan import INPUT
from .traced import Step


@dataclass
class Group:
    """The ``steps`` of one loop; ``reads``: what earlier ones have kept for it; ``keeps``: what it
    keeps for later ones."""

    steps: list[Step]
    reads: list[Step]
    keeps: list[Step]


def grouped(steps: Sequence[Step], ends: Sequence[Step]) -> list[Group]:
    """Steps in the order of computation as groups with at most one long function; ``ends`` are known
    in the last one. Inputs are read again, and comparisons made again, which are no vectors like
    others."""
    homes, home, long = {}, 0, False
    for step in steps:
        if _is_long(step):
            home += long
            long = True
        homes[id(step)] = home
    groups = []
    kept: set[int] = set()
    for here in reversed(range(home + 1)):
        keeps = [t for t in steps if id(t) in kept and homes[id(t)] == here]
        group = Group([], [], keeps)
        needed = {id(t) for t in (ends if here == home else keeps)}
        for step in reversed(steps):
            if id(step) not in needed:
                continue
            if homes[id(step)] == here or step.op == INPUT or step.dtype == bool:
                group.steps.insert(0, step)
                needed |= {id(t) for t in step.inputs if isinstance(t, Step)}
            else:
                group.reads.append(step)
                kept.add(id(step))
        groups.insert(0, group)
    return groups


def _is_long(step: Step) -> bool:
    return step.op in FUNCTIONS and FUNCTIONS[step.op].long
