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


def launch(count: int, *script: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script as ranks; they give up a minute after the last sign of life of one of them."""
    command = [sys.executable, "-m", "tapegrad", "launch", "-n", str(count), *map(str, script)]
    settings = {"TAPEGRAD_DISTRIBUTED_TIMEOUT": "60", "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        command,
        env={**os.environ, **settings, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
