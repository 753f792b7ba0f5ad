"""Parts along a dimension: views, one or several."""

from __future__ import annotations

import builtins
from typing import Any

from ..tensor import Tensor
from .arguments import axis, require_tensor
from .index import getitem


def narrow(x: Tensor, dim: int, start: int, length: int) -> Tensor:
    """A view of ``length`` elements along ``dim``, from ``start``."""
    require_tensor("narrow", x)
    d = axis("narrow", dim, x.ndim)
    size = x.shape[d]
    start = int(start) + (size if start < 0 else 0)
    if length < 0 or not 0 <= start <= size - length:
        raise IndexError(
            f"[narrow] start {start} and length {length} exceed size {size} of dim {d}"
        )
    return getitem(x, index=(slice(None),) * d + (slice(start, start + length),))


def split(x: Tensor, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of consecutive pieces along ``dim``: of one size (the last may be smaller), or of the
    sizes given."""
    require_tensor("split", x)
    d = axis("split", dim, x.ndim)
    if x.ndim == 0:
        raise RuntimeError("[split] a 0-d tensor cannot be split")
    n = x.shape[d]
    size = split_size_or_sections
    if isinstance(size, int):
        if size < 0 or (size == 0 and n):
            raise RuntimeError(f"[split] the split size must be positive, got {size}")
        sections = [builtins.min(size, n - i) for i in range(0, n, size)] if n else [0]
    else:
        sections = list(size)
        if builtins.sum(sections) != n or builtins.any(s < 0 for s in sections):
            raise RuntimeError(f"[split] sections {sections} do not add up to size {n} of dim {d}")
    starts = [builtins.sum(sections[:i]) for i in range(len(sections))]
    return tuple(narrow(x, d, i, s) for i, s in zip(starts, sections, strict=True))


def chunk(x: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most ``chunks`` views of equal size along ``dim`` (the last may be smaller)."""
    if chunks < 1:
        raise RuntimeError(f"[chunk] the number of chunks must be positive, got {chunks}")
    n = x.shape[axis("chunk", dim, x.ndim)] if x.ndim else 1
    return split(x, builtins.max(-(-n // chunks), 1) if n else [0] * chunks, dim)


def unbind(x: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of all slices along ``dim``, without that dimension."""
    require_tensor("unbind", x)
    d = axis("unbind", dim, x.ndim)
    if x.ndim == 0:
        raise RuntimeError("[unbind] a 0-d tensor has no dimension to unbind")
    before = (slice(None),) * d
    return tuple(x[before + (i,)] for i in range(x.shape[d]))
