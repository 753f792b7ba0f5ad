"""Signal processing: window functions."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from tapegrad.ops.common.hints import unknown_names as _unknown_names

from . import windows

__all__ = ["windows"]

if not _TYPE_CHECKING:
    __getattr__ = _unknown_names(__name__)
