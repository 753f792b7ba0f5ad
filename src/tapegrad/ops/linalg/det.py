"""Determinants, and their logarithms."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from tapegrad.core.memory import Array
from tapegrad.core.quiet import quiet
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.pointwise.elementwise import where

from .matmul import transposed
from .matrices import require_square


def _det_rule(xp: Any, g: Array, y: Array, a: Array) -> tuple:
    """det(A) A^-T, the matrix of cofactors. Of a singular matrix, from A = U diag(s) V^T: the
    cofactors of diag(s) are the products of all other singular values, and those of U and V^T
    are themselves times their determinants (Higham, What Is the Adjugate of a Matrix?, 2020)."""
    n = a.shape[-1]
    lead = tuple(y.shape)
    singular = xp.absolute(y) < 100 * np.finfo(a.dtype).eps
    if n == 0 or not bool(singular.any()):
        factor = xp.reshape(g * y, shape=(*lead, 1, 1))
        return (factor * transposed(xp, xp.inv(a)[0]),)
    mask = xp.reshape(singular, shape=(*lead, 1, 1))
    eye, ramp = _constants(xp, a)
    # Each formula sees harmless matrices instead of those of the other.
    regular = xp.where(mask, eye, a)
    by_inverse = transposed(xp, xp.inv(regular)[0]) * xp.reshape(y, shape=(*lead, 1, 1))
    u, s, vh = xp.svd(xp.where(mask, a, ramp), full_matrices=False)
    rows = xp.reshape(s, shape=(*lead, 1, n))
    others = xp.prod(xp.where(eye == 1, 1.0, rows), axis=(a.ndim - 1,), keepdims=False)
    others = others * xp.reshape(xp.det(u) * xp.det(vh), shape=(*lead, 1))
    by_values = xp.matmul(u * xp.reshape(others, shape=(*lead, 1, n)), vh)
    return (xp.where(mask, by_values, by_inverse) * xp.reshape(g, shape=(*lead, 1, 1)),)


def _constants(xp: Any, a: Array) -> tuple[Any, Any]:
    """The identity, and diag(1, 2, ...), as arrays."""
    arrays, n = a._device.xp if isinstance(a, Tensor) else xp, a.shape[-1]
    eye = arrays.eye(n, dtype=a.dtype)
    return eye, eye * arrays.arange(1, n + 1).astype(a.dtype)


@primitive("det", vjp_all=_det_rule)
def _det(xp: Any, a: Array) -> Array:
    return quiet(xp.library.linalg.det)(a)  # whose warnings come from NumPy's own files


def _slogdet_rule(xp: Any, g: Array, a: Array) -> tuple:
    """log |det A| has the gradient A^-T; the sign has none."""
    if g[1] is None:
        return (None,)
    return (xp.reshape(g[1], shape=(*g[1].shape, 1, 1)) * transposed(xp, xp.inv(a)[0]),)


@primitive("slogdet", vjp_all=_slogdet_rule, results=2)
def _slogdet(xp: Any, a: Array) -> tuple[Any, Any]:
    sign, logarithm = quiet(xp.library.linalg.slogdet)(a)
    # A determinant that is nan has no sign: 0, as in PyTorch.
    return sign * (logarithm == logarithm), logarithm


class SignAndLog(NamedTuple):
    """det A = sign * exp(logabsdet)."""

    sign: Tensor
    logabsdet: Tensor


def det(A: Tensor) -> Tensor:
    """The determinants of (..., n, n) matrices, (...). Singular ones have a gradient, too."""
    require_square("linalg.det", A)
    return _det(A)


def slogdet(A: Tensor) -> SignAndLog:
    """(sign, logabsdet) of (..., n, n) matrices, (...) each: the signs of the determinants, and the
    logarithms of their sizes: 0 and -inf where A is singular, 0 and nan where the determinant
    is nan."""
    require_square("linalg.slogdet", A)
    return SignAndLog(*_slogdet(A))


def logdet(input: Tensor) -> Tensor:
    """The logarithms of the determinants of (..., n, n) matrices, (...): nan where they are
    negative, -inf where they are 0."""
    require_square("logdet", input)
    sign, logarithm = _slogdet(input)
    return where(sign.detach() == -1, math.nan, logarithm)
