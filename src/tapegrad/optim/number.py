"""What optimizers and schedules take as a number."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.core.devices import CPU
from tapegrad.core.dtypes import float32, float64, get_default_dtype
from tapegrad.core.tensor import Tensor, wrap

Number = float | Tensor  # of one element


def counted(steps: int) -> Tensor:
    """A number of steps as a state keeps it, and as PyTorch does: 0-d, on the CPU, float32, or
    float64 where that is the default dtype."""
    dtype = float64 if get_default_dtype() is float64 else float32
    return wrap(np.array(steps, dtype), CPU)


def kept_number(value: Any) -> Tensor:
    """Another number as a state keeps it: 0-d, on the CPU, float64. One that is on the tape stays
    there."""
    return value if isinstance(value, Tensor) else wrap(np.array(value, float64), CPU)


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
