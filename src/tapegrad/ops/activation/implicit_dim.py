"""The softmax family of ``nn.functional``, which guesses a dimension where none is named."""

from __future__ import annotations

import sys
import warnings
from typing import Any

from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_tensor
from tapegrad.ops.common.precision import compute_in_float32

from . import softmax as explicit


def _chosen(op: str, x: Any, dim: int | None) -> int:
    require_tensor(op, x)
    if dim is not None:
        return dim
    dim = 0 if x.ndim in (0, 1, 3) else 1
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(
        "tapegrad."
    ):  # up to the caller
        level, frame = level + 1, frame.f_back
    message = f"[{op}] name the dimension to work along: dim={dim} is a guess"
    warnings.warn(message, stacklevel=level)
    return dim


def softmax(input: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """exp(x) / sum(exp(x)) along ``dim``, of floats. ``dtype``: convert the input to it first.
    Without a ``dim`` warns and takes the one that PyTorch takes: 0 for tensors of 0, 1 and 3
    dimensions, else 1."""
    return explicit.softmax(input, _chosen("softmax", input, dim), dtype)


def log_softmax(input: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """log(softmax(x)) along ``dim``, without the loss of precision of taking both steps.
    Without a ``dim`` as ``softmax``."""
    return explicit.log_softmax(input, _chosen("log_softmax", input, dim), dtype)


@compute_in_float32
def softmin(input: Tensor, dim: int | None = None, dtype: Any = None) -> Tensor:
    """softmax(-x). Without a ``dim`` as ``softmax``."""
    dim = _chosen("softmin", input, dim)
    return explicit.softmax(-input, dim, dtype)
