"""Accuracy, precision, recall, F1 and the confusion matrix, from counts that add up over batches.

Where nothing was seen, a score is nan.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import positive
from tapegrad.ops.common.refusals import retelling
from tapegrad.ops.creation.create import from_numpy

from .labels import class_count, classes_of, require_count
from .metric import Metric, grown, host, measured, require_tensors

_AVERAGES = ("binary", "micro", "macro", "weighted", None)


class _Share(Metric):
    """How many of all were right."""

    def _empty(self) -> dict[str, int]:
        return {"right": 0, "total": 0}

    def _add(self, right: np.ndarray) -> None:
        self.state["right"] += int(right.sum())
        self.state["total"] += right.size

    def compute(self) -> float:
        """The share of those that were right."""
        total = self.state["total"]
        return self.state["right"] / total if total else math.nan


class Accuracy(_Share):
    """The share of elements whose class is the right one; see ``accuracy``."""

    def __init__(self, *, threshold: float | None = None, ignore_index: int | None = None):
        self.threshold, self.ignore_index = threshold, ignore_index
        super().__init__()

    def update(self, input: Tensor, target: Tensor) -> None:
        """Add a batch."""
        predicted, right, _ = classes_of(
            "accuracy", input, target, self.threshold, self.ignore_index
        )
        self._add(predicted == right)


@retelling
def accuracy(
    input: Tensor,
    target: Tensor,
    *,
    threshold: float | None = None,
    ignore_index: int | None = None,
) -> float:
    """The share of elements whose class is the right one.

    input: floating scores (n, classes, ...), of which the largest counts, or integer classes
    (n, ...), or with ``threshold`` floating scores (n, ...), where class 1 is above it. target:
    integer classes (n, ...); elements that are ``ignore_index`` do not count. Raises ValueError for
    shapes that do not fit and negative classes.
    """
    return measured(Accuracy(threshold=threshold, ignore_index=ignore_index), input, target)


class TopKAccuracy(_Share):
    """The share of elements whose class is among the k with the highest scores; see
    ``top_k_accuracy``."""

    def __init__(self, k: int = 5, *, ignore_index: int | None = None):
        self.k, self.ignore_index = positive("[top_k_accuracy] k", k), ignore_index
        super().__init__()

    def update(self, input: Tensor, target: Tensor) -> None:
        """Add a batch."""
        require_tensors("top_k_accuracy", input=input, target=target)
        if not input.is_floating_point():
            raise TypeError(f"[top_k_accuracy] scores must be floats, got {input.dtype.name}")
        _, right, count = classes_of("top_k_accuracy", input, target, None, self.ignore_index)
        scores = np.moveaxis(host(input), 1, -1).reshape(-1, count)
        if self.ignore_index is not None:
            scores = scores[host(target).reshape(-1) != self.ignore_index]
        own = np.take_along_axis(scores, right[:, None], 1)
        later = np.arange(count) > right[:, None]  # of equal scores the last goes first
        ahead = (scores > own) | ((scores == own) & later)
        self._add((ahead.sum(1) < self.k) & ~np.isnan(own[:, 0]))


@retelling
def top_k_accuracy(
    input: Tensor, target: Tensor, k: int = 5, *, ignore_index: int | None = None
) -> float:
    """The share of elements whose class is among the k with the highest scores; of equal scores
    those of later classes go first, as in scikit-learn.

    input: floating scores (n, classes, ...). target: integer classes (n, ...); elements that are
    ``ignore_index`` do not count. Raises ValueError for k < 1 and shapes that do not fit.
    """
    return measured(TopKAccuracy(k, ignore_index=ignore_index), input, target)


class _ByClass(Metric):
    """Precision, recall and F1: true positives, predictions and right answers of every class."""

    _name = ""

    def __init__(
        self,
        average: str | None = "macro",
        *,
        num_classes: int | None = None,
        zero_division: float = 0.0,
        threshold: float | None = None,
        ignore_index: int | None = None,
    ):
        if average not in _AVERAGES:
            raise ValueError(f"[{self._name}] average must be one of {_AVERAGES}, got {average!r}")
        self.average, self.zero_division = average, zero_division
        self.num_classes = require_count(self._name, num_classes)
        self.threshold, self.ignore_index = threshold, ignore_index
        super().__init__()

    def _empty(self) -> dict[str, Any]:
        return {"counts": np.zeros((3, self.num_classes or 0), np.int64)}

    def update(self, input: Tensor, target: Tensor) -> None:
        """Add a batch."""
        predicted, right, count = classes_of(
            self._name, input, target, self.threshold, self.ignore_index
        )
        most = max((int(x.max()) + 1 for x in (predicted, right) if x.size), default=0)
        size = class_count(self._name, self.num_classes, count, most)
        agreed = right[predicted == right]
        batch = [np.bincount(x, minlength=size) for x in (agreed, predicted, right)]
        counts = grown(self.state["counts"], (3, size))
        counts[:, :size] += batch
        self.state["counts"] = counts

    def compute(self) -> Any:
        """The score: a float, or of every class (average=None) a float64 tensor."""
        counts = self.state["counts"]
        if self.average == "binary":
            if counts.shape[1] > 2:
                raise ValueError(
                    f"[{self._name}] average='binary' is for the classes 0 and 1, there are "
                    f"{counts.shape[1]}: choose 'micro', 'macro', 'weighted' or None"
                )
            return float(self._scores(grown(counts, (3, 2)))[1]) if counts.any() else math.nan
        if self.average is None:
            return from_numpy(self._scores(counts))
        if self.num_classes is None:  # else those that never came count too
            counts = counts[:, counts.any(0)]
        if self.average == "micro":
            return float(self._scores(counts.sum(1, keepdims=True))[0]) if counts.size else math.nan
        scores = self._scores(counts)
        known = ~np.isnan(scores)
        weights = counts[2] if self.average == "weighted" else np.ones(len(scores))
        scores, weights = scores[known], weights[known]
        if not scores.size:
            return math.nan
        return float(np.average(scores, weights=weights if weights.any() else None))

    def _scores(self, counts: np.ndarray) -> np.ndarray:
        part, whole = self._ratio(*counts)
        scores = np.full(part.shape, float(self.zero_division))
        return np.divide(part, whole, out=scores, where=whole > 0)

    @staticmethod
    def _ratio(agreed: np.ndarray, predicted: np.ndarray, right: np.ndarray) -> tuple:
        raise NotImplementedError


class Precision(_ByClass):
    """Of those said to be of a class, the share that is; see ``precision``."""

    _name = "precision"

    @staticmethod
    def _ratio(agreed: np.ndarray, predicted: np.ndarray, right: np.ndarray) -> tuple:
        return agreed, predicted


class Recall(_ByClass):
    """Of those of a class, the share that is found; see ``recall``."""

    _name = "recall"

    @staticmethod
    def _ratio(agreed: np.ndarray, predicted: np.ndarray, right: np.ndarray) -> tuple:
        return agreed, right


class F1(_ByClass):
    """The harmonic mean of precision and recall; see ``f1``."""

    _name = "f1"

    @staticmethod
    def _ratio(agreed: np.ndarray, predicted: np.ndarray, right: np.ndarray) -> tuple:
        return 2 * agreed, predicted + right


@retelling
def precision(
    input: Tensor,
    target: Tensor,
    average: str | None = "macro",
    *,
    num_classes: int | None = None,
    zero_division: float = 0.0,
    threshold: float | None = None,
    ignore_index: int | None = None,
) -> Any:
    """Of the elements said to be of a class, the share that is: TP / (TP + FP).

    input, target, threshold, ignore_index: as for ``accuracy``. average: "macro", the mean over the
    classes; "weighted", by how often each is right; "micro", of all counts together; "binary", that
    of class 1; None, of every class, a float64 tensor (classes,). Classes that are neither in input
    nor in target do not count, unless num_classes is given. Where TP + FP is 0, a class scores
    ``zero_division``, which may be nan: then it is left out of averages. Raises ValueError for
    another average, and a class of num_classes or more.
    """
    metric = Precision(
        average,
        num_classes=num_classes,
        zero_division=zero_division,
        threshold=threshold,
        ignore_index=ignore_index,
    )
    return measured(metric, input, target)


@retelling
def recall(
    input: Tensor,
    target: Tensor,
    average: str | None = "macro",
    *,
    num_classes: int | None = None,
    zero_division: float = 0.0,
    threshold: float | None = None,
    ignore_index: int | None = None,
) -> Any:
    """Of the elements of a class, the share said to be: TP / (TP + FN). Everything else as for
    ``precision``."""
    metric = Recall(
        average,
        num_classes=num_classes,
        zero_division=zero_division,
        threshold=threshold,
        ignore_index=ignore_index,
    )
    return measured(metric, input, target)


@retelling
def f1(
    input: Tensor,
    target: Tensor,
    average: str | None = "macro",
    *,
    num_classes: int | None = None,
    zero_division: float = 0.0,
    threshold: float | None = None,
    ignore_index: int | None = None,
) -> Any:
    """The harmonic mean of precision and recall: 2 TP / (2 TP + FP + FN). Everything else as for
    ``precision``."""
    metric = F1(
        average,
        num_classes=num_classes,
        zero_division=zero_division,
        threshold=threshold,
        ignore_index=ignore_index,
    )
    return measured(metric, input, target)


class ConfusionMatrix(Metric):
    """How often each class was taken for each; see ``confusion_matrix``."""

    def __init__(
        self,
        *,
        num_classes: int | None = None,
        normalize: str | None = None,
        threshold: float | None = None,
        ignore_index: int | None = None,
    ):
        if normalize not in (None, "true", "pred", "all"):
            raise ValueError(
                "[confusion_matrix] normalize must be None, 'true', 'pred' or 'all', got "
                f"{normalize!r}"
            )
        self.num_classes = require_count("confusion_matrix", num_classes)
        self.normalize = normalize
        self.threshold, self.ignore_index = threshold, ignore_index
        super().__init__()

    def _empty(self) -> dict[str, Any]:
        return {"counts": np.zeros((self.num_classes or 0,) * 2, np.int64)}

    def update(self, input: Tensor, target: Tensor) -> None:
        """Add a batch."""
        predicted, right, count = classes_of(
            "confusion_matrix", input, target, self.threshold, self.ignore_index
        )
        most = max((int(x.max()) + 1 for x in (predicted, right) if x.size), default=0)
        size = class_count("confusion_matrix", self.num_classes, count, most, 2)
        batch = np.bincount(right * size + predicted, minlength=size * size)
        counts = grown(self.state["counts"], (size, size))
        counts[:size, :size] += batch.reshape(size, size)
        self.state["counts"] = counts

    def compute(self) -> Tensor:
        """The matrix (classes, classes): int64, or float64 shares if normalized."""
        counts = self.state["counts"]
        if self.normalize is None:
            return from_numpy(counts.copy())
        axis = {"true": 1, "pred": 0, "all": None}[self.normalize]
        whole = counts.sum(axis=axis, keepdims=True)
        shares = np.divide(counts, whole, out=np.zeros(counts.shape), where=whole > 0)
        return from_numpy(shares)


@retelling
def confusion_matrix(
    input: Tensor,
    target: Tensor,
    *,
    num_classes: int | None = None,
    normalize: str | None = None,
    threshold: float | None = None,
    ignore_index: int | None = None,
) -> Tensor:
    """Entry (i, j): how many elements of class i are said to be of class j, int64. With
    ``normalize`` float64 shares: of the row ("true"), of the column ("pred"), of "all".

    input, target, threshold, ignore_index: as for ``accuracy``. There are num_classes classes, by
    default as many as there are scores, or as the largest class says. Raises ValueError for another
    normalize, and a class of num_classes or more.
    """
    metric = ConfusionMatrix(
        num_classes=num_classes, normalize=normalize, threshold=threshold, ignore_index=ignore_index
    )
    return measured(metric, input, target)
