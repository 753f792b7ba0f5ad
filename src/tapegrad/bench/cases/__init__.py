"""What is measured: a row for each primitive that has a kernel, and for a few that have none.

The primitives are found from the registrations of kernels (``devices.overrides``); ``missing``
names those without a row here, and a test requires that every one has a row.
"""

from __future__ import annotations

from tapegrad import nn, optim  # noqa: F401  (registers all kernels)
from tapegrad.core.devices import overrides

from . import activations, matrices, random_numbers, rows, steps, tables
from .case import SIZES, Case, Draw, TorchGradient

CASES: list[Case] = [
    *matrices.CASES,
    *activations.CASES,
    *rows.CASES,
    *tables.CASES,
    *random_numbers.CASES,
    *steps.CASES,
]


def missing() -> set[str]:
    """Primitives with a kernel that no case measures."""
    return set(overrides) - {case.primitive for case in CASES}


__all__ = ["CASES", "SIZES", "Case", "Draw", "TorchGradient", "missing"]
