"""Dimensions by other names: moved, exchanged, split, added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.core.tensor import Size, Tensor
from tapegrad.ops.common import arguments
from tapegrad.ops.common.arguments import axis, require_tensor
from tapegrad.ops.pointwise.elementwise import floor_divide, remainder

from . import shape


def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """Dimensions moved to new places; the others keep their order."""
    require_tensor("movedim", input)
    sources, places = (
        [axis("movedim", d, input.ndim) for d in arguments.sizes("movedim", (dims,))]
        for dims in (source, destination)
    )
    if len(sources) != len(places):
        raise RuntimeError(
            f"[movedim] source {source} and destination {destination} differ in length"
        )
    for name, dims in (("source", sources), ("destination", places)):
        if len(set(dims)) != len(dims):
            raise RuntimeError(f"[movedim] {name} {dims} names a dimension twice")
    order = [i for i in range(input.ndim) if i not in sources]
    for place, moved in sorted(zip(places, sources, strict=True)):
        order.insert(place, moved)
    return shape.permute(input, order[: input.ndim])


def moveaxis(input: Tensor, source: Any, destination: Any) -> Tensor:
    """``movedim`` under NumPy's name."""
    return movedim(input, source, destination)


def swapaxes(input: Tensor, axis0: int, axis1: int) -> Tensor:
    """``transpose`` under NumPy's name."""
    return shape.transpose(input, axis0, axis1)


def T(input: Tensor) -> Tensor:
    """The dimensions in reverse order."""
    require_tensor("T", input)
    return shape.permute(input, tuple(reversed(range(input.ndim))))


def H(input: Tensor) -> Tensor:
    """A matrix transposed (and conjugated, which changes no real number)."""
    require_tensor("H", input)
    if input.ndim not in (0, 2):
        raise RuntimeError(f"[H] needs a matrix, got {input.ndim} dimensions: use .mH for batches")
    return T(input)


def adjoint(input: Tensor) -> Tensor:
    """Each matrix transposed (and conjugated, which changes no real number)."""
    return shape.mT(input)


def ravel(input: Tensor) -> Tensor:
    """All elements in one dimension; a view of a contiguous tensor, a copy of others."""
    require_tensor("ravel", input)
    return shape.reshape(shape.contiguous_tensor(input), input.numel())


def unflatten(input: Tensor, dim: int, sizes: Any) -> Tensor:
    """One dimension as several (one size may be -1)."""
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


def _at_least(op: str, tensors: tuple, places: dict[int, tuple[int, ...]]) -> Any:
    """One tensor, or a tuple of all, with new dimensions where ``places`` says, by their number."""
    if len(tensors) != 1 or isinstance(tensors[0], (tuple, list)):
        given = tensors[0] if len(tensors) == 1 else tensors
        return tuple(_at_least(op, (x,), places) for x in given)
    (x,) = tensors
    require_tensor(op, x)
    for d in places.get(x.ndim, ()):
        x = shape.unsqueeze(x, d)
    return x


def atleast_1d(*tensors: Any) -> Any:
    """Tensors (one, several, or a list) with at least one dimension."""
    return _at_least("atleast_1d", tensors, {0: (0,)})


def atleast_2d(*tensors: Any) -> Any:
    """Tensors with at least two dimensions: vectors become rows."""
    return _at_least("atleast_2d", tensors, {0: (0, 0), 1: (0,)})


def atleast_3d(*tensors: Any) -> Any:
    """Tensors with at least three dimensions: (n) becomes (1, n, 1) and (m, n) becomes
    (m, n, 1)."""
    return _at_least("atleast_3d", tensors, {0: (0, 0, 0), 1: (0, 2), 2: (2,)})


def broadcast_shapes(*shapes: Any) -> Size:
    """The shape to which all shapes (or sizes of vectors) broadcast."""
    full = [arguments.shape("broadcast_shapes", (s,)) for s in shapes]
    try:
        return Size(np.broadcast_shapes(*full))
    except ValueError:
        raise RuntimeError(
            f"[broadcast_shapes] shapes {', '.join(map(str, full))} do not broadcast"
        ) from None


def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """Views of all tensors, expanded to their common shape."""
    if len(tensors) == 1 and isinstance(tensors[0], Sequence):
        tensors = tuple(tensors[0])
    for x in tensors:
        require_tensor("broadcast_tensors", x)
    try:
        common = np.broadcast_shapes(*(tuple(x.shape) for x in tensors))
    except ValueError:
        raise RuntimeError(
            f"[broadcast_tensors] shapes {', '.join(str(tuple(x.shape)) for x in tensors)} do not "
            "broadcast"
        ) from None
    return tuple(shape.expand(x, common) for x in tensors)


def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """The coordinates in a tensor of ``shape`` of elements counted in row-major order, one tensor
    a dimension."""
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
