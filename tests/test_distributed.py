"""Ranks that exchange tensors and train together: what distributed_checks.py looks at, on 2 and 4
ranks, and what one process does alone."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from launched import TESTS, launch, needs_mpi

import tapegrad as tg
import tapegrad.distributed as dist
from tapegrad.distributed import environment, groups, watching
from tapegrad.distributed import launch as launching
from tapegrad.distributed.backend import Backend
from tapegrad.distributed.launch import find_mpiexec
from tapegrad.distributed.reductions import bounds

needs_mpi()

CHECKS = TESTS / "distributed_checks.py"
# Those that say something of arrays on a GPU.
ON_GPU = [
    "between_two_ranks",
    "checkpoints_load_into_any_division",
    "from_all_to_all",
    "from_one_to_all_and_back",
    "gradients_added_up_without_sync",
    "gradients_through_collectives",
    "many_at_a_time_in_any_order",
    "objects",
    "one_batch_on_any_number_of_ranks",
    "parameters_without_a_gradient",
    "reductions_of_all_operations_and_dtypes",
    "tensors_that_are_not_contiguous",
    "sixteen_bit_floats_are_added_in_float32_and_rounded_once",
    "the_norm_of_sharded_gradients_is_that_of_all",
]


def require_passed(folder: Path, count: int, ended: subprocess.CompletedProcess[str]) -> None:
    assert ended.returncode == 0, ended.stderr
    failed = {}
    for rank in range(count):
        results = json.loads((folder / f"results-{count}-{rank}.json").read_text())
        assert len(results) >= len(ON_GPU)
        failed |= {f"{name} on rank {rank}": text for name, text in results.items() if text}
    assert not failed, "\n".join(f"{name}:\n{text}" for name, text in failed.items())


def test_ranks(tmp_path: Path) -> None:
    """On 2 ranks, and on 4, which also load the checkpoints of the 2. In debug mode, which compares
    every collective before it."""
    for count, debug in ((2, "1"), (4, "0")):
        ended = launch(count, CHECKS, tmp_path, "mpi", TAPEGRAD_DISTRIBUTED_DEBUG=debug)
        require_passed(tmp_path, count, ended)


@pytest.mark.gpu
def test_ranks_with_gpus(tmp_path: Path) -> None:
    """On 2 GPUs, or on a stand-in for CuPy and NCCL."""
    if tg.cuda.device_count() < 2:
        pytest.skip("NCCL needs a GPU for each rank")
    require_passed(tmp_path, 2, launch(2, CHECKS, tmp_path, "nccl", *ON_GPU))


# ---------------------------------------------------------------------- one process


@pytest.fixture
def alone() -> Any:
    dist.init_process_group()
    yield
    dist.destroy_process_group()


def test_one_process_is_a_group(alone: None) -> None:
    assert (dist.get_rank(), dist.get_world_size(), dist.get_backend()) == (0, 1, "self")
    x = tg.tensor([1.0, 2.0])
    dist.all_reduce(x, dist.ReduceOp.AVG)
    dist.broadcast(x, 0)
    parts = [tg.zeros(2)]
    dist.all_gather(parts, x)
    dist.reduce(x, 0)
    dist.scatter(x, [parts[0]])
    dist.barrier()
    assert parts[0].tolist() == x.tolist() == [1, 2]
    found: list[Any] = []
    dist.all_gather_object(found, {"a": 1})
    assert found == [{"a": 1}]
    work = dist.all_reduce(x, async_op=True)
    assert work is not None
    assert work.is_completed()
    assert work.wait(timedelta(seconds=1))
    assert "call" in repr(work)
    model = tg.nn.parallel.DistributedDataParallel(tg.nn.Linear(2, 1))
    model(x).sum().backward()
    assert model.module.weight.grad.tolist() == [[1, 2]]
    assert [*model.state_dict()] == ["module.weight", "module.bias"]


def test_without_a_group() -> None:
    assert not dist.is_initialized()
    for call in (dist.get_rank, dist.barrier, lambda: dist.all_reduce(tg.ones(1))):
        with pytest.raises(ValueError, match=r"call distributed\.init_process_group"):
            call()
    with pytest.raises(ValueError, match='"mpi", "nccl", "self" or "auto"'):
        dist.init_process_group("carrier pigeon")
    with pytest.raises(ValueError, match="no process group"):
        tg.nn.parallel.DistributedDataParallel(tg.nn.Linear(1, 1))


def test_ranks_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for family in environment._VARIABLES:
        for name in family:
            monkeypatch.delenv(name, raising=False)
    assert environment.place() is None
    for rank, size, local in reversed(environment._VARIABLES):  # earlier ones count before later
        monkeypatch.setenv(rank, "3")
        monkeypatch.setenv(size, "8")
        monkeypatch.delenv("SLURM_LOCALID", raising=False)
        assert environment.place() == (3, 8, 3)
        monkeypatch.setenv(local, "1")
        assert environment.place() == (3, 8, 1)
    assert dist.get_node_local_rank() == 1
    # (In a process that goes on MPI is not to begin.)
    monkeypatch.setattr(groups, "load", lambda timeout: SimpleNamespace(COMM_WORLD=None))
    found = SimpleNamespace(rank=0, size=1, name="mpi")
    monkeypatch.setattr(groups, "MPIBackend", lambda communicator, timeout: found)
    with pytest.raises(ValueError, match=r"rank 3 of 8, mpi that it is 0 of 1.*tapegrad launch"):
        dist.init_process_group("mpi")
    monkeypatch.syspath_prepend(Path(launching.__file__).parent)
    rank = runpy.run_path(launching.__file__.replace("launch.py", "rank.py"))
    assert rank["_FAMILIES"] == environment._VARIABLES[1:]


# What SLURM sets in a batch script, then in the steps of srun.
JOB = {"SLURM_PROCID": "0", "SLURM_NTASKS": "8", "SLURM_LOCALID": "0"}
STEP = {"SLURM_PROCID": "5", "SLURM_STEP_NUM_TASKS": "6", "SLURM_NTASKS": "6", "SLURM_LOCALID": "1"}
ON_SLURM = {
    "a batch script that has forgotten srun": (JOB, (0, 8, 0)),
    "srun, MPI by PMIx or none": (STEP, (5, 6, 1)),
    "srun --preserve-env of fewer tasks than the job's": ({**STEP, "SLURM_NTASKS": "8"}, (5, 6, 1)),
    "srun --mpi=pmi2": ({**STEP, "PMI_RANK": "5", "PMI_SIZE": "6"}, (5, 6, 1)),
    "srun --pty bash": ({**JOB, "SLURM_STEP_NUM_TASKS": "1"}, (0, 1, 0)),
    "salloc": ({"SLURM_NTASKS": "8"}, None),
    "mpirun of MPICH in a batch script": (
        {**JOB, "PMI_RANK": "3", "PMI_SIZE": "4", "MPI_LOCALRANKID": "1"},
        (3, 4, 1),
    ),
    "mpirun of Open MPI in a batch script": (
        {
            **JOB,
            "OMPI_COMM_WORLD_RANK": "3",
            "OMPI_COMM_WORLD_SIZE": "4",
            "OMPI_COMM_WORLD_LOCAL_RANK": "1",
        },
        (3, 4, 1),
    ),
}


@pytest.mark.parametrize("how", ON_SLURM)
def test_ranks_on_slurm(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    for name in {name for family in environment._VARIABLES for name in family}:
        monkeypatch.delenv(name, raising=False)
    variables, place = ON_SLURM[how]
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert environment.place() == place


def test_where_there_is_no_mpiexec(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"pip install 'tapegrad\[mpi\]'"):
        find_mpiexec()


class Leaving(Backend):
    """Of two ranks, the first; the other says after a while that it ends."""

    name, rank, size, supervised = "leaving", 0, 2, True

    def __init__(self) -> None:
        self.coming = iter([None, None, None, (1, json.dumps(["end", ""]).encode())])

    def receive(self) -> Any:
        return next(self.coming, None)


def test_the_group_of_all_closes_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []
    monkeypatch.setattr(groups.SingleBackend, "close", lambda self: closed.append(self))
    dist.init_process_group()
    first, second = dist.new_group([0]), dist.new_group([0])
    dist.destroy_process_group(first)
    assert closed == [first.host]
    whole = groups.world()
    dist.destroy_process_group()
    assert closed == [first.host, second.host, whole.host]


class Never:
    def done(self) -> bool:
        return False


def test_without_a_watch_waiting_ends_too() -> None:
    call = watching.Call(0, 0, "init_process_group", "")
    with pytest.raises(dist.DistTimeoutError, match=r"\[init_process_group\] has waited 0 s"):
        watching.wait(Never(), call, (0, 1), 0)


@pytest.mark.parametrize("destroyed", [True, False])
def test_who_ends_waits_for_others(monkeypatch: pytest.MonkeyPatch, destroyed: bool) -> None:
    """For as long as they like once there is no group, else for its timeout."""
    monkeypatch.setattr(watching, "_watch", None)
    dist.init_process_group(host=Leaving(), timeout=-1)
    if destroyed:
        dist.destroy_process_group()
        watching._leave()
    else:
        with pytest.raises(SystemExit):
            watching._leave()
        dist.destroy_process_group()


def test_parts_are_all_there_is() -> None:
    for count in (0, 1, 5, 8, 1001):
        for size in (1, 2, 3, 7):
            parts = bounds(count, size)
            assert len(parts) == size
            assert np.concatenate([np.arange(count)[p] for p in parts]).tolist() == [*range(count)]


def test_unknown_arguments_are_refused(alone: None) -> None:
    layer = tg.nn.Linear(1, 1)
    ddp, shard = tg.nn.parallel.DistributedDataParallel, dist.fsdp.fully_shard
    for call in (dist.init_process_group, dist.new_group, dist.barrier, ddp, shard):
        with pytest.raises(TypeError, match="carrier"):
            call(*[layer] * (call in (ddp, shard)), carrier="pigeon")
    dist.new_group(pg_options=None, group_desc="all", device_id=None)
    for call, name in (
        (dist.new_group, "use_local_synchronization"),
        (ddp, "mixed_precision"),
        (ddp, "delay_all_reduce_named_params"),
        (shard, "mp_policy"),
        (shard, "offload_policy"),
        (shard, "ignored_params"),
    ):
        with pytest.raises(NotImplementedError, match=name):
            call(*[layer] * (call is not dist.new_group), **{name: True})


def test_what_there_is_not() -> None:
    for call in (dist.init_device_mesh, dist.fsdp.FullyShardedDataParallel, dist.Join):
        with pytest.raises(NotImplementedError, match="there is nothing like it here: "):
            call(tg.nn.Linear(1, 1))
