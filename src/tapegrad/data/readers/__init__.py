"""Datasets read from files: CSV, Arrow and Parquet, image folders, NumPy's files, text.

All have a length and take any index, fetch many items in one read (``__getitems__``) where that is
faster, and open their files when they are first used, so that worker processes get them by name.
What is wrong in a file is a ValueError that says where: file, row or line, column.
"""

from .arrow_file import ArrowDataset, ParquetDataset
from .csv_file import CSVDataset
from .image_folder import ImageFolder, read_image
from .numpy_file import NpyDataset, NpzDataset
from .text import CharacterBlocks, TextLines, TokenBlocks

__all__ = [
    "ArrowDataset",
    "CSVDataset",
    "CharacterBlocks",
    "ImageFolder",
    "NpyDataset",
    "NpzDataset",
    "ParquetDataset",
    "TextLines",
    "TokenBlocks",
    "read_image",
]
