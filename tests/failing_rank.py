"""A rank that does not do what the others wait for: ``failing_rank.py HOW STEP``."""

from __future__ import annotations

import os
import signal
import sys
import time

import tapegrad as tg
import tapegrad.distributed as dist

how, at = sys.argv[1], int(sys.argv[2])
# Those that do not come are missed after a while that others do not take, on a busy machine either.
patience = 5 if how in ("hangs", "is stopped", "calls another") else 60
if how == "comes after MPI has started":
    from mpi4py import MPI  # noqa: F401
if how == "never comes to NCCL":
    import strict_nccl

    from tapegrad.distributed import nccl

    strict_nccl.install()
    if os.environ["RANK"] == "1":
        nccl.make_current = lambda device: time.sleep(100)
    dist.init_process_group("nccl", timeout=5)
if how in ("comes after MPI has started", "never comes"):
    if os.environ["RANK"] == "1":
        time.sleep(100)
    dist.init_process_group(timeout=3)
dist.init_process_group()
dist.GroupMember.WORLD.timeout = patience
x = tg.ones(10)
for step in range(20):
    if step == at and dist.get_rank() == 1:
        if how == "raises":
            raise ValueError("a broken batch")
        elif how == "exits":
            sys.exit(3)
        elif how == "ends":
            sys.exit()
        elif how == "leaves":
            os._exit(0)
        elif how == "is killed":
            os.kill(os.getpid(), signal.SIGKILL)
        elif how == "hangs":
            time.sleep(100)
        elif how == "is stopped":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif how == "calls another":
            dist.broadcast(x, 0)
        elif how == "has another shape":
            dist.all_reduce(tg.ones(11))
        elif how == "broadcasts another shape":
            dist.broadcast(tg.ones(11), 0)
    if how == "hangs" and step == at:
        dist.new_group([0, 2])
    if how == "broadcasts another shape" and step == at and dist.get_rank() != 1:
        dist.broadcast(x, 0)
    dist.all_reduce(x, dist.ReduceOp.AVG)
