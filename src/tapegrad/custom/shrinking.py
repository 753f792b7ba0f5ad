"""How a kernel that fails does so with less: the same way each time, so that a failure replays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tapegrad.core.schedules import ALL, Schedule

from .guarded import PLACES, Place
from .patience import Endless
from .trial import Trial

SMALL = (0, 1, 2, 3, 4, 5, 8, *(2**k + i for k in range(4, 9) for i in (-1, 0, 1)), 1000)
SEEDS = tuple(Schedule("random", seed) for seed in range(8))
MANY = 2**40  # more decisions than anybody waits for


@dataclass(frozen=True)
class Failure:
    """A call that made something wrong, and how it was made."""

    said: str
    sample: Mapping[str, int]
    dtype: Any
    place: int  # in PLACES
    order: Schedule
    decisions: int  # that were taken in this order, where the order counts them
    is_endless: bool

    @classmethod
    def of(cls, trial: Trial, sample: Mapping[str, int], problem: Exception) -> Failure:
        assert trial.ran is not None
        place, order, decisions = trial.ran
        said = str(problem) if str(trial) in str(problem) else f"{trial}: {problem}"
        return cls(
            said,
            dict(sample),
            trial.dtype,
            PLACES.index(place),
            order,
            decisions,
            isinstance(problem, Endless),
        )


def shrink(
    failure: Failure,
    fails: Callable[[dict[str, int], Place, Schedule], Failure | None],
    allowed: Mapping[str, Sequence[int]],
) -> Failure:
    """The same failure with smaller sizes, where the body takes them, and then fewer decisions out
    of ascending order."""
    found, place = failure, PLACES[failure.place]

    def seen(sample: Mapping[str, int], order: Schedule) -> bool:
        nonlocal found
        try:
            made = fails(dict(sample), place, order)
        except (ArithmeticError, LookupError, RuntimeError, ValueError):
            return False  # the body does not take these
        if made is None or made.is_endless:
            return False
        found = made
        return True

    ways = [failure.order]
    if failure.order.order != "ascending":  # a seed means something else for other sizes
        ways += SEEDS
    shrink_sizes(failure.sample, lambda sample: any(seen(sample, way) for way in ways), allowed)
    if found.order.order == "ascending":
        return found
    smallest, fewest = found, ALL
    for order in dict.fromkeys([found.order, *SEEDS]):
        if seen(smallest.sample, order._replace(taken=MANY)):
            shrunk = shrink_schedule(order, partial(seen, found.sample), found.decisions)
            if shrunk.order == "ascending":
                return found
            if shrunk.taken < fewest and seen(found.sample, shrunk):
                smallest, fewest = found, shrunk.taken
    return smallest


def shrink_schedule(
    chosen: Schedule, fails: Callable[[Schedule], bool], decisions: int
) -> Schedule:
    """A schedule that fails with fewer decisions out of ascending order: none, or the shortest run
    of them that halving finds. chosen: one that fails within its first ``decisions``."""
    ascending = Schedule("ascending")
    if chosen.order == "ascending" or fails(ascending):
        return ascending
    if not fails(chosen._replace(taken=decisions)):
        return chosen
    low, high = 0, decisions  # with none it does not fail, with ``high`` it does
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fails(chosen._replace(taken=middle)) else (middle, high)
    end, low = chosen.skipped + high, chosen.skipped
    last = end  # without ``low`` it fails, without ``last`` it does not
    while last - low > 1:
        middle = (low + last) // 2
        shorter = chosen._replace(skipped=middle, taken=end - middle)
        low, last = (middle, last) if fails(shorter) else (low, middle)
    return chosen._replace(skipped=low, taken=end - low)


def shrink_sizes(
    sample: Mapping[str, int],
    fails: Callable[[dict[str, int]], bool],
    allowed: Mapping[str, Sequence[int]],
) -> dict[str, int]:
    """Sizes that fail and of which none can be made smaller alone, among the allowed ones where
    these are given."""
    found = dict(sample)
    shrunk = True
    while shrunk:
        shrunk = False
        for name in found:
            for value in _smaller(found[name], allowed.get(name)):
                if fails({**found, name: value}):
                    found[name], shrunk = value, True
                    break
    return found


def _smaller(value: int, allowed: Sequence[int] | None) -> Iterator[int]:
    return (v for v in sorted(set(SMALL if allowed is None else allowed)) if v < value)
