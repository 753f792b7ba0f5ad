"""How many threads the array library uses, and settings that have no say here."""

from __future__ import annotations

import operator
import os
from types import ModuleType
from typing import Any

from . import cpu, cuda
from ._build import cores
from .core import native
from .core.devices import Device
from .core.modes import flag
from .ops.common.refusals import retelling

_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")


@retelling
def get_num_threads() -> int:
    """The threads of NumPy's matrix products. Without the package threadpoolctl, what the
    environment says (OPENBLAS_NUM_THREADS and its like), else the processors of this process."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        told = [os.environ.get(name, "") for name in _VARIABLES]
        return next((int(n) for n in told if n.isdigit() and int(n)), cores())
    pools = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    return max(pools, default=cores())


@retelling
def set_num_threads(num: int) -> None:
    """Let NumPy's matrix products, and tapegrad's own loops, use this many threads from now on.
    Raises RuntimeError unless it is a positive int, ImportError without the package threadpoolctl.
    """
    count = _positive("set_num_threads", num)
    try:
        import threadpoolctl  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "[set_num_threads] needs threadpoolctl: pip install 'tapegrad[train]', or set "
            f"OMP_NUM_THREADS={count} in the environment before Python starts"
        ) from error
    native.use_threads(count)


def _positive(op: str, num: Any) -> int:
    try:
        count = operator.index(num)
    except TypeError:
        raise RuntimeError(f"[{op}] expects an int, got {type(num).__name__}") from None
    if count <= 0:
        raise RuntimeError(f"[{op}] expects a positive integer, got {count}")
    return count


_interop = 1


def get_num_interop_threads() -> int:
    """What was last set; 1 at first: operations run one after the other."""
    return _interop


def set_num_interop_threads(num: int) -> None:
    """Changes nothing but what ``get_num_interop_threads`` returns: operations run one after the
    other. Raises RuntimeError unless it is a positive int."""
    global _interop
    _interop = _positive("set_num_interop_threads", num)


_warn_always = False


def set_warn_always(b: bool) -> None:
    """Changes nothing but what ``is_warn_always_enabled`` returns: Python's ``warnings`` filters
    say how often a warning is shown."""
    global _warn_always
    _warn_always = flag("set_warn_always", "b", b)


def is_warn_always_enabled() -> bool:
    """What was last set."""
    return _warn_always


@retelling
def get_device_module(device: Any = None) -> ModuleType:
    """``tapegrad.cuda`` for a GPU, ``tapegrad.cpu`` for other devices; by default for a GPU if
    there is one."""
    if device is None:
        return cuda if cuda.is_available() else cpu
    return cuda if Device(device).type == "cuda" else cpu
