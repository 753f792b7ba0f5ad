"""What the checked build costs: the processor time of every launch of the kernel table, in float32
and float16, in it and in the fast build, turn by turn.

    python tools/checked_cost.py [launcher ...]

Prints the ratio over all launches, of the median launcher, and of the five slowest.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import kernel_table as table
from kernel_table import numpy_dtype
from test_kernels import CASES, Emulated, launched

from tapegrad.core import kernels
from tapegrad.custom.guarded import aligned

TURNS = 3


class Timed:
    """A library whose launches are timed."""

    def __init__(self, library: Any):
        self.library, self.seconds = library, 0.0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.library, name)

        def call(*arguments: Any) -> Any:
            began = time.process_time()
            try:
                return found(*arguments)
            finally:
                self.seconds += time.process_time() - began

        return call if "_float" in name or name in names else found


names = {entry.values[0].launcher for entry in CASES}


def seconds(library: Any, entry: Any, dtype: str | None) -> float:
    """Of a row's launches; the least of some turns."""
    turns = []
    for _ in range(TURNS):
        timed = Timed(library)
        for call in entry.calls(table.Draw(numpy_dtype(dtype or "float64"), library)):
            for array in launched(timed, Emulated, entry, dtype, call, aligned, "a call"):
                Emulated.free(array.block)
        turns.append(timed.seconds)
    return min(turns)


def main(wanted: list[str]) -> None:
    rows = []
    for case in CASES:
        entry, dtype = case.values
        if dtype in ("float32", "float16", None) and (not wanted or entry.launcher in wanted):
            fast = seconds(kernels.library("emulated"), entry, dtype)
            with kernels.checked() as library:
                rows.append((seconds(library, entry, dtype) / fast, fast, case.id))
    ratios = sorted(rows, reverse=True)
    whole = sum(ratio * fast for ratio, fast, _ in rows) / sum(fast for _, fast, _ in rows)
    median = statistics.median(ratio for ratio, _, _ in rows)
    print(f"all launches {whole:.1f}, the median launcher {median:.1f}; the slowest:")
    for ratio, fast, name in ratios[:5]:
        print(f"  {ratio:5.1f} {name} ({fast * 1e3:.1f} ms in the fast build)")


if __name__ == "__main__":
    main(sys.argv[1:])
