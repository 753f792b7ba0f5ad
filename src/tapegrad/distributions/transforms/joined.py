"""Transforms of the parts of one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tapegrad.core.tensor import Tensor

from .. import constraints
from .. import operations as tg
from ..utils import sum_rightmost
from .base import Transform

__all__ = ["CatTransform", "StackTransform"]


class _Joined(Transform):
    """Several transforms, one for each part of a tensor along ``dim``."""

    def __init__(self, tseq: Sequence[Transform], dim: int, cache_size: int):
        tseq = list(tseq)
        for part in tseq:
            if not isinstance(part, Transform):
                raise AssertionError(f"[{type(self).__name__}] tseq holds Transforms, got {part!r}")
        super().__init__(cache_size=cache_size)
        self.transforms = [t.with_cache(cache_size) for t in tseq] if cache_size else tseq
        self.dim = dim

    @property
    def bijective(self) -> bool:  # type: ignore[override]
        """Whether all are."""
        return all(t.bijective for t in self.transforms)

    def _parts(self, value: Tensor) -> list[Tensor]:
        """One part for each transform. Raises AssertionError where the value has others."""
        raise NotImplementedError

    def _check_dim(self, value: Tensor, parts: int) -> None:
        name, shape = type(self).__name__, tuple(value.shape)
        if not -value.ndim <= self.dim < value.ndim:
            raise AssertionError(f"[{name}] shape {shape} has no dimension {self.dim}")
        if shape[self.dim] != parts:
            raise AssertionError(
                f"[{name}] dimension {self.dim} must be of size {parts}, got shape {shape}"
            )

    def _join(self, parts: list[Tensor], dim: int) -> Tensor:
        raise NotImplementedError

    def _call(self, x: Tensor) -> Tensor:
        parts = zip(self.transforms, self._parts(x), strict=True)
        return self._join([t(part) for t, part in parts], self.dim)

    def _inverse(self, y: Tensor) -> Tensor:
        parts = zip(self.transforms, self._parts(y), strict=True)
        return self._join([t.inv(part) for t, part in parts], self.dim)


class CatTransform(_Joined):
    """A transform for each piece of a tensor, of the ``lengths`` given (1 each by default) along
    ``dim``, as ``cat`` puts them together. Raises AssertionError, as PyTorch
    does, for what is no Transform, and for another number of lengths."""

    def __init__(
        self,
        tseq: Sequence[Transform],
        dim: int = 0,
        lengths: Sequence[int] | None = None,
        cache_size: int = 0,
    ):
        super().__init__(tseq, dim, cache_size)
        count = len(self.transforms)
        self.lengths = [1] * count if lengths is None else list(lengths)
        if len(self.lengths) != count:
            raise AssertionError(
                f"[CatTransform] takes a length for each of its {count} transforms, got "
                f"{len(self.lengths)}"
            )

    @property
    def event_dim(self) -> int:
        """The largest of theirs."""
        return max(t.event_dim for t in self.transforms)

    @property
    def length(self) -> int:
        """The sum of the lengths."""
        return sum(self.lengths)

    def with_cache(self, cache_size: int = 1) -> Any:
        """The same, with this cache_size."""
        if self._cache_size == cache_size:
            return self
        return CatTransform(self.transforms, self.dim, self.lengths, cache_size)

    def _parts(self, value: Tensor) -> list[Tensor]:
        self._check_dim(value, self.length)
        return list(value.split(self.lengths, self.dim))

    def _join(self, parts: list[Tensor], dim: int) -> Tensor:
        return tg.cat(parts, dim)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Theirs beside each other; their sum where ``dim`` is one of the event."""
        terms = []
        for t, a, b in zip(self.transforms, self._parts(x), self._parts(y), strict=True):
            term = t.log_abs_det_jacobian(a, b)
            terms.append(sum_rightmost(term, self.event_dim - t.event_dim))
        dim = self.dim - x.ndim if self.dim >= 0 else self.dim
        dim += self.event_dim
        return tg.cat(terms, dim) if dim < 0 else tg.stack(terms).sum(0)

    @constraints.dependent_property
    def domain(self) -> Any:
        """Theirs, side by side."""
        return constraints.cat([t.domain for t in self.transforms], self.dim, self.lengths)

    @constraints.dependent_property
    def codomain(self) -> Any:
        """Theirs, side by side."""
        return constraints.cat([t.codomain for t in self.transforms], self.dim, self.lengths)


class StackTransform(_Joined):
    """A transform for each slice of a tensor along ``dim``, as ``stack`` puts them together. Raises
    AssertionError, as PyTorch does, for what is no Transform."""

    def __init__(self, tseq: Sequence[Transform], dim: int = 0, cache_size: int = 0):
        super().__init__(tseq, dim, cache_size)

    def with_cache(self, cache_size: int = 1) -> Any:
        """The same, with this cache_size."""
        if self._cache_size == cache_size:
            return self
        return StackTransform(self.transforms, self.dim, cache_size)

    def _parts(self, value: Tensor) -> list[Tensor]:
        self._check_dim(value, len(self.transforms))
        return list(value.unbind(self.dim))

    def _join(self, parts: list[Tensor], dim: int) -> Tensor:
        return tg.stack(parts, dim)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Theirs, stacked."""
        parts = zip(self.transforms, self._parts(x), self._parts(y), strict=True)
        return tg.stack([t.log_abs_det_jacobian(a, b) for t, a, b in parts], self.dim)

    @constraints.dependent_property
    def domain(self) -> Any:
        """Theirs, stacked."""
        return constraints.stack([t.domain for t in self.transforms], self.dim)

    @constraints.dependent_property
    def codomain(self) -> Any:
        """Theirs, stacked."""
        return constraints.stack([t.codomain for t in self.transforms], self.dim)
