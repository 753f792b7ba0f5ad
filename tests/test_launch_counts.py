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
    name: {"own": c.count("own"), "waits": len(c.waits), "CuPy": c.names("CuPy"),
           "moved": c.names("moved"), "largest": max(c.sizes, default=0)}
    for name, c in found.items()
}))
"""
# The most launches of the package's kernels, in float32, in bfloat16, and under autocast.
MOST = {
    "mlp": (21, 26, 38),
    "cnn": (155, 155, 175),
    "lstm": (53, 76, 88),
    "gru": (51, 73, 85),
    "gpt": (96, 97, 148),
}
PRECISIONS = ("float32", "bfloat16", "autocast")


@pytest.fixture(scope="module")
def counts() -> dict:
    """In a process of its own, in which CuPy is the stand-in."""
    command = [sys.executable, "-c", SCRIPT]
    run = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


@pytest.mark.parametrize("network", MOST)
def test_steps_launch_no_more_kernels_than_they_did_and_none_of_cupys(
    network: str, counts: dict
) -> None:
    for precision, own in zip(PRECISIONS, MOST[network], strict=True):
        step = counts[f"{network} {precision}"]
        assert step["own"] <= own, (precision, step)
        assert step["CuPy"] == {}, precision
        assert step["waits"] == 0, precision


def test_the_step_of_the_example_takes_of_cupy_what_its_windows_are_cut_by(counts: dict) -> None:
    step = counts["gpt2_step"]
    names = {"add", "astype", "getitem", "max", "min"}  # of whole numbers: places of tokens
    assert set(step["CuPy"]) <= names
    assert sum(step["CuPy"].values()) <= 11


def test_a_layer_of_gpt2_takes_at_most_30_launches_and_waits_for_none(counts: dict) -> None:
    layer = counts["gpt2_layer"]
    assert layer["own"] <= 30
    assert layer["CuPy"] == {}
    assert layer["waits"] == 0
    assert layer["largest"] < 4 * 128 * 128  # scores: of each head, of each pair of places
