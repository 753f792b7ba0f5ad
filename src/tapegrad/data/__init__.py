"""Datasets, the order in which they are visited, and batches."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from tapegrad.ops.common.hints import unknown_names as _unknown_names

from .collate import default_collate, default_convert
from .dataloader import DataLoader
from .dataset import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)
from .digits import digits
from .distributed import DistributedSampler
from .sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from .worker_info import get_worker_info

# What not every loop over batches needs, in files that are read when it is first asked for.
_LATER = {
    name: file
    for file, names in {
        "readers": "ArrowDataset CSVDataset CharacterBlocks ImageFolder NpyDataset NpzDataset "
        "ParquetDataset TextLines TokenBlocks read_image",
        "splits": "KFold StratifiedKFold k_fold",
        "transforms": "transforms",
    }.items()
    for name in names.split()
}

__all__ = [
    "ArrowDataset",
    "BatchSampler",
    "CSVDataset",
    "ChainDataset",
    "CharacterBlocks",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "DistributedSampler",
    "ImageFolder",
    "IterableDataset",
    "KFold",
    "NpyDataset",
    "NpzDataset",
    "ParquetDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "StackDataset",
    "StratifiedKFold",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "TextLines",
    "TokenBlocks",
    "WeightedRandomSampler",
    "default_collate",
    "default_convert",
    "digits",
    "get_worker_info",
    "k_fold",
    "random_split",
    "read_image",
    "transforms",
]

if _TYPE_CHECKING:
    from . import transforms as transforms
    from .readers import ArrowDataset as ArrowDataset
    from .readers import CharacterBlocks as CharacterBlocks
    from .readers import CSVDataset as CSVDataset
    from .readers import ImageFolder as ImageFolder
    from .readers import NpyDataset as NpyDataset
    from .readers import NpzDataset as NpzDataset
    from .readers import ParquetDataset as ParquetDataset
    from .readers import TextLines as TextLines
    from .readers import TokenBlocks as TokenBlocks
    from .readers import read_image as read_image
    from .splits import KFold as KFold
    from .splits import StratifiedKFold as StratifiedKFold
    from .splits import k_fold as k_fold
else:
    _unknown = _unknown_names(__name__)

    def __getattr__(name: str) -> _Any:
        if name not in _LATER:
            return _unknown(name)
        module = _import_module(f".{_LATER[name]}", __name__)
        globals()[name] = found = getattr(module, name, module)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
