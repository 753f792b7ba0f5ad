"""Factorisations, and what is computed from them. Matrices are kept away from singular ones, and
vectors that are unique but for their sign are compared without it."""

from __future__ import annotations

from typing import Any

from .base import case, f

# One row reads best on one line.
# fmt: off

_SQUARE = [(f(3, 3),), (f(2, 2, 2),), (f(0, 0),), (f(0, 2, 2),), (f(2, 0, 0),), (f(20, 20),)]
_TALL = [(f(4, 3),), (f(2, 3, 2),), (f(3, 0),), (f(0, 3, 2),)]
_WIDE = [(f(3, 4),), (f(2, 2, 3),), (f(0, 3),)]
_SYSTEMS = [(f(3, 3), f(3, 2)), (f(2, 3, 3), f(3, 2)), (f(3, 3), f(2, 3, 2)), (f(0, 0), f(0, 2)),
            (f(3, 3), f(3, 0)), (f(20, 20), f(20, 2))]


def _eye(t: Any, x: Any, scale: float) -> Any:
    return scale * t.eye(x.shape[-1], dtype=x.dtype, device=x.device)


def _regular(t: Any, x: Any) -> Any:
    """Far from singular, not symmetric."""
    return x + _eye(t, x, 2.0 * x.shape[-1])


def _positive(t: Any, x: Any) -> Any:
    """Symmetric, positive definite, with distinct eigenvalues."""
    n = x.shape[-1]
    return x @ x.mT / max(n, 1) + _eye(t, x, 1.0)


def _add(name: str, call: Any, *samples: Any, **options: Any) -> None:
    case(name, call, *samples, low=False, **options)


_add("inv", lambda t, x: t.linalg.inv(_regular(t, x)) + t.inverse(_regular(t, x)), *_SQUARE)
_add("inv_ex", lambda t, x: t.linalg.inv_ex(_regular(t, x)).inverse, *_SQUARE)
_add("det", lambda t, x: t.linalg.det(x / 2) + t.det(x / 2), *_SQUARE[:5])
_add("slogdet", lambda t, x: t.linalg.slogdet(_regular(t, x)).logabsdet, *_SQUARE)
_add("slogdet_sign", lambda t, x: t.slogdet(x)[0], *_SQUARE, grad=False)
_add("logdet", lambda t, x: t.logdet(_regular(t, x)), *_SQUARE)
_add("cholesky", lambda t, x: t.linalg.cholesky(_positive(t, x)) + t.linalg.cholesky(
    _positive(t, x), upper=True).mT, *_SQUARE)
_add("cholesky_ex", lambda t, x: t.linalg.cholesky_ex(_positive(t, x), upper=True).L, *_SQUARE)
_add("cholesky_inverse", lambda t, x: t.cholesky_inverse(_regular(t, x)) + t.cholesky_inverse(_regular(t, x), True),
     (f(3, 3),), (f(2, 2, 2),), second=False)
_add("cholesky_solve", lambda t, b, x: t.cholesky_solve(b, _regular(t, x)) + t.cholesky_solve(b, _regular(t, x), True),
     *((b, a) for a, b in _SYSTEMS), second=False)
_add("solve", lambda t, a, b: t.linalg.solve(_regular(t, a), b), *_SYSTEMS, (f(3, 3), f(3)), (f(2, 3, 3), f(2, 3)))
_add("solve_right", lambda t, a, b: t.linalg.solve(_regular(t, a), b.mT, left=False), *_SYSTEMS[::2])
_add("solve_ex", lambda t, a, b: t.linalg.solve_ex(_regular(t, a), b).result, *_SYSTEMS)
for _upper in (False, True):
    _add(f"solve_triangular_{_upper}", lambda t, a, b, u=_upper: t.linalg.solve_triangular(_regular(t, a), b, upper=u),
         *_SYSTEMS)
    _add(f"solve_unitriangular_{_upper}", lambda t, a, b, u=_upper: t.linalg.solve_triangular(
        a / 4, b.mT, upper=u, left=False, unitriangular=True), *_SYSTEMS)
_add("lu", lambda t, x: sum(t.linalg.lu(_regular(t, x))[1:]), *_SQUARE)
_add("lu_tall", lambda t, x: t.linalg.lu(x)[1] @ t.linalg.lu(x)[2] + t.linalg.lu_factor_ex(x)[0], *_TALL, second=False)
_add("lu_wide", lambda t, x: t.linalg.lu(x)[1] @ t.linalg.lu(x)[2] + t.linalg.lu_factor_ex(x)[0], *_WIDE, second=False)
_add("lu_rows", lambda t, x: t.linalg.lu(x)[0], (f(3, 3),), (f(2, 5, 4),), (f(30, 30),), grad=False)
_add("lu_solve", lambda t, a, b: t.linalg.lu_solve(*t.linalg.lu_factor(_regular(t, a)), b), *_SYSTEMS)
_add("lu_solve_right", lambda t, a, b: t.linalg.lu_solve(*t.linalg.lu_factor(_regular(t, a)), b.mT, left=False, adjoint=True),
     *_SYSTEMS)
_add("qr", lambda t, x: t.linalg.qr(_regular(t, x)).Q.abs() + t.linalg.qr(_regular(t, x))[1].abs(), *_SQUARE)
_add("qr_tall", lambda t, x: t.linalg.qr(x).Q.abs() @ t.linalg.qr(x).R.abs(), *_TALL)
_add("qr_wide", lambda t, x: t.linalg.qr(x).Q.abs() @ t.linalg.qr(x, mode="complete").R.abs(), *_WIDE)
_add("qr_r", lambda t, x: t.linalg.qr(x, mode="r").R.abs(), *_TALL, grad=False)
_add("qr_complete", lambda t, x: t.linalg.qr(x, mode="complete").Q[..., :1].abs(), (f(4, 3),), grad=False)
_add("householder_product", lambda t, x, s: t.linalg.householder_product(x, s / 4),
     (f(4, 3), f(3)), (f(2, 3, 2), f(2, 1)))
_add("ormqr", lambda t, x, s, y: t.ormqr(x, s / 4, y) + t.ormqr(x, s / 4, y, transpose=True), (f(4, 3), f(3), f(4, 2)))
_add("ormqr_right", lambda t, x, s, y: t.ormqr(x, s / 4, y, left=False), (f(4, 3), f(3), f(2, 4)))
_add("svdvals", lambda t, x: t.linalg.svdvals(x), *_TALL, *_WIDE)
_add("svd", lambda t, x: t.linalg.svd(x, full_matrices=False).U.abs() * t.svd(x)[1].unsqueeze(-2), *_TALL, *_WIDE)
_add("svd_vectors", lambda t, x: t.linalg.svd(x, full_matrices=False)[2].abs() * t.svd(x).V.mT.abs(),
     *_TALL, *_WIDE)
_add("svd_full", lambda t, x: t.linalg.svd(x).U[..., : min(x.shape[-2:])].abs(), (f(4, 3),), second=False)
_add("eigh", lambda t, x: t.linalg.eigh(x + x.mT)[1].abs() * t.linalg.eigh(x + x.mT, UPLO="U")[0].unsqueeze(-2),
     *_SQUARE[:5])
_add("eigvalsh", lambda t, x: t.linalg.eigvalsh(x + x.mT) - t.linalg.eigvalsh(x + x.mT, UPLO="U") / 2, *_SQUARE)
_add("pinv", lambda t, x: t.linalg.pinv(x) + t.pinverse(x), *_TALL, *_WIDE)
_add("pinv_hermitian", lambda t, x: t.linalg.pinv(_positive(t, x), hermitian=True), *_SQUARE)
_add("pinv_rank_1", lambda t, a, b: t.linalg.pinv(a.unsqueeze(-1) * b, atol=1e-3), (f(3), f(4)))
_add("lstsq", lambda t, a, b: t.linalg.lstsq(a, b).solution, (f(4, 3), f(4, 2)), (f(2, 4, 3), f(2, 4, 1)), (f(2, 3), f(2, 2)))
_add("lstsq_residuals", lambda t, a, b: t.linalg.lstsq(a, b, driver="gels").residuals, (f(4, 2), f(4, 3)))
_add("matrix_rank", lambda t, x: t.linalg.matrix_rank(x) + t.linalg.matrix_rank(x @ x.mT, hermitian=True, rtol=0.01), *_TALL[:3],
     grad=False)
for _p in (None, 2, -2, 1, -1, "fro", "nuc", float("inf"), float("-inf")):
    _add(f"cond_{_p}", lambda t, x, p=_p: t.linalg.cond(_regular(t, x), p), (f(3, 3),), (f(2, 2, 2),),
         grad=_p in (None, 2, -2, "nuc"))  # PyTorch fails at the others'
for _n in (0, 1, 2, 5, -3):
    _add(f"matrix_power_{_n}", lambda t, x, n=_n: t.linalg.matrix_power(_regular(t, x) / 6, n), *_SQUARE[:5])
_add("matrix_exp", lambda t, x: t.linalg.matrix_exp(x) + t.matrix_exp(x / 9), *_SQUARE[:5])
_add("tensorinv", lambda t, x: t.linalg.tensorinv(_regular(t, x).reshape(2, 2, 4)), (f(4, 4),))
_add("tensorsolve", lambda t, a, b: t.linalg.tensorsolve(_regular(t, a).reshape(2, 2, 2, 2), b), (f(4, 4), f(2, 2)))
_add("diagonal", lambda t, x: t.linalg.diagonal(x) + t.linalg.diagonal(x, offset=0, dim1=-1, dim2=-2), (f(3, 2),), (f(2, 3, 3),),
     (f(0, 2),))
