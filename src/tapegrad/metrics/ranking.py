"""The area under the ROC curve."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np

from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.refusals import retelling
from tapegrad.ops.creation.create import from_numpy

from .metric import Metric, host, measured, require_tensors


class ROCAUC(Metric):
    """The area under the ROC curve; see ``roc_auc``. Keeps all scores until ``reset``."""

    def __init__(self, average: str | None = "macro", *, multi_class: str = "ovr"):
        known = {"ovr": ("macro", "weighted", "micro", None), "ovo": ("macro", "weighted")}
        if multi_class not in known:
            raise ValueError(f"[roc_auc] multi_class must be 'ovr' or 'ovo', got {multi_class!r}")
        if average not in known[multi_class]:
            raise ValueError(
                f"[roc_auc] average must be one of {known[multi_class]} for "
                f"multi_class={multi_class!r}, got {average!r}"
            )
        self.average, self.multi_class = average, multi_class
        super().__init__()

    def _empty(self) -> dict[str, Any]:
        return {"scores": [], "right": []}

    def update(self, input: Tensor, target: Tensor) -> None:
        """Add a batch."""
        require_tensors("roc_auc", input=input, target=target)
        shape = tuple(input.shape)
        if target.ndim != 1 or input.ndim not in (1, 2) or shape[0] != target.shape[0]:
            raise ValueError(
                f"[roc_auc] shapes {shape} and {tuple(target.shape)}: scores (n,) of two classes, "
                "or (n, classes), belong to a target (n,)"
            )
        if not input.is_floating_point() or target.is_floating_point():
            raise TypeError(
                "[roc_auc] scores must be floats and classes integers, got "
                f"{input.dtype.name} and {target.dtype.name}"
            )
        scores, right = host(input).astype(np.float64), host(target).astype(np.int64)
        classes = 2 if input.ndim == 1 else shape[1]
        if right.size and (right.min() < 0 or right.max() >= classes):
            raise ValueError(
                f"[roc_auc] classes must be in 0..{classes - 1}, got {right.min()}..{right.max()}"
            )
        if np.isnan(scores).any():
            raise ValueError("[roc_auc] there is nan among the scores, which has no rank")
        if self.state["scores"] and self.state["scores"][0].shape[1:] != scores.shape[1:]:
            raise ValueError("[roc_auc] the batches have different numbers of classes")
        self.state["scores"].append(scores)
        self.state["right"].append(right)

    def compute(self) -> Any:
        """The area: a float, or of every class (average=None) a float64 tensor."""
        if not self.state["scores"]:
            return math.nan
        scores, right = (np.concatenate(self.state[name]) for name in ("scores", "right"))
        if scores.ndim == 1:
            return area(scores, right == 1)
        classes = range(scores.shape[1])
        if self.multi_class == "ovo":
            pairs = list(combinations(np.unique(right).tolist(), 2))
            areas = np.array([_of_pair(scores, right, *pair) for pair in pairs])
            weights = np.array([np.isin(right, pair).mean() for pair in pairs])
        else:
            belongs = right[:, None] == np.array(classes)
            if self.average == "micro":
                return area(scores.reshape(-1), belongs.reshape(-1))
            areas = np.array([area(scores[:, c], belongs[:, c]) for c in classes])
            weights = belongs.sum(0)
        if self.average is None:
            return from_numpy(areas)
        if not areas.size:
            return math.nan
        return float(np.average(areas, weights=weights if self.average == "weighted" else None))


@retelling
def roc_auc(
    input: Tensor, target: Tensor, average: str | None = "macro", *, multi_class: str = "ovr"
) -> Any:
    """The area under the ROC curve: how likely one of the class scores higher than one of another,
    equal scores counting half.

    input: floating scores (n,) of class 1, or (n, classes). target: integer classes (n,).
    multi_class, of several: each against the rest ("ovr"), or each against each ("ovo"; Hand & Till
    2001). average: "macro"; "weighted", by how often a class, or pair, is there; of "ovr" also
    "micro", all scores together, and None, a float64 tensor (classes,). nan where there is only one
    class. Raises ValueError for shapes that do not fit, nan, and another average.
    """
    return measured(ROCAUC(average, multi_class=multi_class), input, target)


def area(scores: np.ndarray, positive: np.ndarray) -> float:
    """From the ranks of the positive ones (Mann & Whitney 1947), equal scores sharing theirs."""
    ones = int(positive.sum())
    zeros = positive.size - ones
    if not ones or not zeros:
        return math.nan
    _, which, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    return float((ranks[which][positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def _of_pair(scores: np.ndarray, right: np.ndarray, a: int, b: int) -> float:
    either = (right == a) | (right == b)
    scores, right = scores[either], right[either]
    return (area(scores[:, a], right == a) + area(scores[:, b], right == b)) / 2
