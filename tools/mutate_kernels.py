"""Break the kernels on purpose, one barrier or bounds check at a time, and see the tests notice.

A developer's tool, not part of the test run. Every ``__syncthreads()``, ``__syncwarp()`` and
shuffle is deleted in turn, atomic operations become plain ones, and every comparison in a condition
is decided beforehand, the way that lets pass what it would have held back. Each mutant is compiled
in a temporary folder, and the rows of the kernel table that it can affect are run, for one .cu file
after the other. A mutant that survives is a check that is not
needed, or is not tested, or only chooses the faster of two ways::

    python tools/mutate_kernels.py                     # all of them, some hours
    python tools/mutate_kernels.py matmul.cu row.cuh   # those in these files, steps.h for example
    python tools/mutate_kernels.py matmul.cu:122       # those in this line
    python tools/mutate_kernels.py --list
    python tools/mutate_kernels.py --checks            # what the checked build reports by itself

With ``--checks`` no value is compared: one serial run of the float32 rows in the checked build has
to report the mutant.
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
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tapegrad import _build

ROOT = Path(__file__).resolve().parents[1]
KERNELS = ROOT / "kernels"
SECONDS = 200  # for testing a mutant; one that hangs is noticed, too
SECONDS_WITH_CHECKS = 900  # there a hang is no report
REPORTS = re.compile(
    "race on|out of bounds|nothing wrote|misaligned|waits (?:at|for)|deadlock|masks disagree"
)

BEFORE_COMPARISON = ("(", "&& ", "|| ", " = ", "? ", ": ", ", ", "; ", "return ")
AFTER_COMPARISON = (")", " &&", " ||", " ?", ";", ",", " :")


@dataclass(frozen=True)
class Mutant:
    file: Path
    original: str
    start: int
    end: int
    replacement: str

    def source(self) -> str:
        return self.original[: self.start] + self.replacement + self.original[self.end :]

    @property
    def line(self) -> int:
        return self.original.count("\n", 0, self.start) + 1

    def __str__(self) -> str:
        removed = " ".join(self.original[self.start : self.end].split())
        return f"{self.file.name}:{self.line}: {removed} -> {self.replacement}"


def mutants(file: Path) -> Iterator[Mutant]:
    original = file.read_text()
    text = blank_comments(original)
    for barrier in re.finditer(r"\b__sync(threads|warp)\(\);", text):
        yield Mutant(file, original, barrier.start(), barrier.end(), ";")
    for shuffle in re.finditer(r"\b__shfl\w*_sync\(\w+, ([^,]+), [^)]*\)", text):
        yield Mutant(file, original, shuffle.start(), shuffle.end(), shuffle[1])
    for atomic in re.finditer(r"\batomic(Add|Max|Exch)\(([^,]+), (.*)\);", text):
        place, value = f"*({atomic[2]})", atomic[3]
        plain = {"Add": f"{place} + {value}", "Max": f"max({place}, {value})", "Exch": value}
        change = f"{place} = {plain[atomic[1]]};"
        yield Mutant(file, original, atomic.start(), atomic.end(), change)
    for operator in re.finditer(r" (<|<=|>|>=) ", text):
        start, end = comparison_around(text, operator.start(), operator.end())
        if is_check(text, start, end):
            # What is too large or negative is what a check holds back.
            outside = operator[1] == ">=" or text[start:end].endswith(" < 0")
            yield Mutant(file, original, start, end, "false" if outside else "true")


def blank_comments(text: str) -> str:
    """The same text with spaces for what is not compiled on the emulated device, or not code, so
    that positions stay."""
    return re.sub(
        r"^#ifdef __CUDACC__\n.*?^#else\n|//[^\n]*|^#[^\n]*|static_assert\([^;]*;",
        lambda match: re.sub(r"[^\n]", " ", match[0]),
        text,
        flags=re.MULTILINE | re.DOTALL,
    )


def comparison_around(text: str, left: int, right: int) -> tuple[int, int]:
    """The comparison whose operator is at [left, right): up to brackets and weaker operators."""
    start, depth = left, 0
    while start > 0:
        if depth == 0 and text[:start].endswith(BEFORE_COMPARISON):
            break
        character = text[start - 1]
        depth += character in ")]"
        depth -= character in "(["
        start -= 1
    end, depth = right, 0
    while end < len(text):
        if depth == 0 and text.startswith(AFTER_COMPARISON, end):
            break
        depth += text[end] in "(["
        depth -= text[end] in ")]"
        end += 1
    while text[start].isspace():
        start += 1
    return start, end


def is_check(text: str, start: int, end: int) -> bool:
    """Whether the comparison decides an if, a ?:, a value, or a loop over a thread's share of the
    work. Loops that every thread runs from 0 to the end are not checks, nor are constants."""
    line = text[text.rfind("\n", 0, start) + 1 : end]
    loop = re.match(r" *(?:for|while) \((.*)", line)
    if "constexpr" in line:
        return False
    return loop is None or bool(re.search(r"= (team|global_thread|blockIdx|threadIdx)", loop[1]))


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


ONE_DTYPE = re.compile(r".*::launcher\(#name, \"(float64|float16|bfloat16)\"\).*\n")

# Runs the tests with an extension that lies at a path, instead of compiling one.
TEST = """
import sys, pytest
from pathlib import Path
from tapegrad import _build
_build.build_into_cache = lambda device: Path(sys.argv[1])
sys.exit(pytest.main(sys.argv[2:]))
"""


class Judge:
    """Says what becomes of the rows that some .cu files are concerned with."""

    def __init__(self, folder: Path, by_checks: bool):
        self.folder, self.by_checks = folder, by_checks
        if by_checks:
            header = folder / "kernels" / "launch.h"
            header.write_text(ONE_DTYPE.sub(r"\\\n", header.read_text()))
        # Compiling takes longer than testing.
        environ = {**os.environ, "CXXFLAGS": "-O0"}
        self.plan = _build.plan_emulated(_build.find_cxx(), folder, environ, checked=by_checks)

    def verdict(self, sources: list[Path], name: str) -> str:
        """That of the first of these files which notices, as they are now."""
        outcomes = (self._verdict(source, f"{name}-{source.stem}") for source in sources)
        return next((outcome for outcome in outcomes if outcome != "SURVIVED"), "SURVIVED")

    def _verdict(self, source: Path, name: str) -> str:
        """Builds an extension with the kernels of this file only."""
        units = [
            unit if unit.source.suffix == ".cpp" else replace(unit, key=name)
            for unit in self.plan.units
            if unit.source.suffix == ".cpp" or unit.source.name == source.name
        ]
        output = self.folder / name / "extension.so"
        try:
            _build.build(replace(self.plan, units=tuple(units)), output, self.folder / "objects")
        except _build.BuildError:
            return "does not compile"
        start = "[" if self.by_checks else "[emulated-"
        selection = " or ".join(start + launcher for launcher in launchers(source))
        test = ["-x", "-q", "-k", selection, "tests/test_kernels.py"]
        if self.by_checks:
            narrow = " and ".join(f"not {dtype}" for dtype in ("float64", "float16", "bfloat16"))
            test = ["-x", "-q", "-m", "checked", "-k", f"({selection}) and {narrow}"]
            test += ["tests/test_kernels_checked.py"]
        environ = {**os.environ, "PYTHONPATH": str(self.folder / "src"), "TAPEGRAD_NATIVE": "off"}
        try:
            done = subprocess.run(
                [sys.executable, "-c", TEST, str(output), *test],
                cwd=self.folder, env=environ, capture_output=True, text=True,
                timeout=SECONDS_WITH_CHECKS if self.by_checks else SECONDS,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return "killed (by the clock)"
        if done.returncode == 0:
            return "SURVIVED"
        report = REPORTS.search(done.stdout) if self.by_checks else None
        return f"reported ({report[0]})" if report else "killed"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("files", nargs="*", help="file names in kernels/, or name:line")
    parser.add_argument("--list", action="store_true", help="only list the mutants")
    parser.add_argument("--checks", action="store_true", help="judge by the checked build alone")
    options = parser.parse_args()
    wanted = [name.partition(":") for name in options.files]
    files = list(dict.fromkeys(KERNELS / name for name, _, _ in wanted))
    files = files or sorted(KERNELS.glob("*.cu*"))
    lines = {(name, int(line)) for name, _, line in wanted if line}
    todo = [
        mutant
        for file in files
        for mutant in mutants(file)
        if not lines or (file.name, mutant.line) in lines
    ]
    if options.list:
        print(*todo, sep="\n")
        return 0

    survivors = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        folder = Path(name)
        copy_tree(folder)
        judge = Judge(folder, options.checks)
        for file in files:
            sources = sorted(users(file), key=lambda source: source.stat().st_size)
            if (outcome := judge.verdict(sources, file.name)) != "SURVIVED":
                print(f"{file.name}: {outcome} without any mutant", flush=True)
                return 1
            copy = folder / "kernels" / file.name
            for number, mutant in enumerate(mutant for mutant in todo if mutant.file == file):
                started = time.perf_counter()
                copy.write_text(mutant.source())
                outcome = judge.verdict(sources, f"{file.name}-{number}")
                copy.write_text(mutant.original)
                survivors += [mutant] if outcome == "SURVIVED" else []
                print(f"{outcome:10} {mutant} ({time.perf_counter() - started:.0f} s)", flush=True)
    print(f"{len(todo)} mutants, {len(survivors)} survived")
    print(*survivors, sep="\n")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
