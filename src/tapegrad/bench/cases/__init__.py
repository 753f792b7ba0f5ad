"""What is measured: a row for each primitive that has a kernel, and for a few that have none.

The primitives are found from the registrations of kernels (``devices.overrides``) and from what
the CPU has loops for (``native.names``); ``missing`` names those without a row here, and a test
requires that every one has a row.
"""

from __future__ import annotations

from dataclasses import replace

from tapegrad import nn, optim  # noqa: F401  (registers all kernels)
from tapegrad.core import native
from tapegrad.core.devices import overrides

from . import (
    activations,
    elementwise,
    images,
    losses,
    matrices,
    random_numbers,
    reductions,
    rows,
    sequences,
    steps,
    tables,
)
from .case import SIZES, Case, Draw, TorchGradient

_GROUPS = (
    matrices,
    activations,
    elementwise,
    reductions,
    rows,
    losses,
    images,
    sequences,
    tables,
    random_numbers,
    steps,
)
CASES: list[Case] = [
    replace(case, group=module.__name__.rpartition(".")[2])
    for module in _GROUPS
    for case in module.CASES
]


def missing() -> set[str]:
    """Primitives with a kernel or a loop that no case measures; but for kernels that users have
    declared, whose names are numbered (custom/declared.py)."""
    kernels = {name for name in overrides if "#" not in name}
    return (kernels | native.names()) - {case.primitive for case in CASES}


__all__ = ["CASES", "SIZES", "Case", "Draw", "TorchGradient", "missing"]
