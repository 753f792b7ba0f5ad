"""The kernels as loops for the CPU, in C++ (csrc/native), where they were compiled.

NumPy's bodies are the definition, and serve where there is no compiler, what the loops decline, or
all, if the environment variable ``TAPEGRAD_NATIVE`` is ``off``. The loops are compiled for several
levels of a processor's instructions; the highest that runs here is used, or that which
``TAPEGRAD_NATIVE_ISA`` names (v2, v3, v4). Large arrays are shared by as many threads as this
process has processors, or ``OMP_NUM_THREADS`` says; results do not depend on how many.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

from .extension import load


def _start() -> tuple[ModuleType | None, str]:
    if os.environ.get("TAPEGRAD_NATIVE") == "off":
        return None, "not used: TAPEGRAD_NATIVE=off"
    folders = (f"csrc/native{folder}" for folder in ("", "/doors", "/loops"))
    what = "NumPy computes what it has loops for"
    module, status = load("native", what, *folders, "kernels")
    if module is None:
        return None, status
    levels = module.levels()
    level = os.environ.get("TAPEGRAD_NATIVE_ISA") or (levels or ["none"])[-1]
    if level not in levels:
        status = (
            f"not used: no loops for {level} (TAPEGRAD_NATIVE_ISA) that run here, only for "
            f"{', '.join(levels) or 'none'}"
        )
        warnings.warn(f"tapegrad._native is {status}", stacklevel=3)
        return None, status
    module.use(level)
    module.set_num_threads(_threads())
    return module, f"compiled, in use: {level} of {', '.join(levels)}"


def _threads() -> int:
    told = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if told.isdigit() and int(told):
        return min(int(told), 1024)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def use_threads(count: int) -> None:
    """Let the loops use so many threads from now on, and NumPy's matrix products where the package
    threadpoolctl is installed."""
    if compiled is not None:
        compiled.set_num_threads(min(count, 1024))
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return
    threadpool_limits(limits=count)


compiled: Any
compiled, status = _start()


def names() -> frozenset[str]:
    """The operations of arrays that there are loops for."""
    return frozenset() if compiled is None else compiled.names


def with_loops(name: str, plain: Callable) -> Callable:
    """The operation ``name`` of arrays as the loops compute it, if there are any: a callable in C
    that looks at what it is given, and calls ``plain`` with all that the loops do not serve."""
    return compiled.Kernel(name, plain) if name in names() else plain
