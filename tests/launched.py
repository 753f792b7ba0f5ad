"""``tapegrad launch`` as a subprocess, for tests."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tapegrad.distributed.launch import find_mpiexec

TESTS = Path(__file__).parent


def needs_mpi() -> None:
    """Skip the tests of a module where there is nothing to start ranks with."""
    if importlib.util.find_spec("mpi4py") is None:
        pytest.skip("needs mpi4py, which the extra mpi brings", allow_module_level=True)
    try:
        find_mpiexec()
    except RuntimeError as error:
        pytest.skip(str(error), allow_module_level=True)


def begin(count: int, *script: object, **environment: str) -> subprocess.Popen[str]:
    """Run a script as ranks, in a session of its own, as if at another terminal; they give up a
    minute after the last sign of life of one of them."""
    command = [sys.executable, "-m", "tapegrad", "launch", "-n", str(count), *map(str, script)]
    settings = {"TAPEGRAD_DISTRIBUTED_TIMEOUT": "60", "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        command,
        env={**os.environ, **settings, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def launch(count: int, *script: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """``begin``, until it has ended."""
    with begin(count, *script, **environment) as started:
        try:
            out, error = started.communicate(timeout=300)
        finally:
            started.kill()
    return subprocess.CompletedProcess(started.args, started.returncode, out, error)
