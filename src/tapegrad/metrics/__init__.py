"""How good a model is: each metric as a function of tensors, and as a class that gathers batches.

``accuracy(scores, labels)`` is one batch; ``Accuracy()`` has ``update(scores, labels)``,
``compute()`` and ``reset()``, and counts such that the result is that of all batches at once.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from tapegrad.ops.common.hints import unknown_names as _unknown_names

from .classification import (
    F1,
    Accuracy,
    ConfusionMatrix,
    Precision,
    Recall,
    TopKAccuracy,
    accuracy,
    confusion_matrix,
    f1,
    precision,
    recall,
    top_k_accuracy,
)
from .detection import MeanAveragePrecision, box_iou, mean_average_precision
from .metric import Metric
from .ranking import ROCAUC, roc_auc
from .regression import (
    R2,
    MeanAbsoluteError,
    MeanSquaredError,
    mean_absolute_error,
    mean_squared_error,
    r2,
)
from .text import BLEU, Perplexity, bleu, perplexity

__all__ = [
    "Accuracy",
    "BLEU",
    "ConfusionMatrix",
    "F1",
    "MeanAbsoluteError",
    "MeanAveragePrecision",
    "MeanSquaredError",
    "Metric",
    "Perplexity",
    "Precision",
    "R2",
    "ROCAUC",
    "Recall",
    "TopKAccuracy",
    "accuracy",
    "bleu",
    "box_iou",
    "confusion_matrix",
    "f1",
    "mean_absolute_error",
    "mean_average_precision",
    "mean_squared_error",
    "perplexity",
    "precision",
    "r2",
    "recall",
    "roc_auc",
    "top_k_accuracy",
]

if not _TYPE_CHECKING:
    __getattr__ = _unknown_names(__name__)
