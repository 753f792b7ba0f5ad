"""Processes that take turns: one for each library and number of threads (see cpu_worker.py).

With one thread the processor time of a turn counts, which hardly feels what else a machine does.
With several it would count threads that wait, so there it is the wall time of the fastest part of
a turn, and a round of turns during which other programs were busy is made again. A process whose
turn it is not is stopped: its threads would wait for work by spinning on the cores that another one
computes on, which cost as much as the second thread gained.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cpu_cases import Case

WORKER = Path(__file__).with_name("cpu_worker.py")
# tapegrad without what a compiler makes, and with it; and others.
LIBRARIES = {
    "bodies": ("tapegrad", {"TAPEGRAD_NATIVE": "off", "TAPEGRAD_TAPE": "python"}),
    "tapegrad": ("tapegrad", {}),
    "torch": ("torch", {}),
    "jax": ("jax", {"JAX_PLATFORMS": "cpu"}),
}
ROUNDS, LEAST, LEAST_OF_SLOW = 9, 5, 3
BUSY = 0.15  # of a core: what other programs may take during a round
AGAIN = 2  # times that a disturbed round is made again, while the case has time left


class Worker:
    """A library's process."""

    def __init__(self, name: str, threads: int):
        self.command, self.environ = command_of(name, threads)
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            self.command, env=self.environ, stdin=pipe, stdout=pipe, text=True
        )

    def ask(self, *request: Any) -> Any:
        """The answer to a request. Raises RuntimeError with what went wrong in the process."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._signal("SIGCONT")
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        self._signal("SIGSTOP")
        if not answer:
            raise RuntimeError(f"the process ended with {self.process.wait()}")
        content = json.loads(answer)
        if "error" in content:
            raise RuntimeError(content["error"])
        return content["value"]

    def _signal(self, name: str) -> None:
        if hasattr(signal, name):  # not on Windows
            self.process.send_signal(getattr(signal, name))

    def end(self) -> None:
        self.process.terminate()
        self._signal("SIGCONT")
        self.process.wait()


def command_of(name: str, threads: int) -> tuple[list[str], dict[str, str]]:
    """How a library's process is started."""
    library, variables = LIBRARIES[name]
    count = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads)
    told = {**variables, **{key: str(value) for key, value in count.items()}}
    return [sys.executable, str(WORKER), library], {**os.environ, **told}


def row(workers: Mapping[str, Worker], case: Case, seconds: float, threads: int) -> dict[str, Any]:
    """The case measured by all libraries in turns, for about so many seconds."""
    problems, calls, took = {}, {}, 0.0
    for name, worker in workers.items():
        try:
            one = worker.ask("make", case.name)
        except RuntimeError as error:
            problems[name] = str(error)
            continue
        calls[name] = max(1, round(seconds / (ROUNDS * len(workers)) / max(one, 1e-9)))
        took += calls[name] * one
    least = LEAST if took * LEAST < 2 * seconds else LEAST_OF_SLOW
    clock, rounds, disturbed = "cpu" if threads == 1 else "wall", [], 0
    end = time.perf_counter() + seconds
    while len(rounds) < least or time.perf_counter() < end:
        order = list(calls)[:: -1 if len(rounds) % 2 else 1]
        for _ in range(AGAIN + 1):
            found, quiet = _round(workers, order, calls)
            if quiet or threads == 1 or time.perf_counter() > end:
                break
        disturbed += threads > 1 and not quiet
        rounds.append({name: found[name][clock] for name in order})
    for name in calls:
        workers[name].ask("drop")
    times = {n: _rounded(statistics.median(r[n] for r in rounds) / case.calls) for n in calls}
    result = {"case": case.name, "threads": threads, "clock": clock, "times": times}
    result |= {"rounds": len(rounds), "disturbed": disturbed, "problems": problems}
    if {"tapegrad", "torch"} <= times.keys():
        ratios = [r["torch"] / r["tapegrad"] for r in rounds]
        low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
        result |= {"ratio": _rounded(middle), "quartiles": [_rounded(low), _rounded(high)]}
    return result


def _round(
    workers: Mapping[str, Worker], order: list[str], calls: Mapping[str, int]
) -> tuple[dict[str, dict[str, float]], bool]:
    """A turn of each, and whether the machine did little else meanwhile."""
    found: dict[str, dict[str, float]] = {}
    start, before = time.perf_counter(), _others(workers)
    for name in order:
        found[name] = workers[name].ask("run", calls[name])
    busy = _others(workers) - before
    return found, busy <= BUSY * (time.perf_counter() - start) + _TICK


_TICK = 2 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.02


def _others(workers: Mapping[str, Worker]) -> float:
    """Seconds of processor time that other programs have used (Linux; elsewhere 0)."""
    try:
        lines = Path("/proc/stat").read_text().splitlines()
        user, nice, system, _, _, irq, soft = map(int, lines[0].split()[1:8])
        used = user + nice + system + irq + soft
        for process in [os.getpid(), *(w.process.pid for w in workers.values())]:
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            used -= int(fields[11]) + int(fields[12])
    except OSError:
        return 0.0
    return used / os.sysconf("SC_CLK_TCK")


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
