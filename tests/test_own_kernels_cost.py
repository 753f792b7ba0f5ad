"""What kernels of one's own cost, in processor time beside the package's own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from own_kernels import PAIR, SOURCE, gated

import tapegrad as tg


def test_a_call_costs_little_more_than_one_of_the_package():
    """By processor time, in turns: what is found out for shapes and numbers is found out once."""
    x = tg.ones(1, device="emulated")
    own = tg.kernel(SOURCE, PAIR, name="swiglu", threads=1)(gated)
    calls = {"own": lambda: own(x, x), "the package's": lambda: tg.nn.functional.gelu(x)}
    rounds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(9):
        for name, call in calls.items():
            start = time.process_time()
            for _ in range(300):
                call()
            rounds[name].append(time.process_time() - start)
    assert min(rounds["own"][1:]) < 3 * min(rounds["the package's"][1:])


def test_the_first_result_of_the_guides_kernel_comes_soon():
    """Within 3 s of processor time: of Python, of the compiler, and of the launch."""
    page = (Path(__file__).parents[1] / "docs" / "own_kernels.md").read_text()
    (code,) = (c for c in re.findall(r"```python\n(.*?)```", page, re.S) if "threads = 128;" in c)
    tg.ones(1, device="emulated").exp()  # the package's own kernels are compiled
    new = f"import tapegrad as tg\n{code}".replace("128;", f"128;  // {time.time()}")
    before = os.times()
    run = subprocess.run([sys.executable, "-c", new], capture_output=True, text=True, timeout=300)
    after = os.times()
    assert run.stdout == "True\n", run.stderr
    spent = after.children_user + after.children_system
    assert spent - before.children_user - before.children_system < 3
