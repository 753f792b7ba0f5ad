"""Batches: how large they are, and on which device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tapegrad.core.devices import Device
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import tensors_in


def moved(value: Any, device: Device) -> Any:
    """All tensors of a batch on a device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, Mapping):
        return {key: moved(part, device) for key, part in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):  # a named tuple
        return type(value)(*(moved(part, device) for part in value))
    if isinstance(value, (list, tuple)):
        return type(value)(moved(part, device) for part in value)
    return value


def batch_size(batch: Any) -> int:
    """How many samples are in a batch: the first dimension of its first tensor, 1 without any."""
    for tensor in tensors_in(batch):
        return tensor.shape[0] if tensor.ndim else 1
    return 1


def length(loader: Any) -> int | None:
    """How many batches a loader has, if it knows."""
    try:
        return len(loader)
    except (TypeError, NotImplementedError):
        return None
