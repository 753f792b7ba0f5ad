"""What the tests of the CPU's loops share: the levels of instructions that run here, the plain
bodies that the loops are compared with, and a fixture that puts level and threads back."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest

from tapegrad.core import native
from tapegrad.core.devices import PlainOperations

needs_loops = pytest.mark.skipif(
    native.compiled is None, reason=f"needs tapegrad._native: {native.status}"
)

# Those that run here; only one, if the environment says so: as on a processor that has no other.
CHOSEN = os.environ.get("TAPEGRAD_NATIVE_ISA")
LEVELS = [CHOSEN] if CHOSEN else native.compiled.levels() if native.compiled else []
THREADS = (1, 2, 3)
plain = PlainOperations()


@pytest.fixture
def restored() -> Iterator[None]:
    threads = native.compiled.get_num_threads()
    yield
    native.compiled.use(LEVELS[-1])
    native.compiled.set_num_threads(threads)


def placed(values: np.ndarray, shift: int, guard: float = -77.0) -> tuple[np.ndarray, np.ndarray]:
    """A copy of the values that begins ``shift`` elements behind the start of a cache line, and the
    memory that it lies in, which has guard numbers around it."""
    memory = np.full(values.size + 64, guard, values.dtype)
    start = -(memory.ctypes.data // memory.itemsize) % 16 + shift
    array = memory[start : start + values.size].reshape(values.shape)
    array[...] = values
    return array, memory
