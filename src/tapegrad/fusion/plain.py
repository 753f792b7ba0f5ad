"""Fused functions, and kernels of a user's own, computed as their plain bodies say."""

from __future__ import annotations

from contextvars import ContextVar

from tapegrad.core.modes import holds

as_written: ContextVar[bool] = ContextVar("as written", default=False)


def plain_bodies() -> holds[bool]:
    """Within it, they call the functions that they were made of."""
    return holds(as_written, True)
