"""One library in a process of its own, for benchmarks/cpu.py: it reads requests, one in a line, and
answers each with a line of JSON. ``python cpu_worker.py LIBRARY [--peak CASE]``."""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

from cpu_cases import CASES

WARM = 3  # calls before anything is counted, unless they take long
WARM_SECONDS = 0.3
LOTS = 5  # a turn's calls are timed in so many parts, of which the fastest is reported, too


class Library:
    """What the process answers."""

    def __init__(self, name: str):
        self.name, self.step = name, None
        if name == "jax" and hasattr(os, "sched_setaffinity"):  # a thread for each processor
            processors = sorted(os.sched_getaffinity(0))[: int(os.environ["OMP_NUM_THREADS"])]
            os.sched_setaffinity(0, processors)
        self.library = importlib.import_module(name)

    def facts(self) -> dict[str, Any]:
        """The library's version, and what it computes with."""
        found = {"version": self.library.__version__}
        if self.name == "tapegrad":
            from tapegrad.core import accelerator, heap, native
            from tapegrad.doctor import blas_kernel

            found["blas"] = blas_kernel()
            found["tape"] = "C" if accelerator.compiled else "Python"
            found["loops"] = native.status
            found["keeps_memory"] = heap.keep_freed_memory()
        if self.name == "torch":
            found["instructions"] = self.library.backends.cpu.get_cpu_capability()
        return found

    def make(self, case: str) -> float:
        """Prepare a case; the seconds of one call after the warm-up."""
        self.drop()
        if self.name == "jax":
            from cpu_cases.in_jax import MAKERS

            self.step = MAKERS[case](self.library)
        else:
            self.step = CASES[case].make(self.library)
        start, calls, seconds = time.perf_counter(), 0, 0.0
        while not calls or (calls < WARM and time.perf_counter() - start < WARM_SECONDS):
            began = time.perf_counter()
            self.step()
            seconds, calls = time.perf_counter() - began, calls + 1
        gc.collect()
        return seconds

    def run(self, calls: int) -> dict[str, float]:
        """CPU seconds of a call in the mean, and wall seconds of a call in the fastest part."""
        lots = min(LOTS, calls)
        each, fastest = calls // lots, float("inf")
        step, clock = self.step, time.perf_counter
        began = time.process_time()
        for _ in range(lots):
            start = clock()
            for _ in range(each):
                step()
            fastest = min(fastest, clock() - start)
        return {"cpu": (time.process_time() - began) / (lots * each), "wall": fastest / each}

    def drop(self) -> None:
        self.step = None
        gc.collect()


def serve(library: Library) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one that asks
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        try:
            answer = {"value": getattr(library, name)(*arguments)}
        except Exception as error:  # a case that fails must not end the others
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}
        print(json.dumps(answer), flush=True)


def peak(library: Library, case: str) -> float:
    """Megabytes at the most, during some steps, above what the process had after its imports and a
    small step (Linux: the kernel's own high-water mark)."""
    library.make("tiny MLP 8-16-16-1, batch 16, SGD step")  # thread pools and work buffers
    library.drop()
    Path("/proc/self/clear_refs").write_text("5")  # the mark starts again from here
    before = _status("VmRSS")
    library.make(case)
    library.run(3)
    return (_status("VmHWM") - before) / 1024


def _status(field: str) -> int:
    """A field of this process's memory status, in kilobytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1])


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    library = Library(sys.argv[1])
    if sys.argv[2:3] == ["--peak"]:
        print(peak(library, sys.argv[3]))
    else:
        serve(library)
