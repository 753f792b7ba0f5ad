"""Datasets, the order in which they are visited, and batches."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from tapegrad.ops.common.hints import unknown_names as _unknown_names

from . import transforms
from .dataloader import DataLoader, default_collate, default_convert, get_worker_info
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
from .readers import (
    ArrowDataset,
    CharacterBlocks,
    CSVDataset,
    ImageFolder,
    NpyDataset,
    NpzDataset,
    ParquetDataset,
    TextLines,
    TokenBlocks,
    read_image,
)
from .sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from .splits import KFold, StratifiedKFold, k_fold

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

if not _TYPE_CHECKING:
    __getattr__ = _unknown_names(__name__)
