"""``Tensor.unfold``: overlapping windows along a dimension, a view."""

from __future__ import annotations

from typing import Any

from tapegrad.core.memory import Array, window
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import axis, require_tensor


def _sliding_rule(xp: Any, g: Array, input_shape: Any, axis: int, step: int) -> Any:
    return xp.sliding_sum(g, shape=input_shape, axis=axis, step=step)


@primitive(vjp=(_sliding_rule,), view=True)
def sliding(xp: Any, x: Array, *, axis: int, size: int, step: int) -> Array:
    strides = tuple(s // x.itemsize for s in x.strides)
    count = (x.shape[axis] - size) // step + 1
    shape = (*x.shape[:axis], count, *x.shape[axis + 1 :], size)
    steps = (*strides[:axis], strides[axis] * step, *strides[axis + 1 :], strides[axis])
    return window(x, shape, steps)


def _sliding_sum_rule(xp: Any, g: Array, windows: Array, axis: int, step: int) -> Any:
    return xp.sliding(g, axis=axis, size=windows.shape[-1], step=step)


@primitive(vjp=(_sliding_sum_rule,))
def sliding_sum(xp: Any, windows: Any, *, shape: tuple[int, ...], axis: int, step: int) -> Array:
    """Windows added up where they overlap: one element of all windows at a time, in order, so that
    the sum is always the same."""
    result = xp.library.zeros(shape, dtype=windows.dtype)
    span = (windows.shape[axis] - 1) * step + 1
    before = (slice(None),) * axis
    for i in range(windows.shape[-1]):
        result[before + (slice(i, i + span, step),)] += windows[..., i]
    return result


def unfold(input: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """A view of all windows of ``size`` elements along a dimension, ``step`` apart: its size n
    becomes (n - size) // step + 1, and the windows' elements are a new last dimension. Raises
    RuntimeError for size > n and step <= 0."""
    require_tensor("unfold", input)
    d = axis("unfold", dimension, input.ndim)
    n = input.shape[d] if input.ndim else 1
    if not 0 <= size <= n:
        raise RuntimeError(f"[unfold] size {size} is out of range for dim {d} of size {n}")
    if step <= 0:
        raise RuntimeError(f"[unfold] step must be positive, got {step}")
    if input.ndim == 0:
        return input.reshape(1)[:size]
    return sliding(input, axis=d, size=size, step=step)
