"""Predicted and right classes, out of what models return."""

from __future__ import annotations

import numpy as np

from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import positive

from .metric import host, require_tensors

_MOST_COUNTS = 1 << 28  # 2 GiB of int64


def classes_of(
    op: str, input: Tensor, target: Tensor, threshold: float | None, ignore_index: int | None
) -> tuple[np.ndarray, np.ndarray, int]:
    """The predicted class and the right one of every element, as int64 vectors, and how many
    classes the scores had (0: there were none).

    input: floating scores (n, classes, ...) for a target (n, ...), of which the largest counts
    (the first of equal ones); classes of the target's shape; or, with ``threshold``, floating
    scores of the target's shape: 1 above the threshold, else 0.
    """
    require_tensors(op, input=input, target=target)
    if target.is_floating_point():
        raise TypeError(f"[{op}] target must be integer classes, got {target.dtype.name}")
    shape = tuple(input.shape)
    count = 0
    if input.is_floating_point() and input.ndim == target.ndim + 1 and threshold is None:
        if input.ndim > 1 and (shape[0], *shape[2:]) == tuple(target.shape) and shape[1]:
            count = shape[1]
            input = input.detach().argmax(1)
    elif input.shape == target.shape and input.is_floating_point():
        if threshold is None:
            raise ValueError(
                f"[{op}] input and target both have the shape {shape} and input is "
                f"{input.dtype.name}: pass threshold=0.0 for logits, 0.5 for probabilities, or "
                "scores of shape (n, classes)"
            )
        input = input.detach() > threshold
    if input.shape != target.shape:
        raise ValueError(
            f"[{op}] shapes {shape} and {tuple(target.shape)}: scores (n, classes, ...) belong to "
            "a target (n, ...), predicted classes have the shape of the target"
        )
    predicted, right = (host(x).reshape(-1).astype(np.int64) for x in (input, target))
    if ignore_index is not None:
        kept = right != ignore_index
        predicted, right = predicted[kept], right[kept]
    if right.size and (right.min() < 0 or predicted.min() < 0):
        least = min(right.min(), predicted.min())
        raise ValueError(
            f"[{op}] classes begin at 0, got {least}: pass ignore_index={least} if it stands for "
            "what does not count"
        )
    if count and right.size and right.max() >= count:
        hint = ": for one score a sample pass input.squeeze(1) and threshold=" if count == 1 else ""
        raise ValueError(
            f"[{op}] the target has the class {right.max()}, there are scores for {count} classes"
            f"{hint}"
        )
    return predicted, right, count


def class_count(op: str, given: int | None, scored: int, seen: int, dimensions: int = 1) -> int:
    """How many classes there are: as given, else as there were scores for, or as the largest says.
    Raises ValueError for more than given; without that, for a class that would make the table of
    counts, of so many dimensions, very large."""
    largest = max(scored, seen)
    if given is None:
        if seen > scored and seen**dimensions > _MOST_COUNTS:
            raise ValueError(
                f"[{op}] the class {seen - 1} makes a table of {seen**dimensions} counts: pass "
                f"ignore_index={seen - 1} if it stands for what does not count, or "
                f"num_classes={seen} if there are so many"
            )
        return largest
    if largest > given:
        raise ValueError(f"[{op}] num_classes is {given}, got the class {largest - 1}")
    return given


def require_count(op: str, given: int | None) -> int | None:
    """``num_classes`` as it is given. Raises ValueError for what is no number of classes."""
    return None if given is None else positive(f"[{op}] num_classes", given)
