"""Splits for cross-validation: each part of a dataset is the validation set once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.refusals import Retelling, retelling
from tapegrad.ops.sampling.draws import randperm
from tapegrad.ops.sampling.philox import Generator

from .dataset import Dataset, Subset, TensorDataset


class KFold(Retelling):
    """``n_splits`` folds of consecutive items, or with ``shuffle`` of random ones, whose sizes
    differ by at most one. Called as scikit-learn's, of which it is the same without ``shuffle``.

    random_state: a seed, the same folds in every ``split``; a Generator; or None, the global seed.
    Raises ValueError for fewer than 2 folds, and a random_state without shuffle.
    """

    def __init__(
        self,
        n_splits: int = 5,
        *,
        shuffle: bool = False,
        random_state: int | Generator | None = None,
    ) -> None:
        owner = type(self).__name__
        if isinstance(n_splits, bool) or not isinstance(n_splits, int) or n_splits < 2:
            raise ValueError(f"{owner}: n_splits must be an int of at least 2, got {n_splits!r}")
        if random_state is not None and not shuffle:
            raise ValueError(f"{owner}: random_state means nothing without shuffle=True")
        self.n_splits, self.shuffle, self.random_state = n_splits, shuffle, random_state

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """The number of folds."""
        return self.n_splits

    def split(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Pairs of indices, int64 arrays in increasing order: to train with, to validate with.

        X has the length of the dataset, y (for ``StratifiedKFold``) a class for each item. Raises
        ValueError where there are more folds than items, or than items of every class.
        """
        fold = self._folds(len(X), y)
        for number in range(self.n_splits):
            inside = fold == number
            yield np.flatnonzero(~inside), np.flatnonzero(inside)

    def _folds(self, count: int, y: Any) -> np.ndarray:
        """The fold of each item."""
        self._require(count, f"the dataset has {count} items")
        fold = np.repeat(np.arange(self.n_splits), _sizes(count, self.n_splits))
        if not self.shuffle:
            return fold
        shuffled = np.empty_like(fold)
        shuffled[_order(count, self._generator())] = fold
        return shuffled

    def _require(self, count: int, what: str) -> None:
        if count < self.n_splits:
            raise ValueError(f"{type(self).__name__}: n_splits is {self.n_splits}, but {what}")

    def _generator(self) -> Generator | None:
        if self.random_state is None or isinstance(self.random_state, Generator):
            return self.random_state
        return Generator().manual_seed(self.random_state)


class StratifiedKFold(KFold):
    """Folds with as many items of each class as the dataset has in proportion. As ``KFold``."""

    def _folds(self, count: int, y: Any) -> np.ndarray:
        if y is None:
            raise ValueError("StratifiedKFold: split(X, y) needs y, the class of each item")
        labels = _host(y)
        if labels.shape != (count,):
            raise ValueError(
                f"StratifiedKFold: y must have one class for each of the {count} items, got shape "
                f"{labels.shape}"
            )
        _, first, classes, sizes = np.unique(
            labels, return_index=True, return_inverse=True, return_counts=True
        )
        largest = int(sizes.max()) if count else 0
        self._require(largest, f"the largest class has {largest} items")
        # Dealt out in order of the classes (as they first appear), fold k gets every n-th item from
        # the k-th on: of each class as many as that, in its own order.
        rank = np.argsort(np.argsort(first))[classes]
        dealt = np.sort(rank)
        generator = self._generator()
        fold = np.empty(count, np.int64)
        for number in range(len(sizes)):
            shares = [
                np.count_nonzero(dealt[k :: self.n_splits] == number) for k in range(self.n_splits)
            ]
            parts = np.repeat(np.arange(self.n_splits), shares)
            if self.shuffle:
                parts = parts[_order(len(parts), generator)]
            fold[rank == number] = parts
        return fold


@retelling
def k_fold(
    dataset: Any,
    splits: Any = 5,
    *,
    labels: Any = None,
    groups: Any = None,
    shuffle: bool = False,
    generator: Generator | None = None,
) -> Iterator[tuple[Subset, Subset]]:
    """For each fold a pair ``(train, validation)`` of Subsets of the dataset::

        for train, validation in k_fold(dataset, 5, labels=classes, shuffle=True): ...

    splits: a number of folds, or what has scikit-learn's ``split(X, y, groups)``, as KFold here,
    or GroupKFold and TimeSeriesSplit there. labels: a class for each item; of a number of folds
    they are then stratified. A splitter gets those of the dataset (``targets``, or the last tensor
    of a TensorDataset) where none are given. Raises ValueError for labels of another length.
    """
    count = len(dataset)
    if isinstance(splits, int):
        kind = KFold if labels is None else StratifiedKFold
        splits = kind(splits, shuffle=shuffle, random_state=generator)
    elif not hasattr(splits, "split"):
        raise TypeError(
            f"[k_fold] splits must be a number of folds or have a method split, got "
            f"{type(splits).__name__}"
        )
    elif shuffle or generator is not None:
        raise ValueError("[k_fold] a splitter shuffles itself: it excludes shuffle and generator")
    labels = _labels(dataset) if labels is None else _host(labels)
    if labels is not None and len(labels) != count:
        raise ValueError(f"[k_fold] there are {len(labels)} labels for {count} items")
    pairs = splits.split(np.zeros((count, 1)), labels, groups)
    return (
        (Subset(dataset, train.tolist()), Subset(dataset, validation.tolist()))
        for train, validation in pairs
    )


def _labels(dataset: Dataset) -> Any:
    found = getattr(dataset, "targets", None)
    if found is None and isinstance(dataset, TensorDataset):
        found = dataset.tensors[-1]
        if found.ndim != 1:
            return None
    return None if found is None else _host(found)


def _host(labels: Any) -> np.ndarray:
    return labels.numpy(force=True) if isinstance(labels, Tensor) else np.asarray(labels)


def _sizes(count: int, parts: int) -> Sequence[int]:
    return [count // parts + (i < count % parts) for i in range(parts)]


def _order(count: int, generator: Generator | None) -> np.ndarray:
    return randperm(count, generator=generator).numpy()
