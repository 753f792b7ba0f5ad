"""Rows looked up by index, and their gradient without atomics (kernels/embedding.cu)."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.core.deferred import out_of_range
from tapegrad.core.devices import Device
from tapegrad.core.dtypes import accumulator, float32, is_low_precision
from tapegrad.core.kernels import kernel
from tapegrad.core.launches import launching
from tapegrad.core.memory import Array
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common.arguments import require_tensor
from tapegrad.ops.common.index import first_outside, sum_in_order
from tapegrad.ops.common.precision import in_float32
from tapegrad.ops.linalg.norms import norm_over
from tapegrad.ops.pointwise.elementwise import as_dtype, cast


@primitive(
    "embedding",
    vjp=(
        lambda xp, g, indices, input_shape, skip: xp.embedding_backward(
            g, indices, rows=input_shape[0], skip=skip
        ),
        None,
    ),
)
def _embedding(xp: Any, weight: Array, indices: Array, *, skip: int | None) -> Array:
    _require_rows(indices, len(weight))
    return weight[indices]


def _require_rows(indices: Any, rows: int) -> None:
    wrong = first_outside(indices, rows)
    if wrong is not None:
        raise _row_error(wrong, rows)


def _row_error(index: int, rows: int) -> IndexError:
    return IndexError(
        f"[embedding] index {index} is out of range for a table of {rows} rows: "
        f"expected 0 to {rows - 1}"
    )


def _picked_rule(xp: Any, g: Array, indices: Array, skip: int | None) -> Any:
    y = xp.embedding(g, indices, skip=skip)
    if skip is not None:  # what was skipped on the way back has no gradient either
        y = y * (indices != skip)[..., None]
    return y


@primitive(vjp=(_picked_rule, None))
@in_float32
def embedding_backward(
    xp: Any, grad: Array, indices: Array, *, rows: int, skip: int | None
) -> Array:
    """The rows of ``grad`` summed by the row they were taken from; none for row ``skip``."""
    columns = grad.shape[-1]
    flat, grad = indices.reshape(-1), grad.reshape(indices.size, columns)
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


@primitive(
    vjp=(
        lambda xp, g, taken, put, input_shape: xp.add_rows(g, put, taken, rows=input_shape[0]),
        None,
        None,
    )
)
def add_rows(xp: Any, source: Array, taken: Array, put: Array, *, rows: int) -> Array:
    """Of (rows, columns) zeros, result[put[i]] += source[taken[i]] for every i."""
    _require_rows(taken, len(source))
    return xp.embedding_backward(source[taken], put, rows=rows, skip=None)


_look_up = launching(
    "embedding_forward",
    "weight[rows, cols], indices[*n], invalid[2] -> y[*n, cols]",
    int64="indices invalid",
)


@kernel("embedding", floats="weight")
def _embedding_kernel(device: Device, weight: Array, indices: Array, *, skip: int | None) -> Array:
    with out_of_range(device, _row_error, len(weight)) as invalid:
        return _look_up(device, weight, indices.astype(np.int64, copy=False), invalid)


@kernel("embedding_backward", floats="grad")
def _embedding_backward_kernel(
    device: Device, grad: Array, indices: Array, *, rows: int, skip: int | None
) -> Array:
    lines = grad.reshape(indices.size, grad.shape[-1])
    at = indices.reshape(-1).astype(np.int64, copy=False)
    result = sum_in_order(device, lines, at, rows=rows)
    if skip is not None:
        result[skip] = 0
    return result


@primitive(vjp=(lambda g, scale: g * scale, None))
def scale_gradient(xp: Any, x: Array, scale: Any) -> Array:
    """x itself; only its gradient is scaled."""
    return x.copy()


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """weight[input]: (...) -> (..., columns). Row ``padding_idx`` gets no gradient.

    max_norm: rows in use that are longer, in the ``norm_type`` norm, are shortened to it in place.
    scale_grad_by_freq: a row's gradient is divided by how often it is looked up. ``sparse`` is
    accepted; gradients are dense. Raises IndexError for an index out of range, on a GPU when the
    program next waits for it, and for such a padding_idx; RuntimeError for indices that are no
    integers, and for a table that is not 2-d.
    """
    check_table("embedding", input, weight)
    skip = padding_row("embedding", padding_idx, weight.shape[0])
    if max_norm is not None:
        renormalize("embedding", weight, input, max_norm, norm_type)
    if not scale_grad_by_freq:
        return _embedding(weight, input, skip=skip)
    y = scale_gradient(wide_rows(weight, input, skip), rarity(weight, input))
    return as_dtype(y, weight.dtype)


def wide_rows(weight: Tensor, indices: Tensor, skip: int | None = None) -> Tensor:
    """The rows as float32, if they are 16-bit floats: each that occurs is looked up once, so that
    its gradient is rounded when it has been added up."""
    if not is_low_precision(weight.dtype):
        return _embedding(weight, indices, skip=skip)
    device = weight._device
    used, places = device.library.unique(indices._array.reshape(-1), return_inverse=True)
    rows = cast(_embedding(weight, wrap(used, device), skip=skip), dtype=float32)
    return _embedding(rows, wrap(places.reshape(indices.shape), device), skip=None)


def check_table(op: str, input: Tensor, weight: Tensor) -> None:
    require_tensor(op, input)
    require_tensor(op, weight)
    if input.dtype.kind not in "iu":
        raise RuntimeError(f"[{op}] indices must be integers, got {input.dtype.name}")
    if weight.ndim != 2:
        raise RuntimeError(f"[{op}] the table must be 2-d, got {tuple(weight.shape)}")


def padding_row(op: str, padding_idx: int | None, rows: int) -> int | None:
    """``padding_idx`` as a row from the front."""
    if padding_idx is None:
        return None
    if not -rows <= padding_idx < rows:
        raise IndexError(f"[{op}] padding_idx {padding_idx} is out of range for {rows} rows")
    return padding_idx % rows


def renormalize(
    op: str, weight: Tensor, indices: Tensor, max_norm: float, norm_type: float
) -> None:
    """Shorten the rows that ``indices`` names to the norm ``max_norm``, in place and untaped."""
    xp, table = weight._device.xp, weight._array
    rows = xp.library.unique(indices._array.reshape(-1))
    _require_rows(rows, len(table))
    used = table[rows]
    used = used.astype(accumulator(used.dtype), copy=False)
    length = norm_over(op, wrap(used, weight._device), norm_type, 1, True, None)._array
    too_long = length > max_norm
    table[rows] = xp.where(too_long, used * (max_norm / (length + 1e-7)), used).astype(table.dtype)
    weight._bump(op)


def rarity(weight: Tensor, indices: Tensor) -> Tensor:
    """1 / how often each index occurs, for (..., columns) rows looked up."""
    xp, flat = weight._device.xp, indices._array.reshape(-1)
    dtype = accumulator(weight.dtype)
    if not flat.size:
        return wrap(xp.ones((*indices.shape, 1), dtype=dtype), weight._device)
    counts = xp.library.bincount(flat, minlength=len(weight._array))[flat]
    return wrap((1 / counts).astype(dtype).reshape(*indices.shape, 1), weight._device)


def one_hot(input: Tensor, num_classes: int = -1) -> Tensor:
    """int64 (..., num_classes): 1 at the position that each class names, else 0. By default there
    are as many classes as the largest plus one. Raises RuntimeError for anything but integers, and
    for a class out of range."""
    require_tensor("one_hot", input)
    if input.dtype.kind not in "iu":
        raise RuntimeError(f"[one_hot] classes must be integers, got {input.dtype.name}")
    classes, xp = input._array, input._device.xp
    if num_classes == -1:
        if not classes.size:
            raise RuntimeError("[one_hot] for an empty input, num_classes must be given")
        num_classes = int(classes.max()) + 1
    if num_classes < 1:
        raise RuntimeError(f"[one_hot] num_classes must be positive, got {num_classes}")
    wrong = first_outside(classes, num_classes)
    if wrong is not None:
        raise RuntimeError(
            f"[one_hot] class {wrong} is out of range: expected 0 to {num_classes - 1}"
        )
    return wrap((classes[..., None] == xp.arange(num_classes)).astype(np.int64), input._device)
