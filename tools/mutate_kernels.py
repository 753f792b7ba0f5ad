"""Break the kernels on purpose, one barrier or bounds check at a time, and see the tests notice.

A developer's tool, not part of the test run. Every ``__syncthreads()``, ``__syncwarp()`` and
shuffle is deleted in turn, and every comparison in a condition decided beforehand, the way that
lets pass what it would have held back. Each mutant is compiled in a temporary folder, and the rows
of the kernel table that it can affect are run. A mutant that survives is a check that is not
needed, or is not tested, or only chooses the faster of two ways::

    python tools/mutate_kernels.py                     # all of them, some hours
    python tools/mutate_kernels.py matmul.cu row.cuh   # those in these files, steps.h for example
    python tools/mutate_kernels.py --list
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tapegrad.custom.mutants import Mutant, blank_comments, mutants

ROOT = Path(__file__).resolve().parents[1]
KERNELS = ROOT / "kernels"
SECONDS = 200  # for building, and for testing a mutant; one that hangs is noticed, too


def described(file: Path, mutant: Mutant) -> str:
    return f"{file.name}:{mutant}"


def all_mutants(file: Path) -> list[Mutant]:
    """Those that no thread's turn can hide: the emulator changes threads at barriers only, so that
    an atomic that is none computes the same."""
    return [mutant for mutant in mutants(file.read_text()) if mutant.kind != "atomic"]


# ---- what a file affects ----


def users(file: Path) -> list[Path]:
    """The .cu files that contain this one."""
    if file.suffix == ".cu":
        return [file]
    line = f'#include "{file.name}"'
    including = [path for path in KERNELS.glob("*.cu*") if line in path.read_text()]
    return sorted({user for path in including for user in users(path)})


def launchers(file: Path) -> list[str]:
    """Those that the file registers; where a macro makes several of one name, its beginning."""
    text = blank_comments(file.read_text())
    found = re.findall(r"^(?:LAUNCHER(?:_AS)?|ELEMENTWISE|FUNCTION)\((\w+)", text, re.MULTILINE)
    if "FOR_EACH_STEP" in text:
        steps = (KERNELS / "steps.h").read_text()
        found += [f"{name}_step" for name in re.findall(r"^ +use\((\w+),", steps, re.MULTILINE)]
    return found


# ---- building and testing ----


def copy_tree(folder: Path) -> None:
    for name in ("src", "kernels", "csrc", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.so", "*.pyc"))
    shutil.copy(ROOT / "pyproject.toml", folder)


def verdict(folder: Path, selection: str) -> str:
    environ = {
        **os.environ,
        "PYTHONPATH": str(folder / "src"),
        "TAPEGRAD_CACHE": str(folder / "cache"),
        "CXXFLAGS": "-O0",  # compiling takes longer than testing
    }
    build = [sys.executable, "-m", "tapegrad._build", "emulated"]
    test = [sys.executable, "-m", "pytest", "-x", "-q", "tests/test_kernels.py", "-k", selection]
    try:
        for command, failure in ((build, "does not compile"), (test, "killed")):
            done = subprocess.run(
                command, cwd=folder, env=environ, capture_output=True, timeout=SECONDS
            )
            if done.returncode != 0:
                return failure
    except subprocess.TimeoutExpired:
        return "killed (by the clock)"
    return "SURVIVED"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("files", nargs="*", help="file names in kernels/, all by default")
    parser.add_argument("--list", action="store_true", help="only list the mutants")
    options = parser.parse_args()
    files = [KERNELS / name for name in options.files] or sorted(KERNELS.glob("*.cu*"))
    todo = {file: all_mutants(file) for file in files}
    if options.list:
        print(*(described(file, mutant) for file in files for mutant in todo[file]), sep="\n")
        return 0

    survivors: list[str] = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as temporary:
        folder = Path(temporary)
        copy_tree(folder)
        for file in files:
            selection = " or ".join(
                f"[emulated-{launcher}" for user in users(file) for launcher in launchers(user)
            )
            copy = folder / "kernels" / file.name
            original = copy.read_text()
            if verdict(folder, selection) != "SURVIVED":
                print(f"{file.name}: the tests fail without any mutant", flush=True)
                return 1
            for mutant in todo[file]:
                name = described(file, mutant)
                started = time.perf_counter()
                copy.write_text(mutant.source())
                outcome = verdict(folder, selection)
                copy.write_text(original)
                survivors += [name] if outcome == "SURVIVED" else []
                print(f"{outcome:10} {name} ({time.perf_counter() - started:.0f} s)", flush=True)
    print(f"{sum(map(len, todo.values()))} mutants, {len(survivors)} survived")
    print(*survivors, sep="\n")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
