"""Batches whose images are mixtures of two, and their labels likewise."""

from __future__ import annotations

import numpy as np

from tapegrad.core.dtypes import float64, get_default_dtype, is_floating
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_tensor
from tapegrad.ops.common.refusals import retelling
from tapegrad.ops.creation.create import full, tensor
from tapegrad.ops.indexing.where import select_where as where
from tapegrad.ops.layers.embedding import one_hot
from tapegrad.ops.sampling.draws import randperm
from tapegrad.ops.sampling.gamma import dirichlet
from tapegrad.ops.sampling.philox import Generator

from .images import as_floats, draws, like, per_image, require_image


@retelling
def mixup(
    images: Tensor,
    labels: Tensor,
    alpha: float = 1.0,
    num_classes: int | None = None,
    generator: Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Each image of a batch mixed with a random other: a share of Beta(alpha, alpha) of it, and of
    its label (Zhang et al. 2018). Shares are drawn for each image.

    images (n, c, h, w); labels: integers (n,), of ``num_classes`` classes, or shares (n, classes)
    -> the images, and labels as shares (n, classes), which ``cross_entropy`` takes. Raises
    ValueError for shapes that do not fit and for alpha <= 0.
    """
    shares = _shares("mixup", images, labels, num_classes)
    others, kept = _partners("mixup", images, alpha, generator)
    mixed = _mix(as_floats(images), per_image(kept, images), others)
    return like(mixed, images), _mix(shares, _column(kept, shares), others)


@retelling
def cutmix(
    images: Tensor,
    labels: Tensor,
    alpha: float = 1.0,
    num_classes: int | None = None,
    generator: Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Each image of a batch with a random rectangle of a random other in it, whose area is a share
    of Beta(alpha, alpha); the other's label gets as much as is seen of it (Yun et al. 2019).
    Arguments and results as in ``mixup``."""
    shares = _shares("cutmix", images, labels, num_classes)
    others, kept = _partners("cutmix", images, alpha, generator)
    n, _, h, w = images.shape
    side = np.sqrt(1 - kept)
    hidden = np.zeros((n, 1, h, w), bool)
    # (Around a centre anywhere in the image, so that a part may lie outside.)
    centres = draws(n, 2, generator)
    for i in range(n):
        (top, bottom), (left, right) = (
            np.clip(
                (int(c * size) + np.array([-0.5, 0.5]) * int(size * side[i])).astype(int), 0, size
            )
            for c, size in zip(centres[:, i], (h, w), strict=True)
        )
        hidden[i, 0, top:bottom, left:right] = True
    kept = 1 - hidden.mean((1, 2, 3))
    mixed = where(tensor(hidden, device=images.device), images[others], images)
    return mixed, _mix(shares, _column(kept, shares), others)


def _shares(op: str, images: Tensor, labels: Tensor, num_classes: int | None) -> Tensor:
    """The labels as shares of the default dtype, or their own."""
    require_image(op, images)
    require_tensor(op, labels)
    if images.ndim != 4:
        raise ValueError(
            f"[{op}] takes a batch of images (n, c, h, w), got shape {tuple(images.shape)}: call "
            "it on batches, from the DataLoader"
        )
    whole = not is_floating(labels.dtype)
    if labels.ndim != (1 if whole else 2) or len(labels) != len(images):
        raise ValueError(
            f"[{op}] takes labels of integers (n,) or of shares (n, classes), n = {len(images)}, "
            f"got {labels.dtype.name} {tuple(labels.shape)}"
        )
    if not whole:
        return labels
    if num_classes is None:
        raise ValueError(f"[{op}] labels of integers need num_classes=")
    return one_hot(labels.long(), num_classes).to(get_default_dtype())


def _partners(
    op: str, images: Tensor, alpha: float, generator: Generator | None
) -> tuple[Tensor, np.ndarray]:
    """The other of each image, int64 (n,), and the share that is kept, float64 (n,)."""
    if not alpha > 0:
        raise ValueError(f"[{op}] alpha must be positive, got {alpha}")
    n = len(images)
    others = randperm(n, generator=generator).to(images.device)
    kept = dirichlet(full((n, 2), alpha, dtype=float64), generator=generator)
    return others, kept.numpy()[:, 0]


def _mix(values: Tensor, kept: Tensor, others: Tensor) -> Tensor:
    return kept * values + (1 - kept) * values[others]


def _column(kept: np.ndarray, shares: Tensor) -> Tensor:
    return tensor(kept.reshape(-1, 1), dtype=shares.dtype, device=shares.device)
