"""Constraints: the regions of numbers in which parameters and samples lie.

A constraint is an object with ``check(value)``: a bool tensor of the value's shape without its last
``event_dim`` dimensions, which says where the value lies in the region. nan lies in none.
``is_discrete`` says whether the region is one of separate points. Those that are made of others
raise AssertionError, as PyTorch's do, for what is no Constraint.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tapegrad.core.tensor import Tensor

from . import operations as tg

__all__ = [
    "Constraint",
    "MixtureSameFamilyConstraint",
    "boolean",
    "cat",
    "corr_cholesky",
    "dependent",
    "dependent_property",
    "greater_than",
    "greater_than_eq",
    "half_open_interval",
    "independent",
    "integer_interval",
    "interval",
    "is_dependent",
    "less_than",
    "lower_cholesky",
    "lower_triangular",
    "multinomial",
    "nonnegative",
    "nonnegative_integer",
    "one_hot",
    "positive",
    "positive_definite",
    "positive_integer",
    "positive_semidefinite",
    "real",
    "real_vector",
    "simplex",
    "square",
    "stack",
    "symmetric",
    "unit_interval",
]

_SUM_TO_ONE = 1e-6  # how far the sum of a simplex' coordinates may be from 1


class Constraint:
    """A region: a subclass defines ``check``."""

    is_discrete: Any = False
    event_dim: Any = 0

    def check(self, value: Tensor) -> Tensor:
        """Where ``value`` lies in the region: bool, of its shape without the last ``event_dim``
        dimensions. Raises NotImplementedError where a subclass does not define it."""
        raise NotImplementedError(f"{type(self).__name__} defines no check(value)")

    def __repr__(self) -> str:
        return f"{_shown(self)}()"


def _shown(constraint: Constraint) -> str:
    return type(constraint).__name__.lstrip("_")


# ---------------------------------------------------------------------- known only with a parameter


class _Dependent(Constraint):
    """A region that depends on other parameters, so that nothing can be checked of it alone."""

    def __init__(self, *, is_discrete: Any = NotImplemented, event_dim: Any = NotImplemented):
        self._is_discrete, self._event_dim = is_discrete, event_dim
        super().__init__()

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]
        """As it was given. Raises NotImplementedError where it was not."""
        return self._told("is_discrete", self._is_discrete)

    @property
    def event_dim(self) -> int:  # type: ignore[override]
        """As it was given. Raises NotImplementedError where it was not."""
        return self._told("event_dim", self._event_dim)

    def _told(self, name: str, value: Any) -> Any:
        if value is NotImplemented:
            raise NotImplementedError(
                f"{name} of a dependent constraint is known of a distribution, not of its class: "
                f"ask an instance's support"
            )
        return value

    def __call__(
        self, *, is_discrete: Any = NotImplemented, event_dim: Any = NotImplemented
    ) -> Any:
        """The same with what is known of it."""
        return _Dependent(
            is_discrete=self._is_discrete if is_discrete is NotImplemented else is_discrete,
            event_dim=self._event_dim if event_dim is NotImplemented else event_dim,
        )

    def check(self, value: Tensor) -> Tensor:
        """Raises ValueError: ask the constraint of a distribution."""
        raise ValueError("a dependent constraint checks nothing: ask a distribution's own support")


class dependent_property(property, _Dependent):
    """A property that returns a constraint: that of an instance; of the class it is a dependent
    one. Used as ``@dependent_property`` or with what is known of all of them,
    ``@dependent_property(is_discrete=False, event_dim=0)``."""

    def __init__(
        self,
        fn: Callable | None = None,
        *,
        is_discrete: Any = NotImplemented,
        event_dim: Any = NotImplemented,
    ):
        property.__init__(self, fn)
        self._is_discrete, self._event_dim = is_discrete, event_dim

    def __call__(self, fn: Callable) -> dependent_property:  # type: ignore[override]
        """The property of a function, of a decorator with arguments."""
        return dependent_property(fn, is_discrete=self._is_discrete, event_dim=self._event_dim)


def is_dependent(constraint: Any) -> bool:
    """Whether a constraint depends on other parameters, and checks nothing by itself."""
    return isinstance(constraint, _Dependent)


# ---------------------------------------------------------------------- numbers


class _Boolean(Constraint):
    """0 and 1."""

    is_discrete = True

    def check(self, value: Tensor) -> Tensor:
        return (value == 0) | (value == 1)


class _Real(Constraint):
    """Every number; not nan."""

    def check(self, value: Tensor) -> Tensor:
        return value == value


class _Bounded(Constraint):
    """What lies between bounds, which are numbers or tensors."""

    def __repr__(self) -> str:
        bounds = ", ".join(f"{name}={bound}" for name, bound in vars(self).items())
        return f"{_shown(self)}({bounds})"


class _AboveBound(_Bounded):
    def __init__(self, lower_bound: Any):
        self.lower_bound = lower_bound
        super().__init__()


class _BelowBound(_Bounded):
    def __init__(self, upper_bound: Any):
        self.upper_bound = upper_bound
        super().__init__()


class _BetweenBounds(_Bounded):
    def __init__(self, lower_bound: Any, upper_bound: Any):
        self.lower_bound, self.upper_bound = lower_bound, upper_bound
        super().__init__()


class _GreaterThan(_AboveBound):
    """lower_bound < value."""

    def check(self, value: Tensor) -> Tensor:
        return value > self.lower_bound


class _GreaterThanEq(_AboveBound):
    """lower_bound <= value."""

    def check(self, value: Tensor) -> Tensor:
        return value >= self.lower_bound


class _LessThan(_BelowBound):
    """value < upper_bound."""

    def check(self, value: Tensor) -> Tensor:
        return value < self.upper_bound


class _Interval(_BetweenBounds):
    """lower_bound <= value <= upper_bound."""

    def check(self, value: Tensor) -> Tensor:
        return (value >= self.lower_bound) & (value <= self.upper_bound)


class _HalfOpenInterval(_BetweenBounds):
    """lower_bound <= value < upper_bound."""

    def check(self, value: Tensor) -> Tensor:
        return (value >= self.lower_bound) & (value < self.upper_bound)


def _whole(value: Tensor) -> Tensor:
    return value % 1 == 0


class _IntegerInterval(_BetweenBounds):
    """Whole numbers, lower_bound <= value <= upper_bound."""

    is_discrete = True

    def check(self, value: Tensor) -> Tensor:
        return _whole(value) & (value >= self.lower_bound) & (value <= self.upper_bound)


class _IntegerGreaterThan(_AboveBound):
    """Whole numbers, lower_bound <= value: PyTorch's name, though equality is allowed."""

    is_discrete = True

    def check(self, value: Tensor) -> Tensor:
        return _whole(value) & (value >= self.lower_bound)


# ---------------------------------------------------------------------- vectors


class _Simplex(Constraint):
    """Vectors of coordinates that are not negative and sum to 1 (within 1e-6)."""

    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        return (value >= 0).all(-1) & ((value.sum(-1) - 1).abs() < _SUM_TO_ONE)


class _OneHot(Constraint):
    """Vectors of one 1 and zeros."""

    is_discrete = True
    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        return ((value == 0) | (value == 1)).all(-1) & (value.sum(-1) == 1)


class _Multinomial(Constraint):
    """Vectors of counts, whole and not negative, that sum to at most upper_bound."""

    is_discrete = True
    event_dim = 1

    def __init__(self, upper_bound: Any):
        self.upper_bound = upper_bound

    def check(self, value: Tensor) -> Tensor:
        return (value >= 0).all(-1) & (value.sum(-1) <= self.upper_bound)


# ---------------------------------------------------------------------- matrices


class _Matrix(Constraint):
    event_dim = 2

    def check(self, value: Tensor) -> Tensor:
        if value.ndim < 2:
            raise RuntimeError(
                f"{self!r} is of matrices, (..., n, n), got shape {tuple(value.shape)}"
            )
        return self._check(value)

    def _check(self, value: Tensor) -> Tensor:
        raise NotImplementedError


def _everywhere(fits: Tensor) -> Tensor:
    """Of matrices, whether all elements are true."""
    return fits.all(-1).all(-1)


class _LowerTriangular(_Matrix):
    """Matrices with zeros above the diagonal."""

    def _check(self, value: Tensor) -> Tensor:
        return _everywhere(value.tril() == value)


class _LowerCholesky(_Matrix):
    """Lower triangular matrices with positive diagonals."""

    def _check(self, value: Tensor) -> Tensor:
        return _everywhere(value.tril() == value) & (value.diagonal(0, -2, -1) > 0).all(-1)


class _CorrCholesky(_Matrix):
    """Lower triangular matrices with positive diagonals and rows of Euclidean norm 1: the Cholesky
    factors of correlation matrices."""

    def _check(self, value: Tensor) -> Tensor:
        # rounding of the row's sum of squares
        tolerance = tg.finfo(value.dtype).eps * value.shape[-1] * 10
        unit = ((value.square().sum(-1) - 1).abs() < tolerance).all(-1)
        return unit & lower_cholesky.check(value)


class _Square(_Matrix):
    """Matrices with as many rows as columns."""

    def _check(self, value: Tensor) -> Tensor:
        square = value.shape[-2] == value.shape[-1]
        return tg.full(value.shape[:-2], square, dtype=tg.bool, device=value.device)


class _Symmetric(_Square):
    """Matrices that equal their transpose (to 1e-6)."""

    def _check(self, value: Tensor) -> Tensor:
        square = super()._check(value)
        if value.shape[-2] != value.shape[-1]:
            return square
        return _everywhere(tg.isclose(value, value.mT, atol=1e-6))


class _PositiveSemidefinite(_Symmetric):
    """Symmetric matrices without a negative eigenvalue."""

    def _check(self, value: Tensor) -> Tensor:
        symmetric = super()._check(value)
        if not bool(symmetric.all()):
            return symmetric
        return (tg.linalg.eigvalsh(value) >= 0).all(-1)


class _PositiveDefinite(_Symmetric):
    """Symmetric matrices with positive eigenvalues."""

    def _check(self, value: Tensor) -> Tensor:
        symmetric = super()._check(value)
        if not bool(symmetric.all()):
            return symmetric
        return tg.linalg.cholesky_ex(value).info == 0


# ---------------------------------------------------------------------- made of others


class _IndependentConstraint(Constraint):
    """``base_constraint`` with its last ``reinterpreted_batch_ndims`` batch dimensions taken into
    the event: it holds where it holds for all of them."""

    def __init__(self, base_constraint: Any, reinterpreted_batch_ndims: int):
        if not isinstance(base_constraint, Constraint):
            raise AssertionError(
                f"independent takes a Constraint, got {type(base_constraint).__name__}"
            )
        if not isinstance(reinterpreted_batch_ndims, int) or reinterpreted_batch_ndims < 0:
            raise AssertionError(
                "independent takes a number of dimensions that is not negative, got "
                f"{reinterpreted_batch_ndims!r}"
            )
        self.base_constraint = base_constraint
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims
        super().__init__()

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]
        """The base constraint's."""
        return self.base_constraint.is_discrete

    @property
    def event_dim(self) -> int:  # type: ignore[override]
        """The base constraint's, and the dimensions taken in."""
        return self.base_constraint.event_dim + self.reinterpreted_batch_ndims

    def check(self, value: Tensor) -> Tensor:
        fits = self.base_constraint.check(value)
        if fits.ndim < self.reinterpreted_batch_ndims:
            raise ValueError(
                f"{self!r} is of values with at least {self.event_dim} dimensions, got shape "
                f"{tuple(value.shape)}"
            )
        for _ in range(self.reinterpreted_batch_ndims):
            fits = fits.all(-1)
        return fits

    def __repr__(self) -> str:
        return f"{_shown(self)}({self.base_constraint!r}, {self.reinterpreted_batch_ndims})"


class MixtureSameFamilyConstraint(Constraint):
    """The support of a mixture: a value fits if all components' supports hold it. The components
    are the last batch dimension of ``base_constraint``, which the value lacks."""

    def __init__(self, base_constraint: Any):
        if not isinstance(base_constraint, Constraint):
            raise AssertionError(
                "MixtureSameFamilyConstraint takes a Constraint, got "
                f"{type(base_constraint).__name__}"
            )
        self.base_constraint = base_constraint
        super().__init__()

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]
        """The components'."""
        return self.base_constraint.is_discrete

    @property
    def event_dim(self) -> int:  # type: ignore[override]
        """The components'."""
        return self.base_constraint.event_dim

    def check(self, value: Tensor) -> Tensor:
        each = self.base_constraint.check(value.unsqueeze(-1 - self.event_dim))
        if each.ndim < self.event_dim:
            raise ValueError(
                f"{self!r} is of values with at least {self.event_dim} dimensions, got shape "
                f"{tuple(value.shape)}"
            )
        return each.all(-1)

    def __repr__(self) -> str:
        return f"{_shown(self)}({self.base_constraint!r})"


class _Several(Constraint):
    def __init__(self, cseq: Sequence[Constraint], dim: int) -> None:
        self.cseq, self.dim = list(cseq), dim
        for constraint in self.cseq:
            if not isinstance(constraint, Constraint):
                raise AssertionError(
                    f"{_shown(self).lower()} takes Constraints, got {type(constraint).__name__}"
                )
        super().__init__()

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]
        """Whether one of them is."""
        return any(c.is_discrete for c in self.cseq)

    def _check_dim(self, value: Tensor) -> None:
        if not -value.ndim <= self.dim < value.ndim:
            raise AssertionError(
                f"{self!r} is along dimension {self.dim}, which shape {tuple(value.shape)} lacks"
            )


class _Cat(_Several):
    """Constraints of the parts of one tensor along ``dim``, of the ``lengths`` given (1 each by
    default): what ``cat`` has put together. Where ``dim`` is one of the event, all must hold."""

    def __init__(self, cseq: Sequence[Constraint], dim: int = 0, lengths: Any = None):
        super().__init__(cseq, dim)
        self.lengths = [1] * len(self.cseq) if lengths is None else list(lengths)
        if len(self.lengths) != len(self.cseq):
            raise AssertionError(
                f"cat takes a length for each of its {len(self.cseq)} constraints, got "
                f"{len(self.lengths)}"
            )

    @property
    def event_dim(self) -> int:  # type: ignore[override]
        """The largest of theirs."""
        return max(c.event_dim for c in self.cseq)

    def check(self, value: Tensor) -> Tensor:
        self._check_dim(value)
        checks, start = [], 0
        for constraint, length in zip(self.cseq, self.lengths, strict=True):
            fits = constraint.check(value.narrow(self.dim, start, length))
            for _ in range(self.event_dim - constraint.event_dim):
                fits = fits.all(-1)
            checks.append(fits)
            start += length
        dim = self.dim - value.ndim if self.dim >= 0 else self.dim
        dim += self.event_dim
        return tg.cat(checks, dim) if dim < 0 else tg.stack(checks).all(0)


class _Stack(_Several):
    """Constraints of the slices of one tensor along ``dim``: what ``stack`` has put together."""

    def __init__(self, cseq: Sequence[Constraint], dim: int = 0):
        super().__init__(cseq, dim)

    @property
    def event_dim(self) -> int:  # type: ignore[override]
        """The largest of theirs, one more where the slices lie within the event."""
        dim = max(c.event_dim for c in self.cseq)
        return dim + 1 if self.dim + dim < 0 else dim

    def check(self, value: Tensor) -> Tensor:
        self._check_dim(value)
        slices = (value.select(self.dim, i) for i in range(value.shape[self.dim]))
        checks = [c.check(v) for c, v in zip(self.cseq, slices, strict=True)]
        return tg.stack(checks, self.dim)


dependent = _Dependent()
independent = _IndependentConstraint
boolean = _Boolean()
one_hot = _OneHot()
nonnegative_integer = _IntegerGreaterThan(0)
positive_integer = _IntegerGreaterThan(1)
integer_interval = _IntegerInterval
real = _Real()
real_vector = independent(real, 1)
positive = _GreaterThan(0.0)
nonnegative = _GreaterThanEq(0.0)
greater_than = _GreaterThan
greater_than_eq = _GreaterThanEq
less_than = _LessThan
multinomial = _Multinomial
unit_interval = _Interval(0.0, 1.0)
interval = _Interval
half_open_interval = _HalfOpenInterval
simplex = _Simplex()
lower_triangular = _LowerTriangular()
lower_cholesky = _LowerCholesky()
corr_cholesky = _CorrCholesky()
square = _Square()
symmetric = _Symmetric()
positive_semidefinite = _PositiveSemidefinite()
positive_definite = _PositiveDefinite()
cat = _Cat
stack = _Stack
