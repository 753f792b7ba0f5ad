"""Diagonals: seen, and made into matrices."""

from __future__ import annotations

from typing import Any

from tapegrad.core.memory import Array, window
from tapegrad.core.tape import primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common.arguments import axis, require_tensor
from tapegrad.ops.pointwise.elementwise import cast

from . import shape

# ---------------------------------------------------------------------- primitives


def _view(x: Any, offset: int, axes: tuple[int, int]) -> Any:
    """The diagonals over two axes as a new last axis: a view of the array."""
    rows, columns = axes
    strides = tuple(s // x.itemsize for s in x.strides)
    first_row, first_column = max(-offset, 0), max(offset, 0)
    n = max(min(x.shape[rows] - first_row, x.shape[columns] - first_column), 0)
    others = [i for i in range(x.ndim) if i not in axes]
    start = first_row * strides[rows] + first_column * strides[columns]
    return window(
        x,
        (*(x.shape[i] for i in others), n),
        (*(strides[i] for i in others), strides[rows] + strides[columns]),
        start,
    )


def _diagonal_rule(xp: Any, g: Array, input_shape: Any, offset: int, axes: Any) -> Any:
    return xp.diagonal_embedded(g, shape=input_shape, offset=offset, axes=axes)


@primitive("diagonal", vjp=(_diagonal_rule,), view=True)
def _diagonal(xp: Any, x: Array, *, offset: int, axes: tuple[int, int]) -> Array:
    return _view(x, offset, axes)


@primitive(vjp="diagonal")
def diagonal_embedded(
    xp: Any, x: Array, *, shape: tuple[int, ...], offset: int, axes: tuple[int, int]
) -> Array:
    result = xp.zeros(shape, dtype=x.dtype)
    _view(result, offset, axes)[...] = x
    return result


def _zero_diagonal_rule(xp: Any, g: Array, offset: int, axes: Any) -> Any:
    return xp.diagonal_scatter(g, 0, offset=offset, axes=axes)


@primitive("diagonal_scatter", vjp=(_zero_diagonal_rule, "diagonal"))
def _diagonal_scatter(
    xp: Any, x: Array, values: Array, *, offset: int, axes: tuple[int, int]
) -> Array:
    result = xp.library.array(x, order="C")
    _view(result, offset, axes)[...] = values
    return result


# ---------------------------------------------------------------------- PyTorch's signatures


def _plane(op: str, ndim: int, dim1: int, dim2: int) -> tuple[int, int]:
    first, second = axis(op, dim1, ndim), axis(op, dim2, ndim)
    if first == second:
        raise RuntimeError(f"[{op}] a diagonal needs two dims, got {dim1} and {dim2}")
    return first, second


def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """A view of the diagonals over two dims, as the last dimension: (m, n, b) gives (b, min(m, n)).
    ``offset`` counts columns to the right of the main diagonal, negative ones to the left. Raises
    RuntimeError where the dims are one, as they are for fewer than 2 dimensions."""
    require_tensor("diagonal", input)
    return _diagonal(input, offset=offset, axes=_plane("diagonal", input.ndim, dim1, dim2))


def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Zeros but for the last dimension's elements, which stand on the diagonals over two new dims:
    (b, n) gives (b, n + |offset|, n + |offset|). Raises IndexError for a 0-d tensor, RuntimeError
    where the dims are one."""
    require_tensor("diag_embed", input)
    if input.ndim == 0:
        raise IndexError("[diag_embed] needs at least 1 dimension, got a 0-d tensor")
    axes = _plane("diag_embed", input.ndim + 1, dim1, dim2)
    n = input.shape[-1] + abs(offset)
    sizes = list(input.shape[:-1])
    for i in sorted(axes):
        sizes.insert(i, n)
    return diagonal_embedded(input, shape=tuple(sizes), offset=offset, axes=axes)


def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """A vector as the diagonal of a matrix of zeros, or the diagonal of a matrix as a vector; a
    copy. Raises RuntimeError for any other number of dimensions."""
    require_tensor("diag", input)
    if input.ndim == 1:
        return diag_embed(input, diagonal)
    if input.ndim != 2:
        raise RuntimeError(f"[diag] needs a vector or a matrix, got {input.ndim} dimensions")
    return shape.copy(_diagonal(input, offset=diagonal, axes=(0, 1)))


def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """All elements, in row-major order, as the diagonal of a matrix of zeros."""
    require_tensor("diagflat", input)
    return diag_embed(shape.reshape(input, input.numel()), offset)


def diagonal_scatter(
    input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> Tensor:
    """A copy of ``input`` in which ``diagonal(offset, dim1, dim2)`` is ``src``. Raises RuntimeError
    where src has another shape than that diagonal, or the dims are one."""
    require_tensor("diagonal_scatter", input)
    require_tensor("diagonal_scatter", src)
    axes = _plane("diagonal_scatter", input.ndim, dim1, dim2)
    part = _view(input._array, offset, axes)
    if part.shape != tuple(src.shape):
        raise RuntimeError(
            f"[diagonal_scatter] src has shape {tuple(src.shape)}, the diagonal {part.shape}"
        )
    return _diagonal_scatter(input, cast(src, dtype=input.dtype), offset=offset, axes=axes)


def matrix_diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """``diagonal`` of the matrices in two dimensions, the last ones by default; raises what that
    does."""
    return diagonal(A, offset, dim1, dim2)
