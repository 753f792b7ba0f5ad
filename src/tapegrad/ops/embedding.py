"""Rows looked up by index, and their gradient without atomics (kernels/embedding.cu)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import Device, override
from ..dtypes import is_floating
from ..kernels import launch
from ..tape import primitive
from ..tensor import Tensor
from .arguments import require_tensor
from .precision import in_float32


@primitive(
    "embedding",
    vjp=(
        lambda xp, g, indices, input_shape, skip: xp.embedding_backward(
            g, indices, rows=input_shape[0], skip=skip),
        None,
    ),
)  # fmt: skip
def _embedding(xp: Any, weight: Any, indices: Any, *, skip: int | None) -> Any:
    if indices.size and (int(indices.min()) < 0 or int(indices.max()) >= len(weight)):
        raise _row_error(indices, len(weight))
    return weight[indices]


def _row_error(indices: Any, rows: int) -> IndexError:
    wrong = indices[(indices < 0) | (indices >= rows)]
    return IndexError(
        f"[embedding] index {int(wrong[0])} is out of range for a table of {rows} rows: "
        f"expected 0 to {rows - 1}"
    )


def _picked_rule(xp: Any, g: Any, indices: Any, skip: int | None) -> Any:
    y = xp.embedding(g, indices, skip=skip)
    if skip is not None:  # what was skipped on the way back has no gradient either
        y = y * (indices != skip)[..., None]
    return y


@primitive(vjp=(_picked_rule, None))
@in_float32
def embedding_backward(xp: Any, grad: Any, indices: Any, *, rows: int, skip: int | None) -> Any:
    """The rows of ``grad`` summed by the row they were taken from; none for row ``skip``."""
    columns = grad.shape[-1]
    flat, grad = indices.reshape(-1), grad.reshape(-1, columns)
    result = xp.zeros((rows, columns), dtype=grad.dtype)
    order = xp.argsort(flat, kind="stable")
    ordered = flat[order]
    if len(ordered):
        first = xp.ones(ordered.shape, dtype=bool)
        first[1:] = ordered[1:] != ordered[:-1]
        starts = xp.flatnonzero(first)
        result[ordered[starts]] = xp.library.add.reduceat(grad[order], starts, axis=0)
    if skip is not None:
        result[skip] = 0
    return result


@override("embedding", "cuda", "emulated")
def _embedding_kernel(device: Device, weight: Any, indices: Any, *, skip: int | None) -> Any:
    if not is_floating(weight.dtype):
        return NotImplemented
    ops = device.ops
    weight, flat = ops["contiguous"](weight), ops["contiguous"](indices)
    flat = flat.astype(np.int64)
    y = ops["empty"]((*indices.shape, weight.shape[1]), dtype=weight.dtype)
    invalid = ops["zeros"]((1,), dtype=np.int32)
    launch(device, "embedding_forward", weight.dtype, y, invalid, weight, flat, flat.size,
           *weight.shape)  # fmt: skip
    if int(invalid[0]):
        raise _row_error(indices, len(weight))
    return y


@override("embedding_backward", "cuda", "emulated")
def _embedding_backward_kernel(
    device: Device, grad: Any, indices: Any, *, rows: int, skip: int | None
) -> Any:
    if not is_floating(grad.dtype):
        return NotImplemented
    ops, columns = device.ops, grad.shape[-1]
    grad, flat = ops["contiguous"](grad), indices.reshape(-1).astype(np.int64)
    order = ops["argsort"](flat, kind="stable")
    result = ops["empty"]((rows, columns), dtype=grad.dtype)
    launch(device, "embedding_backward", grad.dtype, result, grad, order, flat[order], flat.size,
           rows, columns)  # fmt: skip
    if skip is not None:
        result[skip] = 0
    return result


def embedding(indices: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """weight[indices]: (...) -> (..., columns). Row ``padding_idx`` gets no gradient.

    Raises IndexError for an index out of range.
    """
    require_tensor("embedding", indices)
    require_tensor("embedding", weight)
    if indices.dtype.kind not in "iu":
        raise RuntimeError(f"[embedding] indices must be integers, got {indices.dtype.name}")
    if weight.ndim != 2:
        raise RuntimeError(f"[embedding] the table must be 2-d, got {tuple(weight.shape)}")
    if padding_idx is not None:
        rows = weight.shape[0]
        if not -rows <= padding_idx < rows:
            raise IndexError(
                f"[embedding] padding_idx {padding_idx} is out of range for {rows} rows"
            )
        padding_idx %= rows
    return _embedding(weight, indices, skip=padding_idx)
