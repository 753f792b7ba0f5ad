"""``torch.cuda.amp``: the old names of ``tapegrad.amp`` for GPUs."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from tapegrad.amp.old_names import autocast_for as _autocast_for
from tapegrad.amp.old_names import cuda_custom_bwd as custom_bwd
from tapegrad.amp.old_names import cuda_custom_fwd as custom_fwd
from tapegrad.amp.old_names import grad_scaler_for as _grad_scaler_for
from tapegrad.ops.common.files import files as _files
from tapegrad.ops.common.hints import unknown_names as _unknown_names

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd"]

autocast, GradScaler = _autocast_for("cuda"), _grad_scaler_for("cuda")

_files(__name__, {"autocast_mode": "autocast custom_bwd custom_fwd", "grad_scaler": "GradScaler"})

if not _TYPE_CHECKING:
    __getattr__ = _unknown_names(__name__)
