"""What modules use of other ranks: ``functional``."""

from . import functional

__all__ = ["functional"]
