"""``tapegrad.data`` at PyTorch's address, and its files: ``utils.data.dataset`` is
``tapegrad.data.dataset``."""

import sys as _sys
from typing import TYPE_CHECKING as _TYPE_CHECKING

from tapegrad.data import *  # noqa: F403
from tapegrad.data import __all__ as __all__
from tapegrad.data import dataloader, dataset, sampler
from tapegrad.ops.common.hints import unknown_names as _unknown_names

__path__: list[str] = []  # for imports of the files
for _file in (dataloader, dataset, sampler):
    _sys.modules[f"{__name__}.{_file.__name__.rpartition('.')[2]}"] = _file

if not _TYPE_CHECKING:
    __getattr__ = _unknown_names(__name__)
