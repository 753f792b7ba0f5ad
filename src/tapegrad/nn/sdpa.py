"""Which kernel computes attention, under the names of ``torch.nn.attention``: there is one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any


class SDPBackend(Enum):
    """PyTorch's kernels for scaled dot products."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


@contextmanager
def sdpa_kernel(backends: Any, set_priority: bool = False) -> Iterator[None]:
    """A context in which attention is computed as outside. Raises TypeError for anything but an
    SDPBackend or several."""
    given = backends if isinstance(backends, (list, tuple)) else [backends]
    wrong = [type(b).__name__ for b in given if not isinstance(b, SDPBackend)]
    if wrong:
        raise TypeError(f"[sdpa_kernel] takes SDPBackends, got {wrong[0]}")
    yield
