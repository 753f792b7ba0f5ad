"""What the factorisations share: words of their rules, and checks of arguments."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.core.dtypes import is_low_precision
from tapegrad.core.memory import Array
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common.arguments import require_floating

from .matmul import transposed

# ---------------------------------------------------------------------- in rules, for either xp


def diagonal_matrix(xp: Any, values: Array) -> Any:
    """(..., n) -> (..., n, n), zero beside the diagonal."""
    n, last = values.shape[-1], values.ndim
    return xp.diagonal_embedded(values, shape=(*values.shape, n), offset=0, axes=(last - 1, last))


def product(xp: Any, *matrices: Array) -> Any:
    """Their matrix product, multiplied from the left on."""
    result = matrices[0]
    for m in matrices[1:]:
        result = xp.matmul(result, m)
    return result


def over_transposed(xp: Any, x: Array, upper: Array) -> Any:
    """x U^-T, of an upper triangular U."""
    return transposed(xp, xp.solve_triangular(upper, transposed(xp, x), lower=False, unit=False))


def plus(a: Any, b: Any) -> Any:
    """The sum of two gradients, either of which may be None."""
    return b if a is None else a if b is None else a + b


def identity(like: Tensor, rows: int, columns: int) -> Tensor:
    """(rows, columns), 1 on the diagonal and 0 elsewhere, of the dtype and device of ``like``."""
    return wrap(like._device.ops["eye"](rows, columns, dtype=like.dtype), like._device)


# ---------------------------------------------------------------------- arguments


def require_matrices(op: str, *tensors: Tensor) -> None:
    """Raise RuntimeError unless these are float32 or float64 matrices, or batches of them, of one
    dtype on one device."""
    for x in tensors:
        require_numbers(op, x)
        if x.ndim < 2:
            raise RuntimeError(
                f"[{op}] expects matrices, with at least 2 dimensions, got shape {tuple(x.shape)}"
            )
    require_alike(op, *tensors)


def require_alike(op: str, *tensors: Tensor) -> None:
    """Raise RuntimeError unless all tensors are of one dtype and device."""
    first = tensors[0]
    for x in tensors:
        if x.dtype != first.dtype:
            raise RuntimeError(
                f"[{op}] dtypes {first.dtype.name} and {x.dtype.name} do not mix: convert one "
                "with .to()"
            )
        if x._device is not first._device:
            raise RuntimeError(
                f"[{op}] all tensors must be on one device, got {first._device} and {x._device}"
            )


def require_square(op: str, *tensors: Tensor) -> None:
    """``require_matrices``, and raise RuntimeError unless they are square."""
    require_matrices(op, *tensors)
    for x in tensors:
        if x.shape[-1] != x.shape[-2]:
            raise RuntimeError(f"[{op}] expects square matrices, got shape {tuple(x.shape)}")


def require_batches(op: str, a: Tensor, b: Tensor) -> tuple[int, ...]:
    """The leading dimensions of two tensors of matrices, broadcast. Raises RuntimeError where they
    do not broadcast."""
    try:
        return np.broadcast_shapes(tuple(a.shape[:-2]), tuple(b.shape[:-2]))
    except ValueError:
        raise RuntimeError(
            f"[{op}] the leading dimensions of shapes {tuple(a.shape)} and {tuple(b.shape)} do not "
            "broadcast"
        ) from None


def require_system(op: str, A: Tensor, B: Tensor, left: bool = True) -> None:
    """Raise RuntimeError unless A X = B, or X A = B (left=False), can be solved for X: A
    (..., n, n), B (..., n, k) or (..., k, n), of one dtype and device, leading dimensions
    broadcast."""
    require_square(op, A)
    require_matrices(op, A, B)
    if B.shape[-2 if left else -1] != A.shape[-1]:
        raise RuntimeError(
            f"[{op}] shapes {tuple(A.shape)} and {tuple(B.shape)} do not fit: expected "
            f"(..., n, n) and {'(..., n, k)' if left else '(..., k, n)'}"
        )
    require_batches(op, A, B)


def require_numbers(op: str, x: Any) -> None:
    """Raise TypeError for anything but a Tensor, RuntimeError for one that is neither float32 nor
    float64."""
    require_floating(op, x)
    if is_low_precision(x.dtype):
        raise RuntimeError(
            f"[{op}] {x.dtype.name} is too narrow to compute in: convert with .float()"
        )


def flat_batch(x: Any) -> Any:
    """Arrays: (..., m, n) -> (batch, m, n)."""
    return x.reshape(math.prod(x.shape[:-2]), *x.shape[-2:])


class LinAlgError(RuntimeError):
    """The matrix has no such result: it is singular, not positive definite, or not finite."""


def check_info(op: str, info: Tensor, what: str) -> None:
    """Raise LinAlgError for the first matrix whose ``info`` is not 0, with ``what`` that means ({}
    is the number)."""
    if not bool((info._array != 0).any()):
        return
    host = info.reshape(-1).tolist()
    i = next(i for i, n in enumerate(host) if n)
    where = f"batch element {i}: " if info.ndim else ""
    raise LinAlgError(f"[{op}] {where}{what.format(host[i])}")
