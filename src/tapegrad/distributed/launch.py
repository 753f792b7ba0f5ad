"""``tapegrad launch``: a script as several ranks, by the mpiexec that is there."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from . import last_words
from .mpi import HINT


def find_mpiexec() -> str:
    """The mpiexec beside this Python, as wheels bring it, or on the PATH. Raises RuntimeError, with
    what to install, where there is none."""
    folders = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])
    for name in ("mpiexec", "mpirun"):
        if (found := shutil.which(name, path=folders)) is not None:
            return found
    raise RuntimeError(f"there is no mpiexec beside {sys.executable} and none on the PATH: {HINT}")


def launch(count: int, script: Sequence[str], options: Sequence[str] = ()) -> int:
    """Run ``script``, a file or ``-m module`` and its arguments, as ``count`` ranks, with further
    ``options`` for mpiexec; the status of the first that failed, or 0. Raises RuntimeError where
    there is no mpiexec."""
    mpiexec = find_mpiexec()
    environment = dict(os.environ)
    if count > 1:  # the threads of one rank would wait for those of others
        environment.setdefault("OMP_NUM_THREADS", "1")
        environment.setdefault("OPENBLAS_NUM_THREADS", environment["OMP_NUM_THREADS"])
    rank = str(Path(__file__).with_name("rank.py"))
    command = [mpiexec, *options, *_openmpi_options(mpiexec), "-n", str(count)]
    with tempfile.TemporaryDirectory(prefix="tapegrad-") as folder:
        environment[last_words.FOLDER] = folder
        said = Path(folder, last_words.SAID)
        said.touch()
        status = _run([*command, sys.executable, rank, *script], environment)
        sys.stderr.write(said.read_text(errors="replace"))
    return status


def _run(command: list[str], environment: dict[str, str]) -> int:
    """The status of mpiexec, which hands signals on to the ranks: the terminal's CTRL-C it gets
    itself, SIGTERM from here."""
    process = None

    def hand_on(number: int, frame: FrameType | None) -> None:
        if process is not None and number == signal.SIGTERM:
            process.send_signal(number)

    # (Not SIG_IGN, which mpiexec would inherit.)
    before = {number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        process = subprocess.Popen(command, env=environment)
        return process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def is_openmpi(mpiexec: str) -> bool:
    """Whether it is Open MPI's, or its PRRTE's."""
    said = subprocess.run([mpiexec, "--version"], capture_output=True, text=True, check=False)
    return "Open MPI" in said.stdout or "prte" in said.stdout.lower()


def _openmpi_options(mpiexec: str) -> list[str]:
    """What Open MPI wants to be told before it runs more ranks than there are cores, or as root."""
    if not is_openmpi(mpiexec):
        return []
    as_root = ["--allow-run-as-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return ["--oversubscribe", *as_root]
