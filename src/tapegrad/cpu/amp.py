"""``torch.cpu.amp``: the old names of ``tapegrad.amp`` for the CPU."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from tapegrad.amp.old_names import autocast_for as _autocast_for
from tapegrad.amp.old_names import grad_scaler_for as _grad_scaler_for
from tapegrad.ops.common.files import files as _files
from tapegrad.ops.common.hints import unknown_names as _unknown_names

__all__ = ["GradScaler", "autocast"]

autocast, GradScaler = _autocast_for("cpu"), _grad_scaler_for("cpu")

_files(__name__, {"autocast_mode": "autocast", "grad_scaler": "GradScaler"})

if not _TYPE_CHECKING:
    __getattr__ = _unknown_names(__name__)
