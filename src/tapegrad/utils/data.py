"""``tapegrad.data`` at PyTorch's address, and its files: ``utils.data.dataset`` is
``tapegrad.data.dataset``."""

import sys as _sys
from types import ModuleType as _ModuleType
from typing import TYPE_CHECKING as _TYPE_CHECKING

from tapegrad.data import *  # noqa: F403
from tapegrad.data import __all__ as __all__
from tapegrad.data import collate, dataloader, dataset, distributed, sampler
from tapegrad.ops.common.hints import unknown_names as _unknown_names

__path__: list[str] = []  # for imports of the files
_utils = _ModuleType(f"{__name__}._utils")  # where PyTorch has its file collate
_utils.__dict__.update(collate=collate, __path__=[])
for _name, _file in {
    "dataloader": dataloader,
    "dataset": dataset,
    "distributed": distributed,
    "sampler": sampler,
    "_utils": _utils,
    "_utils.collate": collate,
}.items():
    _sys.modules[f"{__name__}.{_name}"] = _file

if not _TYPE_CHECKING:
    __getattr__ = _unknown_names(__name__)
