"""Doors in C: what serves the usual calls of public functions (csrc/tape/doors.h)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import update_wrapper
from typing import Any

from tapegrad.core.accelerator import compiled
from tapegrad.core.caller import tensor_xp
from tapegrad.core.devices import bodies


def in_c(called: Callable, function: Callable, cell: Any = None, *names: str) -> Callable:
    """``called``, the public form of ``function``, behind a door in C where there is one for it.
    ``cell``: where ``called`` finds what it runs; while that is not ``function``, the door is
    shut. ``names``: of other doors than that of the function, of which the first is taken that
    there is."""
    if compiled is None:
        return called
    used: list[tuple[Any, Callable | None]]
    name = next((n for n in names if n in compiled.doors), "") or _name(function)
    around = called is not function and not names  # what does no more than look at arguments
    if around and isinstance(function, compiled.Caller):
        name, used = "primitive", [(function, None)]  # which has its arguments as they are given
    elif around and isinstance(function, compiled.Door):
        name, used = "of_one", []
    elif name in compiled.doors:
        used = [(getattr(tensor_xp, p), bodies.get(p)) for p in compiled.doors[name]]
    else:
        return called
    return update_wrapper(compiled.Door(name, called, cell, function, used), called)


def _name(function: Callable) -> str:
    """Module and name of a function; none of one that only bears another's (``narrow_copy``)."""
    module, own = function.__module__, function.__name__
    if getattr(sys.modules[module], own, None) is not function:
        return ""
    return f"{module.removeprefix('tapegrad.ops.')}.{own}"
