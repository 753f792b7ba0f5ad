"""Break the kernels on purpose, one barrier or bounds check at a time, and see the tests notice.

A developer's tool, not part of the test run. Every ``__syncthreads()``, ``__syncwarp()`` and
shuffle is deleted in turn, atomic operations become plain ones, and every comparison in a condition
is decided beforehand, the way that lets pass what it would have held back. Each mutant is compiled
in a temporary folder, and the rows of the kernel table that it can affect are run. A mutant that
survives is a check that is not needed, or is not tested, or only chooses the faster of two ways::

    python tools/mutate_kernels.py                     # all of them, some hours
    python tools/mutate_kernels.py matmul.cu row.cuh   # those in these files, steps.h for example
    python tools/mutate_kernels.py --list
    python tools/mutate_kernels.py --checks            # what the checked build reports by itself

With ``--checks`` no value is compared: one serial run of float32 and float16 rows in the checked
build has to report the mutant.
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
SECONDS_WITH_CHECKS = 900  # there a hang is no report
REPORTS = re.compile(
    "race on|out of bounds|nothing wrote|misaligned|waits (?:at|for)|deadlock|masks disagree"
)


def described(file: Path, mutant: Mutant) -> str:
    return f"{file.name}:{mutant}"


def all_mutants(file: Path) -> list[Mutant]:
    return [*mutants(file.read_text())]


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


FEW_DTYPES = re.compile(r".*::launcher\(#name, \"(float64|bfloat16)\"\).*\n")


def verdict(folder: Path, selection: str, by_checks: bool) -> str:
    environ = {
        **os.environ,
        "PYTHONPATH": str(folder / "src"),
        "TAPEGRAD_CACHE": str(folder / "cache"),
        "CXXFLAGS": "-O0",  # compiling takes longer than testing
    }
    build = [sys.executable, "-m", "tapegrad._build", "emulated"]
    test = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:xdist", "-k", selection]
    if by_checks:
        build[-1] = "emulated_checked"
        environ["TAPEGRAD_NATIVE"] = "off"
        test += ["-m", "checked", "tests/test_kernels_checked.py"]
    else:
        test += ["tests/test_kernels.py"]
    seconds = SECONDS_WITH_CHECKS if by_checks else SECONDS
    try:
        for command, failure in ((build, "does not compile"), (test, "killed")):
            done = subprocess.run(
                command, cwd=folder, env=environ, capture_output=True, text=True, timeout=seconds
            )
            if done.returncode != 0:
                report = REPORTS.search(done.stdout) if by_checks else None
                return f"reported ({report[0]})" if report else failure
    except subprocess.TimeoutExpired:
        return "killed (by the clock)"
    return "SURVIVED"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("files", nargs="*", help="file names in kernels/, all by default")
    parser.add_argument("--list", action="store_true", help="only list the mutants")
    parser.add_argument("--checks", action="store_true", help="judge by the checked build alone")
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
        if options.checks:
            header = folder / "kernels" / "launch.h"
            header.write_text(FEW_DTYPES.sub(r"\\\n", header.read_text()))
        for file in files:
            start = "[" if options.checks else "[emulated-"
            names = [launcher for user in users(file) for launcher in launchers(user)]
            selection = " or ".join(start + name for name in names)
            if options.checks:
                selection = f"({selection}) and not float64 and not bfloat16"
            copy = folder / "kernels" / file.name
            original = copy.read_text()
            if verdict(folder, selection, options.checks) != "SURVIVED":
                print(f"{file.name}: the tests fail without any mutant", flush=True)
                return 1
            for mutant in todo[file]:
                name = described(file, mutant)
                started = time.perf_counter()
                copy.write_text(mutant.source())
                outcome = verdict(folder, selection, options.checks)
                copy.write_text(original)
                survivors += [name] if outcome == "SURVIVED" else []
                print(f"{outcome:10} {name} ({time.perf_counter() - started:.0f} s)", flush=True)
    print(f"{sum(map(len, todo.values()))} mutants, {len(survivors)} survived")
    print(*survivors, sep="\n")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
