"""L D L^T factorisation of symmetric matrices that need not be positive definite.

Pivots of one or two rows are chosen as the numbers demand (Bunch & Kaufman, Some Stable Methods for
Calculating Inertia and Solving Symmetric Linear Systems, 1977), which no array operation can do for
a batch at once: each matrix is factored on the host. Results are stored as by LAPACK's sytrf: L
below D's diagonal or 2-by-2 blocks; ``pivots[k]`` is the row, from 1, that was exchanged with row
k, negative in both positions of a 2-by-2 block.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from tapegrad.core.devices import to_numpy
from tapegrad.core.tensor import Tensor, wrap

from .matrices import check_info, flat_batch, require_batches, require_square, require_system

_ALPHA = (1 + math.sqrt(17)) / 8  # bounds the growth of the numbers over both kinds of pivots


def _factor(a: np.ndarray, pivots: np.ndarray) -> int:
    """Factor one matrix in place, from its lower triangle. Returns the first column, counted from
    1, of which only zeros were left (0: none)."""
    n, k, info = len(a), 0, 0
    while k < n:
        row, size = _pivot(a, k)
        if a[k, k] == 0 and size == 1 and not a[k + 1 :, k].any():
            info = info or k + 1
            pivots[k] = k + 1
            k += 1
            continue
        last = k + size - 1
        if row != last:
            _exchange(a, k, last, row)
        _eliminate(a, k, size)
        pivots[k : k + size] = row + 1 if size == 1 else -(row + 1)
        k += size
    return info


def _pivot(a: np.ndarray, k: int) -> tuple[int, int]:
    """The row to exchange, and the size of the pivot."""
    n = len(a)
    own = abs(a[k, k])
    if k == n - 1:
        return k, 1
    i = k + 1 + int(np.argmax(np.abs(a[k + 1 :, k])))
    column = abs(a[i, k])
    if own >= _ALPHA * column:
        return k, 1
    row = np.abs(a[i, k:i]).max()
    if i < n - 1:
        row = max(row, np.abs(a[i + 1 :, i]).max())
    if own >= _ALPHA * column * (column / row):
        return k, 1
    return (i, 1) if abs(a[i, i]) >= _ALPHA * row else (i, 2)


def _exchange(a: np.ndarray, k: int, i: int, j: int) -> None:
    """Rows and columns i < j of the symmetric matrix that is left, by its lower triangle."""
    a[j + 1 :, [i, j]] = a[j + 1 :, [j, i]]
    between = a[i + 1 : j, i].copy()
    a[i + 1 : j, i] = a[j, i + 1 : j]
    a[j, i + 1 : j] = between
    a[i, i], a[j, j] = a[j, j], a[i, i]
    if i > k:  # the second row of a 2-by-2 block
        a[i, k], a[j, k] = a[j, k], a[i, k]


def _eliminate(a: np.ndarray, k: int, size: int) -> None:
    pivot, rest = slice(k, k + size), slice(k + size, None)
    columns = a[rest, pivot].copy()
    factor = columns @ _inverse(a, k, size)
    a[rest, rest] -= np.tril(factor @ columns.T)
    a[rest, pivot] = factor


def _inverse(a: np.ndarray, k: int, size: int) -> np.ndarray:
    """Of the 1-by-1 or symmetric 2-by-2 pivot at row k, divided by its largest entry first."""
    if size == 1:
        return 1 / a[k : k + 1, k : k + 1]
    off = a[k + 1, k]
    first, second = a[k, k] / off, a[k + 1, k + 1] / off
    scale = 1 / (first * second - 1) / off
    return np.array([[second, -1], [-1, first]]) * scale


def _solve(ld: np.ndarray, pivots: np.ndarray, x: np.ndarray) -> None:
    """Replace x by the solution, with one factored matrix."""
    n, k, starts = len(ld), 0, []
    while k < n:
        size = 1 if pivots[k] > 0 else 2
        starts.append((k, size))
        last, row = k + size - 1, abs(int(pivots[k])) - 1
        x[[last, row]] = x[[row, last]]
        x[k + size :] -= ld[k + size :, k : k + size] @ x[k : k + size]
        x[k : k + size] = _inverse(ld, k, size) @ x[k : k + size]
        k += size
    for k, size in reversed(starts):
        x[k : k + size] -= ld[k + size :, k : k + size].T @ x[k + size :]
        last, row = k + size - 1, abs(int(pivots[k])) - 1
        x[[last, row]] = x[[row, last]]


# ---------------------------------------------------------------------- PyTorch's signatures


class LDL(NamedTuple):
    """L and D in one matrix, and the row exchanges."""

    LD: Tensor
    pivots: Tensor


class LDLInfo(NamedTuple):
    """``LDL``, and the first column of each matrix whose pivot is 0 (0: none)."""

    LD: Tensor
    pivots: Tensor
    info: Tensor


def ldl_factor_ex(A: Tensor, *, hermitian: bool = False, check_errors: bool = False) -> LDLInfo:
    """(LD, pivots, info) of symmetric (..., n, n) matrices, as by ``linalg.ldl_factor``; ``info``,
    (...) of int32, is 0 where no pivot is 0. Raises LinAlgError for the others only if
    ``check_errors``. Not differentiable."""
    return _factored("linalg.ldl_factor_ex", A, check_errors)


_SINGULAR = "the pivot in column {} (counted from 1) is zero"


def _factored(op: str, A: Tensor, check: bool) -> LDLInfo:
    require_square(op, A)
    lead, n = A.shape[:-2], A.shape[-1]
    ld = flat_batch(np.tril(to_numpy(A._array)))
    pivots = np.zeros((len(ld), n), dtype=np.int32)
    info = np.array([_factor(m, p) for m, p in zip(ld, pivots, strict=True)], dtype=np.int32)
    arrays = ld.reshape(A.shape), pivots.reshape(*lead, n), info.reshape(lead)
    result = LDLInfo(*(wrap(A._device.asarray(a), A._device) for a in arrays))
    if check:
        check_info(op, result.info, _SINGULAR)
    return result


def ldl_factor(A: Tensor, *, hermitian: bool = False) -> LDL:
    """(LD, pivots) of symmetric (..., n, n) matrices, of which the lower triangle is read:
    A = L D L^T, L with ones on its diagonal stored below that of LD, D in blocks of one or two
    rows, as ``pivots``, (..., n) of int32, say (see LAPACK's sytrf). Raises LinAlgError for a pivot
    of 0. Not differentiable."""
    return LDL(*_factored("linalg.ldl_factor", A, check=True)[:2])


def ldl_solve(LD: Tensor, pivots: Tensor, B: Tensor, *, hermitian: bool = False) -> Tensor:
    """The solution X of A X = B from ``linalg.ldl_factor(A)``: LD (..., n, n), pivots (..., n), B
    (..., n, k). Raises RuntimeError where shapes do not fit, or for pivots out of range. Not
    differentiable."""
    op = "linalg.ldl_solve"
    require_system(op, LD, B)
    if tuple(pivots.shape) != tuple(LD.shape[:-1]):
        raise RuntimeError(
            f"[{op}] factors of shape {tuple(LD.shape)} have pivots of shape "
            f"{tuple(LD.shape[:-1])}, got {tuple(pivots.shape)}"
        )
    order = to_numpy(pivots._array)
    n = LD.shape[-1]
    if order.dtype.kind != "i" or (order.size and ((order == 0) | (np.abs(order) > n)).any()):
        raise RuntimeError(f"[{op}] pivots are whole numbers from 1 to {n}, or minus those")
    lead = require_batches(op, LD, B)
    x = np.broadcast_to(to_numpy(B._array), (*lead, *B.shape[-2:])).copy()
    ld = np.broadcast_to(to_numpy(LD._array), (*lead, n, n))
    order = np.broadcast_to(order, (*lead, n))
    for index in np.ndindex(*lead):
        _solve(ld[index], order[index], x[index])
    return wrap(B._device.asarray(x), B._device)
