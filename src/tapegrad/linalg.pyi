"""``tapegrad.linalg``: factorisations, systems, norms, with PyTorch's names and gradients."""

# Written by tools/write_stubs.py: change the functions, then run it.
# fmt: off
from collections.abc import Sequence
from typing import Any, overload

from .core.tensor import Tensor
from .ops.linalg.cholesky import CholeskyInfo
from .ops.linalg.det import SignAndLog
from .ops.linalg.eigh_svd import SVD, Eigen
from .ops.linalg.ldl import LDL, LDLInfo
from .ops.linalg.lu import PLU, Factors, FactorsInfo
from .ops.linalg.matrices import LinAlgError as LinAlgError
from .ops.linalg.pinv import LeastSquares
from .ops.linalg.qr import QR
from .ops.linalg.solve import Inverse, Solution

def cholesky(A: Tensor, *, upper: bool = False, out: Tensor | None = None) -> Tensor:
    """The lower triangular L with A = L L^T (upper: its transpose) of symmetric ..."""
def cholesky_ex(
    A: Tensor, *, upper: bool = False, check_errors: bool = False, out: Any = None,
) -> CholeskyInfo:
    """(L, info) of symmetric (..., n, n) matrices, as by ``linalg.cholesky``; ..."""
def cond(A: Tensor, p: Any = None, *, out: Tensor | None = None) -> Tensor:
    """The condition numbers of (..., m, n) matrices, (...): the largest singular value ..."""
@overload
def cross(input: Tensor, other: Tensor, *, dim: int = -1, out: Tensor | None = None) -> Tensor:
    """The vector products along ``dim``: (..., 3) and (..., 3) -> (..., 3) for the ..."""
@overload
def cross(input: Tensor, other: Tensor, *, axis: int, out: Tensor | None = None) -> Tensor: ...
def det(A: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The determinants of (..., n, n) matrices, (...)."""
def diagonal(
    A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1, out: Tensor | None = None,
) -> Tensor:
    """``diagonal`` of the matrices in two dimensions, the last ones by default; raises ..."""
def eigh(A: Tensor, UPLO: str = "L", *, out: Any = None) -> Eigen:
    """(eigenvalues, eigenvectors) of symmetric (..., n, n) matrices, (..., n), ..."""
def eigvalsh(A: Tensor, UPLO: str = "L", *, out: Tensor | None = None) -> Tensor:
    """The eigenvalues of symmetric (..., n, n) matrices, from their lower ("L") or ..."""
def householder_product(A: Tensor, tau: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The first n columns of H_1 ..."""
def inv(A: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The inverses of (..., n, n) matrices."""
def inv_ex(A: Tensor, *, check_errors: bool = False, out: Any = None) -> Inverse:
    """(inverse, info) of (..., n, n) matrices; ``info``, (...) of int32, is 0 where ..."""
def ldl_factor(A: Tensor, *, hermitian: bool = False, out: Any = None) -> LDL:
    """(LD, pivots) of symmetric (..., n, n) matrices, of which the lower triangle is ..."""
def ldl_factor_ex(
    A: Tensor, *, hermitian: bool = False, check_errors: bool = False, out: Any = None,
) -> LDLInfo:
    """(LD, pivots, info) of symmetric (..., n, n) matrices, as by ..."""
def ldl_solve(
    LD: Tensor, pivots: Tensor, B: Tensor, *, hermitian: bool = False, out: Tensor | None = None,
) -> Tensor:
    """The solution X of A X = B from ``linalg.ldl_factor(A)``: LD (..., n, n), pivots ..."""
def lstsq(
    A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None, out: Any = None,
) -> LeastSquares:
    """The X of least size among those that minimise |A X - B|, (..., m, n) and (..., ..."""
def lu(A: Tensor, *, pivot: bool = True, out: Any = None) -> PLU:
    """(P, L, U) of (..., m, n) matrices, A = P L U: P (..., m, m) permutes rows, L ..."""
def lu_factor(A: Tensor, *, pivot: bool = True, out: Any = None) -> Factors:
    """(LU, pivots) of (..., m, n) matrices: L below the diagonal (without its ones) ..."""
def lu_factor_ex(
    A: Tensor, *, pivot: bool = True, check_errors: bool = False, out: Any = None,
) -> FactorsInfo:
    """(LU, pivots, info) of (..., m, n) matrices, as by ``linalg.lu_factor``; ..."""
def lu_solve(
    LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """The solution X of A X = B from ``linalg.lu_factor(A)``, or of X A = B ..."""
def matmul(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The matrix product; vectors are a row on the left and a column on the right, ..."""
def matrix_exp(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The exponential of (..., n, n) matrices: the sum of A^k / k! over all k from 0 on."""
@overload
def matrix_norm(
    A: Tensor, ord: Any = "fro", dim: Any = ..., keepdim: bool = False, *, dtype: Any = None,
    out: Tensor | None = None,
) -> Tensor:
    """Norms of the matrices in dimensions ``dim``, (..., m, n) -> (...) by default: ..."""
@overload
def matrix_norm(
    A: Tensor, ord: Any = "fro", *, axis: Any, keepdims: bool = False, dtype: Any = None,
    out: Tensor | None = None,
) -> Tensor: ...
def matrix_power(A: Tensor, n: int, *, out: Tensor | None = None) -> Tensor:
    """The product of n times the (..., n, n) matrix A; for negative n, of its inverse; ..."""
def matrix_rank(
    A: Tensor, *, atol: Any = None, rtol: Any = None, hermitian: bool = False, tol: Any = None,
    out: Tensor | None = None,
) -> Tensor:
    """The ranks of (..., m, n) matrices, (...) of int64: the number of singular values ..."""
def multi_dot(tensors: Sequence[Tensor], *, out: Tensor | None = None) -> Tensor:
    """The product of at least two matrices, (m, k), (k, l), ..., (p, n) -> (m, n), in ..."""
@overload
def norm(
    A: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None,
    out: Tensor | None = None,
) -> Tensor:
    """``linalg.matrix_norm`` where ``ord`` is given and ``dim`` is a pair, or A a ..."""
@overload
def norm(
    A: Tensor, ord: Any = None, *, axis: Any, keepdims: bool = False, dtype: Any = None,
    out: Tensor | None = None,
) -> Tensor: ...
def pinv(
    A: Tensor, *, atol: Any = None, rtol: Any = None, hermitian: bool = False, rcond: Any = None,
    out: Tensor | None = None,
) -> Tensor:
    """The Moore-Penrose inverses of (..., m, n) matrices, (..., n, m)."""
def qr(A: Tensor, mode: str = "reduced", *, out: Any = None) -> QR:
    """(Q, R) of (..., m, n) matrices, A = Q R, Q orthogonal, R upper triangular: (..., ..."""
def slogdet(A: Tensor, *, out: Any = None) -> SignAndLog:
    """(sign, logabsdet) of (..., n, n) matrices, (...) each: the signs of the ..."""
def solve(A: Tensor, B: Tensor, *, left: bool = True, out: Tensor | None = None) -> Tensor:
    """The solution X of A X = B, or of X A = B (left=False)."""
def solve_ex(
    A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False, out: Any = None,
) -> Solution:
    """(solution, info) of A X = B, as by ``linalg.solve``; ``info``, A's leading ..."""
def solve_triangular(
    input: Tensor, B: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """The solution X of A X = B, or of X A = B (left=False), with triangular A: (..., ..."""
def svd(
    A: Tensor, full_matrices: bool = True, *, driver: str | None = None, out: Any = None,
) -> SVD:
    """(U, S, Vh) of (..., m, n) matrices, A = U diag(S) Vh: (..., m, m), (..., k) and ..."""
def svdvals(A: Tensor, *, driver: str | None = None, out: Tensor | None = None) -> Tensor:
    """The singular values of (..., m, n) matrices, (..., min(m, n)), descending."""
def tensorinv(A: Tensor, ind: int = 2, *, out: Tensor | None = None) -> Tensor:
    """The inverse of A as a map from its last dimensions to its first ``ind``: of ..."""
def tensorsolve(A: Tensor, B: Tensor, dims: Any = None, *, out: Tensor | None = None) -> Tensor:
    """The X with tensordot(A, X, X.ndim) = B, after the dimensions ``dims`` of A are ..."""
def vander(x: Tensor, *, N: int | None = None, out: Tensor | None = None) -> Tensor:
    """(..., n) -> (..., n, N): the powers x^0, x^1, ..."""
@overload
def vecdot(x: Tensor, y: Tensor, *, dim: int = -1, out: Tensor | None = None) -> Tensor:
    """The inner products of the vectors along ``dim``: (..., n) and (..., n) -> (...) ..."""
@overload
def vecdot(x: Tensor, y: Tensor, *, axis: int, out: Tensor | None = None) -> Tensor: ...
@overload
def vector_norm(
    x: Tensor, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None,
    out: Tensor | None = None,
) -> Tensor:
    """(sum |x|^ord)^(1/ord) over ``dim`` (all of it by default); the largest and ..."""
@overload
def vector_norm(
    x: Tensor, ord: Any = 2, *, axis: Any, keepdims: bool = False, dtype: Any = None,
    out: Tensor | None = None,
) -> Tensor: ...
