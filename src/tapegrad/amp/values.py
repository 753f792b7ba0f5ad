"""The arguments of a call, with the tensors among them cast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tapegrad.core.dtypes import float64
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import tensors_in


def is_cast(t: Tensor, kind: str) -> bool:
    """Whether autocast for this device type is concerned with a tensor: floats up to 32 bits."""
    dtype = t._array.dtype
    return t._device.type == kind and dtype.kind in "fV" and dtype != float64


def with_casts(value: Any, kind: str, dtype: Any, cast: Callable[[Tensor, Any], Tensor]) -> Any:
    """A value with ``cast(tensor, dtype)`` in the place of each tensor that autocast is concerned
    with. Lists, tuples and dicts without tensors stay the same objects."""
    if isinstance(value, Tensor):
        return cast(value, dtype) if is_cast(value, kind) else value
    if not isinstance(value, (list, tuple, dict)) or not any(True for _ in tensors_in(value)):
        return value
    if isinstance(value, dict):
        return {key: with_casts(v, kind, dtype, cast) for key, v in value.items()}
    several = [with_casts(v, kind, dtype, cast) for v in value]
    return several if isinstance(value, list) else tuple(several)
