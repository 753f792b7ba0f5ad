"""Transforms to Cholesky factors, and to the matrices that have them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tapegrad.core.tensor import Size, Tensor
from tapegrad.ops.activation.activation import softplus

from .. import constraints
from .. import operations as tg
from ..utils import tril_matrix_to_vec, vec_to_tril_matrix
from .base import Transform

__all__ = ["CorrCholeskyTransform", "LowerCholeskyTransform", "PositiveDefiniteTransform"]

_MATRIX = constraints.independent(constraints.real, 2)


class LowerCholeskyTransform(Transform):
    """(..., n, n) numbers to lower triangular matrices with positive diagonals: the lower triangle,
    with exp of the diagonal."""

    domain, codomain, _compared = _MATRIX, constraints.lower_cholesky, ()

    def _call(self, x: Tensor) -> Tensor:
        return x.tril(-1) + x.diagonal(0, -2, -1).exp().diag_embed()

    def _inverse(self, y: Tensor) -> Tensor:
        return y.tril(-1) + y.diagonal(0, -2, -1).log().diag_embed()


class PositiveDefiniteTransform(Transform):
    """(..., n, n) numbers to positive definite matrices L L^T, L by ``LowerCholeskyTransform``."""

    domain, codomain, _compared = _MATRIX, constraints.positive_definite, ()

    def _call(self, x: Tensor) -> Tensor:
        factor = LowerCholeskyTransform()(x)
        return factor @ factor.mT

    def _inverse(self, y: Tensor) -> Tensor:
        return LowerCholeskyTransform().inv(tg.linalg.cholesky(y))


class CorrCholeskyTransform(Transform):
    """(..., n (n - 1) / 2) numbers to (..., n, n) Cholesky factors of correlation matrices.

    tanh of the numbers are the partial correlations z_ij, row by row below the diagonal; a row of
    norm 1 is broken as a stick is: L_ij = z_ij sqrt(product of (1 - z_ik^2) over k < j)
    (Lewandowski, Kurowicka & Joe 2009; Stan Reference Manual, *Cholesky factors of correlation
    matrices*).
    """

    domain, codomain, bijective = constraints.real_vector, constraints.corr_cholesky, True
    _compared = ()

    def _call(self, x: Tensor) -> Tensor:
        eps = tg.finfo(x.dtype).eps
        z = vec_to_tril_matrix(x.tanh().clamp(min=-1 + eps, max=1 - eps), diag=-1)
        left = (1 - z.square()).sqrt().cumprod(-1)
        z = z + tg.eye(z.shape[-1], dtype=z.dtype, device=z.device)
        return z * _shifted(left)

    def _inverse(self, y: Tensor) -> Tensor:
        left = tril_matrix_to_vec(_shifted(1 - y.square().cumsum(-1)), diag=-1)
        z = tril_matrix_to_vec(y, diag=-1) / left.sqrt()
        return 0.5 * (z.log1p() - (-z).log1p())

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """The sum of half the logarithms of what is left of each stick before each break, and that
        of tanh's slopes."""
        left = tril_matrix_to_vec(1 - y.square().cumsum(-1), diag=-2)
        slopes = 2 * (math.log(2) - x - softplus(-2 * x))
        return 0.5 * left.log().sum(-1) + slopes.sum(-1)

    def forward_shape(self, shape: Sequence[int]) -> Size:
        """(..., n, n). Raises ValueError for a last dimension that is not n (n - 1) / 2."""
        if len(shape) < 1:
            raise ValueError("[CorrCholeskyTransform] expects at least one dimension, got none")
        count = shape[-1]
        n = round((0.25 + 2 * count) ** 0.5 + 0.5)
        if n * (n - 1) // 2 != count:
            raise ValueError(
                f"[CorrCholeskyTransform] {count} elements (shape {tuple(shape)}) fill no triangle "
                "below a diagonal: they are n (n - 1) / 2"
            )
        return Size((*shape[:-1], n, n))

    def inverse_shape(self, shape: Sequence[int]) -> Size:
        """(..., n (n - 1) / 2). Raises ValueError for matrices that are not square."""
        if len(shape) < 2 or shape[-2] != shape[-1]:
            raise ValueError(
                f"[CorrCholeskyTransform] expects (..., n, n) matrices, got shape {tuple(shape)}"
            )
        n = shape[-1]
        return Size((*shape[:-2], n * (n - 1) // 2))


def _shifted(left: Tensor) -> Tensor:
    """What is left before each column: 1, and then what is left after the one before."""
    return tg.cat([tg.ones_like(left[..., :1]), left[..., :-1]], -1)
