"""Modules are loaded when first needed: what the engine needs is there from the start."""

from __future__ import annotations

import subprocess
import sys

BROADCAST = """
import tapegrad as tg
x = tg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
b = tg.tensor([1.0, 1.0], requires_grad=True)
(g,) = tg.autograd.grad(x * b, b, tg.tensor([[1.0, 1.0], [1.0, 1.0]]), create_graph=True)
print(g.tolist(), tg.device("cpu").ops["sum"])
"""


def test_engine_sums_over_broadcast_dimensions_before_anything_else_did() -> None:
    """With its own sum: the array library's would be kept in its place for good."""
    done = subprocess.run(
        [sys.executable, "-c", BROADCAST], capture_output=True, text=True, check=True
    )
    assert "[4.0, 6.0]" in done.stdout
    assert "widened" in done.stdout or "_sum" in done.stdout
