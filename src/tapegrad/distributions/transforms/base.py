"""What a transform is, and the inverse of one."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Sequence
from typing import Any, ClassVar

from tapegrad.core.tensor import Size, Tensor

from .. import operations as tg

__all__ = ["Transform"]


class Transform:
    """A function of tensors, ``y = t(x)``, with an inverse, ``x = t.inv(y)``, and the logarithm of
    the absolute Jacobian determinant, ``t.log_abs_det_jacobian(x, y)``.

    ``domain`` and ``codomain`` are constraints; their ``event_dim`` is the number of last
    dimensions that are transformed together, and that the log determinant drops. A subclass
    defines ``_call`` and ``_inverse``. A transform that is not ``bijective`` has some inverse, with
    t(t.inv(t(x))) = t(x). ``cache_size=1`` keeps the last x and y, so that t.inv(t(x)) is x itself.

    Raises ValueError for another cache_size.
    """

    bijective: Any = False
    domain: Any
    codomain: Any
    # the attributes that make two transforms of a class equal; None: a transform equals only itself
    _compared: ClassVar[tuple[str, ...] | None] = None

    def __init__(self, cache_size: int = 0) -> None:
        if cache_size not in (0, 1):
            raise ValueError(f"[{type(self).__name__}] cache_size is 0 or 1, got {cache_size!r}")
        self._cache_size = cache_size
        self._inv: Any = None  # weak: the inverse holds the transform
        self._cached: tuple[Any, Any] = (None, None)
        super().__init__()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_inv": None}

    @property
    def event_dim(self) -> int:
        """That of domain and codomain. Raises ValueError where they differ."""
        if self.domain.event_dim == self.codomain.event_dim:
            return self.domain.event_dim
        raise ValueError(
            f"{type(self).__name__} changes the number of event dimensions from "
            f"{self.domain.event_dim} to {self.codomain.event_dim}: ask domain or codomain"
        )

    @property
    def inv(self) -> Transform:
        """The inverse transform, whose inverse is this one."""
        inverse = None if self._inv is None else self._inv()
        if inverse is None:
            inverse = _InverseTransform(self)
            self._inv = weakref.ref(inverse)
        return inverse

    @property
    def sign(self) -> Any:
        """1 or -1, as a function of one number rises or falls. Raises NotImplementedError where it
        does neither."""
        raise NotImplementedError(f"{type(self).__name__} is not known to rise or to fall")

    def with_cache(self, cache_size: int = 1) -> Any:
        """The same transform, with this cache_size. Raises ValueError but for 0 and 1."""
        if self._cache_size == cache_size:
            return self
        if cache_size not in (0, 1):
            raise ValueError(f"[{type(self).__name__}] cache_size is 0 or 1, got {cache_size!r}")
        other = copy.copy(self)
        other._cache_size, other._cached = cache_size, (None, None)
        return other

    def __eq__(self, other: object) -> bool:
        if self is other or self._compared is None or type(self) is not type(other):
            return self is other
        return all(_equal(getattr(self, n), getattr(other, n)) for n in self._compared)

    __hash__ = None  # type: ignore[assignment]

    def __call__(self, x: Any) -> Any:
        if self._cache_size == 0:
            return self._call(x)
        known, y = self._cached
        if x is known:
            return y
        y = self._call(x)
        self._cached = x, y
        return y

    def _inv_call(self, y: Any) -> Any:
        if self._cache_size == 0:
            return self._inverse(y)
        x, known = self._cached
        if y is known:
            return x
        x = self._inverse(y)
        self._cached = x, y
        return x

    def _call(self, x: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} defines no _call(x)")

    def _inverse(self, y: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} defines no _inverse(y)")

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        """log |dy / dx|, of the shape of x without the event's dimensions. Raises
        NotImplementedError where it is not defined."""
        raise NotImplementedError(f"{type(self).__name__} has no log_abs_det_jacobian")

    def forward_shape(self, shape: Sequence[int]) -> Size:
        """The shape of y for x of this shape. Raises ValueError for a shape that does not fit."""
        return Size(shape)

    def inverse_shape(self, shape: Sequence[int]) -> Size:
        """The shape of x for y of this shape. Raises ValueError for a shape that does not fit."""
        return Size(shape)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return bool((tg.as_tensor(a) == tg.as_tensor(b)).all())
    return a == b


class _InverseTransform(Transform):
    """The inverse of a transform: what ``inv`` returns."""

    def __init__(self, transform: Transform):
        super().__init__(cache_size=transform._cache_size)
        self._of = transform

    @property
    def domain(self) -> Any:  # type: ignore[override]
        """The transform's codomain."""
        return self._of.codomain

    @property
    def codomain(self) -> Any:  # type: ignore[override]
        """The transform's domain."""
        return self._of.domain

    @property
    def bijective(self) -> bool:  # type: ignore[override]
        """The transform's."""
        return self._of.bijective

    @property
    def sign(self) -> Any:
        """The transform's."""
        return self._of.sign

    @property
    def inv(self) -> Transform:
        """The transform."""
        return self._of

    def with_cache(self, cache_size: int = 1) -> Any:
        """The inverse of the transform with this cache_size."""
        return self._of.with_cache(cache_size).inv

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _InverseTransform) and self._of == other._of

    __hash__ = None  # type: ignore[assignment]

    def __call__(self, x: Any) -> Any:
        return self._of._inv_call(x)

    def _inv_call(self, y: Any) -> Any:
        return self._of(y)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        """The transform's, negative."""
        return -self._of.log_abs_det_jacobian(y, x)

    def forward_shape(self, shape: Sequence[int]) -> Size:
        """The transform's inverse_shape."""
        return self._of.inverse_shape(shape)

    def inverse_shape(self, shape: Sequence[int]) -> Size:
        """The transform's forward_shape."""
        return self._of.forward_shape(shape)

    def __repr__(self) -> str:
        return f"Inverse({self._of!r})"
