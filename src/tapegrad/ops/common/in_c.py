"""Doors in C: what serves the usual calls of public functions without Python (csrc/tape/doors.h)."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any

from tapegrad.core.accelerator import compiled
from tapegrad.core.caller import tensor_xp
from tapegrad.core.devices import bodies


def in_c(called: Callable, function: Callable, cell: Any = None) -> Callable:
    """``called``, the public form of ``function``, behind a door in C where there is one for it.
    ``cell``: where ``called`` finds what it runs; while that is not ``function``, the door is
    shut."""
    if compiled is None:
        return called
    name = f"{function.__module__.removeprefix('tapegrad.ops.')}.{function.__name__}"
    if name not in compiled.doors:
        return called
    used = [(getattr(tensor_xp, primitive), bodies[primitive]) for primitive in compiled.doors[name]]
    return update_wrapper(compiled.Door(name, called, cell, function, used), called)
