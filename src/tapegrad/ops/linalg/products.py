"""Products of vectors and matrices that are ``matmul`` or ``*`` after a change of shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from tapegrad.core.dtypes import int64
from tapegrad.core.tape import align
from tapegrad.core.tensor import Tensor, wrap
from tapegrad.ops.common.arguments import axis, require_floating, require_tensor, same_dtype, shape
from tapegrad.ops.common.operands import two_tensors
from tapegrad.ops.common.precision import compute_in_float32
from tapegrad.ops.movement.diagonal import diagonal
from tapegrad.ops.movement.flip import flip, roll
from tapegrad.ops.movement.shape import permute, reshape, squeeze, unsqueeze
from tapegrad.ops.pointwise.elementwise import cast, multiply
from tapegrad.ops.reduction.reduce import sum

from .matmul import product, ranks

# ---------------------------------------------------------------------- vectors


def vdot(input: Tensor, other: Tensor) -> Tensor:
    """The inner product of two vectors, (n,) and (n,) -> (), as by ``dot``."""
    ranks("vdot", (input, 1), (other, 1))
    return product("vdot", input, other)


def inner(input: Tensor, other: Tensor) -> Tensor:
    """Sums of products over the last dimension of both: (a..., k) and (b..., k) -> (a..., b...);
    with a 0-d tensor, the multiple of the other. Raises RuntimeError where last sizes differ."""
    same_dtype("inner", input, other)
    if input.ndim == 0 or other.ndim == 0:
        return multiply(input, other)
    if input.shape[-1] != other.shape[-1]:
        raise RuntimeError(
            f"[inner] the last sizes of shapes {tuple(input.shape)} and {tuple(other.shape)} must "
            "agree"
        )
    return contracted("inner", input, other, [input.ndim - 1], [other.ndim - 1])


def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """The products of all pairs: (m,) and (n,) -> (m, n)."""
    ranks("outer", (input, 1), (vec2, 1))
    return multiply(unsqueeze(input, 1), unsqueeze(vec2, 0))


@compute_in_float32
def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """The inner products of the vectors along ``dim``: (..., n) and (..., n) -> (...) for the last;
    the other dimensions broadcast."""
    same_dtype("linalg.vecdot", x, y)
    require_floating("linalg.vecdot", x)
    return sum(multiply(x, y), axis("linalg.vecdot", dim, max(x.ndim, y.ndim)))


def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """The vector products along ``dim``, or along the first dimension of size 3: shapes as of
    ``linalg.cross``. Raises RuntimeError if no dimension has size 3."""
    require_tensor("cross", input)
    if dim is None:
        threes = [i for i, n in enumerate(input.shape) if n == 3]
        if not threes:
            raise RuntimeError(f"[cross] no dimension of size 3 in shape {tuple(input.shape)}")
        dim = threes[0]
    return _cross("cross", input, other, dim)


def linalg_cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """The vector products along ``dim``: (..., 3) and (..., 3) -> (..., 3) for the last; the other
    dimensions broadcast. Raises RuntimeError unless both have as many dimensions, and size 3 there.
    """
    return _cross("linalg.cross", input, other, dim)


@compute_in_float32
def _cross(op: str, a: Tensor, b: Tensor, dim: int) -> Tensor:
    same_dtype(op, a, b)
    shapes = f"shapes {tuple(a.shape)} and {tuple(b.shape)}"
    if a.ndim != b.ndim:
        raise RuntimeError(f"[{op}] needs as many dimensions in both, got {shapes}")
    d = axis(op, dim, a.ndim)
    if a.ndim == 0 or a.shape[d] != 3 or b.shape[d] != 3:
        raise RuntimeError(f"[{op}] needs size 3 in dim {dim} of both, got {shapes}")
    return multiply(roll(a, -1, d), roll(b, -2, d)) - multiply(roll(a, -2, d), roll(b, -1, d))


def vander(x: Tensor, *, N: int | None = None) -> Tensor:
    """(..., n) -> (..., n, N): the powers x^0, x^1, ... of each element, N = n by default; integers
    in int64. Raises RuntimeError for N below 2."""
    require_tensor("linalg.vander", x)
    if x.ndim == 0:
        x = reshape(x, (1,))
    count = x.shape[-1] if N is None else N
    if count <= 1:
        raise RuntimeError(f"[linalg.vander] N must be greater than 1, got {count}")
    if x.dtype.kind == "b":
        raise RuntimeError("[linalg.vander] is not defined for bool tensors: convert with .int()")
    shape("linalg.vander", (count,))
    return _powers(cast(x, dtype=int64) if x.dtype.kind in "iu" else x, count)


def torch_vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """(n,) -> (n, N): the powers of each element, falling to x^0 (increasing: rising from it),
    N = n by default; integers in int64. Raises RuntimeError for a negative N."""
    ranks("vander", (x, 1))
    count = x.shape[0] if N is None else N
    if count < 0:
        raise RuntimeError(f"[vander] N must not be negative, got {count}")
    shape("vander", (count,))
    if x.dtype.kind in "biu":
        x = cast(x, dtype=int64)
    return _powers(x, count) if increasing else flip(_powers(x, count), 1)


def _powers(x: Tensor, count: int) -> Tensor:
    exponents = wrap(x._device.ops["arange"](count).astype(int64), x._device)
    return unsqueeze(x, -1) ** exponents


# ---------------------------------------------------------------------- chains and powers


def chain_matmul(*matrices: Tensor) -> Tensor:
    """The product of matrices, (m, k), (k, l), ..., (p, n) -> (m, n), in the order that takes the
    fewest multiplications. Raises RuntimeError where inner sizes differ."""
    given = matrices[0] if len(matrices) == 1 and not isinstance(matrices[0], Tensor) else matrices
    return given[0] if len(given) == 1 else _chain("chain_matmul", given)


def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """The product of at least two matrices, (m, k), (k, l), ..., (p, n) -> (m, n), in the order
    that takes the fewest multiplications; the first may be a vector (a row), the last one too (a
    column). Raises RuntimeError for fewer, and where inner sizes differ."""
    if isinstance(tensors, Tensor) or len(tensors) < 2:
        raise RuntimeError("[linalg.multi_dot] expects at least 2 tensors")
    first, *middle, last = tensors
    require_tensor("linalg.multi_dot", first)
    require_tensor("linalg.multi_dot", last)
    left = unsqueeze(first, 0) if first.ndim == 1 else first
    right = unsqueeze(last, 1) if last.ndim == 1 else last
    y = _chain("linalg.multi_dot", [left, *middle, right])
    y = squeeze(y, 0) if first.ndim == 1 else y
    return squeeze(y, -1) if last.ndim == 1 else y


@compute_in_float32
def _chain(op: str, matrices: Sequence[Tensor]) -> Tensor:
    ranks(op, *((x, 2) for x in matrices))
    for a, b in pairwise(matrices):
        same_dtype(op, a, b)
        if a.shape[1] != b.shape[0]:
            raise RuntimeError(
                f"[{op}] shapes {tuple(a.shape)} and {tuple(b.shape)} follow each other: the inner "
                "sizes must agree"
            )
    sizes = [matrices[0].shape[0], *(x.shape[1] for x in matrices)]
    return _multiplied(op, matrices, _cheapest(sizes), 0, len(matrices) - 1)


def _multiplied(op: str, matrices: Sequence[Tensor], split: dict, i: int, j: int) -> Tensor:
    """The product of matrices i..j. (No closure: one that calls itself is a reference cycle.)"""
    if i == j:
        return matrices[i]
    k = split[i, j]
    left, right = (_multiplied(op, matrices, split, *ends) for ends in ((i, k), (k + 1, j)))
    return product(op, left, right)


def _cheapest(sizes: list[int]) -> dict[tuple[int, int], int]:
    """Where to split each chain i..j of matrices of shapes (sizes[i], sizes[i + 1]): dynamic
    programming over the length of the chain (Cormen et al., Introduction to Algorithms)."""
    n = len(sizes) - 1
    cost = {(i, i): 0 for i in range(n)}
    split = {}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            options = (
                (cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            )
            cost[i, j], split[i, j] = min(options)
    return split


# ---------------------------------------------------------------------- tensors


def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """Sums of products over pairs of dimensions: the last ``dims`` of a with the first of b, or the
    pairs named by two lists. The result has the other dimensions, those of a first. A size of 1
    goes with any other. Raises RuntimeError where sizes differ, or dims make no pairs."""
    same_dtype("tensordot", a, b)
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if not 0 <= dims <= min(a.ndim, b.ndim):
            raise RuntimeError(
                f"[tensordot] dims {dims} must be between 0 and the {min(a.ndim, b.ndim)} "
                f"dimensions of shapes {tuple(a.shape)} and {tuple(b.shape)}"
            )
        dims = (range(a.ndim - dims, a.ndim), range(dims))
    left, right = ([d] if isinstance(d, int) else list(d) for d in dims)
    over_a = [axis("tensordot", d, a.ndim) for d in left]
    over_b = [axis("tensordot", d, b.ndim) for d in right]
    twice = len(set(over_a)) != len(over_a) or len(set(over_b)) != len(over_b)
    if len(over_a) != len(over_b) or twice:
        raise RuntimeError(f"[tensordot] dims {left} and {right} are no pairs of dimensions")
    for i, j in zip(over_a, over_b, strict=True):
        if a.shape[i] != b.shape[j] and 1 not in (a.shape[i], b.shape[j]):
            raise RuntimeError(
                f"[tensordot] sizes {a.shape[i]} and {b.shape[j]} of dims {i} and {j} differ, in "
                f"shapes {tuple(a.shape)} and {tuple(b.shape)}"
            )
    # A size of 1 goes with any other: the other operand is summed over it.
    wide_a = [i for i, j in zip(over_a, over_b, strict=True) if a.shape[i] > b.shape[j] == 1]
    wide_b = [j for i, j in zip(over_a, over_b, strict=True) if b.shape[j] > a.shape[i] == 1]
    if wide_a or wide_b:
        return _summed_first(a, b, over_a, over_b, wide_a, wide_b)
    return contracted("tensordot", a, b, over_a, over_b)


@compute_in_float32
def _summed_first(a: Tensor, b: Tensor, over_a: Any, over_b: Any, wide_a: Any, wide_b: Any) -> Any:
    a = sum(a, wide_a, keepdim=True, dtype=a.dtype) if wide_a else a
    b = sum(b, wide_b, keepdim=True, dtype=b.dtype) if wide_b else b
    return contracted("tensordot", a, b, over_a, over_b)


def contracted(op: str, a: Tensor, b: Tensor, over_a: list[int], over_b: list[int]) -> Tensor:
    """One matrix product: a's other dimensions by b's other dimensions."""
    rest_a = [i for i in range(a.ndim) if i not in over_a]
    rest_b = [i for i in range(b.ndim) if i not in over_b]
    n = math.prod(a.shape[i] for i in over_a)
    rows, columns = [a.shape[i] for i in rest_a], [b.shape[i] for i in rest_b]
    left = reshape(permute(a, rest_a + over_a), (math.prod(rows), n))
    right = reshape(permute(b, over_b + rest_b), (n, math.prod(columns)))
    return reshape(product(op, left, right), (*rows, *columns))


def kron(input: Tensor, other: Tensor) -> Tensor:
    """The Kronecker product: each element of ``input`` times the whole of ``other``, (m, n) and
    (p, q) -> (m p, n q), and so on; missing first dimensions have size 1."""
    two_tensors("kron", input, other)
    input, other = align("kron", input, other)
    n = max(input.ndim, other.ndim)
    sizes = [(1,) * (n - x.ndim) + tuple(x.shape) for x in (input, other)]
    a = reshape(input, [v for s in sizes[0] for v in (s, 1)])
    b = reshape(other, [v for s in sizes[1] for v in (1, s)])
    return reshape(multiply(a, b), [s * t for s, t in zip(*sizes, strict=True)])


def trace(input: Tensor) -> Tensor:
    """The sum of a matrix's diagonal, (m, n) -> (); integers add up in int64. Raises RuntimeError
    for bools, and unless the input has 2 dimensions."""
    require_tensor("trace", input)
    if input.ndim != 2:
        raise RuntimeError(f"[trace] expects a matrix, got shape {tuple(input.shape)}")
    if input.dtype.kind == "b":
        raise RuntimeError("[trace] is not defined for bool tensors: convert with .int()")
    return sum(diagonal(input))


@compute_in_float32
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """sum_ij input1_i weight_kij input2_j + bias_k: (..., m), (..., n), (out, m, n) and (out,) ->
    (..., out), of one dtype. Raises RuntimeError where shapes do not fit."""
    for x in (input2, weight) if bias is None else (input2, weight, bias):
        same_dtype("bilinear", input1, x)
    fits = (
        weight.ndim == 3
        and input1.ndim == input2.ndim > 0
        and input1.shape[:-1] == input2.shape[:-1]
        and (input1.shape[-1], input2.shape[-1]) == tuple(weight.shape[1:])
        and (bias is None or tuple(bias.shape) == (weight.shape[0],))
    )
    if not fits:
        shapes = [None if x is None else tuple(x.shape) for x in (input1, input2, weight, bias)]
        raise RuntimeError(
            f"[bilinear] shapes {shapes} do not fit: expected (..., m), (..., n), (out, m, n) and "
            "(out,)"
        )
    left = contracted("bilinear", input1, weight, [input1.ndim - 1], [1])  # (..., out, n)
    y = sum(multiply(left, unsqueeze(input2, -2)), -1, dtype=left.dtype)
    return y if bias is None else y + bias
