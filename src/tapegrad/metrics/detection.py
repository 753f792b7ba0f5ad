"""How well boxes are found: overlap, and mean average precision as the COCO benchmark has it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad.core.dtypes import float32, float64
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import positive
from tapegrad.ops.common.refusals import retelling
from tapegrad.ops.creation.create import from_numpy

from .metric import Metric, host, measured, require_lists, require_tensors

COCO_THRESHOLDS = tuple(n / 100 for n in range(50, 100, 5))
_RECALLS = np.linspace(0, 1, 101)


@retelling
def box_iou(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Intersection over union of every box of one set (n, 4) with every box of another (m, 4), as
    (n, m); 0 for two boxes without area. Boxes are (x1, y1, x2, y2) with x1 <= x2 and y1 <= y2.

    Differentiable; computed in float32, where a set is float64 in that. Raises ValueError for
    other shapes.
    """
    require_tensors("box_iou", boxes1=boxes1, boxes2=boxes2)
    for boxes in (boxes1, boxes2):
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise ValueError(f"[box_iou] boxes have the shape (n, 4), got {tuple(boxes.shape)}")
    dtype = float64 if float64 in (boxes1.dtype, boxes2.dtype) else float32
    a, b = boxes1.to(dtype)[:, None], boxes2.to(dtype)[None]
    size = (a[..., 2:].minimum(b[..., 2:]) - a[..., :2].maximum(b[..., :2])).clamp(min=0)
    common = size[..., 0] * size[..., 1]
    together = _area(a) + _area(b) - common
    return common / together.where(together > 0, together.new_ones(()))


def _area(boxes: Any) -> Any:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


class MeanAveragePrecision(Metric):
    """Mean average precision of a detector; see ``mean_average_precision``. Keeps all boxes until
    ``reset``."""

    def __init__(
        self, iou_thresholds: Sequence[float] = COCO_THRESHOLDS, *, max_detections: int = 100
    ):
        try:
            self.iou_thresholds = tuple(float(t) for t in iou_thresholds)
        except (TypeError, ValueError):
            raise TypeError(
                "[mean_average_precision] iou_thresholds must be a list of numbers, as (0.5,), got "
                f"{iou_thresholds!r}"
            ) from None
        if not self.iou_thresholds or not all(0 < t <= 1 for t in self.iou_thresholds):
            raise ValueError(
                "[mean_average_precision] iou_thresholds must be numbers in 0..1, above 0, got "
                f"{iou_thresholds!r}"
            )
        self.max_detections = positive("[mean_average_precision] max_detections", max_detections)
        super().__init__()

    def _empty(self) -> dict[str, Any]:
        return {"found": [], "right": []}

    def update(self, input: Sequence[Mapping], target: Sequence[Mapping]) -> None:
        """Add the images of a batch."""
        require_lists("mean_average_precision", "dicts, one an image", input=input, target=target)
        if len(input) != len(target):
            raise ValueError(
                f"[mean_average_precision] there are {len(input)} images in input and "
                f"{len(target)} in target"
            )
        found = [_image(i, image, "boxes", "scores", "labels") for i, image in enumerate(input)]
        right = [_image(i, image, "boxes", "labels") for i, image in enumerate(target)]
        self.state["found"] += found
        self.state["right"] += right

    def compute(self) -> float:
        """The mean over classes and thresholds."""
        pairs = list(zip(self.state["found"], self.state["right"], strict=True))
        labels = np.unique(np.concatenate([right["labels"] for _, right in pairs] or [[]]))
        scores = [precision for label in labels for precision in self._of_class(pairs, label)]
        return float(np.mean(scores)) if scores else math.nan

    def _of_class(self, pairs: list[tuple[dict, dict]], label: int) -> list[float]:
        """Average precision at each threshold."""
        total, scores, hits = 0, [np.zeros(0)], [np.zeros((len(self.iou_thresholds), 0), bool)]
        for found, right in pairs:
            boxes = right["boxes"][right["labels"] == label]
            total += len(boxes)
            mine = found["labels"] == label
            best = np.argsort(-found["scores"][mine], kind="stable")[: self.max_detections]
            scores.append(found["scores"][mine][best])
            tensors = map(from_numpy, (found["boxes"][mine][best], boxes))
            overlaps = box_iou(*tensors).numpy()
            hits.append(np.stack([_matched(overlaps, t) for t in self.iou_thresholds]))
        order = np.argsort(-np.concatenate(scores), kind="stable")
        return [_average_precision(row[order], total) for row in np.concatenate(hits, axis=1)]


def _matched(overlaps: np.ndarray, threshold: float) -> np.ndarray:
    """Which detections, the best first, find a box: each takes the one that it overlaps most of
    those that none before it has taken."""
    free = np.ones(overlaps.shape[1], bool)
    hits = np.zeros(len(overlaps), bool)
    for i, row in enumerate(overlaps):
        fitting = np.where(free & (row >= min(threshold, 1 - 1e-10)), row, -1.0)
        if fitting.size and fitting.max() >= 0:
            hits[i] = True
            free[fitting.size - 1 - fitting[::-1].argmax()] = False  # of equals the last, as COCO
    return hits


def _average_precision(hits: np.ndarray, total: int) -> float:
    """The mean, over 101 recalls, of the best precision at that recall or a higher one."""
    right = np.cumsum(hits)
    precision = right / np.arange(1, len(hits) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(right / total, _RECALLS)
    return float(np.append(best, 0.0)[at].mean())


def _image(index: int, given: Any, *names: str) -> dict[str, np.ndarray]:
    """The arrays of one image. Raises ValueError where one is missing or does not fit."""
    where = f"[mean_average_precision] image {index}"
    if not isinstance(given, Mapping) or not {*names} <= given.keys():
        keys = sorted(given) if isinstance(given, Mapping) else type(given).__name__
        raise ValueError(f"{where} must be a dict with {names}, got {keys}")
    require_tensors("mean_average_precision", **{name: given[name] for name in names})
    boxes = host(given["boxes"]).astype(np.float64)
    boxes = boxes.reshape(0, 4) if boxes.size == 0 else boxes
    shapes = {name: tuple(given[name].shape) for name in names}
    if (
        boxes.ndim != 2
        or boxes.shape[1] != 4
        or any(shapes[name] != (len(boxes),) for name in names[1:])
    ):
        raise ValueError(f"{where}: boxes (n, 4) belong to (n,) of all else, got {shapes}")
    return {"boxes": boxes, **{name: host(given[name]) for name in names[1:]}}


@retelling
def mean_average_precision(
    input: Sequence[Mapping],
    target: Sequence[Mapping],
    iou_thresholds: Sequence[float] = COCO_THRESHOLDS,
    *,
    max_detections: int = 100,
) -> float:
    """The COCO benchmark's mean average precision (mAP@[.5:.95]), over the classes that are there
    and the thresholds; ``iou_thresholds=(0.5,)`` for mAP@.5. nan where there is no box.

    input: for every image a dict of "boxes" (n, 4), "scores" (n,) and "labels" (n,); target: the
    same without scores. Boxes are (x1, y1, x2, y2). Of each class and image the max_detections best
    count. Detections, the best first, take the free box of their class that they overlap most, by
    the threshold or more; precision at 101 recalls is that of the best cut with such a recall
    (Lin et al. 2014). There are no crowds and no areas of interest. Raises ValueError for images
    that lack an entry or whose entries do not fit, and for thresholds that are not in 0..1.
    """
    metric = MeanAveragePrecision(iou_thresholds, max_detections=max_detections)
    return measured(metric, input, target)
