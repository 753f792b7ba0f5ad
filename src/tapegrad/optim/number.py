"""What optimizers and schedules take as a number."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.core.tensor import Tensor

Number = float | Tensor  # of one element


def is_number(x: Any) -> bool:
    """Whether it can be an option: a number, no flag, or a tensor of one element."""
    if isinstance(x, Tensor):
        return x.numel() == 1 and x.dtype.kind != "b"
    return isinstance(x, (int, float, np.integer, np.floating)) and not isinstance(x, bool)


def plain(option: Any) -> Any:
    """An option as the steps want it: tensors, and NumPy's numbers, as Python's; in tuples too."""
    if isinstance(option, (Tensor, np.generic)):
        return option.item()
    return tuple(map(plain, option)) if isinstance(option, (tuple, list)) else option
