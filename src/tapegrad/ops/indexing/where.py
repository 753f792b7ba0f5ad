"""Choosing elements by conditions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.core.tape import align
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.core.tensor import wrap as wrapped
from tapegrad.ops.common.arguments import require_tensor, same_device
from tapegrad.ops.common.scalars import fit_number
from tapegrad.ops.creation.create import tensor
from tapegrad.ops.pointwise.elementwise import cast, where


def check_mask(op: str, x: Tensor, mask: Any) -> Tensor:
    """A bool mask on x's device that broadcasts with x."""
    require_tensor(op, x)
    if not isinstance(mask, Tensor) or mask.dtype.kind != "b":
        kind = mask.dtype.name if isinstance(mask, Tensor) else type(mask).__name__
        raise RuntimeError(f"[{op}] the mask must be a bool tensor, got {kind}")
    same_device(op, x, mask, "mask")
    try:
        np.broadcast_shapes(x._array.shape, mask._array.shape)
    except ValueError:
        raise RuntimeError(
            f"[{op}] the mask of shape {tuple(mask.shape)} does not broadcast with the tensor of "
            f"shape {tuple(x.shape)}"
        ) from None
    return mask


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """``input`` with ``value``, a number or a 0-d tensor, where the bool ``mask`` is True, both
    broadcast to one shape. Raises RuntimeError for anything but a bool mask on the tensor's device,
    shapes that do not broadcast, and a value of more dimensions."""
    op = "masked_fill"
    return where(check_mask(op, input, mask), number_like(op, input, value), input)


def number_like(op: str, x: Tensor, value: Any) -> Any:
    """A number or 0-d tensor in x's dtype."""
    if isinstance(value, Tensor):
        if value.ndim:
            raise RuntimeError(
                f"[{op}] the value must be a number or 0-d, got {tuple(value.shape)}"
            )
        return value.to(device=x._device, dtype=x.dtype)
    return x._device.asarray(fit_number(op, value, x.dtype), dtype=x.dtype)


def fill(input: Tensor, value: Any) -> Tensor:
    """A tensor like ``input`` whose elements are all ``value``, a number or a 0-d tensor; gradients
    flow to the latter. Raises RuntimeError for a value of more dimensions."""
    require_tensor("fill", input)
    everywhere = wrap(input._device.asarray(True), input._device)
    return where(everywhere, number_like("fill", input, value), input)


def select_where(condition: Tensor, input: Any = None, other: Any = None) -> Any:
    """``input`` where the condition (bool or uint8) is True, ``other`` elsewhere, tensors or
    numbers, broadcast and promoted; with the condition alone, ``nonzero(condition,
    as_tuple=True)``. Raises RuntimeError for any other condition, and for shapes that do not
    broadcast."""
    if input is None and other is None:
        require_tensor("where", condition)
        return condition.nonzero(as_tuple=True)
    if not isinstance(condition, Tensor) or condition.dtype.name not in ("bool", "uint8"):
        given = condition.dtype.name if isinstance(condition, Tensor) else type(condition).__name__
        raise RuntimeError(f"[where] the condition must be a bool tensor, got {given}")
    if condition.dtype.kind != "b":
        condition = cast(condition, dtype=np.dtype(bool))
    if not isinstance(input, Tensor) and not isinstance(other, Tensor):
        number = input.item() if isinstance(input, np.generic) else input
        input = tensor(number, device=condition.device)
    a, b = align("where", input, other)
    try:
        return where(condition, a, b)
    except ValueError as error:
        shapes = [tuple(getattr(v, "shape", ())) for v in (condition, a, b)]
        raise RuntimeError(f"[where] shapes {shapes} do not broadcast") from error


def where_method(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    """This tensor's elements where ``condition`` is True, else those of ``other``: ``where``, and
    raises what that does."""
    return select_where(condition, self, other)


def fill_diagonal(input: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    """The main diagonal of a matrix (or of a tensor of equal sizes) set to a number; ``wrap``: in
    a tall matrix it begins again below the last row that it reaches. Raises RuntimeError for any
    other shape."""
    require_tensor("fill_diagonal_", input)
    sizes = tuple(input.shape)
    if len(sizes) < 2 or (len(sizes) > 2 and len(set(sizes)) > 1):
        raise RuntimeError(
            f"[fill_diagonal_] needs a matrix or a tensor of equal sizes, got shape {sizes}"
        )
    step = sum(math.prod(sizes[i + 1 :]) for i in range(len(sizes)))
    end = input.numel() if wrap or len(sizes) > 2 else sizes[1] ** 2
    mask = input._device.ops["zeros"](input.numel(), dtype=bool)
    mask[:end:step] = True
    return masked_fill(input, wrapped(mask.reshape(sizes), input._device), fill_value)
