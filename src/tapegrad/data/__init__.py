"""Datasets, the order in which they are visited, and batches."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from tapegrad.ops.common.later import later as _later

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
    __getattr__, __dir__ = _later(  # what not every loop over batches needs
        __name__,
        {
            "readers": "ArrowDataset CSVDataset CharacterBlocks ImageFolder NpyDataset NpzDataset "
            "ParquetDataset TextLines TokenBlocks read_image",
            "splits": "KFold StratifiedKFold k_fold",
            "transforms": "transforms",
        },
    )
