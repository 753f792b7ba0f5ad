"""Covariances and correlations of variables."""

from __future__ import annotations

from typing import Any

from tapegrad.core.dtypes import get_default_dtype, is_floating, promote_types
from tapegrad.core.tape import tensor_xp
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_tensor
from tapegrad.ops.common.precision import compute_in_float32
from tapegrad.ops.movement.diagonal import diagonal
from tapegrad.ops.movement.shape import reshape, transpose
from tapegrad.ops.pointwise.elementwise import sqrt
from tapegrad.ops.reduction.moments import centred as centred_at_mean
from tapegrad.ops.reduction.reduce import sum, to_dtype

from .matmul import matmul


@compute_in_float32
def cov(
    input: Tensor,
    *,
    correction: float = 1,
    fweights: Tensor | None = None,
    aweights: Tensor | None = None,
) -> Tensor:
    """The covariance matrix of the rows of a matrix: (n variables, m observations) -> (n, n); of a
    vector, a number or a single row, one variance, (). Sums are divided by m - correction, at least
    0. fweights, (m,) of integers: how often each observation was made; aweights, (m,) of floats:
    how much each weighs. Raises RuntimeError for other shapes and dtypes, and negative weights."""
    require_tensor("cov", input)
    if input.dtype.kind == "b":
        raise RuntimeError("[cov] is not defined for bool tensors: convert with .float()")
    if input.ndim > 2:
        raise RuntimeError(
            f"[cov] expects at most 2 dimensions, variables and observations, got shape "
            f"{tuple(input.shape)}"
        )
    x = input if input.ndim == 2 else reshape(input, (1, -1))
    weights = _observation_weights(x, fweights, aweights)
    common = x.dtype if weights is None else promote_types(x.dtype, weights.dtype)
    common = common if is_floating(common) else get_default_dtype()
    x = to_dtype(x, common)
    if weights is None:
        freedom: Any = max(x.shape[1] - correction, 0)
        weighted = centred = centred_at_mean(tensor_xp, x, (1,))
    else:
        weights = to_dtype(weights, common)
        whole = sum(weights)
        freedom = whole - (
            correction if aweights is None else correction * sum(weights * aweights) / whole
        )
        freedom = freedom.clamp(min=0)
        centred = x
        for _ in range(2):  # the second time from what the mean's rounding left
            centred = centred - sum(centred * weights, 1, keepdim=True) / whole
        weighted = centred * weights
    result = matmul(centred, transpose(weighted, 0, 1)) / freedom
    return result if input.ndim == 2 and x.shape[0] != 1 else reshape(result, ())


def _observation_weights(x: Tensor, fweights: Any, aweights: Any) -> Tensor | None:
    """How much each column of ``x`` counts; None: all the same."""
    for name, weights, kinds, wanted in (
        ("fweights", fweights, "iu", "integers"),
        ("aweights", aweights, "fV", "floats"),
    ):
        if weights is None:
            continue
        require_tensor("cov", weights)
        if weights.ndim > 1 or weights.numel() != x.shape[1]:
            raise RuntimeError(
                f"[cov] {name} must be a vector with one weight for each of {x.shape[1]} "
                f"observations, got shape {tuple(weights.shape)}"
            )
        if weights.dtype.kind not in kinds:
            raise RuntimeError(f"[cov] {name} must be {wanted}, got {weights.dtype.name}")
        if bool((weights._array < 0).any()):
            raise RuntimeError(f"[cov] {name} must not be negative")
    if fweights is None or aweights is None:
        return aweights if fweights is None else fweights
    return fweights * aweights


@compute_in_float32
def corrcoef(input: Tensor) -> Tensor:
    """Pearson's correlation coefficients of the rows of a matrix, their covariances divided by
    their standard deviations: (n variables, m observations) -> (n, n)."""
    c = cov(input)
    if c.ndim == 0:
        return c / c
    deviation = sqrt(diagonal(c))
    return (c / reshape(deviation, (-1, 1)) / reshape(deviation, (1, -1))).clamp(-1, 1)
