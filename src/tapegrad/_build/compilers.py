"""The compilers of this machine, and running them."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .sources import BuildError, CompilerError


@dataclass(frozen=True)
class Compiler:
    """A compiler, by the words its command line starts with."""

    command: tuple[str, ...]
    version: str

    def __str__(self) -> str:
        return f"{self.command[0]} ({self.version})"

    @property
    def is_clang(self) -> bool:
        return "clang" in self.version


def find_cxx(environ: Mapping[str, str] = os.environ) -> Compiler | None:
    """The C++ compiler: ``CXX`` if it is set, else g++, clang++ or c++ from the path."""
    chosen = environ.get("CXX")
    candidates = [shlex.split(chosen)] if chosen else [["g++"], ["clang++"], ["c++"]]
    for command in candidates:
        path = shutil.which(command[0], path=environ.get("PATH"))
        if path:
            version = output_of([path, "--version"]).partition("\n")[0].strip()
            return Compiler((path, *command[1:]), version)
    return None


def find_nvcc(environ: Mapping[str, str] = os.environ) -> Compiler | None:
    """nvcc: from ``CUDA_HOME`` or ``CUDA_PATH``, the path, NVIDIA's wheels, or /usr/local/cuda."""
    candidates = [
        Path(environ[name]) / "bin" for name in ("CUDA_HOME", "CUDA_PATH") if environ.get(name)
    ]
    candidates += [Path(folder) for folder in environ.get("PATH", "").split(os.pathsep) if folder]
    # An isolated build hides site-packages from sys.path, but sysconfig still knows where it is.
    sites = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *sys.path])
    for site in filter(None, sites):
        candidates += sorted(Path(site).glob("nvidia/cu*/bin"), reverse=True)
    candidates.append(Path("/usr/local/cuda/bin"))
    for folder in candidates:
        path = shutil.which("nvcc", path=str(folder))
        if path:
            version = re.search(r"V([\d.]+)", output_of([path, "--version"]))
            return Compiler((path,), f"nvcc {version[1] if version else 'of unknown version'}")
    return None


def toolkit(nvcc: Compiler) -> Path:
    """The folder that nvcc's toolkit lies in. nvcc says it itself: the command on the path may be a
    link, or a script that calls it elsewhere."""
    said = output_of([*nvcc.command, "--dryrun", "-E", "-x", "cu", os.devnull], "stderr")
    here = re.search(r"^#\$ _HERE_=(.+)$", said, re.MULTILINE)
    return Path(here[1] if here else Path(nvcc.command[0]).resolve().parent).parent


def output_of(command: Sequence[str], stream: str = "stdout") -> str:
    """What a command says, "" where it fails or takes more than a minute."""
    try:
        run = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=True, timeout=60
        )
        return str(getattr(run, stream))
    except (OSError, subprocess.SubprocessError):
        return ""


def cores() -> int:
    """The cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run(command: Sequence[str], subject: str) -> str:
    try:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, errors="replace"
        )
    except OSError as error:
        raise BuildError(f"{subject} failed: cannot run {command[0]}: {error}") from error
    if done.returncode != 0:
        output = (done.stdout + done.stderr).strip()
        raise CompilerError(f"{subject} failed\n{shlex.join(command)}\n{output}", output)
    return done.stdout + done.stderr
