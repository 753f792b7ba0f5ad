"""Dimensions by other names: moved, exchanged, split, added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.core.tensor import Size, Tensor
from tapegrad.ops.common import arguments
from tapegrad.ops.common.arguments import axis, distinct_axes, require_tensor
from tapegrad.ops.pointwise.elementwise import floor_divide, remainder

from . import shape


def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """A view with the ``source`` dimensions at the ``destination`` positions; the others keep their
    order. Raises RuntimeError where the two differ in length or name a dimension twice."""
    require_tensor("movedim", input)
    sources, positions = (
        distinct_axes("movedim", arguments.sizes("movedim", (dims,)), input.ndim)
        for dims in (source, destination)
    )
    if len(sources) != len(positions):
        raise RuntimeError(
            f"[movedim] source {source} and destination {destination} differ in length"
        )
    order = [i for i in range(input.ndim) if i not in sources]
    for position, moved in sorted(zip(positions, sources, strict=True)):
        order.insert(position, moved)
    return shape.permute(input, order[: input.ndim])


def moveaxis(input: Tensor, source: Any, destination: Any) -> Tensor:
    """``movedim`` under NumPy's name; raises what that does."""
    return movedim(input, source, destination)


def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """``transpose`` under NumPy's name."""
    return shape.transpose(input, axis0, axis1)


def T(input: Tensor) -> Tensor:
    """A view with the dimensions in reverse order: (l, m, n) becomes (n, m, l)."""
    require_tensor("T", input)
    return shape.permute(input, tuple(reversed(range(input.ndim))))


def H(input: Tensor) -> Tensor:
    """A matrix (m, n) as its transpose (n, m), a view; conjugating changes no real number. A 0-d
    tensor stays as it is; raises RuntimeError for any other number of dimensions."""
    require_tensor("H", input)
    if input.ndim not in (0, 2):
        raise RuntimeError(f"[H] needs a matrix, got {input.ndim} dimensions: use .mH for batches")
    return T(input)


def adjoint(input: Tensor) -> Tensor:
    """Each matrix of (..., m, n) as its transpose, a view of shape (..., n, m): conjugating changes
    no real number. Raises RuntimeError for a vector."""
    return shape.mT(input)


def ravel(input: Tensor) -> Tensor:
    """All elements in one dimension, in row-major order; a view of a contiguous tensor, a copy of
    others."""
    require_tensor("ravel", input)
    return shape.reshape(shape.contiguous_tensor(input), input.numel())


def unflatten(input: Tensor, dim: int, sizes: Any) -> Tensor:
    """A view with dimension ``dim`` of size n as several of ``sizes``, whose product is n (one size
    may be -1). Raises RuntimeError where they do not fit n, for no sizes, and for a 0-d tensor."""
    require_tensor("unflatten", input)
    d = axis("unflatten", dim, input.ndim)
    if input.ndim == 0:
        raise RuntimeError("[unflatten] a 0-d tensor has no dimension to split")
    wanted = arguments.sizes("unflatten", (sizes,))
    if not wanted:
        raise RuntimeError("[unflatten] sizes must not be empty")
    before, n, after = tuple(input.shape[:d]), input.shape[d], tuple(input.shape[d + 1 :])
    full = shape.complete("unflatten", wanted, n, (n,))
    return shape.view(input, (*before, *full, *after))


def _at_least(op: str, tensors: tuple, new: dict[int, tuple[int, ...]]) -> Any:
    """One tensor, or a tuple of all, with the dimensions that ``new`` has for their number of
    dimensions."""
    if len(tensors) != 1 or isinstance(tensors[0], (tuple, list)):
        given = tensors[0] if len(tensors) == 1 else tensors
        arguments.check_nesting(op, given)
        return tuple(_at_least(op, (x,), new) for x in given)
    (x,) = tensors
    require_tensor(op, x)
    for d in new.get(x.ndim, ()):
        x = shape.unsqueeze(x, d)
    return x


def atleast_1d(*tensors: Any) -> Any:
    """Views of tensors (one, several, or a list, for which there is a tuple) with at least one
    dimension: a 0-d one becomes (1)."""
    return _at_least("atleast_1d", tensors, {0: (0,)})


def atleast_2d(*tensors: Any) -> Any:
    """``atleast_1d`` with at least two dimensions: a vector (n) becomes a row (1, n)."""
    return _at_least("atleast_2d", tensors, {0: (0, 0), 1: (0,)})


def atleast_3d(*tensors: Any) -> Any:
    """``atleast_1d`` with at least three dimensions: (n) becomes (1, n, 1) and (m, n) becomes
    (m, n, 1)."""
    return _at_least("atleast_3d", tensors, {0: (0, 0, 0), 1: (0, 2), 2: (2,)})


def _common_shape(op: str, shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise RuntimeError(
            f"[{op}] shapes {', '.join(map(str, shapes))} do not broadcast"
        ) from None


def broadcast_shapes(*shapes: Any) -> Size:
    """The shape to which all shapes (an int is that of a vector) broadcast. Raises RuntimeError
    where they do not, and for negative sizes."""
    op = "broadcast_shapes"
    return Size(_common_shape(op, [arguments.shape(op, (s,)) for s in shapes]))


def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """Views of all tensors (several, or a list), expanded to the shape to which all of them
    broadcast. Raises RuntimeError where they do not."""
    if len(tensors) == 1 and isinstance(tensors[0], Sequence):
        tensors = tuple(tensors[0])
    for x in tensors:
        require_tensor("broadcast_tensors", x)
    common = _common_shape("broadcast_tensors", [tuple(x.shape) for x in tensors])
    return tuple(shape.expand(x, common) for x in tensors)


def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """The coordinates, in a tensor of ``shape``, of elements counted in row-major order: a tensor
    of integers for each dimension. Raises ValueError for indices that are not integers and for
    negative sizes; indices beyond the last element are not refused."""
    require_tensor("unravel_index", indices)
    if indices.dtype.kind not in "iu":
        raise ValueError(f"[unravel_index] indices must be integers, got {indices.dtype.name}")
    sizes = arguments.sizes("unravel_index", (shape,))
    if any(n < 0 for n in sizes):
        raise ValueError(f"[unravel_index] sizes must not be negative, got {sizes}")
    coordinates = []
    for n in reversed(sizes):
        coordinates.append(remainder(indices, n))
        indices = floor_divide(indices, n)
    return tuple(coordinates[::-1])
