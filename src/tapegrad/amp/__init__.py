"""Mixed precision: regions in which each operation runs in the dtype that suits it, and losses
scaled so that float16 gradients do not vanish (Micikevicius et al. 2018)."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from tapegrad.ops.common.files import files as _files
from tapegrad.ops.common.hints import unknown_names as _unknown_names

from . import casting as _casting  # noqa: F401  (which waits for the first region)
from .custom import custom_bwd, custom_fwd
from .grad_scaler import GradScaler
from .regions import autocast, is_autocast_available

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]

_files(__name__, {"autocast_mode": "autocast custom_bwd custom_fwd is_autocast_available"})

if not _TYPE_CHECKING:
    __getattr__ = _unknown_names(__name__)
