"""Elementwise bodies of many passes, piece by piece: what a pass writes the next one finds in the
cache."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from tapegrad.core.memory import Array

_ELEMENTS = 1 << 15  # 128 KiB of float32; a dozen such arrays fit into an L2 cache


def in_pieces(body: Callable) -> Callable:
    """``body(xp, *arrays)``, elementwise, of arrays of one shape whose dtype the result has, run on
    some elements at a time where they are NumPy's, contiguous, and many."""

    @wraps(body)
    def piecewise(xp: Any, *arrays: Array) -> Any:
        first = arrays[0]
        if not (isinstance(first, np.ndarray) and first.size > 2 * _ELEMENTS):
            return body(xp, *arrays)
        if not all(_alike(a, first) for a in arrays):
            return body(xp, *arrays)
        result = np.empty_like(first)
        to, *given = (a.reshape(-1) for a in (result, *arrays))
        for start in range(0, to.size, _ELEMENTS):
            piece = slice(start, start + _ELEMENTS)
            to[piece] = body(xp, *(a[piece] for a in given))
        return result

    return piecewise


def _alike(a: Any, b: Any) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.flags.c_contiguous
