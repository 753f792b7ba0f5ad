"""Groups of ranks: the one of all, which ``init_process_group`` makes, and those of some."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta
from itertools import count
from typing import Any

import numpy as np

from tapegrad.core.devices import Device
from tapegrad.ops.common.arguments import refuse

from . import environment, last_words, watching
from .backend import Backend
from .errors import DistError
from .mpi import HINT, MPIBackend, load
from .single import SingleBackend
from .watching import Call


class ProcessGroup:
    """Ranks that make the same calls in the same order. ``ranks``: theirs in the group of all."""

    def __init__(
        self, number: int, ranks: Sequence[int], host: Backend, gpu: Backend | None, timeout: float
    ):
        self.number, self.ranks, self.timeout = number, tuple(ranks), timeout
        self.host, self.gpu = host, gpu
        self._sequence = count()
        self.subgroups: list[ProcessGroup] = []  # of the group of all, until they are destroyed

    def rank(self) -> int:
        """Of this process, in the group."""
        return self.host.rank

    def size(self) -> int:
        """How many ranks there are."""
        return self.host.size

    def backend_for(self, device: Device) -> Backend:
        """What carries arrays of this device; those of a GPU go through the host's memory where
        there is no NCCL."""
        return self.gpu if self.gpu is not None and device.type == "cuda" else self.host

    def next_call(self) -> int:
        """The number of a collective, the same on all ranks."""
        return next(self._sequence)

    def meet(self, op: str) -> None:
        """Wait until all ranks have come to this call. Raises as ``Work.wait`` does."""
        sequence = self.next_call()
        here = np.zeros((self.size(), 1), np.uint8)
        pending = self.host.all_gather(here[0].copy(), here, tag_of(sequence))
        watching.wait(pending, Call(self.number, sequence, op, ""), self.ranks, self.timeout)

    def __repr__(self) -> str:
        return f"<ProcessGroup {self.number}: ranks {[*self.ranks]}, {get_backend(self)}>"


def tag_of(sequence: int) -> int:
    """Under which a collective sends (those of send and recv are even)."""
    return 2 * (sequence % 2**14) + 1


class GroupMember:
    """What ``new_group`` returns to ranks that are not in the group, and the group of all."""

    WORLD: ProcessGroup | None = None
    NON_GROUP_MEMBER = object()


_numbers = count()


_offered: Backend | None = None


def offer(host: Backend) -> None:
    """Let ``init_process_group`` use this backend in this process. Whoever starts ranks by other
    means than MPI calls it in each, so that a function that they run need not know."""
    global _offered
    _offered = host


def is_available() -> bool:
    """Whether there is something for ``init_process_group`` to use: there is, for one process."""
    return True


def is_initialized() -> bool:
    """Whether ``init_process_group`` was called."""
    return GroupMember.WORLD is not None


def is_mpi_available() -> bool:
    """Whether mpi4py finds an MPI."""
    try:
        load()
    except ImportError:
        return False
    return True


def is_nccl_available() -> bool:
    """Whether CuPy has NCCL."""
    from .nccl import is_available as found

    return found()


def init_process_group(
    backend: str | None = None,
    init_method: str | None = None,
    timeout: timedelta | float | None = None,
    world_size: int = -1,
    rank: int = -1,
    store: Any = None,
    group_name: str = "",
    pg_options: Any = None,
    device_id: Any = None,
    *,
    communicator: Any = None,
    host: Backend | None = None,
) -> None:
    """Make the group of all ranks. ``backend``: "mpi"; "nccl" for arrays on GPUs, and MPI for the
    others; "self" for one process; "auto" (also None): NCCL where CuPy has it, beside MPI, where
    several processes were started, else "self". ``timeout``, a timedelta or seconds: how long
    ranks wait for each other, here too (TAPEGRAD_DISTRIBUTED_TIMEOUT, or 30 minutes).

    The ranks are those of MPI's COMM_WORLD, or of ``communicator``, one of mpi4py's. Whoever has
    started the processes in another way gives a ``host`` backend (see distributed.backend), as
    ``train.ray.run`` does for its ranks: there Ray stands for MPI, whatever backend is named.
    ``init_method``, ``store``, ``group_name``, ``pg_options`` and ``device_id`` change nothing: MPI
    knows how to find the others.

    Raises RuntimeError where there is a group already, ValueError for an unknown backend, or where
    ``rank`` and ``world_size``, or RANK and WORLD_SIZE, are not what MPI says, and ImportError,
    with what to install, without mpi4py. Raises DistTimeoutError where ranks do not come; where MPI
    waits for them as it starts, which cannot be left, the process ends, and says so.
    """
    if is_initialized():
        raise RuntimeError("[init_process_group] there is a process group already")
    name = (backend or "auto").lower().replace("cpu:gloo,cuda:", "").replace("cpu:mpi,cuda:", "")
    if name not in ("auto", "mpi", "nccl", "self"):
        raise ValueError(
            f'[init_process_group] backend must be "mpi", "nccl", "self" or "auto", not {backend!r}'
        )
    place, seconds = environment.place(), _seconds(timeout)
    if communicator is None and host is None and name != "self":
        host = _offered
    if host is None:
        alone = communicator is None and (place is None or place.world_size == 1)
        if name == "self" or (name == "auto" and alone):
            host = SingleBackend()
        else:
            if place is not None:
                last_words.note(place.rank)
            mpi = load(seconds)
            host = MPIBackend(mpi.COMM_WORLD if communicator is None else communicator, seconds)
        if communicator is None:
            _check_place(host, place, rank, world_size)
    if name == "auto" and host.size > 1:
        name = "nccl" if is_nccl_available() else "mpi"
    watching.begin(host, seconds)
    gpu = None
    if name == "nccl":
        from .nccl import NCCLBackend

        local = place.local_rank if place is not None else 0
        gpu = NCCLBackend(host, range(host.size), seconds, local)
    GroupMember.WORLD = ProcessGroup(next(_numbers), range(host.size), host, gpu, seconds)


def _seconds(timeout: timedelta | float | None) -> float:
    if timeout is None:
        return environment.timeout()
    return timeout.total_seconds() if isinstance(timeout, timedelta) else float(timeout)


def _check_place(host: Backend, place: environment.Place | None, rank: int, size: int) -> None:
    """Raise ValueError where others say that there are other ranks than MPI has."""
    said = [("rank= and world_size=", rank, size)] if rank >= 0 and size >= 0 else []
    if place is not None:
        said.append(("the environment", place.rank, place.world_size))
    for who, rank, size in said:
        if (rank, size) != (host.rank, host.size):
            raise ValueError(
                f"[init_process_group] {who} say{'s' if who[-1] != '=' else ''} that this is rank "
                f"{rank} of {size}, {host.name} that it is {host.rank} of {host.size}: start the "
                f"ranks with 'tapegrad launch -n {size} script.py', mpirun, or srun with the MPI's "
                f"own way to meet ('srun --mpi=list' names those that there are); {HINT}"
            )


def world() -> ProcessGroup:
    """The group of all ranks. Raises ValueError before ``init_process_group``."""
    if GroupMember.WORLD is None:
        raise ValueError(
            "there is no process group: call distributed.init_process_group() first, in a script "
            "started with 'tapegrad launch -n 2 script.py'"
        )
    return GroupMember.WORLD


def group_of(group: Any) -> ProcessGroup | None:
    """The group that an argument ``group=`` means, None: that of all ranks; None if this rank is
    not in it."""
    if group is GroupMember.NON_GROUP_MEMBER:
        return None
    return world() if group is None else group


def destroy_process_group(group: ProcessGroup | None = None) -> None:
    """Let go of a group, by default of that of all ranks, and with it of all others."""
    own = group_of(group)
    if own is None:
        return
    if own is GroupMember.WORLD:
        for subgroup in [*own.subgroups]:
            destroy_process_group(subgroup)
        GroupMember.WORLD = None
        watching.release()
    elif GroupMember.WORLD is not None and own in GroupMember.WORLD.subgroups:
        GroupMember.WORLD.subgroups.remove(own)
    for backend in (own.gpu, own.host):
        if backend is not None:
            backend.close()


def new_group(
    ranks: Sequence[int] | None = None,
    timeout: timedelta | float | None = None,
    backend: str | None = None,
    pg_options: Any = None,
    use_local_synchronization: bool = False,
    group_desc: str | None = None,
    device_id: Any = None,
) -> Any:
    """The group of these ranks, in increasing order; GroupMember.NON_GROUP_MEMBER on others. All
    ranks of the world call it, for all groups in the same order; ``backend``,
    ``pg_options``, ``group_desc`` and ``device_id`` change nothing. Raises ValueError for ranks
    that there are not, or twice, NotImplementedError for ``use_local_synchronization``, and what
    ``Work.wait`` raises where ranks do not come."""
    refuse("new_group", use_local_synchronization=use_local_synchronization)
    whole = world()
    chosen = [*range(whole.size())] if ranks is None else sorted(ranks)
    if len({*chosen}) < len(chosen) or not {*chosen} <= {*range(whole.size())} or not chosen:
        raise ValueError(
            f"[new_group] ranks must be different ones of 0 to {whole.size() - 1}, got {ranks!r}"
        )
    number = next(_numbers)
    whole.meet("new_group")  # what MPI splits, it waits for without end
    host = whole.host.split(chosen)
    if host is None:
        return GroupMember.NON_GROUP_MEMBER
    seconds = whole.timeout if timeout is None else _seconds(timeout)
    gpu = None if whole.gpu is None else whole.gpu.among(host, chosen, seconds)  # type: ignore
    made = ProcessGroup(number, chosen, host, gpu, seconds)
    whole.subgroups.append(made)
    return made


def get_rank(group: ProcessGroup | None = None) -> int:
    """Of this process in the group, by default that of all; -1 if it is not in it."""
    own = group_of(group)
    return -1 if own is None else own.rank()


def get_world_size(group: ProcessGroup | None = None) -> int:
    """How many ranks the group has; -1 on those that are not in it."""
    own = group_of(group)
    return -1 if own is None else own.size()


def get_backend(group: ProcessGroup | None = None) -> str:
    """What carries the arrays of the group: "mpi", "nccl", "ray" or "self"."""
    own = group_of(group)
    if own is None:
        raise DistError("[get_backend] this rank is not in the group")
    return own.host.name if own.gpu is None else own.gpu.name


def get_process_group_ranks(group: ProcessGroup | None) -> list[int]:
    """The group's ranks, in the group of all."""
    own = group_of(group)
    return [] if own is None else [*own.ranks]


def get_global_rank(group: ProcessGroup, group_rank: int) -> int:
    """The rank in the group of all of a rank of this group. Raises ValueError for none."""
    if not 0 <= group_rank < len(group.ranks):
        raise ValueError(f"[get_global_rank] {group!r} has no rank {group_rank}")
    return group.ranks[group_rank]


def get_group_rank(group: ProcessGroup, global_rank: int) -> int:
    """The rank in this group of a rank of the group of all. Raises ValueError if it is not in
    it."""
    if global_rank not in group.ranks:
        raise ValueError(f"[get_group_rank] rank {global_rank} is not in {group!r}")
    return group.ranks.index(global_rank)


def get_node_local_rank(fallback_rank: int | None = None) -> int:
    """This process's rank on its machine, by the environment. Raises RuntimeError where that does
    not say it, and there is no fallback."""
    place = environment.place()
    if place is not None:
        return place.local_rank
    if fallback_rank is None:
        raise RuntimeError("[get_node_local_rank] LOCAL_RANK is not set")
    return fallback_rank


def is_torchelastic_launched() -> bool:
    """Whether torchrun has started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ
