"""The table of operations: every family's module adds its rows to ``CASES``."""

import importlib
import pkgutil

from .base import CASES, Case

for _family in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_family.name}")

__all__ = ["CASES", "Case"]
