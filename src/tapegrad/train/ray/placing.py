"""Where ranks are placed: as many as there is room for on Ray's nodes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any, NamedTuple

from tapegrad.distributed.errors import DistBackendError

HINT = "pip install 'tapegrad[ray]'"
HEAD_LIMIT = 20.0  # seconds that the head has for an answer
_MOMENT = 1.0  # seconds that Ray has for places that are free


def load() -> Any:
    """Ray. Raises ImportError, with what to install, where it is missing."""
    try:
        import ray
    except ImportError as error:
        raise ImportError(f"[train.ray.run] needs Ray ({error}): {HINT}") from None
    return ray


class Needs(NamedTuple):
    """What each rank needs, and how Ray is to distribute them over its nodes."""

    cpus: float
    gpus: float
    resources: dict[str, float]
    strategy: str

    def bundle(self) -> dict[str, float]:
        """What Ray reserves for a rank."""
        found = {"CPU": self.cpus, "GPU": self.gpus, **self.resources}
        return {name: amount for name, amount in found.items() if amount}


@contextmanager
def places(needs: Needs, least: int, most: int, patience: float, wait: float) -> Iterator[Any]:
    """A placement group of Ray's for as many ranks as there is room for: for the largest number
    within ``patience`` seconds, then for fewer, for the smallest within ``wait`` seconds. Raises
    DistBackendError where there is none."""
    group = _reserved(needs, least, most, patience, wait)
    try:
        yield group
    finally:
        if head_answers():
            load().util.remove_placement_group(group)


def has_more_room(needs: Needs) -> bool:
    """Whether another rank could be placed."""
    ray = load()
    group = ray.util.placement_group([needs.bundle()])
    found = group.wait(_MOMENT)
    ray.util.remove_placement_group(group)
    return found


def head_answers(limit: float = HEAD_LIMIT) -> bool:
    """Whether the head of the cluster answers within so many seconds. (Ray ends the whole process
    where it does not for a minute.)"""
    asking = Thread(target=load().nodes, daemon=True)
    asking.start()
    asking.join(limit)
    return not asking.is_alive()


def _reserved(needs: Needs, least: int, most: int, patience: float, wait: float) -> Any:
    ray, bundle = load(), needs.bundle()
    deadline = time.monotonic() + wait
    limit = min(patience, wait)
    while True:
        for count in range(most, least - 1, -1):
            if count < most and count > max(_room(bundle), least):
                continue
            group = ray.util.placement_group([bundle] * count, strategy=needs.strategy)
            if group.wait(limit):
                return group
            ray.util.remove_placement_group(group)
            limit = _MOMENT
        if time.monotonic() > deadline:
            raise DistBackendError(
                f"[train.ray.run] in {wait:g} s there was no room for {least} rank"
                f"{'s' * (least > 1)} of {bundle} ({needs.strategy}): Ray has "
                f"{ray.cluster_resources()}, of which {ray.available_resources()} are free"
            )


def _room(bundle: dict[str, float]) -> int:
    """How many bundles fit into what is free on all nodes together, at most."""
    free = load().available_resources()
    return min(int(free.get(name, 0) // amount) for name, amount in bundle.items())
