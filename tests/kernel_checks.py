"""Are a kernel's outputs those that its row of kernel_table.py expects? And how are others seen
again?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from kernel_table import Row

from tapegrad.core.schedules import Schedule
from tapegrad.custom.shrinking import MANY, shrink_schedule

TOLERANCES = {  # relative, absolute
    "float32": (1.3e-6, 1e-5),
    "float64": (1e-12, 1e-12),
    "float16": (1e-3, 1e-5),
    "bfloat16": (1.6e-2, 1e-5),
}


def check(actual: np.ndarray, expected: np.ndarray, entry: Row, where: str) -> None:
    """Raise AssertionError where they are not."""
    if entry.exact or actual.dtype.kind in "iu":
        np.testing.assert_array_equal(actual, expected.astype(actual.dtype), where)
        return
    relative, absolute = (entry.slack * limit for limit in TOLERANCES[actual.dtype.name])
    absolute += relative * entry.cancels
    with np.errstate(over="ignore"):
        rounded = expected.astype(actual.dtype)
    overflow = np.isinf(rounded.astype(np.float64)) & np.isfinite(expected)
    np.testing.assert_allclose(
        actual.astype(np.float64), np.where(overflow, rounded.astype(np.float64), expected),
        rtol=relative, atol=absolute, err_msg=where,
    )  # fmt: skip


def again(library: Any, order: tuple, attempt: Callable[[], None], test: str) -> str:
    """The line that sees a failure of ``attempt()`` again, in which as few threads as possible have
    their turn out of ascending order."""
    left = 0

    def fails(tried: Schedule) -> bool:
        nonlocal left
        before = library.schedule()
        library.set_schedule(*tried)
        try:
            attempt()
        except AssertionError:
            return True
        finally:
            left = library.schedule()[3]
            library.set_schedule(*before)
        return False

    chosen = Schedule(*order)
    fails(chosen._replace(taken=MANY))
    found = shrink_schedule(chosen, fails, MANY - left)
    return f"TAPEGRAD_EMULATOR_SCHEDULE={found} python -m pytest '{test}'"
