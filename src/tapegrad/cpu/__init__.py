"""What PyTorch keeps under ``torch.cpu``."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from tapegrad.ops.common.hints import unknown_names as _unknown_names

from . import amp

__all__ = ["amp"]

if not _TYPE_CHECKING:
    __getattr__ = _unknown_names(__name__)
