"""``tapegrad.linalg``: factorisations, systems, norms, with PyTorch's names and gradients."""

from __future__ import annotations

from typing import Any

from .core.tensor import Tensor
from .ops.common.out import takes_out
from .ops.common.signatures import check_arguments
from .ops.linalg.cholesky import cholesky, cholesky_ex
from .ops.linalg.det import det, slogdet
from .ops.linalg.eigh_svd import eigh, eigvalsh, svd, svdvals
from .ops.linalg.ldl import ldl_factor, ldl_factor_ex, ldl_solve
from .ops.linalg.lu import lu, lu_factor, lu_factor_ex, lu_solve
from .ops.linalg.matmul import matmul
from .ops.linalg.matrices import LinAlgError
from .ops.linalg.matrix_exp import matrix_exp
from .ops.linalg.norms import matrix_norm, norm, vector_norm
from .ops.linalg.pinv import cond, lstsq, matrix_rank, pinv
from .ops.linalg.products import linalg_cross as cross
from .ops.linalg.products import multi_dot, vander, vecdot
from .ops.linalg.qr import householder_product, qr
from .ops.linalg.solve import inv, inv_ex, matrix_power, solve, solve_ex, tensorinv, tensorsolve
from .ops.linalg.solve_triangular import solve_triangular
from .ops.movement.diagonal import diagonal as _diagonal

__all__ = [
    "LinAlgError", "cholesky", "cholesky_ex", "cond", "cross", "det", "diagonal", "eigh",
    "eigvalsh", "householder_product", "inv", "inv_ex", "ldl_factor", "ldl_factor_ex", "ldl_solve",
    "lstsq", "lu", "lu_factor", "lu_factor_ex", "lu_solve", "matmul", "matrix_exp", "matrix_norm",
    "matrix_power", "matrix_rank", "multi_dot", "norm", "pinv", "qr", "slogdet", "solve",
    "solve_ex", "solve_triangular", "svd", "svdvals", "tensorinv", "tensorsolve", "vander",
    "vecdot", "vector_norm",
]  # fmt: skip


def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """A view of the diagonals of the matrices in two dimensions, the last ones by default."""
    return _diagonal(A, offset, dim1, dim2)


for _name in __all__:
    if _name not in ("LinAlgError", "diagonal"):  # an exception, and a view
        _full = f"linalg.{_name}"
        globals()[_name] = takes_out(check_arguments(globals()[_name], _full), _full)
