"""``tapegrad.data`` at PyTorch's address, and its files: ``utils.data.dataset`` is
``tapegrad.data.dataset``."""

import sys as _sys
from types import ModuleType as _ModuleType
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from tapegrad import data as _data
from tapegrad.data import __all__ as __all__
from tapegrad.data import collate, dataloader, dataset, distributed, sampler, worker_info

__path__: list[str] = []  # for imports of the files
_utils = _ModuleType(f"{__name__}._utils")  # where PyTorch has its file collate
_utils.__dict__.update(collate=collate, worker=worker_info, __path__=[])
for _name, _file in {
    "dataloader": dataloader,
    "dataset": dataset,
    "distributed": distributed,
    "sampler": sampler,
    "_utils": _utils,
    "_utils.collate": collate,
    "_utils.worker": worker_info,
}.items():
    _sys.modules[f"{__name__}.{_name}"] = _file

if _TYPE_CHECKING:
    from tapegrad.data import *  # noqa: F403
else:

    def __getattr__(name: str) -> _Any:
        return getattr(_data, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
