"""beta * input + alpha * a product, in one call."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.core.dtypes import is_floating, result_type
from tapegrad.core.kernels import has_tensor_cores
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import require_tensor, same_dtype
from tapegrad.ops.common.precision import compute_in_float32
from tapegrad.ops.movement.shape import broadcast_to
from tapegrad.ops.pointwise.elementwise import cast, multiply, where

from .matmul import matmul_added, product, ranks, require_stacks
from .products import contracted, outer


def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta * input + alpha * (mat1 @ mat2): (m, k) and (k, n) -> (m, n), to which the input must
    expand. With beta 0 whatever it holds is ignored, nan too. dtypes must agree; for integers,
    fractions of beta and alpha are cut off. Raises RuntimeError for bools as factors of numbers."""
    ranks("addmm", (mat1, 2), (mat2, 2))
    return _added_product("addmm", input, mat1, mat2, beta, alpha)


@compute_in_float32
def addmv(input: Tensor, mat: Tensor, vec: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta * input + alpha * (mat @ vec): (m, k) and (k,) -> (m,); otherwise as ``addmm``."""
    ranks("addmv", (mat, 2), (vec, 1))
    return _added("addmv", input, product("addmv", mat, vec), beta, alpha)


def baddbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1
) -> Tensor:
    """beta * input + alpha * (batch1 @ batch2), matrix by matrix: (batch, m, k) and (batch, k, n)
    -> (batch, m, n); otherwise as ``addmm``. Raises RuntimeError where shapes do not fit."""
    require_stacks("baddbmm", batch1, batch2)
    return _added_product("baddbmm", input, batch1, batch2, beta, alpha)


@compute_in_float32
def addbmm(
    input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: Any = 1, alpha: Any = 1
) -> Tensor:
    """beta * input + alpha * the sum over all matrices of batch1 @ batch2: (batch, m, k) and
    (batch, k, n) -> (m, n); otherwise as ``addmm``. Raises RuntimeError where shapes do not fit."""
    require_stacks("addbmm", batch1, batch2)
    y = contracted("addbmm", batch1, batch2, [0, 2], [0, 1])
    return _added("addbmm", input, y, beta, alpha)


@compute_in_float32
def addr(input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta * input + alpha * outer(vec1, vec2): (m,) and (n,) -> (m, n), to which the input must
    expand, in the common dtype. Raises RuntimeError for float factors of integers."""
    require_tensor("addr", input)
    ranks("addr", (vec1, 1), (vec2, 1))
    tensors = (input, vec1, vec2)
    common = result_type([(t.dtype, t.ndim) for t in tensors], [])
    if not is_floating(common) and any(isinstance(v, float) for v in (beta, alpha)):
        raise RuntimeError(
            f"[addr] beta and alpha must be ints for {common.name} tensors, got {beta} and {alpha}"
        )
    input, vec1, vec2 = (t if t.dtype == common else cast(t, dtype=common) for t in tensors)
    return _added("addr", input, outer(vec1, vec2), beta, alpha)


def _added_product(op: str, x: Tensor, a: Tensor, b: Tensor, beta: Any, alpha: Any) -> Tensor:
    if _is_joined(x, a, b, beta, alpha):
        return matmul_added(x, a, b)
    return _composed(op, x, a, b, beta, alpha)


def _is_joined(x: Tensor, a: Tensor, b: Tensor, beta: Any, alpha: Any) -> bool:
    """Whether kernels add x, of the product's shape or of its rows', where sums are stored."""
    if not isinstance(x, Tensor) or not has_tensor_cores(x._device) or a.shape[-1] != b.shape[-2]:
        return False
    shape = (*a.shape[:-1], b.shape[-1])
    fits = a.dtype == b.dtype == x.dtype and tuple(x.shape) in (shape, shape[-1:])
    plain = all(value.__class__ in (int, float) and value == 1 for value in (beta, alpha))
    return fits and plain and is_floating(x.dtype)


@compute_in_float32
def _composed(op: str, x: Tensor, a: Tensor, b: Tensor, beta: Any, alpha: Any) -> Tensor:
    return _added(op, x, product(op, a, b), beta, alpha)


def _added(op: str, x: Tensor, y: Tensor, beta: Any, alpha: Any) -> Tensor:
    same_dtype(op, x, y)
    for name, value in (("beta", beta), ("alpha", alpha)):
        if isinstance(value, bool) and x.dtype.kind != "b":
            raise RuntimeError(f"[{op}] {name} is a bool, the tensors are {x.dtype.name}")
    try:
        x = broadcast_to(x, tuple(y.shape))
    except RuntimeError:
        raise RuntimeError(
            f"[{op}] the input of shape {tuple(x.shape)} does not expand to the product's shape "
            f"{tuple(y.shape)}"
        ) from None
    if not is_floating(x.dtype):  # fractions are cut off, as in PyTorch
        kind = bool if x.dtype.kind == "b" else int
        alpha, beta = kind(alpha), kind(beta)
    if alpha != 1:
        y = multiply(y, alpha)
    if beta == 0:  # not even nan and inf come through
        return where(np.False_, x, y) if x.requires_grad else y
    return (x if beta == 1 else multiply(x, beta)) + y
