"""The base of all distributions: shapes, checks of parameters and values, expansion."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

from tapegrad.core.tensor import Size, Tensor

from . import constraints
from . import operations as tg
from .utils import lazy_property

__all__ = ["Distribution"]


class Distribution:
    """A probability distribution, or a batch of them.

    ``batch_shape`` is the shape of independent distributions with parameters of their own,
    ``event_shape`` that of one draw of one of them. A sample is
    ``sample_shape + batch_shape + event_shape``; ``log_prob``, ``entropy`` and their like drop the
    event's dimensions. A subclass names its parameters, with their constraints, in
    ``arg_constraints``, its region in ``support``, and calls ``super().__init__`` last, which
    checks the parameters (``validate_args=False`` leaves that out).

    Raises ValueError for a parameter outside its constraint.
    """

    has_rsample: Any = False
    has_enumerate_support: Any = False
    _validate_args: ClassVar[bool] = __debug__
    _batch_shape: Size
    _event_shape: Size

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether distributions check their parameters and values where ``validate_args`` is not
        given: by default they do, unless Python runs with -O. Raises ValueError for what is no
        bool."""
        if value not in (True, False):
            raise ValueError(f"set_default_validate_args takes True or False, got {value!r}")
        Distribution._validate_args = value

    def __init__(
        self,
        batch_shape: Sequence[int] = Size(),
        event_shape: Sequence[int] = Size(),
        validate_args: bool | None = None,
    ) -> None:
        self._batch_shape, self._event_shape = Size(batch_shape), Size(event_shape)
        if validate_args is not None:
            self.__dict__["_validate_args"] = validate_args
        if not self._validate_args:
            return
        try:
            arg_constraints = self.arg_constraints
        except NotImplementedError:
            warnings.warn(
                f"{type(self).__name__} does not say what its parameters are: define "
                "arg_constraints = {}, or pass validate_args=False",
                stacklevel=2,
            )
            return
        for name, constraint in arg_constraints.items():
            lazy = isinstance(getattr(type(self), name, None), lazy_property)
            if constraints.is_dependent(constraint) or (lazy and name not in self.__dict__):
                continue  # what cannot be checked, and what is made of what is checked
            self._require(f"parameter {name}", getattr(self, name), constraint)

    def _require(self, what: str, value: Tensor, constraint: Any) -> None:
        """Raises ValueError, with the first value that does not fit, unless all satisfy it."""
        valid = constraint.check(value)
        if bool(valid.all()):
            return
        shape, found, place = tuple(value.shape), value, ""
        if valid.ndim and tuple(valid.shape) == shape[: valid.ndim]:
            first = tuple((~valid).nonzero()[0].tolist())
            found, place = value[first], f" at {list(first)}"
        shown = found.tolist() if found.numel() <= 8 else found.detach()
        raise ValueError(
            f"[{type(self).__name__}] {what}, of shape {shape}, must satisfy {constraint!r}, got "
            f"{shown}{place}: validate_args=False leaves this check out"
        )

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Any:
        """The distribution with its batch dimensions broadcast to ``batch_shape``. The parameters
        are views of this one's; nothing is checked again. ``_instance`` is an object of a subclass
        to be filled. Raises NotImplementedError of a subclass that has a constructor of its own
        and names no parameters."""
        owner = next(c for c in type(self).__mro__ if "arg_constraints" in c.__dict__)
        new = self._get_checked_instance(owner, _instance)
        batch_shape, arg_constraints = Size(batch_shape), self.arg_constraints
        for name, value in self.__dict__.items():
            constraint = arg_constraints.get(name)
            if constraint is None and isinstance(getattr(type(self), name, None), lazy_property):
                continue  # made of the parameters when it is asked for again
            if constraint is not None:
                event = value.shape[value.ndim - _event_dim(constraint) :]
                value = value.expand((*batch_shape, *event))
            new.__dict__[name] = value
        new._batch_shape = batch_shape
        return new

    def _get_checked_instance(self, cls: type, _instance: Any = None) -> Any:
        """An empty object of this class, for ``expand`` to fill; ``cls`` knows how. Raises
        NotImplementedError for a subclass with a constructor that ``cls`` does not know."""
        if _instance is None and type(self).__init__ is not cls.__init__:  # type: ignore[misc]
            raise NotImplementedError(
                f"{type(self).__name__} has a constructor of its own, which {cls.__name__}.expand "
                "does not know: define expand(batch_shape, _instance=None)"
            )
        return type(self).__new__(type(self)) if _instance is None else _instance

    @property
    def batch_shape(self) -> Size:
        """The shape of the batch of distributions."""
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        """The shape of one draw."""
        return self._event_shape

    @property
    def arg_constraints(self) -> dict[str, constraints.Constraint]:
        """The parameters' constraints by name, for a subclass to define. Raises
        NotImplementedError where it does not."""
        raise self._missing("arg_constraints")

    @property
    def support(self) -> Any:
        """The constraint that all draws satisfy. Raises NotImplementedError where it is not
        defined."""
        raise self._missing("support")

    @property
    def mean(self) -> Tensor:
        """The mean, of shape batch_shape + event_shape. Raises NotImplementedError where it is
        not defined."""
        raise self._missing("mean")

    @property
    def mode(self) -> Tensor:
        """The most probable value, of shape batch_shape + event_shape. Raises NotImplementedError
        where it is not defined."""
        raise self._missing("mode")

    @property
    def variance(self) -> Tensor:
        """The variance of each coordinate, of shape batch_shape + event_shape. Raises
        NotImplementedError where it is not defined."""
        raise self._missing("variance")

    @property
    def stddev(self) -> Tensor:
        """The square root of the variance."""
        return self.variance.sqrt()

    def sample(self, sample_shape: Sequence[int] = Size()) -> Tensor:
        """Independent draws, of shape sample_shape + batch_shape + event_shape, without a
        gradient."""
        with tg.no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Sequence[int] = Size()) -> Tensor:
        """Draws through which gradients flow to the parameters. Raises NotImplementedError where
        ``has_rsample`` is False."""
        raise self._missing("rsample", ": use sample, and log_prob for a score function's gradient")

    def sample_n(self, n: int) -> Tensor:
        """``sample((n,))``: PyTorch's old name."""
        warnings.warn("sample_n(n) is sample((n,))", FutureWarning, stacklevel=2)
        return self.sample((n,))

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density, or of the probability, at ``value``, which broadcasts with
        batch_shape + event_shape. Raises ValueError for values outside the support, and for shapes
        that do not fit; NotImplementedError where it is not defined."""
        raise self._missing("log_prob")

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of a draw <= value. Raises as ``log_prob`` does."""
        raise self._missing("cdf")

    def icdf(self, value: Tensor) -> Tensor:
        """The number that a draw is below with probability ``value``. Raises NotImplementedError
        where it is not defined."""
        raise self._missing("icdf")

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All values that a discrete distribution may draw, along dimension 0: of shape
        (number of values,) + batch_shape + event_shape, or with 1 for every batch dimension if
        ``expand`` is False. Raises NotImplementedError where they are not finitely many."""
        raise self._missing("enumerate_support")

    def entropy(self) -> Tensor:
        """The expected -log_prob in nats, of shape batch_shape. Raises NotImplementedError where
        it is not defined."""
        raise self._missing("entropy")

    def perplexity(self) -> Tensor:
        """exp(entropy): the number of equally probable values with this entropy."""
        return self.entropy().exp()

    def _missing(self, what: str, instead: str = "") -> NotImplementedError:
        return NotImplementedError(f"{type(self).__name__} does not define {what}{instead}")

    def _extended_shape(self, sample_shape: Sequence[int] = Size()) -> Size:
        """The shape of a sample. Raises TypeError for a sample_shape that holds no ints."""
        try:
            sizes = tuple(n.__index__() for n in sample_shape)
        except (TypeError, AttributeError):
            raise TypeError(
                f"[{type(self).__name__}] sample_shape is a tuple of ints, got {sample_shape!r}"
            ) from None
        return Size((*sizes, *self._batch_shape, *self._event_shape))

    def _validate_sample(self, value: Tensor) -> None:
        """Raises ValueError for a value that no draw could be: of a shape that does not broadcast
        with the distribution's, or outside its support."""
        name = type(self).__name__
        if not isinstance(value, Tensor):
            raise ValueError(f"[{name}] value must be a Tensor, got {type(value).__name__}")
        own, event = (*self._batch_shape, *self._event_shape), self._event_shape
        if tuple(value.shape[value.ndim - len(event) :]) != tuple(event):
            raise ValueError(
                f"[{name}] value, of shape {tuple(value.shape)}, must end with event_shape "
                f"{tuple(event)}"
            )
        for i, j in zip(reversed(value.shape), reversed(own), strict=False):
            if i != 1 and j != 1 and i != j:
                raise ValueError(
                    f"[{name}] value, of shape {tuple(value.shape)}, does not broadcast with "
                    f"batch_shape + event_shape {own}"
                )
        try:
            support = self.support
        except NotImplementedError:
            warnings.warn(
                f"{name} does not define support, so values are not checked: define it, or pass "
                "validate_args=False",
                stacklevel=2,
            )
            return
        self._require("value", value, support)

    def _fit(self, value: Tensor) -> Tensor:
        """A value that was checked, where this distribution checks."""
        if self._validate_args:
            self._validate_sample(value)
        return value

    def __repr__(self) -> str:
        given = (name for name in self.arg_constraints if name in self.__dict__)
        shown = ", ".join(f"{name}: {_short(self.__dict__[name])}" for name in given)
        return f"{type(self).__name__}({shown})"


def _event_dim(constraint: Any) -> int:
    try:
        return constraint.event_dim
    except NotImplementedError:  # of a dependent constraint, which bounds numbers
        return 0


def _short(value: Tensor) -> str:
    if value.numel() != 1:
        return repr(value.shape)
    return str(value.item()) if value.ndim == 0 else repr(value)
