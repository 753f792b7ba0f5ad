"""Handwritten digits that ship with the package; see digits.txt for source and licence."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.refusals import retelling
from tapegrad.ops.creation.create import tensor

_FILE = os.path.join(os.path.dirname(__file__), "digits.npz")


@retelling
def digits(device: Any = None) -> tuple[Tensor, Tensor]:
    """1,797 handwritten digits: images (1797, 1, 8, 8) float32 in 0..1, labels (1797,) int64."""
    with np.load(_FILE, allow_pickle=False) as file:
        images = file["images"][:, None].astype(np.float32) / 16
        labels = file["labels"].astype(np.int64)
    return tensor(images, device=device), tensor(labels, device=device)
