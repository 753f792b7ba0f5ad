"""Maxima written back to where pooling found them (Zeiler and Fergus 2014)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_tensor
from tapegrad.ops.common.index import first_outside
from tapegrad.ops.conv.sliding_window import (
    Sizes,
    for_dimensions,
    ints,
    kernel_and_stride,
    with_batch,
)

from .flat_pixels import write_positions


def _size(
    op: str, x: Tensor, kernel: Sizes, stride: Sizes, padding: Sizes, output_size: Any
) -> Sizes:
    """The size before pooling; of those that pool to x's, the one asked for."""
    dims = len(kernel)
    usual = tuple(
        (n - 1) * s + k - 2 * p
        for n, s, k, p in zip(x.shape[2:], stride, kernel, padding, strict=True)
    )
    if output_size is None:
        size = usual
    else:
        size = tuple(output_size)[2 if len(output_size) == dims + 2 else 0 :]
        if len(size) != dims:
            raise ValueError(
                f"[{op}] output_size must have {dims} or {dims + 2} sizes, got {output_size}"
            )
        if any(abs(n - u) >= s for n, u, s in zip(size, usual, stride, strict=True)):
            raise ValueError(
                f"[{op}] output_size {size} must be less than the stride {stride} away from {usual}"
            )
    if min(size) < 0:
        raise ValueError(f"[{op}] the output would have sizes {size}: they must not be negative")
    return size


def max_unpool(op: str, dims: int) -> Callable:
    def max_unpool(
        input: Tensor,
        indices: Tensor,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        output_size: Any = None,
    ) -> Tensor:
        """Zeros with the elements of {images} at ``indices`` into each flattened output, as
        ``max_pool`` with return_indices gives them. input: (n, c, {size}) or (c, {size});
        output_size: which of the sizes that pool to the input's; by default the smallest without
        ceil_mode.

        Raises RuntimeError for indices of another dtype or shape and for those out of range,
        ValueError for an output_size that does not pool to the input's.
        """
        require_tensor(op, input)
        require_tensor(op, indices)
        if indices.dtype.name != "int64":
            raise RuntimeError(f"[{op}] indices must be int64, got {indices.dtype.name}")
        if tuple(indices.shape) != tuple(input.shape):
            raise RuntimeError(
                f"[{op}] the indices of shape {tuple(indices.shape)} must have the input's shape "
                f"{tuple(input.shape)}"
            )
        kernel, stride = kernel_and_stride(op, dims, kernel_size, stride)
        padding = ints(op, "padding", padding, dims, 0)
        x, restore = with_batch(op, dims, input)
        size = _size(op, x, kernel, stride, padding, output_size)
        if 0 in x.shape[1:]:
            raise RuntimeError(
                f"[{op}] only the batch may be empty, got shape {tuple(input.shape)}"
            )
        length = math.prod(size)
        wrong = first_outside(indices._array, length)
        if wrong is not None:
            raise RuntimeError(
                f"[{op}] index {wrong} is out of range for an output of size {size}: expected 0 to "
                f"{length - 1}"
            )
        lead = tuple(x.shape[:2])
        flat = (*lead, math.prod(x.shape[2:]))
        y = write_positions(x.reshape(flat), indices.reshape(flat), size=length)
        return restore(y.reshape(*lead, *size))

    return max_unpool


max_unpool1d, max_unpool2d, max_unpool3d = for_dimensions(max_unpool, 1, 2, 3)
