"""Choosing elements by conditions."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..tape import align
from ..tensor import Tensor, wrap
from .arguments import require_tensor
from .create import tensor
from .elementwise import cast, where
from .shape import stack


def masked_fill(x: Tensor, mask: Tensor, value: Any) -> Tensor:
    """``x`` with ``value`` where the (broadcast) bool ``mask`` is True."""
    if not isinstance(mask, Tensor) or mask.dtype.kind != "b":
        raise RuntimeError("[masked_fill] the mask must be a bool tensor")
    if isinstance(value, Tensor):
        if value.ndim:
            raise RuntimeError(
                f"[masked_fill] the value must be a number or 0-d, got {tuple(value.shape)}"
            )
        value = cast(value, dtype=x.dtype) if value.dtype != x.dtype else value
    else:
        value = x._device.asarray(value).astype(x.dtype)
    try:
        return where(mask, value, x)
    except ValueError as error:
        raise RuntimeError(
            f"[masked_fill] the mask of shape {tuple(mask.shape)} does not broadcast with the "
            f"tensor of shape {tuple(x.shape)}"
        ) from error


def select_where(condition: Tensor, input: Any = None, other: Any = None) -> Any:
    """``input`` where the condition is True, ``other`` elsewhere, broadcast and promoted; with the
    condition alone, the indices where it is True, one tensor a dimension."""
    if input is None and other is None:
        return nonzero(condition, as_tuple=True)
    if not isinstance(condition, Tensor) or condition.dtype.kind != "b":
        raise RuntimeError("[where] the condition must be a bool tensor")
    if not isinstance(input, Tensor) and not isinstance(other, Tensor):
        input = tensor(input, device=condition.device)
    a, b = align("where", input, other)
    try:
        return where(condition, a, b)
    except ValueError as error:
        shapes = [tuple(getattr(v, "shape", ())) for v in (condition, a, b)]
        raise RuntimeError(f"[where] shapes {shapes} do not broadcast") from error


def where_method(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    """This tensor's elements where ``condition``, else those of ``other``."""
    return select_where(condition, self, other)


def nonzero(x: Tensor, *, as_tuple: bool = False) -> Any:
    """The indices of the non-zero elements: one row each, or one tensor a dimension."""
    require_tensor("nonzero", x)
    if x.ndim == 0 and not as_tuple:
        n = int(bool(x))
        return wrap(x._device.ops["zeros"]((n, 0), dtype=np.int64), x._device)
    found = x._array.reshape(-1 if x.ndim == 0 else x.shape).nonzero()
    columns = tuple(wrap(a, x._device) for a in found)
    return columns if as_tuple else stack(columns, 1)
