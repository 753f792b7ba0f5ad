"""Folds for cross-validation: scikit-learn's where nothing is drawn, and theirs taken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.data import KFold, StratifiedKFold, TensorDataset, k_fold

LABELS = [2, 0, 0, 1, 2, 2, 0, 1, 2, 0, 2]


def parts(splitter: Any, *given: Any) -> list:
    return [(train.tolist(), held.tolist()) for train, held in splitter.split(*given)]


@pytest.mark.parametrize("n_splits", [2, 3, 5])
@pytest.mark.parametrize("kind", ["KFold", "StratifiedKFold"])
@pytest.mark.filterwarnings("ignore:The least populated class:UserWarning")
def test_folds_in_order_are_scikit_learns(kind: str, n_splits: int) -> None:
    theirs = pytest.importorskip("sklearn.model_selection", reason="compared with scikit-learn")
    x = np.zeros((len(LABELS), 1))
    expected = parts(getattr(theirs, kind)(n_splits), x, LABELS)
    assert parts(getattr(tg.data, kind)(n_splits), x, LABELS) == expected


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("kind", [KFold, StratifiedKFold])
def test_each_item_is_held_out_once(kind: Any, shuffle: bool) -> None:
    folds = parts(kind(3, shuffle=shuffle), LABELS, LABELS)
    assert sorted(i for _, held in folds for i in held) == list(range(11))
    for train, held in folds:
        assert sorted(train + held) == list(range(11))
    if kind is StratifiedKFold:  # 5, 4 and 2 items of three classes in three folds
        for _, held in folds:
            counts = np.bincount(np.array(LABELS)[held], minlength=3)
            assert (np.abs(counts - np.array([4, 2, 5]) / 3) < 1).all()
    else:
        assert sorted(len(held) for _, held in folds) == [3, 4, 4]


def test_shuffled_folds_are_those_of_a_seed() -> None:
    seeded = KFold(3, shuffle=True, random_state=1)
    assert parts(seeded, LABELS) == parts(seeded, LABELS)
    assert parts(seeded, LABELS) != parts(KFold(3), LABELS)
    assert parts(seeded, LABELS) != parts(KFold(3, shuffle=True, random_state=2), LABELS)
    generator = tg.Generator().manual_seed(1)
    moving = KFold(3, shuffle=True, random_state=generator)
    assert parts(moving, LABELS) == parts(seeded, LABELS)
    assert parts(moving, LABELS) != parts(seeded, LABELS)


def test_k_fold_gives_subsets() -> None:
    data = TensorDataset(tg.arange(11) * 10, tg.tensor(LABELS))
    folds = list(k_fold(data, 3))
    assert [len(held) for _, held in folds] == [4, 4, 3]
    assert [int(held[0][0]) for _, held in folds] == [0, 40, 80]
    stratified = list(k_fold(data, 2, labels=tg.tensor(LABELS)))
    assert parts(StratifiedKFold(2), LABELS, LABELS) == [
        (a.indices, b.indices) for a, b in stratified
    ]
    by_targets = list(k_fold(data, StratifiedKFold(2)))
    assert [b.indices for _, b in by_targets] == [b.indices for _, b in stratified]
    drawn = [b.indices for _, b in k_fold(data, shuffle=True, generator=tg.Generator())]
    assert sorted(i for held in drawn for i in held) == list(range(11))


def test_k_fold_takes_scikit_learns_splitters() -> None:
    theirs = pytest.importorskip("sklearn.model_selection", reason="scikit-learn's splitters")
    groups = [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 4]
    for _, held in k_fold(range(11), theirs.GroupKFold(2), groups=groups):
        inside = {groups[i] for i in held.indices}
        assert [i for i in range(11) if groups[i] in inside] == held.indices
    for train, held in k_fold(range(11), theirs.TimeSeriesSplit(3)):
        assert max(train.indices) < min(held.indices)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: KFold(1), ValueError, "KFold: n_splits must be an int of at least 2, got 1"),
        (lambda: KFold(2, random_state=0), ValueError, "means nothing without shuffle=True"),
        (lambda: list(k_fold([1, 2], 3)), ValueError, "n_splits is 3, but the dataset has 2 items"),
        (lambda: list(k_fold([1, 2, 3], 3, labels=[0, 0, 1])), ValueError, "largest class has 2"),
        (lambda: k_fold([1, 2], labels=[0]), ValueError, "there are 1 labels for 2 items"),
        (lambda: k_fold([1, 2], 2.0), TypeError, "or have a method split, got float"),
        (lambda: k_fold([1, 2], KFold(2), shuffle=True), ValueError, "excludes shuffle"),
        (lambda: list(StratifiedKFold(2).split([1, 2])), ValueError, "needs y, the class of each"),
    ],
)
def test_what_cannot_be_split(call: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        call()
