"""Break the kernels on purpose, one barrier or bounds check at a time, and see the tests notice.

A developer's tool, not part of the test run. Every ``__syncthreads()``, ``__syncwarp()`` and
shuffle is deleted in turn, atomic operations become plain ones, and every comparison in a condition
is decided beforehand, the way that lets pass what it would have held back. All are compiled
together, in a temporary folder; then one after the other is switched on, and the rows of the kernel
table that it can affect are run. A mutant that survives is a check that is not needed, or is not
tested; or it is equivalent, as where it only chooses the faster of two ways: such are listed, each
with its proof, in ``equivalent_mutants.txt`` beside this file::

    python tools/mutate_kernels.py                     # all of them
    python tools/mutate_kernels.py matmul.cu row.cuh   # those in these files, steps.h for example
    python tools/mutate_kernels.py matmul.cu:122       # those in this line
    python tools/mutate_kernels.py --list
    python tools/mutate_kernels.py --checks            # what the checked build reports by itself

With ``--checks`` no value is compared: one serial run of the rows in float32 and float16 in the
checked build has to report the mutant.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tapegrad import _build
from tapegrad.custom.mutants import Mutant, blank_comments, mutants

ROOT = Path(__file__).resolve().parents[1]
KERNELS = ROOT / "kernels"
EQUIVALENT = ROOT / "tools" / "equivalent_mutants.txt"
TIMES = 20  # the processor time without any mutant: what takes longer hangs, and so is noticed, too
REPORTS = re.compile(
    "race on|out of bounds|nothing wrote|misaligned|waits (?:at|for)|deadlock|masks disagree|"
    "must be at least 1|a block has at most|without having waited"
)


@dataclass(frozen=True)
class KernelMutant(Mutant):
    """A mutant of one of the kernels' files; repeat: which of those there with the same text."""

    file: Path
    repeat: int

    def switch(self, number: int) -> str:
        """What stands in its place where the mutants of a file are compiled together."""
        before = self.original[self.start : self.end]
        if before.endswith(";"):
            return f"if (chosen_mutant == {number}) {{ {self.replacement} }} else {{ {before} }}"
        return f"(chosen_mutant == {number} ? ({self.replacement}) : ({before}))"

    @property
    def name(self) -> str:
        """What it is called in the list, which outlives changes in the lines before it."""
        text = " ".join(self.original[self.start : self.end].split())
        return f"{self.file.name}: {text}" + (f" ({self.repeat})" if self.repeat > 1 else "")

    def __str__(self) -> str:
        return f"{self.file.name}:{super().__str__()}"


def mutants_of(file: Path) -> Iterator[KernelMutant]:
    texts: Counter[str] = Counter()
    for mutant in mutants(file.read_text()):
        text = mutant.original[mutant.start : mutant.end]
        texts[text] += 1
        yield KernelMutant(**vars(mutant), file=file, repeat=texts[text])


def equivalent_mutants(by_checks: bool) -> dict[str, str]:
    """Why those listed cannot be noticed, by their names. Under [values] are those that change
    values and no access, and so are no matter of the checks alone."""
    heading, listed = "", {}
    for line in EQUIVALENT.read_text().splitlines():
        if line.startswith("["):
            heading = line
        elif line and not line.startswith("#") and (by_checks or heading != "[values]"):
            name, _, reason = line.partition("  # ")
            listed[name] = reason
    return listed


# ---- what a file affects ----


def users(file: Path) -> list[Path]:
    """The .cu files that contain this one: none has what tapegrad.fusion includes alone."""
    if file.suffix == ".cu":
        return [file]
    line = f'#include "{file.name}"'
    including = [path for path in KERNELS.glob("*.cu*") if line in path.read_text()]
    return sorted({user for path in including for user in users(path)})


def launchers(file: Path) -> list[str]:
    """Those that the file registers; where a macro makes several of one name, its beginning."""
    text = blank_comments(file.read_text())
    found = re.findall(r"^(?:LAUNCHER\w*|ELEMENTWISE|FUNCTION)\((\w+)", text, re.MULTILINE)
    if "FOR_EACH_STEP" in text:
        steps = (KERNELS / "steps.h").read_text()
        names = re.findall(r"^ +use\((\w+),", steps, re.MULTILINE)
        found += [f"{master}{name}_step" for master in ("", "master_") for name in names]
    return found


# ---- building and testing ----

SWITCH = """
#include <cstdlib>
inline const int chosen_mutant = std::getenv("MUTANT") ? std::atoi(std::getenv("MUTANT")) : -1;
"""
UNUSED_DTYPES = re.compile(r".*::launcher\(#name, \"(float64|bfloat16)\"\).*\n")  # by the checks

# Runs the tests with an extension that lies at a path, instead of compiling one.
TEST = """
import resource, sys, pytest
from pathlib import Path
from tapegrad import _build
seconds = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
_build.build_into_cache = lambda device: Path(sys.argv[1])
sys.exit(pytest.main(sys.argv[3:]))
"""


def build(folder: Path, numbered: list[KernelMutant], by_checks: bool) -> Path:
    """An extension in which the environment variable MUTANT chooses one of them, or none."""
    for name in ("src", "kernels", "csrc", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.so", "*.pyc"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    for file in {mutant.file for mutant in numbered}:
        text = file.read_text()
        here = [(mutant, n) for n, mutant in enumerate(numbered) if mutant.file == file]
        for mutant, number in sorted(here, key=lambda pair: -pair[0].start):
            text = text[: mutant.start] + mutant.switch(number) + text[mutant.end :]
        (folder / "kernels" / file.name).write_text(text)
    header = folder / "kernels" / "launch.h"
    text = header.read_text().replace("#pragma once\n", f"#pragma once\n{SWITCH}")
    header.write_text(UNUSED_DTYPES.sub(r"\\\n", text) if by_checks else text)
    environ = {**os.environ, "CXXFLAGS": "-O0"}  # compiling takes longer than testing
    plan = _build.plan_emulated(_build.find_cxx(), folder, environ, checked=by_checks)
    # But the emulator's own files hold no mutants, and multiply for tensor cores.
    units = tuple(
        replace(u, command=tuple(word for word in u.command if word != "-O0"))
        if "emulate" in u.source.parts
        else u
        for u in plan.units
    )
    plan = replace(plan, units=units)
    return _build.build(plan, folder / "extension.so", folder / "objects")


def processor_time() -> float:
    """Seconds that the tests have taken so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def verdict(
    folder: Path, extension: Path, number: int, file: Path, by_checks: bool, seconds: int = 3600
) -> str:
    """What becomes of the rows that the mutants of a file are concerned with. seconds: of processor
    time, which does not depend on what else the machine does."""
    start = "[" if by_checks else "[emulated-"
    names = [start + launcher for user in users(file) for launcher in launchers(user)]
    test = ["-x", "-q", "-k", " or ".join(names), "tests/test_kernels.py"]
    if by_checks:
        narrow = "not float64 and not bfloat16"
        test = ["-x", "-q", "-m", "checked", "-k", f"({' or '.join(names)}) and {narrow}"]
        test += ["tests/test_kernels_checked.py"]
    environ = {**os.environ, "PYTHONPATH": str(folder / "src"), "TAPEGRAD_NATIVE": "off"}
    done = subprocess.run(
        [sys.executable, "-c", TEST, str(extension), str(seconds), *test],
        cwd=folder,
        env={**environ, "MUTANT": str(number)},
        capture_output=True,
        text=True,
    )
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return "killed (by the clock)"
    if done.returncode == 0:
        return "SURVIVED"
    if by_checks and (report := REPORTS.search(done.stdout)):
        return f"reported ({report[0]})"
    error = re.search(r"^E +(.*)", done.stdout, re.MULTILINE)
    return f"killed ({error[1] if error else f'status {done.returncode}'})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("files", nargs="*", help="file names in kernels/, or name:line")
    parser.add_argument("--list", action="store_true", help="only list the mutants")
    parser.add_argument("--checks", action="store_true", help="judge by the checked build alone")
    parser.add_argument("--jobs", type=int, default=1, help="mutants that are run at a time")
    options = parser.parse_args()
    wanted = [name.partition(":") for name in options.files]
    files = list(dict.fromkeys(KERNELS / name for name, _, _ in wanted))
    files = files or sorted(file for file in KERNELS.glob("*.cu*") if users(file))
    lines = {(name, int(line or 0)) for name, _, line in wanted}  # 0: all
    todo = [
        mutant
        for file in files
        for mutant in mutants_of(file)
        if not lines or {(file.name, 0), (file.name, mutant.line)} & lines
    ]
    if options.list:
        print(*todo, sep="\n")
        return 0

    listed = equivalent_mutants(options.checks)
    whole = {file.name for file in files} - {name for name, _, line in wanted if line}
    unused = {name for name in listed if name.partition(":")[0] in whole}
    outcomes: Counter[str] = Counter()
    survivors = []
    with (
        tempfile.TemporaryDirectory(prefix="mutants-") as name,
        ThreadPoolExecutor(options.jobs) as pool,
    ):
        folder = Path(name)
        extension = build(folder, todo, options.checks)
        for file in files:
            before = processor_time()
            if (outcome := verdict(folder, extension, -1, file, options.checks)) != "SURVIVED":
                print(f"{file.name}: {outcome} without any mutant", flush=True)
                return 1
            limit = math.ceil(TIMES * (processor_time() - before))
            mine = [number for number, mutant in enumerate(todo) if mutant.file == file]
            judge = partial(verdict, folder, extension, file=file, by_checks=options.checks)
            found = pool.map(partial(judge, seconds=limit), mine)
            for number, outcome in zip(mine, found, strict=True):
                if outcome == "SURVIVED" and todo[number].name in listed:
                    outcome = f"equivalent ({listed[todo[number].name]})"
                    unused.discard(todo[number].name)
                elif outcome == "SURVIVED":
                    survivors.append(todo[number])
                outcomes[outcome.partition(" (")[0]] += 1
                print(f"{outcome:10} {todo[number]}", flush=True)
    print(f"{len(todo)} mutants:", ", ".join(f"{n} {o}" for o, n in outcomes.most_common()))
    print(*survivors, sep="\n")
    print(*(f"listed, but noticed or gone: {name}" for name in sorted(unused)), sep="\n")
    return 1 if survivors or unused else 0


if __name__ == "__main__":
    sys.exit(main())
