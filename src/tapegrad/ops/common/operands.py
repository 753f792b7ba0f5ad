"""The operands of functions of two numbers: what they must be, and as tensors of one dtype."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tapegrad.core import dtypes
from tapegrad.core.tape import align
from tapegrad.core.tensor import Tensor, wrap


def pair(op: str, a: Any, b: Any, wide: bool = False) -> tuple[Tensor, Tensor]:
    """Two operands, at least one of them a Tensor, as Tensors of their common dtype. wide: of int64
    where an integer lies outside the range of that."""
    a, b = align(op, a, b, wide)
    first = a if isinstance(a, Tensor) else b
    dtype, device = first.dtype, first._device
    x, y = (
        t if isinstance(t, Tensor) else wrap(device.asarray(t, dtype=dtype), device) for t in (a, b)
    )
    return x, y


def two_tensors(op: str, a: Any, b: Any) -> None:
    """Raise TypeError unless both are Tensors."""
    for t in (a, b):
        if not isinstance(t, Tensor):
            raise TypeError(
                f"[{op}] expects two Tensors, got {type(t).__name__}: "
                "numbers become tensors by tapegrad.tensor(number)"
            )


def require_floats(op: str, *tensors: Tensor) -> None:
    """Raise RuntimeError unless a tensor is floating-point: integers of the others are promoted."""
    if not any(dtypes.is_floating(t.dtype) for t in tensors):
        given = " and ".join(t.dtype.name for t in tensors)
        raise RuntimeError(
            f"[{op}] is defined for floating-point tensors, got {given}: convert with .float()"
        )


def require_whole(op: str, x: Tensor) -> None:
    """Raise RuntimeError for a tensor of floats or bools."""
    if x.dtype.kind not in "iu":
        raise RuntimeError(
            f"[{op}] is defined for integer tensors, got {x.dtype.name}: convert with .long()"
        )


def no_gradient(op: str, argument: str = "its inputs") -> Callable:
    """The rule of a function that has no gradient: it raises NotImplementedError."""

    def rule(g: Any) -> Any:
        raise NotImplementedError(f"[{op}] has no gradient with respect to {argument}")

    return rule


# ---------------------------------------------------------------------- functions made of others


def named(op: str, function: Callable, doc: str | None) -> Callable:
    """A function that another one made, under the name and with the docstring of its own."""
    function.__name__ = function.__qualname__ = op
    function.__doc__ = doc
    return function


def of_pairs(combine: Callable) -> Callable:
    """A primitive of two inputs whose rules or body take no numbers, for those as well."""
    op = combine.__name__

    def function(input: Any, other: Any) -> Tensor:
        return combine(*pair(op, input, other))

    return named(op, function, combine.__doc__)


def of_tensors(combine: Callable, floats: bool = False) -> Callable:
    """A primitive of two inputs for Tensors alone: as in PyTorch, numbers raise TypeError.
    ``floats``: two tensors of integers raise RuntimeError."""
    op, doc = combine.__name__, combine.__doc__

    def function(input: Tensor, other: Tensor) -> Tensor:
        two_tensors(op, input, other)
        if floats:
            require_floats(op, input, other)
        return combine(input, other)

    if floats:
        doc = f"{doc} Raises RuntimeError where neither tensor is floating-point."
    else:
        function.door = "of_tensors", combine  # type: ignore[attr-defined]  # see in_c
    return named(op, function, doc)
