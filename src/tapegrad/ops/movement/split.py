"""Parts along a dimension: views, one or several."""

from __future__ import annotations

import builtins
from itertools import accumulate
from typing import Any

from tapegrad.core.tensor import Tensor
from tapegrad.ops.common import arguments
from tapegrad.ops.common.arguments import axis, require_tensor
from tapegrad.ops.common.index import getitem


def slice_along(d: int, start: int | None, end: int | None, step: int | None = None) -> tuple:
    """The index [..., start:end:step, ...] along dimension ``d``."""
    return (builtins.slice(None),) * d + (builtins.slice(start, end, step),)


def part(x: Tensor, d: int, start: int | None, end: int | None) -> Tensor:
    """The view x[..., start:end, ...] along dimension ``d``."""
    return getitem(x, index=slice_along(d, start, end))


def _dimension(op: str, x: Any, dim: Any) -> int:
    """A dimension of a tensor that has at least one."""
    require_tensor(op, x)
    d = axis(op, dim, x.ndim)
    if x.ndim == 0:
        raise RuntimeError(f"[{op}] a 0-d tensor has no dimension to take parts of")
    return d


def narrow(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """A view of ``length`` elements along ``dim``, from ``start`` (an int or a 0-d integer tensor;
    a negative one counts from the end). Raises RuntimeError for a length that is negative or
    exceeds the size, and for a 0-d tensor, IndexError for a start out of range."""
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
    return part(input, d, first, first + count)


def select(input: Tensor, dim: int, index: Any) -> Tensor:
    """A view of slice ``index`` (an int; a negative one counts from the end) along ``dim``, without
    that dimension. Raises IndexError where it is out of range, and for a 0-d tensor."""
    d, i = position(input, "select", dim, index)
    return getitem(input, index=(builtins.slice(None),) * d + (i,))


def position(x: Tensor, op: str, dim: int, index: Any) -> tuple[int, int]:
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
    return slice_along(d, *builtins.slice(start, end, step).indices(x.shape[d]))


def slice(
    input: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:
    """The view input[..., start:end:step, ...] along ``dim``; start and end are clipped to the
    size, negative ones count from the end. Raises RuntimeError for step <= 0 and for a 0-d
    tensor."""
    return getitem(input, index=interval(input, "slice", dim, start, end, step))


# ---------------------------------------------------------------------- several parts


def _parts(x: Tensor, d: int, sections: Any) -> tuple[Tensor, ...]:
    """Consecutive views of the given sizes."""
    return tuple(
        part(x, d, end - n, end) for n, end in zip(sections, accumulate(sections), strict=True)
    )


def split(
    tensor: Tensor, split_size_or_sections: Any = None, dim: int = 0, *, split_size: Any = None
) -> tuple[Tensor, ...]:
    """Views of consecutive pieces along ``dim``: of one size (the last may be smaller), or of the
    sizes given. Raises RuntimeError for a size <= 0, for sizes that do not add up to that of
    ``dim``, and for a 0-d tensor."""
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
    """Views of consecutive pieces of the sizes given along ``dim``. Raises RuntimeError where they
    do not add up to its size or are negative, and for a 0-d tensor."""
    d = _dimension("split", input, dim)
    sections = arguments.sizes("split", (split_sizes,))
    n = input.shape[d]
    if sum(sections) != n or builtins.any(s < 0 for s in sections):
        raise RuntimeError(
            f"[split] sections {list(sections)} do not add up to size {n} of dim {d}"
        )
    return _parts(input, d, sections)


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most ``chunks`` views of equal size along ``dim`` (the last may be smaller). Raises
    RuntimeError for chunks < 1 and for a 0-d tensor."""
    d = _dimension("chunk", input, dim)
    if chunks < 1:
        raise RuntimeError(f"[chunk] the number of chunks must be positive, got {chunks}")
    n = input.shape[d]
    return split(input, -(-n // chunks), d) if n else _parts(input, d, [0] * chunks)


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of all slices along ``dim``, without that dimension. Raises IndexError for a 0-d
    tensor."""
    require_tensor("unbind", input)
    d = axis("unbind", dim, input.ndim)
    if input.ndim == 0:
        raise IndexError("[unbind] a 0-d tensor has no dimension to unbind")
    before = (builtins.slice(None),) * d
    return tuple(getitem(input, index=(*before, i)) for i in range(input.shape[d]))


def _one_of(op: str, *given: Any) -> Any:
    """Into how many parts, or before which positions to cut: the one argument that is not None."""
    wanted = [v for v in given if v is not None]
    if len(wanted) != 1:
        raise TypeError(f"[{op}] takes indices or sections")
    return wanted[0]


def _tensor_split(op: str, x: Tensor, where: Any, d: int) -> tuple[Tensor, ...]:
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
        return tuple(part(x, d, i, j) for i, j in zip(starts, ends, strict=True))
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
    nearly equal size. Raises RuntimeError for a number < 1, a tensor of other than at most one
    dimension of int64, and for a 0-d input."""
    d = _dimension("tensor_split", input, dim)
    where = _one_of("tensor_split", indices_or_sections, indices, sections)
    return _tensor_split("tensor_split", input, where, d)


def _split_at(op: str, least: int, dim: int) -> Any:
    def function(
        input: Tensor, indices_or_sections: Any = None, *, indices: Any = None, sections: Any = None
    ) -> tuple[Tensor, ...]:
        require_tensor(op, input)
        if input.ndim < least:
            raise RuntimeError(f"[{op}] needs at least {least} dimensions, got {input.ndim}")
        where = _one_of(op, indices_or_sections, indices, sections)
        d = builtins.min(dim, input.ndim - 1)
        if isinstance(where, int) and (where < 1 or input.shape[d] % where):
            raise RuntimeError(
                f"[{op}] size {input.shape[d]} of dim {d} does not divide into {where} parts"
            )
        return _tensor_split(op, input, where, d)

    function.__name__ = function.__qualname__ = op
    along = f"dim {dim}" if least > dim else f"dim {dim} (of a vector, 0)"
    function.__doc__ = (
        f"``tensor_split`` along {along}, where a number of parts must divide the size. Raises "
        f"RuntimeError where it does not, and for fewer than {least} dimensions."
    )
    return function


hsplit = _split_at("hsplit", 1, 1)
vsplit = _split_at("vsplit", 2, 0)
dsplit = _split_at("dsplit", 3, 2)
