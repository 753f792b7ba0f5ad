"""tapegrad against PyTorch, and JAX where it is there, on the CPU: ``python benchmarks/cpu.py``.

Each library has a process of its own, and they take turns within each case, so that a noisy machine
is noisy for all; a row has the median times, and the median and quartiles of the ratio turn by
turn. tapegrad is there twice: as it is, and with NumPy's bodies and the tape in Python, as without
a compiler. Peak memory is that of a fresh process, less what it had after its imports. Results go
to a JSON file, from which ``performance_page.py`` writes docs/performance.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cpu_page
import cpu_turns
from cpu_cases import GROUPS, LARGE, PEAKS, Case
from cpu_cases.in_jax import MAKERS
from cpu_turns import Worker

from tapegrad.bench import machine
from tapegrad.bench.timing import Call, CpuClock, interleave

SCHEMA, VERSION = "tapegrad-cpu", 1


def chosen(patterns: list[str], large: bool) -> list[Case]:
    """The cases whose names match one of the patterns or contain it; all, without patterns."""
    groups = GROUPS | (LARGE if large else {})
    return [
        case
        for group in groups.values()
        for case in group
        if not patterns or any(p in case.name or fnmatchcase(case.name, p) for p in patterns)
    ]


def measure(
    cases: list[Case], threads: int, seconds: float, results: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Add the rows of the cases with so many threads, one by one, and facts about the libraries."""
    absent = {} if find_spec("jax") else {"jax": "not installed"}
    results["machine"]["absent"] = absent
    names = [name for name in cpu_turns.LIBRARIES if name not in absent]
    workers = {name: Worker(name, threads) for name in names}
    libraries = results["machine"]["libraries"] = {}
    try:
        for name, worker in workers.items():
            try:
                libraries[name] = worker.ask("facts")
            except (RuntimeError, OSError) as error:  # it is there, but does not work
                absent[name] = str(error)
        for case in cases:
            if case.alone and threads > 1:
                continue
            known = {n: workers[n] for n in libraries if n != "jax" or case.name in MAKERS}
            row = cpu_turns.row(known, case, seconds, threads)
            results["rows"].append(row)
            yield row
    finally:
        for worker in workers.values():
            worker.end()


def peak(case: str) -> dict[str, Any]:
    """Megabytes of some steps with one thread, by library."""
    found: dict[str, Any] = {"case": case}
    for name in ("bodies", "tapegrad", "torch"):
        command, environ = cpu_turns.command_of(name, 1)
        said = subprocess.check_output([*command, "--peak", case], env=environ, text=True)
        found[name] = round(float(said), 1)
    return found


def imports(seconds: float) -> dict[str, Any]:
    """``import tapegrad`` against ``import numpy``, each in a fresh process, less an empty one."""
    # Both packages compiled to bytecode, as an installation leaves them.
    _, environ = cpu_turns.command_of("tapegrad", 1)
    environ.pop("PYTHONDONTWRITEBYTECODE", None)

    def running(code: str) -> Call:
        command = [sys.executable, "-c", code]
        return lambda turn: subprocess.run(command, check=True, env=environ)

    codes = ("pass", "import numpy", "import tapegrad")
    times = interleave({code: running(code) for code in codes}, CpuClock(), seconds)
    rounds = list(zip(*(times[code].samples for code in codes), strict=True))
    return {
        "numpy_ms": round(1e3 * statistics.median(n - p for p, n, _ in rounds), 1),
        "tapegrad_ms": round(1e3 * statistics.median(t - p for p, _, t in rounds), 1),
        "ratio": round(statistics.median((t - p) / (n - p) for p, n, t in rounds), 3),
        "rounds": len(rounds),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", action="append", default=[], metavar="PATTERN", help="cases with such names"
    )
    parser.add_argument("--threads", default="1,2", help="numbers of threads (default: 1,2)")
    parser.add_argument("--seconds", type=float, default=1.0, help="for a case (default: 1)")
    parser.add_argument("--large", action="store_true", help="ten million numbers, too")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    options = parser.parse_args()
    if find_spec("torch") is None:
        parser.error("PyTorch, which everything is compared with, is not installed")
    facts = {"date": date.today().isoformat(), **machine.describe()}
    settings = {"seconds": options.seconds, "only": options.only}
    results: dict[str, Any] = {"schema": SCHEMA, "version": VERSION, "machine": facts}
    results |= {"settings": settings, "before": machine.state(), "rows": []}
    cases = chosen(options.only, options.large)
    results["peaks"] = [peak(case.name) for case in cases if case.name in PEAKS]
    if not options.only:
        results["import"] = imports(10 * options.seconds)
    with contextlib.suppress(KeyboardInterrupt):  # what was measured until then is something
        for threads in map(int, options.threads.split(",")):
            for row in measure(cases, threads, options.seconds, results):
                print(cpu_page.line(row), flush=True)
    results["after"] = machine.state()
    print(f"\n{cpu_page.page(results)}")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
