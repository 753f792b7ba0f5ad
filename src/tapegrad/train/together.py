"""What the ranks of a run know of each other, where there are several: so that all decide alike.

Each function is called by all ranks; where there is no process group, by the only one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np

from tapegrad.distributed.collectives import all_reduce
from tapegrad.distributed.groups import get_rank, get_world_size, is_initialized
from tapegrad.distributed.objects import all_gather_object, broadcast_object_list, encode
from tapegrad.ops.creation.create import from_numpy


def place() -> tuple[int, int]:
    """This rank, and how many there are."""
    return (get_rank(), get_world_size()) if is_initialized() else (0, 1)


def is_first() -> bool:
    """Whether this rank is the one that writes."""
    return place()[0] == 0


def are_several() -> bool:
    """Whether there are other ranks."""
    return place()[1] > 1


def added(*values: float) -> list[float]:
    """Of each value the sum over all ranks, which is the same number on all of them."""
    if not are_several():
        return [*values]
    sums = from_numpy(np.array(values, np.float64))
    all_reduce(sums)
    return sums.tolist()


def gathered(value: Any) -> list[Any]:
    """What all ranks have, in their order: numbers, text, tensors, in lists and dicts."""
    if not are_several():
        return [value]
    found: list[Any] = []
    all_gather_object(found, value)
    return found


def of_first(compute: Callable[[], Any]) -> Any:
    """What this computes on the first rank."""
    found = [compute() if is_first() else None]
    if are_several():
        broadcast_object_list(found, 0)
    return found[0]


def merged(metrics: Mapping[str, Any], states: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Metrics that have gathered what those with these states have. Raises TypeError for a metric
    that cannot."""
    whole = {}
    for name, metric in metrics.items():
        if not hasattr(metric, "merge"):
            raise TypeError(
                f"[Trainer] metric {name!r} of class {type(metric).__name__} needs "
                "merge(state_dict), by which that of one rank adds what another one has gathered"
            )
        whole[name] = deepcopy(metric)
        whole[name].reset()
        for state in states:
            whole[name].merge(state[name])
    return whole


def of_all(metrics: Mapping[str, Any]) -> Mapping[str, Any]:
    """Metrics of the samples of all ranks. Raises TypeError for a metric that cannot be merged."""
    if not metrics or not are_several():
        return metrics
    return merged(metrics, gathered({name: m.state_dict() for name, m in metrics.items()}))


def own_random(states: Sequence[Any]) -> Any:
    """Of the random states of the ranks of another run, that of this rank; None where it has none:
    it keeps its own then, unless all of theirs were alike, and are to stay so."""
    codes = [encode(state).tobytes() for state in states]
    rank = place()[0]
    if rank < len(states):
        return states[rank]
    return states[0] if len({*codes}) == 1 else None
