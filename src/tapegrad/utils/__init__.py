"""What PyTorch keeps under ``torch.utils``: ``tapegrad.utils.data`` is ``tapegrad.data``."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from tapegrad.ops.common.hints import unknown_names as _unknown_names

from . import checkpoint, data

__all__ = ["checkpoint", "data"]

if not _TYPE_CHECKING:
    __getattr__ = _unknown_names(__name__)
