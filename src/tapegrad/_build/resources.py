"""What kernels need of a GPU, as its assembler reports it."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from .architectures import Architectures
from .compilers import cores, find_nvcc, run
from .kernel_plans import NVCC_FLAGS
from .sources import BuildError


@dataclass(frozen=True)
class Resources:
    """What one kernel needs on one architecture, as ptxas reports it."""

    kernel: str
    architecture: str
    registers: int
    shared: int
    stack: int
    spill_stores: int
    spill_loads: int


def parse_resources(report: str) -> list[Resources]:
    """Reads the output of ``nvcc -Xptxas -v``."""
    found = []
    header = r"Compiling entry function '(.+?)' for 'sm_(\w+)'"
    parts = re.split(header, report)
    for name, architecture, body in zip(parts[1::3], parts[2::3], parts[3::3], strict=False):
        # Functions that the kernel calls report their stack too; the kernel's own comes first.
        numbers = {
            key: int(match[1]) if (match := re.search(pattern, body)) else 0
            for key, pattern in {
                "registers": r"Used (\d+) registers",
                "shared": r"(\d+) bytes smem",
                "stack": r"(\d+) bytes stack frame",
                "spill_stores": r"(\d+) bytes spill stores",
                "spill_loads": r"(\d+) bytes spill loads",
            }.items()
        }
        found.append(Resources(_shorten(name), architecture, **numbers))
    return found


def measure_resources(files: Sequence[Path], architectures: Architectures) -> list[Resources]:
    nvcc = find_nvcc()
    if nvcc is None:
        raise BuildError("the resource report needs nvcc")
    real = Architectures(architectures.real, ())

    def measure(file: Path) -> list[Resources]:
        with tempfile.TemporaryDirectory() as folder:
            command = [*nvcc.command, *NVCC_FLAGS, *real.flags(), "-Xptxas", "-v", "-c", str(file)]
            report = run([*command, "-o", str(Path(folder) / "object.o")], f"compiling {file.name}")
        return parse_resources(_demangled(report))

    with ThreadPoolExecutor(cores()) as executor:
        return [entry for entries in executor.map(measure, files) for entry in entries]


def _demangled(text: str) -> str:
    """Names as C++ has them, where there is a tool that knows."""
    if not shutil.which("c++filt"):
        return text
    done = subprocess.run(["c++filt"], input=text, capture_output=True, text=True, errors="replace")
    return done.stdout


def _shorten(name: str) -> str:
    """Drops from a demangled kernel its result type, namespaces and parameters."""
    name = name.replace("(anonymous namespace)::", "").removeprefix("void ")
    return re.sub(r"\((?:int|bool)\)", "", name).partition("(")[0]


def print_resources(found: Sequence[Resources]) -> None:
    print(f"{'arch':>5} {'regs':>5} {'shared':>7} {'stack':>6} {'spills':>7}  kernel")
    for entry in found:
        spills = entry.spill_stores + entry.spill_loads
        print(
            f"{entry.architecture:>5} {entry.registers:>5} {entry.shared:>7} {entry.stack:>6} "
            f"{spills:>7}  {entry.kernel}"
        )
    spilling = sum(entry.spill_stores + entry.spill_loads > 0 for entry in found)
    print(f"{len(found)} kernels, {spilling} with spills")
