"""A pass over the columns as several loops, a strip of columns at a time.

The vectors of one column after the other do not depend on each other, but a processor looks only so
far ahead. Of a loop over several long functions in a row it sees little more than one column, and
waits for each instruction of it. As several loops with one long function each, that hand each other
a strip of values in the nearest cache, they take half the time (measured of four tanh in a row).
And of a loop of some hundred steps a compiler is slow to make registers, by more than each step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .axes import INPUT, Step
from .called_loops import is_called
from .functions import FUNCTIONS

MOST_STEPS = 64  # of one loop


@dataclass
class Group:
    """The ``steps`` of one loop; ``reads``: what earlier ones have kept for it; ``keeps``: what it
    keeps for later ones. ``call``: whether its one step is computed by a loop that is called."""

    steps: list[Step]
    reads: list[Step]
    keeps: list[Step]
    call: bool = False


def grouped(steps: Sequence[Step], ends: Sequence[Step]) -> list[Group]:
    """Steps in the order of computation as groups of up to ``MOST_STEPS``, with at most one long
    function; ``ends`` are
    known in the last one. Inputs are read again, and comparisons made again, which are no vectors
    like others."""
    homes, last = _homes(steps)
    groups: list[Group] = []
    kept: set[int] = set()
    for here in reversed(range(last + 1)):
        keeps = [t for t in steps if id(t) in kept and homes[id(t)] == here]
        group = Group([], [], keeps, any(map(is_called, keeps)))
        needed = {id(t) for t in (ends if here == last else keeps)}
        for step in reversed(steps):
            if id(step) not in needed:
                continue
            again = not group.call and (step.op == INPUT or step.dtype == bool)
            if homes[id(step)] == here or again:
                group.steps.insert(0, step)
                needed |= {id(t) for t in step.inputs if isinstance(t, Step)}
            else:
                group.reads.append(step)
                kept.add(id(step))
        if group.steps or here == last:
            groups.insert(0, group)
    return groups


def _homes(steps: Sequence[Step]) -> tuple[dict[int, int], int]:
    """The number of each step's group, by its id; and the last one's."""
    homes, here, long, count = {}, 0, False, 0
    for step in steps:
        call = is_called(step)
        is_long = step.op in FUNCTIONS and FUNCTIONS[step.op].long
        if (is_long and (long or call)) or count == MOST_STEPS:
            here, long, count = here + 1, False, 0
        homes[id(step)] = here
        here, long = here + call, long or (is_long and not call)
        count = 0 if call else count + 1
    return homes, here
