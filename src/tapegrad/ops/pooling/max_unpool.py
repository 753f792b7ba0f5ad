"""Maxima written back to where pooling found them (Zeiler and Fergus 2014)."""

from __future__ import annotations

import math
from typing import Any

from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_tensor
from tapegrad.ops.conv.sliding_window import Sizes, ints, unbatched

from .flat_pixels import write_places


def _size(
    op: str, x: Tensor, kernel: Sizes, stride: Sizes, padding: Sizes, output_size: Any
) -> Sizes:
    """The size before pooling; of those that pool to x's, the one asked for."""
    dims = len(kernel)
    usual = tuple(
        (n - 1) * s + k - 2 * p
        for n, s, k, p in zip(x.shape[-dims:], stride, kernel, padding, strict=True)
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


def _unpool(
    op: str,
    dims: int,
    x: Tensor,
    indices: Tensor,
    kernel: Any,
    stride: Any,
    padding: Any,
    output_size: Any,
) -> Tensor:
    require_tensor(op, x)
    require_tensor(op, indices)
    if indices.dtype.name != "int64":
        raise RuntimeError(f"[{op}] indices must be int64, got {indices.dtype.name}")
    if tuple(indices.shape) != tuple(x.shape):
        raise RuntimeError(
            f"[{op}] the indices of shape {tuple(indices.shape)} must have the input's shape "
            f"{tuple(x.shape)}"
        )
    kernel, padding = ints(op, "kernel_size", kernel, dims), ints(op, "padding", padding, dims, 0)
    given = stride is not None and stride != [] and stride != ()
    stride = ints(op, "stride", stride, dims) if given else kernel
    single = unbatched(op, x, dims)
    size = _size(op, x, kernel, stride, padding, output_size)
    if 0 in x.shape[-dims - 1 :]:
        raise RuntimeError(f"[{op}] only the batch may be empty, got shape {tuple(x.shape)}")
    length = math.prod(size)
    places = indices._array
    if places.size and (int(places.min()) < 0 or int(places.max()) >= length):
        wrong = places[(places < 0) | (places >= length)]
        raise RuntimeError(
            f"[{op}] index {int(wrong[0])} is out of range for an output of size {size}: expected "
            f"0 to {length - 1}"
        )
    lead = tuple(x.shape[:-dims])
    flat = (*((1,) if single else ()), *lead, math.prod(x.shape[-dims:]))
    return write_places(x.reshape(flat), indices.reshape(flat), size=length).reshape(*lead, *size)


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    """``max_unpool2d`` of sequences, (n, c, w) or (c, w)."""
    return _unpool("max_unpool1d", 1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    """Zeros with the elements of ``input``, (n, c, h, w) or (c, h, w), at ``indices`` into the
    flattened image, as ``max_pool2d`` with return_indices gives them. output_size: which of the
    sizes that pool to the input's; the smallest without ceil_mode by default."""
    return _unpool("max_unpool2d", 2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    """``max_unpool2d`` of volumes, (n, c, d, h, w) or (c, d, h, w)."""
    return _unpool("max_unpool3d", 3, input, indices, kernel_size, stride, padding, output_size)
