"""Modules that share their work: DistributedDataParallel among ranks. (Of the devices of one
process, one is used.)"""

from __future__ import annotations

from typing import TYPE_CHECKING as _TYPE_CHECKING

from tapegrad.ops.common.files import files as _files
from tapegrad.stand_in import publish as _publish
from tapegrad.stand_in import refusing as _refusing

from .data_parallel import DataParallel, data_parallel
from .distributed import DistributedDataParallel

_refused = _refusing(
    "gather parallel_apply replicate scatter scatter_kwargs",
    "a process trains on one device; call the module with the whole batch, or start several "
    "processes by 'tapegrad launch' (see nn.parallel.DistributedDataParallel)",
)
__all__ = ["DataParallel", "DistributedDataParallel", "data_parallel", *_refused]

_files(
    __name__,
    {
        "parallel_apply": "parallel_apply",
        "replicate": "replicate",
        "scatter_gather": "gather scatter scatter_kwargs",
    },
)

if not _TYPE_CHECKING:
    __getattr__, _ = _publish(__name__, _refused)
