"""Singular values and the eigenvalues of symmetric matrices. Gradients are those of PyTorch, which
do not depend on the signs of the vectors: Townsend, Differentiating the Singular Value
Decomposition (2016); Giles, An extended collection of matrix derivative results (2008)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from tapegrad.core.devices import failures_raise
from tapegrad.core.memory import Array
from tapegrad.core.tape import is_recording, primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.movement.shape import mT

from .matmul import transposed
from .matrices import LinAlgError, diagonal_matrix, plus, product, require_matrices, require_square


@contextmanager
def _converging(op: str, xp: Any, a: Any, read: Any) -> Iterator[None]:
    """Of what is ``read`` of ``a``, all must be finite: else LAPACK fails, or gives any numbers."""
    failure = f"[{op}] of shape {a.shape}: the algorithm did not converge"
    if not bool(xp.library.isfinite(read).all()):
        raise LinAlgError(f"{failure}, because the input is not finite")
    try:
        with failures_raise(xp.library):
            yield
    except xp.library.linalg.LinAlgError:
        raise LinAlgError(failure) from None


def _read(xp: Any, a: Array, triangle: str) -> Array:
    return (xp.library.tril if triangle == "L" else xp.library.triu)(a)


def _differences(xp: Any, values: Array) -> Any:
    """Entry (i, j) is values[j] - values[i]; 1 on the diagonal."""
    *lead, n = values.shape
    columns = xp.reshape(values, shape=(*lead, 1, n)) - xp.reshape(values, shape=(*lead, n, 1))
    return columns + diagonal_matrix(xp, values * 0 + 1)


def _scaled_columns(xp: Any, x: Array, values: Array) -> Any:
    return x * xp.reshape(values, shape=(*values.shape[:-1], 1, values.shape[-1]))


# ---------------------------------------------------------------------- singular values


def _svd_rule(xp: Any, g: Array, y: Array) -> tuple:
    """Only the first k columns of U and V count: the others of full matrices are arbitrary."""
    (gu, gs, gvh), (u, s, vh) = g, y
    m, n, k = u.shape[-2], vh.shape[-1], s.shape[-1]
    u, gu = (None if x is None else xp.getitem(x, index=(..., slice(0, k))) for x in (u, gu))
    rows = (..., slice(0, k), slice(None))
    vh, gvh = (None if x is None else xp.getitem(x, index=rows) for x in (vh, gvh))
    if gu is None and gvh is None:
        return (xp.matmul(_scaled_columns(xp, u, gs), vh),)
    inner = None if gs is None else diagonal_matrix(xp, gs)
    gaps = _differences(xp, s * s)
    row_values = xp.reshape(s, shape=(*s.shape[:-1], k, 1))
    if gu is not None:
        twist = xp.matmul(transposed(xp, u), gu)
        inner = plus(inner, _scaled_columns(xp, _skew(xp, twist) / gaps, s))
    if gvh is not None:
        twist = xp.matmul(vh, transposed(xp, gvh))
        inner = plus(inner, row_values * (_skew(xp, twist) / gaps))
    result = product(xp, u, inner, vh)
    if gu is not None and m > k:  # what of gU is orthogonal to U
        rest = gu - xp.matmul(u, xp.matmul(transposed(xp, u), gu))
        result = result + xp.matmul(_scaled_columns(xp, rest, 1 / s), vh)
    if gvh is not None and n > k:
        rest = gvh - xp.matmul(xp.matmul(gvh, transposed(xp, vh)), vh)
        result = result + xp.matmul(u, rest / row_values)
    return (result,)


def _skew(xp: Any, x: Array) -> Any:
    return x - transposed(xp, x)


@primitive("svd", vjp_all=_svd_rule, results=3)
def _svd(xp: Any, a: Array, *, full_matrices: bool) -> tuple:
    with _converging("linalg.svd", xp, a, a):
        return tuple(xp.library.linalg.svd(a, full_matrices=full_matrices))


@primitive("svdvals")
def _singular_values(xp: Any, a: Array) -> Array:
    with _converging("linalg.svdvals", xp, a, a):
        return xp.library.linalg.svd(a, compute_uv=False)


class SVD(NamedTuple):
    """A = U diag(S) Vh."""

    U: Tensor
    S: Tensor
    Vh: Tensor


class SVDTransposed(NamedTuple):
    """A = U diag(S) V^T."""

    U: Tensor
    S: Tensor
    V: Tensor


def svd(A: Tensor, full_matrices: bool = True, *, driver: str | None = None) -> SVD:
    """(U, S, Vh) of (..., m, n) matrices, A = U diag(S) Vh: (..., m, m), (..., k) and (..., n, n)
    with k = min(m, n), S descending; full_matrices=False: (..., m, k), (..., k) and (..., k, n).
    Gradients of U and Vh exist where singular values are distinct (and, of their first k columns
    and rows, where none is 0). ``driver`` is ignored. Raises LinAlgError where the algorithm does
    not converge, as for nan."""
    require_matrices("linalg.svd", A)
    return SVD(*_svd(A, full_matrices=full_matrices))


def svdvals(A: Tensor, *, driver: str | None = None) -> Tensor:
    """The singular values of (..., m, n) matrices, (..., min(m, n)), descending. ``driver`` is
    ignored. Raises LinAlgError where the algorithm does not converge, as for nan."""
    require_matrices("linalg.svdvals", A)
    return _svd(A, full_matrices=False)[1] if is_recording(A) else _singular_values(A)


def torch_svd(input: Tensor, some: bool = True, compute_uv: bool = True) -> SVDTransposed:
    """``linalg.svd`` under its older name: (U, S, V) of (..., m, n) matrices, A = U diag(S) V^T, V
    not transposed; some: as full_matrices=False. Without ``compute_uv``, U and V are zeros,
    (..., m, m) and (..., n, n). Raises LinAlgError where the algorithm does not converge."""
    require_matrices("svd", input)
    if not compute_uv:
        lead, (m, n) = tuple(input.shape[:-2]), input.shape[-2:]
        return SVDTransposed(
            input.new_zeros((*lead, m, m)), svdvals(input), input.new_zeros((*lead, n, n))
        )
    U, S, Vh = _svd(input, full_matrices=not some)
    return SVDTransposed(U, S, mT(Vh))


# ---------------------------------------------------------------------- eigenvalues


def _eigh_rule(xp: Any, g: Array, y: Array) -> tuple:
    (gw, gv), (w, v) = g, y
    vt = transposed(xp, v)
    if gv is None:
        return (xp.matmul(_scaled_columns(xp, v, gw), vt),)
    # The symmetric part says how the vectors' lengths and angles change, which they do not.
    inner = _skew(xp, xp.matmul(vt, gv)) * 0.5 / _differences(xp, w)
    if gw is not None:
        inner = inner + diagonal_matrix(xp, gw)
    return (product(xp, v, inner, vt),)


@primitive("eigh", vjp_all=_eigh_rule, results=2)
def _eigh(xp: Any, a: Array, *, triangle: str) -> tuple:
    with _converging("linalg.eigh", xp, a, _read(xp, a, triangle)):
        return tuple(xp.library.linalg.eigh(a, UPLO=triangle))


@primitive("eigvalsh")
def _eigenvalues(xp: Any, a: Array, *, triangle: str) -> Array:
    with _converging("linalg.eigvalsh", xp, a, _read(xp, a, triangle)):
        return xp.library.linalg.eigvalsh(a, UPLO=triangle)


class Eigen(NamedTuple):
    """A = V diag(w) V^T."""

    eigenvalues: Tensor
    eigenvectors: Tensor


def eigh(A: Tensor, UPLO: str = "L") -> Eigen:
    """(eigenvalues, eigenvectors) of symmetric (..., n, n) matrices, (..., n), ascending, and
    (..., n, n), in columns, from their lower ("L") or upper ("U") triangle. Gradients of the
    vectors exist where the values are distinct. Raises RuntimeError for another UPLO, LinAlgError
    where the algorithm does not converge."""
    return Eigen(*_eigh(A, triangle=_triangle("linalg.eigh", A, UPLO)))


def eigvalsh(A: Tensor, UPLO: str = "L") -> Tensor:
    """The eigenvalues of symmetric (..., n, n) matrices, from their lower ("L") or upper ("U")
    triangle: (..., n), ascending. Raises as ``linalg.eigh`` does."""
    triangle = _triangle("linalg.eigvalsh", A, UPLO)
    return _eigh(A, triangle=triangle)[0] if is_recording(A) else _eigenvalues(A, triangle=triangle)


def _triangle(op: str, A: Tensor, UPLO: Any) -> str:
    require_square(op, A)
    triangle = UPLO.upper() if isinstance(UPLO, str) else UPLO
    if triangle not in ("L", "U"):
        raise RuntimeError(f"[{op}] UPLO must be 'L' or 'U', got {UPLO!r}")
    return triangle
