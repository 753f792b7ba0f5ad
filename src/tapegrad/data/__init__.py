"""Datasets, the order in which they are visited, and batches."""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from tapegrad.ops.common.hints import unknown_names as _unknown_names

from .dataloader import DataLoader, default_collate
from .dataset import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset, random_split
from .digits import digits
from .sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

__all__ = [
    "BatchSampler",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "default_collate",
    "digits",
    "random_split",
]

if not _TYPE_CHECKING:
    __getattr__ = _unknown_names(__name__)
