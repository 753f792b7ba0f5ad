"""One attempt to run a function on all ranks: until all have returned, or one is lost."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tapegrad.distributed.errors import DistBackendError, DistError, DistTimeoutError

from .clock import Clock
from .placing import HEAD_LIMIT, Needs, has_more_room, head_answers, load
from .rank import MAIL, Rank

_LOOK = 1.0  # seconds between looks at whether the cluster is there


class Lost(Exception):
    """A rank is gone, or all have waited, or not called each other, too long: what happened."""

    def report(self, failures: int, max_failures: int) -> None:
        """Say so. Raises DistBackendError where it has happened too often."""
        if failures > max_failures:
            raise DistBackendError(
                f"[train.ray.run] {self}; the run was started anew {max_failures} times before "
                "(max_failures)"
            ) from self.__cause__
        print(
            f"[train.ray] {self}: start {failures + 1} of {max_failures + 1}, from the last "
            "checkpoint",
            file=sys.stderr,
            flush=True,
        )


class MoreRoom(Exception):
    """There is room for more ranks."""


class Ranks:
    """The actors of an attempt, one in each place of a placement group, in an order such that those
    of a node follow each other. The options are those of ``run``."""

    def __init__(
        self,
        group: Any,
        needs: Needs,
        wait: float,
        timeout: float | None,
        retry: Any,
        grow_every: float | None,
    ):
        self._ray = load()
        strategy = self._ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy
        kind = self._ray.remote(concurrency_groups={MAIL: 1})(Rank)
        self._actors = [
            kind.options(
                num_cpus=needs.cpus,
                num_gpus=needs.gpus,
                resources=needs.resources,
                scheduling_strategy=strategy(group, placement_group_bundle_index=i),
            ).remote()
            for i in range(group.bundle_count)
        ]
        self._needs, self._wait, self._timeout, self._grow_every = needs, wait, timeout, grow_every
        kinds = retry if isinstance(retry, tuple) else (retry,)
        self._retried = (DistTimeoutError, *kinds)

    def call(
        self, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> list[Any]:
        """Run the function on all ranks; what it returns on each. Raises Lost, MoreRoom, or what
        the function raises on one; all are ended then."""
        try:
            actors, environments = self._ordered()
            self._actors = actors
            running = {
                actor.call.remote(actors, environment, function, args, kwargs): rank
                for rank, (actor, environment) in enumerate(zip(actors, environments, strict=True))
            }
            results: dict[int, Any] = {}
            looked = time.monotonic()
            clock = None if self._timeout is None else Clock(actors, self._timeout)
            while running:
                ended, _ = self._ray.wait([*running], timeout=_LOOK)
                for reference in ended:
                    rank = running.pop(reference)
                    results[rank] = self._result(reference, rank)
                if not head_answers():
                    raise DistBackendError(
                        f"[train.ray.run] the head of Ray's cluster has not answered for "
                        f"{HEAD_LIMIT:g} s: it is lost or out of reach. Run this again when there "
                        "is one: the function goes on from its last checkpoint"
                    )
                if clock is not None and running and (hang := clock.stopped()):
                    raise Lost(hang)
                grow = self._grow_every
                if grow is not None and running and time.monotonic() - looked > grow:
                    looked = time.monotonic()
                    if has_more_room(self._needs):
                        raise MoreRoom
            return [results[rank] for rank in range(len(actors))]
        finally:
            for actor in self._actors:
                self._ray.kill(actor)

    def _ordered(self) -> tuple[list[Any], list[dict[str, str]]]:
        """The actors by node, and the environment of each."""
        errors = self._ray.exceptions
        try:
            found = [actor.place.remote() for actor in self._actors]
            at = self._ray.get(found, timeout=self._wait)
        except (errors.RayActorError, errors.GetTimeoutError) as error:
            raise Lost(f"a rank was lost as it was started ({error})") from error
        nodes = [node for _, node in at]
        first = {node: i for i, node in reversed([*enumerate(nodes)])}
        order = sorted(range(len(nodes)), key=lambda i: first[nodes[i]])
        local: Counter[str] = Counter()
        environments = []
        for rank, i in enumerate(order):
            environment = {
                "RANK": str(rank),
                "WORLD_SIZE": str(len(order)),
                "LOCAL_RANK": str(local[nodes[i]]),
            }
            if self._timeout is not None:
                environment["TAPEGRAD_DISTRIBUTED_TIMEOUT"] = str(self._timeout)
            environments.append(environment)
            local[nodes[i]] += 1
        self._at = [at[i] for i in order]
        return [self._actors[i] for i in order], environments

    def _result(self, reference: Any, rank: int) -> Any:
        errors, who = self._ray.exceptions, f"rank {rank} of {len(self._actors)}"
        try:
            return self._ray.get(reference)
        except errors.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, self._retried):
                raise Lost(f"{who} has raised {type(cause).__name__}: {cause}") from cause
            raise cause from DistError(f"{who} has raised this:\n{error}")
        except errors.RayError as error:
            process, node = self._at[rank]
            reason = str(error).partition("\n")[0]
            raise Lost(f"{who}, process {process} on node {node}, was lost: {reason}") from error
