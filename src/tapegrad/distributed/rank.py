"""What ``tapegrad launch`` starts as each rank: ``python rank.py script.py arguments...``, or with
``-m module``. (It imports nothing of tapegrad, and little else: it is two processes.)

The script runs in a child; the parent waits for it, and says what has become of it where it cannot
say so itself: as it was killed, or has left without a word. Whoever has started the ranks ends all
when one ends with another status than 0.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from functools import partial

# Beside this script, whose folder is on the path.
from last_words import STARTED, note, tell, tell_error  # type: ignore[import-not-found]

# (As in environment.py, which is not imported: the script may have a module of that name.)
_FAMILIES = (
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),
    ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
)


def _name_rank() -> str:
    """Put the rank where PyTorch's scripts look for it, and return it."""
    for rank, size, local in _FAMILIES:
        if rank in os.environ and size in os.environ:
            os.environ["RANK"] = os.environ[rank]
            os.environ["WORLD_SIZE"] = os.environ[size]
            os.environ["LOCAL_RANK"] = os.environ.get(local, os.environ[rank])
            break
    return os.environ.setdefault("RANK", "0")


def _run(arguments: list[str]) -> int:
    """Run the script or module as Python does; the status to end with."""
    try:
        if arguments[0] == "-m":
            sys.argv = arguments[1:]
            sys.path[0] = os.getcwd()
            runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = arguments
            sys.path[0] = os.path.dirname(os.path.abspath(arguments[0]))
            runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        print(ended.code, file=sys.stderr)
        return 1
    except BaseException as error:
        frames = error.__traceback__
        while frames is not None and frames.tb_frame.f_code.co_filename in (__file__, _RUNPY):
            frames = frames.tb_next
        sys.excepthook(type(error), error, frames or error.__traceback__)
        return 1
    return 0


_RUNPY = "<frozen runpy>"


def _child(arguments: list[str], rank: str, word: int) -> None:
    """Run the script, and say at the end that it came there."""

    # (distributed.watching has a hook that ends all ranks, too.)
    sys.excepthook = partial(tell_error, rank)
    status = _run(arguments)
    os.write(word, b"!")
    if status:
        tell(rank, [f"ends with status {status}: all ranks end"])
        sys.stderr.flush()
        os._exit(status % 256 or 1)
    sys.exit(0)


def main() -> int:
    """Start the child, wait, and return what status it has ended with."""
    rank, (reads, word) = _name_rank(), os.pipe()
    note(rank, STARTED)
    numbers = signal.SIGINT, signal.SIGTERM
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)  # until the parent has its own handlers
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
        os.close(reads)
        _child(sys.argv[1:], rank, word)
    os.close(word)
    sent = set()  # mpiexec sends signals to the child, too
    for number in numbers:
        signal.signal(number, lambda number, frame: sent.add(number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    said = os.read(reads, 1)
    if -code in sent:  # it is not the first to end
        return 128 - code
    if code < 0:
        what = f"was killed by {signal.Signals(-code).name}"
    elif not said:
        what = f"has left by os._exit({code})"
    else:
        return code
    tell(rank, [f"{what}: all ranks end"])
    return 128 - code if code < 0 else code or 1


if __name__ == "__main__":
    sys.exit(main())
