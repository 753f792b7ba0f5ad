"""Parts along a dimension: views, one or several."""

from __future__ import annotations

import builtins
from itertools import accumulate
from typing import Any

from tapegrad.core.tensor import Tensor
from tapegrad.ops.common import arguments
from tapegrad.ops.common.arguments import axis, require_tensor
from tapegrad.ops.common.index import getitem


def _dimension(op: str, x: Any, dim: Any) -> int:
    """A dimension of a tensor that has at least one."""
    require_tensor(op, x)
    d = axis(op, dim, x.ndim)
    if x.ndim == 0:
        raise RuntimeError(f"[{op}] a 0-d tensor has no dimension to take parts of")
    return d


def _part(x: Tensor, d: int, start: int, end: int, step: int = 1) -> Tensor:
    return getitem(x, index=(builtins.slice(None),) * d + (builtins.slice(start, end, step),))


def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """A view of ``length`` elements along ``dim``, from ``start`` (an int or a 0-d tensor)."""
    d = _dimension("narrow", input, dim)
    size = input.shape[d]
    if isinstance(start, Tensor) and (start.ndim or start.dtype.kind not in "iu"):
        raise RuntimeError("[narrow] start must be an int or a 0-d integer tensor")
    first, count = arguments.sizes("narrow", (start, length))
    if count < 0:
        raise RuntimeError(f"[narrow] length must not be negative, got {count}")
    if not -size <= first <= size:
        raise IndexError(f"[narrow] start {first} is out of range for dim {d} of size {size}")
    first += size if first < 0 else 0
    if first + count > size:
        raise RuntimeError(
            f"[narrow] start {first} and length {count} exceed size {size} of dim {d}"
        )
    return _part(input, d, first, first + count)


def select(input: Tensor, dim: int, index: Any) -> Tensor:
    """A view of one slice along ``dim``, without that dimension."""
    d, i = place(input, "select", dim, index)
    return getitem(input, index=(builtins.slice(None),) * d + (i,))


def place(x: Tensor, op: str, dim: int, index: Any) -> tuple[int, int]:
    """A dimension and a position along it, checked and non-negative."""
    require_tensor(op, x)
    if x.ndim == 0:
        raise IndexError(f"[{op}] a 0-d tensor has no dimension to select along")
    d = axis(op, dim, x.ndim)
    (i,) = arguments.sizes(op, (index,))
    n = x.shape[d]
    if not -n <= i < n:
        raise IndexError(f"[{op}] index {i} is out of range for dim {d} of size {n}")
    return d, i % n


def interval(x: Tensor, op: str, dim: int, start: Any, end: Any, step: int) -> tuple:
    """The index of x[..., start:end:step, ...] along ``dim``, checked."""
    d = _dimension(op, x, dim)
    if step <= 0:
        raise RuntimeError(f"[{op}] step must be positive, got {step}")
    return (builtins.slice(None),) * d + (
        builtins.slice(*builtins.slice(start, end, step).indices(x.shape[d])),
    )


def slice(
    input: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:
    """A view of every ``step``-th element along ``dim`` from start to before end."""
    return getitem(input, index=interval(input, "slice", dim, start, end, step))


# ---------------------------------------------------------------------- several parts


def _parts(x: Tensor, d: int, sections: Any) -> tuple[Tensor, ...]:
    """Consecutive views of the given sizes."""
    return tuple(
        _part(x, d, end - n, end) for n, end in zip(sections, accumulate(sections), strict=True)
    )


def split(
    tensor: Tensor, split_size_or_sections: Any = None, dim: int = 0, *, split_size: Any = None
) -> tuple[Tensor, ...]:
    """Views of consecutive pieces along ``dim``: of one size (the last may be smaller), or of the
    sizes given."""
    size = split_size_or_sections if split_size is None else split_size
    if isinstance(size, (tuple, list)):
        return split_with_sizes(tensor, size, dim)
    d = _dimension("split", tensor, dim)
    (size,) = arguments.sizes("split", (size,))
    n = tensor.shape[d]
    if size < 0 or (size == 0 and n):
        raise RuntimeError(f"[split] the split size must be positive, got {size}")
    sections = [builtins.min(size, n - i) for i in range(0, n, size)] if n else [0]
    return _parts(tensor, d, sections)


def split_with_sizes(input: Tensor, split_sizes: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of consecutive pieces of the sizes given along ``dim``."""
    d = _dimension("split", input, dim)
    sections = arguments.sizes("split", (split_sizes,))
    n = input.shape[d]
    if sum(sections) != n or builtins.any(s < 0 for s in sections):
        raise RuntimeError(
            f"[split] sections {list(sections)} do not add up to size {n} of dim {d}"
        )
    return _parts(input, d, sections)


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most ``chunks`` views of equal size along ``dim`` (the last may be smaller)."""
    d = _dimension("chunk", input, dim)
    if chunks < 1:
        raise RuntimeError(f"[chunk] the number of chunks must be positive, got {chunks}")
    n = input.shape[d]
    return split(input, -(-n // chunks), d) if n else _parts(input, d, [0] * chunks)


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of all slices along ``dim``, without that dimension."""
    require_tensor("unbind", input)
    d = axis("unbind", dim, input.ndim)
    if input.ndim == 0:
        raise IndexError("[unbind] a 0-d tensor has no dimension to unbind")
    before = (builtins.slice(None),) * d
    return tuple(getitem(input, index=(*before, i)) for i in range(input.shape[d]))


def _tensor_split(op: str, x: Tensor, where: Any, d: int) -> tuple[Tensor, ...]:
    """``where``: into how many parts, or before which positions to cut."""
    n = x.shape[d]
    if isinstance(where, Tensor):
        if where.dtype.kind not in "iu" or where.dtype.itemsize != 8 or where.ndim > 1:
            raise RuntimeError(
                f"[{op}] indices or sections must be ints or an int64 tensor of at most 1 "
                f"dimension, got {where.dtype.name} of shape {tuple(where.shape)}"
            )
        where = where.tolist()
    if isinstance(where, (tuple, list)):
        cuts = arguments.sizes(op, (where,))
        starts, ends = (0, *cuts), (*cuts, n)
        return tuple(_part(x, d, i, j) for i, j in zip(starts, ends, strict=True))
    (count,) = arguments.sizes(op, (where,))
    if count < 1:
        raise RuntimeError(f"[{op}] the number of sections must be positive, got {count}")
    size, longer = divmod(n, count)
    return _parts(x, d, [size + 1] * longer + [size] * (count - longer))


def tensor_split(
    input: Tensor,
    indices_or_sections: Any = None,
    dim: int = 0,
    *,
    indices: Any = None,
    sections: Any = None,
) -> tuple[Tensor, ...]:
    """Views of parts along ``dim``: cut before the positions given, or into so many parts of
    nearly equal size."""
    d = _dimension("tensor_split", input, dim)
    given = [v for v in (indices_or_sections, indices, sections) if v is not None]
    if len(given) != 1:
        raise TypeError("[tensor_split] takes indices or sections")
    return _tensor_split("tensor_split", input, given[0], d)


def _split_at(op: str, least: int, dim: int) -> Any:
    def function(
        input: Tensor, indices_or_sections: Any = None, *, indices: Any = None, sections: Any = None
    ) -> tuple[Tensor, ...]:
        require_tensor(op, input)
        if input.ndim < least:
            raise RuntimeError(f"[{op}] needs at least {least} dimensions, got {input.ndim}")
        given = [v for v in (indices_or_sections, indices, sections) if v is not None]
        if len(given) != 1:
            raise TypeError(f"[{op}] takes indices or sections")
        d = builtins.min(dim, input.ndim - 1)
        if isinstance(given[0], int) and (given[0] < 1 or input.shape[d] % given[0]):
            raise RuntimeError(
                f"[{op}] size {input.shape[d]} of dim {d} does not divide into {given[0]} parts"
            )
        return _tensor_split(op, input, given[0], d)

    function.__name__ = function.__qualname__ = op
    function.__doc__ = f"``tensor_split`` along dim {dim}, into equal parts if a number is given."
    return function


hsplit = _split_at("hsplit", 1, 1)
vsplit = _split_at("vsplit", 2, 0)
dsplit = _split_at("dsplit", 3, 2)
