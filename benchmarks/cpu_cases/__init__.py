"""The cases of benchmarks/cpu.py by group. Each is a function of the library, ``tapegrad`` or
``torch``, in whose names it is written; ``in_jax`` has some of them a second time."""

from __future__ import annotations

from . import elements, layers, networks, small, steps
from .case import Case, Step

GROUPS: dict[str, list[Case]] = {
    "Small operations, 4x4": small.CASES,
    "Networks": networks.CASES,
    "Layers": layers.CASES,
    "A million numbers": elements.CASES,
    "Optimizers and data": steps.CASES,
}
# Measured only when --large asks for it.
LARGE: dict[str, list[Case]] = {"Ten million numbers": elements.LARGE}
CASES: dict[str, Case] = {case.name: case for group in (GROUPS | LARGE).values() for case in group}
# Steps whose peak memory is measured, in a process for each library.
PEAKS = (
    "MLP 784-512-512-10, batch 128, Adam",
    "MLP 1024-2048-2048-1000, batch 512, Adam",
    "LeNet, batch 64, SGD",
    "ResNet-18 CIFAR, batch 32, SGD",
    "GPT 4x128, ctx 64, batch 8, AdamW",
    "GPT 4x384, ctx 256, batch 8, AdamW",
    "LSTM 256, batch 32, length 64 fwd+bwd",
    "cross-entropy 2048x50257 fwd+bwd",
)
PEAK_GOAL, IMPORT_GOAL = 1.1, 1.3

__all__ = ["CASES", "GROUPS", "IMPORT_GOAL", "LARGE", "PEAKS", "PEAK_GOAL", "Case", "Step"]
