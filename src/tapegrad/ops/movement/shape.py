"""Changing shape: views where the memory allows it, copies where it does not.

The primitives take full shapes and non-negative axes; the public functions below them take
PyTorch's arguments. What operators do not need is in ``axes`` and ``cat``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tapegrad.core import formats
from tapegrad.core.memory import Array, shares, window
from tapegrad.core.tape import array_function, primitive
from tapegrad.core.tensor import Tensor
from tapegrad.ops.common import arguments
from tapegrad.ops.common.arguments import axes, axis, require_tensor

# ---------------------------------------------------------------------- primitives


@array_function
def contiguous(xp: Any, x: Array) -> Array:
    """The array itself if it is in row-major order, else a copy that is; 0-d stays 0-d."""
    return x if x.flags.c_contiguous else xp.library.array(x, order="C")


@primitive(vjp=(lambda g: g,), view=True)
def alias(xp: Any, x: Array) -> Array:
    return x[...]


@primitive(vjp=(lambda g: g,))
def copy(xp: Any, x: Array) -> Array:
    return xp.library.array(x, order="C")


@primitive("reshape", vjp=(lambda xp, g, input_shape: xp.reshape(g, shape=input_shape),), view=True)
def _reshape(xp: Any, x: Array, *, shape: tuple[int, ...]) -> Array:
    return x.reshape(shape)


def _transpose_rule(xp: Any, g: Array, axes: tuple[int, ...]) -> Any:
    return xp.transpose(g, axes=tuple(axes.index(i) for i in range(len(axes))))


@primitive("transpose", vjp=(_transpose_rule,), view=True)
def _transpose(xp: Any, x: Array, *, axes: tuple[int, ...]) -> Array:
    return x.transpose(axes)


@primitive("broadcast_to", vjp=(lambda g: g,), view=True)  # the engine sums
def _broadcast_to(xp: Any, x: Array, *, shape: tuple[int, ...]) -> Array:
    if not isinstance(x, np.ndarray):
        return xp.library.broadcast_to(x, shape)  # the engine sees by its base that it is a view
    if x.size == 1 and x.dtype.kind != "V":
        # NumPy's own broadcast_to costs five times as much as this, the gradient of every sum.
        return type(x)(shape, x.dtype, x, 0, (0,) * len(shape))
    lead = len(shape) - x.ndim
    if lead < 0 or any(n not in (1, m) for n, m in zip(x.shape, shape[lead:], strict=True)):
        raise ValueError(f"shape {x.shape} does not broadcast to {shape}")
    kept = zip(x.strides, x.shape, shape[lead:], strict=True)
    steps = (0,) * lead + tuple(s // x.itemsize if n == m else 0 for s, n, m in kept)
    return window(x, shape, steps)  # the library's own would be read-only


# ---------------------------------------------------------------------- PyTorch's signatures


def complete(op: str, sizes: tuple[int, ...], n: int, shape: Any) -> tuple[int, ...]:
    """Full sizes for ``n`` elements (of a tensor of ``shape``): one -1 is worked out."""
    negative = [i for i, s in enumerate(sizes) if s < 0]
    if negative:
        rest = math.prod(s for s in sizes if s >= 0)
        if len(negative) > 1 or sizes[negative[0]] != -1:
            raise RuntimeError(f"[{op}] shape {sizes}: only one size may be -1, none below")
        if rest == 0 or n % rest:
            raise RuntimeError(
                f"[{op}] {n} elements of shape {tuple(shape)} do not divide into shape {sizes}"
            )
        i = negative[0]
        return (*sizes[:i], n // rest, *sizes[i + 1 :])
    if math.prod(sizes) != n:
        raise RuntimeError(
            f"[{op}] shape {tuple(shape)} has {n} elements, shape {sizes} has {math.prod(sizes)}"
        )
    return sizes


def reshape(input: Tensor, *sizes: Any, shape: Any = None) -> Tensor:
    """The same elements, in row-major order, in another shape (one size may be -1: what is left for
    it); a view if the strides allow it, else a copy. Raises RuntimeError where the sizes do not
    hold as many elements."""
    require_tensor("reshape", input)
    wanted = arguments.sizes("reshape", sizes if shape is None else (shape,))
    return _reshape(input, shape=complete("reshape", wanted, input.numel(), input.shape))


def view(input: Tensor, *sizes: Any, size: Any = None, dtype: Any = None) -> Tensor:
    """``reshape`` that never copies: raises RuntimeError where strides do not allow a view. With a
    dtype, the same bytes read as another one, off the tape: the last dimension grows or shrinks
    with the size of an element; raises RuntimeError where it cannot."""
    require_tensor("view", input)
    if dtype is not None or (len(sizes) == 1 and isinstance(sizes[0], (np.dtype, type))):
        return _reinterpret(input, sizes[0] if dtype is None else dtype)
    wanted = arguments.sizes("view", sizes if size is None else (size,))
    full = complete("view", wanted, input.numel(), input.shape)
    result = _reshape(input, shape=full)
    if result.numel() and not shares(result._array, input._array):
        raise RuntimeError(
            f"[view] strides {input.stride()} of shape {tuple(input.shape)} do not fit shape "
            f"{full} without a copy: use .reshape()"
        )
    return result


def _reinterpret(x: Tensor, dtype: Any) -> Tensor:
    kind = arguments.named_dtype("view", dtype)
    try:
        return x._alias(x._array.view(kind))
    except (ValueError, TypeError) as error:
        raise RuntimeError(
            f"[view] {x.dtype.name} of shape {tuple(x.shape)} and strides {x.stride()} cannot be "
            f"read as {kind.name}: {error}"
        ) from None


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Dimensions start_dim to end_dim as one: all by default, as (n); a 0-d tensor becomes (1). A
    view if the strides allow it, else a copy. Raises RuntimeError for start_dim after end_dim."""
    require_tensor("flatten", input)
    shape = tuple(input.shape) or (1,)
    first, last = (axis("flatten", d, input.ndim) for d in (start_dim, end_dim))
    if first > last:
        raise RuntimeError(f"[flatten] start_dim {start_dim} comes after end_dim {end_dim}")
    middle = math.prod(shape[first : last + 1])
    return _reshape(input, shape=(*shape[:first], middle, *shape[last + 1 :]))


def permute(input: Tensor, *order: Any, dims: Any = None) -> Tensor:
    """A view with the dimensions in another order: dimension i of the result is ``order[i]``.
    Raises RuntimeError for anything but each dimension once."""
    require_tensor("permute", input)
    given = arguments.sizes("permute", order if dims is None else (dims,))
    wanted = tuple(axis("permute", d, input.ndim) for d in given)
    if sorted(wanted) != list(range(input.ndim)):
        raise RuntimeError(
            f"[permute] dims {given} are not a reordering of {input.ndim} dimensions"
        )
    return _transpose(input, axes=wanted)


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """A view with two dimensions exchanged."""
    require_tensor("transpose", input)
    order = list(range(input.ndim))
    i, j = axis("transpose", dim0, input.ndim), axis("transpose", dim1, input.ndim)
    if order:
        order[i], order[j] = j, i
    return _transpose(input, axes=tuple(order))


def t(input: Tensor) -> Tensor:
    """A matrix (m, n) as its transpose (n, m), a view; vectors and 0-d tensors as they are. Raises
    RuntimeError for more than 2 dimensions."""
    require_tensor("t", input)
    if input.ndim > 2:
        raise RuntimeError(
            f"[t] expects at most 2 dimensions, got {input.ndim}: use .mT or permute"
        )
    return _transpose(input, axes=tuple(reversed(range(input.ndim))))


def mT(input: Tensor) -> Tensor:
    """Each matrix of (..., m, n) as its transpose, a view of shape (..., n, m). Raises RuntimeError
    for a vector."""
    require_tensor("mT", input)
    if input.ndim == 1:
        raise RuntimeError("[mT] needs matrices, got 1 dimension")
    return transpose(input, -2, -1) if input.ndim else alias(input)


def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """A view without the dimensions of size 1: all of them, or those of them that ``dim`` names.
    Raises RuntimeError where it names one twice."""
    none = isinstance(dim, (tuple, list)) and not dim
    dims = () if none else axes("squeeze", input, dim)
    shape = tuple(n for i, n in enumerate(input.shape) if n != 1 or i not in dims)
    return _reshape(input, shape=shape)


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """A view with a new dimension of size 1 at position ``dim`` of the result."""
    require_tensor("unsqueeze", input)
    d = axis("unsqueeze", dim, input.ndim + 1)
    shape = tuple(input.shape)
    return _reshape(input, shape=(*shape[:d], 1, *shape[d:]))


def expand(input: Tensor, *sizes: Any, size: Any = None, implicit: bool = False) -> Tensor:
    """A view in a larger shape: dimensions of size 1, and new ones at the front, are repeated
    without a copy; -1 keeps a size. Raises RuntimeError where any other size would change."""
    require_tensor("expand", input)
    wanted = arguments.sizes("expand", sizes if size is None else (size,))
    shape = tuple(input.shape)
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
    return _broadcast_to(input, shape=tuple(full))


def broadcast_to(input: Tensor, size: Any) -> Tensor:
    """``expand`` to ``size`` under another name; raises what that does."""
    return expand(input, size)


def view_as(input: Tensor, other: Tensor) -> Tensor:
    """``view`` in the shape of ``other``; raises what that does."""
    require_tensor("view_as", other)
    return view(input, tuple(other.shape))


def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """``reshape`` to the shape of ``other``; raises what that does."""
    require_tensor("reshape_as", other)
    return reshape(input, tuple(other.shape))


def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """``expand`` to the shape of ``other``; raises what that does."""
    require_tensor("expand_as", other)
    return expand(input, tuple(other.shape))


def contiguous_tensor(input: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor itself if its elements lie in row-major order in memory, else a copy that does.
    memory_format: on GPUs, ``channels_last`` puts the channels of (n, c, h, w) behind the others
    (``channels_last_3d``: of five dimensions); elsewhere it is ``contiguous_format``."""
    if (
        memory_format in _RANKS
        and input.ndim == _RANKS[memory_format]
        and input._device.type != "cpu"
    ):
        if input.is_contiguous(memory_format):
            return input
        inner = range(2, input.ndim)
        moved = contiguous_tensor(permute(input, (0, *inner, 1)))
        return permute(moved, (0, -1, *(i - 1 for i in inner)))
    return input if input.is_contiguous() else clone(input)


_RANKS = {formats.channels_last: 4, formats.channels_last_3d: 5}


def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A copy, its elements in row-major order in memory; gradients flow through it."""
    return copy(input)
