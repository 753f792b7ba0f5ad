"""NumPy's warnings: tapegrad's arithmetic gives none, and leaves the user's settings alone.

Division by zero, overflow and log(0) give inf and nan, as on a GPU. Setting NumPy's error state for
every operation would cost half as much as a small operation itself. So a filter for warnings from
in here does it, as long as no filter before it says otherwise and NumPy's error state is the usual
one: looking at both is cheap. Otherwise operations run with an error state of their own.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import Any

import numpy as np
from numpy._core.umath import _extobj_contextvar as error_state

warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"tapegrad\.")
_own_filter = warnings.filters[0]
usual_state = Context().run(error_state.get)
with np.errstate(all="ignore"):
    _silent = error_state.get()

# What stands first, where no filter before ours lets a warning through.
first_filter = [_own_filter]

# How compiled callers ask ``noisy()``, which they cannot afford to call each time.
WORDS = {
    "_filters": warnings,
    "_no_filter": (None,),
    "_first": first_filter,
    "_error_state": error_state.get,
    "_usual_state": usual_state,
}
NOISY = (
    "((_filters.filters or _no_filter)[0] is not _first[0] "
    "or _error_state() is not _usual_state) and noisy()"
)


# What is called from C (csrc/tape/caller.cpp) would have no module: its warnings would be laid to
# the user's. So it is called from here.
def of_one(function: Callable, a: Any) -> Any:
    return function(a)


def of_two(function: Callable, a: Any, b: Any) -> Any:
    return function(a, b)


def noisy() -> bool:
    """Whether a warning or an error of NumPy's could reach the user's program."""
    if error_state.get() is not usual_state:
        return True
    filters: Any = warnings.filters or [None]
    if filters[0] is first_filter[0]:
        return False
    for entry in filters:
        if entry is _own_filter:
            first_filter[0] = filters[0]
            return False
        if entry is None or _lets_through(entry):
            return True
    return True


def _lets_through(entry: Any) -> bool:
    action, _, category, module, _ = entry
    here = module is None or "tapegrad" in getattr(module, "pattern", module)
    return action != "ignore" and issubclass(RuntimeWarning, category) and here


def quiet(function: Callable) -> Callable:
    """The function, with NumPy's error state set to silence while it runs."""
    return partial(_run_quietly, function)


def _run_quietly(function: Callable, *args: Any, **kwargs: Any) -> Any:
    before = error_state.get()
    try:  # before the change: an interrupt may come right behind it
        error_state.set(_silent)
        return function(*args, **kwargs)
    finally:
        error_state.set(before)
