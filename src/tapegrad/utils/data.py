"""``tapegrad.data`` at PyTorch's address."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from tapegrad.data import *  # noqa: F403
from tapegrad.data import __all__ as __all__
from tapegrad.ops.common.hints import unknown_names as _unknown_names

if not _TYPE_CHECKING:
    __getattr__ = _unknown_names(__name__)
