"""Which of how many processes this is, as whoever started it has written into the environment."""

from __future__ import annotations

import os
from typing import NamedTuple

# Rank, number of ranks, rank among those on this machine: as PyTorch's scripts have them, then Open
# MPI's, MPICH's (and Intel MPI's), SLURM's of a step of srun, and of a job.
_VARIABLES = (
    ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),
    ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
)


class Place(NamedTuple):
    """Of this process: its rank, how many there are, and its rank on this machine."""

    rank: int
    world_size: int
    local_rank: int


def place() -> Place | None:
    """What the first family of variables says that is there; None: nobody has started several."""
    for rank, size, local in _VARIABLES:
        if rank in os.environ and size in os.environ:
            at = os.environ[rank]
            if local not in os.environ and os.environ.get("SLURM_PROCID") == at:
                local = "SLURM_LOCALID"  # which srun's PMI does not say
            return Place(int(at), int(os.environ[size]), int(os.environ.get(local, at)))
    return None


def timeout() -> float:
    """How many seconds a rank waits for others: TAPEGRAD_DISTRIBUTED_TIMEOUT, or half an hour."""
    return float(os.environ.get("TAPEGRAD_DISTRIBUTED_TIMEOUT", "1800"))


def debugging() -> bool:
    """Whether ranks compare what they are about to do: TAPEGRAD_DISTRIBUTED_DEBUG."""
    return os.environ.get("TAPEGRAD_DISTRIBUTED_DEBUG", "0") not in ("", "0", "off")
