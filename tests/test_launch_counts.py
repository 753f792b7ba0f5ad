"""How many launches a step takes on a GPU, counted on the stand-in for CuPy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ml_dtypes")

SCRIPT = """
import json, launch_counts, strict_cupy
strict_cupy.install()
found = {name: launch_counts.count(name) for name in launch_counts.STEPS}
print(json.dumps({
    name: {"own": c.count(True), "CuPy": c.count(False), "waits": len(c.waits),
           "names": [*c.names(False)], "largest": max(c.sizes, default=0)}
    for name, c in found.items()
}))
"""
# The most launches: of the package's kernels, of CuPy's.
MOST = {"gpt2_layer": (26, 4), "mlp_step": (19, 6), "cnn_step": (40, 25)}


@pytest.fixture(scope="module")
def counts() -> dict:
    """In a process of its own, in which CuPy is the stand-in."""
    command = [sys.executable, "-c", SCRIPT]
    run = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.parametrize("step", MOST)
def test_a_step_launches_no_more_kernels_than_it_did(step: str, counts: dict) -> None:
    own, of_cupy = MOST[step]
    assert counts[step]["CuPy"] <= of_cupy, counts[step]
    assert counts[step]["own"] + counts[step]["CuPy"] <= own + of_cupy, counts[step]


def test_a_layer_of_gpt2_takes_at_most_30_launches_and_waits_for_none(counts: dict) -> None:
    layer = counts["gpt2_layer"]
    assert layer["own"] + layer["CuPy"] <= 30
    assert layer["waits"] == 0
    assert layer["largest"] < 4 * 128 * 128  # scores: of each head, of each pair of places
