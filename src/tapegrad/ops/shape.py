"""Changing shape: views where the memory allows it, copies where it does not.

The primitives take full shapes and non-negative axes; the public functions below them take
PyTorch's arguments.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dtypes import promote_types
from ..tape import array_function, primitive
from ..tensor import Tensor
from . import arguments
from .arguments import axis, require_tensor
from .elementwise import cast

# ---------------------------------------------------------------------- primitives


@array_function
def contiguous(xp: Any, x: Any) -> Any:
    """The array itself if it is in row-major order, else a copy that is; 0-d stays 0-d."""
    return x if x.flags.c_contiguous else xp.library.array(x, order="C")


@primitive(vjp=(lambda g: g,), view=True)
def alias(xp: Any, x: Any) -> Any:
    return x[...]


@primitive(vjp=(lambda g: g,))
def copy(xp: Any, x: Any) -> Any:
    return xp.library.array(x, order="C")


@primitive("reshape", vjp=(lambda xp, g, input_shape: xp.reshape(g, shape=input_shape),), view=True)
def _reshape(xp: Any, x: Any, *, shape: tuple[int, ...]) -> Any:
    return x.reshape(shape)


def _transpose_rule(xp: Any, g: Any, axes: tuple[int, ...]) -> Any:
    return xp.transpose(g, axes=tuple(axes.index(i) for i in range(len(axes))))


@primitive("transpose", vjp=(_transpose_rule,), view=True)
def _transpose(xp: Any, x: Any, *, axes: tuple[int, ...]) -> Any:
    return x.transpose(axes)


@primitive("broadcast_to", vjp=(lambda g: g,), view=True)  # the engine sums
def _broadcast_to(xp: Any, x: Any, *, shape: tuple[int, ...]) -> Any:
    if x.size == 1 and isinstance(x, np.ndarray) and x.dtype.kind != "V":
        # NumPy's own broadcast_to costs five times as much as this, the gradient of every sum.
        return np.ndarray(shape, x.dtype, x, 0, (0,) * len(shape))
    return xp.library.broadcast_to(x, shape)


def _concatenate_rule(xp: Any, g: Any, needs: Any, axis: int, sizes: tuple[int, ...]) -> list:
    before = (slice(None),) * axis
    ends = [builtins.sum(sizes[: i + 1]) for i in range(len(sizes))]
    return [
        xp.getitem(g, index=(*before, slice(end - size, end))) if need else None
        for need, end, size in zip(needs, ends, sizes, strict=True)
    ]


@primitive("concatenate", vjp_all=_concatenate_rule)
def _concatenate(xp: Any, *arrays: Any, axis: int, sizes: tuple[int, ...]) -> Any:
    return xp.library.concatenate(arrays, axis=axis)


@primitive("flip", vjp=(lambda xp, g, axes: xp.flip(g, axes=axes),))
def _flip(xp: Any, x: Any, *, axes: tuple[int, ...]) -> Any:
    return xp.library.flip(x, axes).copy()  # as in PyTorch, no negative strides


@primitive(
    "roll",
    vjp=(lambda xp, g, shifts, axes: xp.roll(g, shifts=tuple(-s for s in shifts), axes=axes),),
)
def _roll(xp: Any, x: Any, *, shifts: tuple[int, ...], axes: tuple[int, ...] | None) -> Any:
    return xp.library.roll(x, shifts if axes else shifts[0], axes)


# ---------------------------------------------------------------------- PyTorch's signatures


def _complete(op: str, x: Tensor, given: tuple) -> tuple[int, ...]:
    """A full shape: one -1 is worked out from the number of elements."""
    arguments.require_tensor(op, x)
    sizes = arguments.sizes(op, given)
    n = x.numel()
    negative = [i for i, s in enumerate(sizes) if s < 0]
    if negative:
        rest = math.prod(s for s in sizes if s >= 0)
        if len(negative) > 1 or sizes[negative[0]] != -1:
            raise RuntimeError(f"[{op}] shape {sizes}: only one size may be -1, none below")
        if rest == 0 or n % rest:
            raise RuntimeError(
                f"[{op}] {n} elements of shape {tuple(x.shape)} do not divide into shape {sizes}"
            )
        i = negative[0]
        return (*sizes[:i], n // rest, *sizes[i + 1 :])
    if math.prod(sizes) != n:
        raise RuntimeError(
            f"[{op}] shape {tuple(x.shape)} has {n} elements, shape {sizes} has {math.prod(sizes)}"
        )
    return sizes


def reshape(x: Tensor, *shape: Any) -> Tensor:
    """The same elements in another shape (one size may be -1); a view if possible."""
    return _reshape(x, shape=_complete("reshape", x, shape))


def view(x: Tensor, *shape: Any) -> Tensor:
    """``reshape`` that never copies: raises RuntimeError where strides do not allow a view."""
    if len(shape) == 1 and not isinstance(shape[0], (tuple, list, int)):
        raise TypeError("[view] takes sizes; to reinterpret bytes as another dtype use numpy()")
    full = _complete("view", x, shape)
    if not x.is_contiguous():
        probe = x._array.view()
        try:
            probe.shape = full
        except AttributeError:
            raise RuntimeError(
                f"[view] strides {x.stride()} of shape {tuple(x.shape)} do not fit shape {full} "
                "without a copy: use .reshape()"
            ) from None
    return _reshape(x, shape=full)


def flatten(x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Dimensions start_dim to end_dim as one."""
    require_tensor("flatten", x)
    shape = tuple(x.shape) or (1,)
    first, last = axis("flatten", start_dim, x.ndim), axis("flatten", end_dim, x.ndim)
    if first > last:
        raise RuntimeError(f"[flatten] start_dim {start_dim} comes after end_dim {end_dim}")
    middle = math.prod(shape[first : last + 1])
    return _reshape(x, shape=(*shape[:first], middle, *shape[last + 1 :]))


def permute(x: Tensor, *dims: Any) -> Tensor:
    """The dimensions in another order."""
    require_tensor("permute", x)
    order = tuple(axis("permute", d, x.ndim) for d in arguments.sizes("permute", dims))
    if sorted(order) != list(range(x.ndim)):
        raise RuntimeError(f"[permute] dims {order} are not a reordering of {x.ndim} dimensions")
    return _transpose(x, axes=order)


def transpose(x: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two dimensions exchanged."""
    require_tensor("transpose", x)
    order = list(range(x.ndim))
    i, j = axis("transpose", dim0, x.ndim), axis("transpose", dim1, x.ndim)
    if x.ndim:
        order[i], order[j] = j, i
    return _transpose(x, axes=tuple(order))


def movedim(x: Tensor, source: Any, destination: Any) -> Tensor:
    """Dimensions moved to new places; the others keep their order."""
    require_tensor("movedim", x)
    pairs = [
        [axis("movedim", d, x.ndim) for d in (ds if isinstance(ds, (tuple, list)) else (ds,))]
        for ds in (source, destination)
    ]
    if len(pairs[0]) != len(pairs[1]) or len(set(pairs[0])) != len(pairs[0]):
        raise RuntimeError(f"[movedim] cannot move dims {source} to {destination}")
    order = [i for i in range(x.ndim) if i not in pairs[0]]
    for to, of in sorted(zip(pairs[1], pairs[0], strict=True)):
        order.insert(to, of)
    return _transpose(x, axes=tuple(order))


def t(x: Tensor) -> Tensor:
    """A matrix transposed; vectors and scalars as they are."""
    require_tensor("t", x)
    if x.ndim > 2:
        raise RuntimeError(f"[t] expects at most 2 dimensions, got {x.ndim}: use .mT or permute")
    return _transpose(x, axes=tuple(reversed(range(x.ndim))))


def squeeze(x: Tensor, dim: Any = None) -> Tensor:
    """Dimensions of size 1 left out: all of them, or those given."""
    require_tensor("squeeze", x)
    shape = tuple(x.shape)
    if dim is None:
        gone = {i for i, n in enumerate(shape) if n == 1}
    else:
        dims = dim if isinstance(dim, (tuple, list)) else (dim,)
        gone = {d for d in (axis("squeeze", d, x.ndim) for d in dims) if shape and shape[d] == 1}
    return _reshape(x, shape=tuple(n for i, n in enumerate(shape) if i not in gone))


def unsqueeze(x: Tensor, dim: int) -> Tensor:
    """A new dimension of size 1 at ``dim``."""
    require_tensor("unsqueeze", x)
    d = axis("unsqueeze", dim, x.ndim + 1)
    shape = tuple(x.shape)
    return _reshape(x, shape=(*shape[:d], 1, *shape[d:]))


def expand(x: Tensor, *sizes: Any) -> Tensor:
    """Dimensions of size 1 repeated without a copy; -1 keeps a size."""
    require_tensor("expand", x)
    wanted, shape = arguments.sizes("expand", sizes), tuple(x.shape)
    lead = len(wanted) - len(shape)
    fits = lead >= 0
    full = []
    for i, n in enumerate(wanted if fits else ()):
        have = shape[i - lead] if i >= lead else None
        if n == -1 and have is not None:
            n = have
        fits = fits and n >= 0 and have in (None, 1, n)
        full.append(n)
    if not fits:
        raise RuntimeError(
            f"[expand] shape {shape} does not expand to {wanted}: from the right, each size must "
            "be kept (or -1), or be 1 before"
        )
    return _broadcast_to(x, shape=tuple(full))


def broadcast_to(x: Tensor, shape: Any) -> Tensor:
    """``expand`` under NumPy's name."""
    return expand(x, shape)


def view_as(x: Tensor, other: Tensor) -> Tensor:
    """``view`` in another tensor's shape."""
    return view(x, tuple(other.shape))


def reshape_as(x: Tensor, other: Tensor) -> Tensor:
    """``reshape`` to another tensor's shape."""
    return reshape(x, tuple(other.shape))


def expand_as(x: Tensor, other: Tensor) -> Tensor:
    """``expand`` to another tensor's shape."""
    return expand(x, tuple(other.shape))


def mT(x: Tensor) -> Tensor:
    """The last two dimensions exchanged: each matrix of a batch transposed."""
    if x.ndim < 2:
        raise RuntimeError(f"[mT] needs at least 2 dimensions, got {x.ndim}")
    return transpose(x, -2, -1)


def repeat(x: Tensor, *repeats: Any) -> Tensor:
    """The tensor laid side by side, repeats[i] times along dimension i."""
    times = arguments.sizes("repeat", repeats)
    lead = len(times) - x.ndim
    if lead < 0 or builtins.any(n < 0 for n in times):
        raise RuntimeError(
            f"[repeat] needs a non-negative count for each of {x.ndim} dimensions, got {times}"
        )
    shape = (1,) * lead + tuple(x.shape)
    tiled = tuple(v for pair in zip(times, shape, strict=True) for v in pair)
    split_shape = tuple(v for n in shape for v in (1, n))
    result = _broadcast_to(_reshape(x, shape=split_shape), shape=tiled)
    return copy(_reshape(result, shape=tuple(n * s for n, s in zip(times, shape, strict=True))))


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors joined along an existing dimension; dtypes are promoted."""
    tensors = _sequence("cat", tensors)
    # PyTorch lets an empty vector join anything.
    solid = [x for x in tensors if tuple(x.shape) != (0,)] or tensors[:1]
    first = solid[0]
    if first.ndim == 0:
        raise RuntimeError("[cat] 0-d tensors have no dimension to join along: use stack")
    d = axis("cat", dim, first.ndim)
    common = first.dtype
    for x in tensors:
        common = promote_types(common, x.dtype)
    rest = [tuple(n for i, n in enumerate(x.shape) if i != d) for x in solid]
    if builtins.any(x.ndim != first.ndim for x in solid) or len(set(rest)) > 1:
        raise RuntimeError(
            f"[cat] all sizes but dim {dim} must agree, got shapes "
            + ", ".join(str(tuple(x.shape)) for x in tensors)
        )
    parts = [x if x.dtype == common else cast(x, dtype=common) for x in solid]
    return _concatenate(*parts, axis=d, sizes=tuple(x.shape[d] for x in parts))


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors of one shape joined along a new dimension."""
    tensors = _sequence("stack", tensors)
    if len({tuple(x.shape) for x in tensors}) > 1:
        raise RuntimeError(
            "[stack] all shapes must be equal, got "
            + ", ".join(str(tuple(x.shape)) for x in tensors)
        )
    d = axis("stack", dim, tensors[0].ndim + 1)
    return cat([unsqueeze(x, d) for x in tensors], d)


def flip(x: Tensor, *dims: Any) -> Tensor:
    """The elements in reverse order along ``dims``."""
    require_tensor("flip", x)
    axes = tuple(axis("flip", d, x.ndim) for d in arguments.sizes("flip", dims))
    if len(set(axes)) != len(axes):
        raise RuntimeError(f"[flip] dims {axes} name a dimension twice")
    return _flip(x, axes=axes if x.ndim else ())


def roll(x: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """The elements moved along ``dims`` (or along the flattened tensor), around the end."""
    moves = arguments.sizes("roll", (shifts,))
    if dims is None or dims == ():
        if len(moves) != 1:
            raise RuntimeError(f"[roll] without dims takes one shift, got {moves}")
        return _roll(x, shifts=moves, axes=None)
    given = dims if isinstance(dims, (tuple, list)) else (dims,)
    axes = tuple(axis("roll", d, x.ndim) for d in given)
    if len(axes) != len(moves):
        raise RuntimeError(f"[roll] {len(moves)} shifts for {len(axes)} dims")
    return _roll(x, shifts=moves, axes=axes)


def contiguous_tensor(x: Tensor) -> Tensor:
    """The tensor itself if its elements lie in order in memory, else a copy that does."""
    return x if x.is_contiguous() else clone(x)


def clone(x: Tensor) -> Tensor:
    """A copy; gradients flow through it."""
    return copy(x)


def _sequence(op: str, tensors: Any) -> list[Tensor]:
    if isinstance(tensors, Tensor) or not isinstance(tensors, (tuple, list)):
        raise TypeError(f"[{op}] expects a list of tensors, got {type(tensors).__name__}")
    if not tensors:
        raise RuntimeError(f"[{op}] expects at least one tensor")
    for x in tensors:
        if not isinstance(x, Tensor):
            raise TypeError(f"[{op}] expects tensors, got {type(x).__name__}")
    return list(tensors)
