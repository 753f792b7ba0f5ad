"""Fused functions, and kernels of a user's own, computed as their plain bodies say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

as_written: ContextVar[bool] = ContextVar("as written", default=False)


@contextmanager
def plain_bodies() -> Iterator[None]:
    """Within it, they call the functions that they were made of."""
    token = as_written.set(True)
    try:
        yield
    finally:
        as_written.reset(token)
