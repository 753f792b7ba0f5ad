"""The same training function on a cluster of Ray: ranks that Ray places, and replaces when they are
lost.

``run`` starts as many ranks as there is room for, and waits. When one is gone, it ends the others
and starts the function anew on all: the function goes on from its last checkpoint, as it would when
it is started again by hand. So it needs nothing of Ray, and runs under ``tapegrad launch`` as it
is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .attempt import Lost, MoreRoom, Ranks
from .placing import Needs, load, places

__all__ = ["run"]


def run(
    function: Callable[..., Any],
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    ranks: int | tuple[int, int] = 1,
    cpus: float = 1,
    gpus: float = 0,
    resources: Mapping[str, float] | None = None,
    strategy: str = "PACK",
    max_failures: int = 3,
    retry: type[BaseException] | tuple[type[BaseException], ...] = (),
    patience: float = 10.0,
    wait: float = 300.0,
    timeout: float | None = None,
    grow_every: float | None = None,
) -> list[Any]:
    """Call ``function(*args, **kwargs)`` in several ranks on Ray's cluster, and return what it
    returns in each, in their order. Ray is initialised as it does by itself, unless it already is.

    The function begins with ``init_process_group()``, which finds the ranks, saves itself in a
    folder that all nodes see, and goes on from there if there is something: a ``train.Trainer``
    does so with ``checkpoints`` and ``save_every``, by ``fit(..., resume=True)``.

    ranks: how many, or the smallest and the largest number of them. When a rank starts, and after
    each loss, the run has the largest number for which there is room within ``patience`` seconds;
    it waits ``wait`` seconds for the smallest. ``grow_every`` so many seconds it looks whether
    there is room for more, and is started anew with them, from the last checkpoint. Each rank has
    ``cpus``, ``gpus`` and other ``resources`` of Ray, and is placed by its ``strategy``: "PACK" on
    few nodes, "SPREAD" on many, or the STRICT_ forms.

    A rank that is killed, or lost with its node, is replaced, and so are all where some have waited
    for another one for ``timeout`` seconds (TAPEGRAD_DISTRIBUTED_TIMEOUT, or 30 minutes), or, where
    a ``timeout`` is given, none has called another one for so long: it must be more than what they
    compute between two calls, and alone. After ``max_failures`` times this is a DistBackendError,
    which says what was lost. What the function raises in a rank ends the run, unless it is one of
    ``retry``: it is raised here, with the rank's traceback. Raises DistBackendError, too, where
    there is no room, and where the head of the cluster no longer answers, ImportError, with what to
    install, without Ray, and ValueError for numbers of ranks that make no sense, and ``grow_every``
    with a STRICT_ form.
    """
    least, most = (ranks, ranks) if isinstance(ranks, int) else ranks
    if not 1 <= least <= most:
        raise ValueError(
            f"[train.ray.run] ranks must be a number from 1 on, or the smallest and the largest, "
            f"got {ranks!r}"
        )
    if grow_every is not None and strategy.startswith("STRICT_"):
        raise ValueError(
            f"[train.ray.run] grow_every finds room for another rank anywhere, {strategy} may not "
            'place it there: say "PACK" or "SPREAD", or leave grow_every out'
        )
    ray = load()
    if not ray.is_initialized():
        ray.init()
    needs = Needs(cpus, gpus, dict(resources or {}), strategy)
    call = function, tuple(args), dict(kwargs or {})
    failures = 0
    while True:
        with places(needs, least, most, patience, wait) as group:
            more = grow_every if group.bundle_count < most else None
            try:
                return Ranks(group, needs, wait, timeout, retry, more).call(*call)
            except MoreRoom:
                continue
            except Lost as lost:
                failures += 1
                lost.report(failures, max_failures)
