"""Operands as the rules of functions of two numbers want them: tensors of one dtype."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tapegrad.core import dtypes
from tapegrad.core.tape import align
from tapegrad.core.tensor import Tensor, wrap


def pair(op: str, a: Any, b: Any, floating: bool = False) -> tuple[Tensor, Tensor]:
    """Two operands, at least one of them a Tensor, as Tensors of their common dtype. ``floating``:
    integers become the default float dtype."""
    a, b = align(op, a, b)
    first = a if isinstance(a, Tensor) else b
    common = first.dtype
    if floating and not dtypes.is_floating(common):
        common = dtypes.get_default_dtype()
    device = first._device
    tensors = [
        t if isinstance(t, Tensor) else wrap(device.asarray(t, dtype=first.dtype), device)
        for t in (a, b)
    ]
    x, y = (t if t.dtype == common else t.to(common) for t in tensors)
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
    """Raise RuntimeError where no tensor is floating-point (another's integers become floats)."""
    if not any(dtypes.is_floating(t.dtype) for t in tensors):
        given = " and ".join(t.dtype.name for t in tensors)
        raise RuntimeError(
            f"[{op}] is defined for floating-point tensors, got {given}: convert with .float()"
        )


def require_whole(op: str, *tensors: Tensor, bools: bool = False) -> None:
    """Raise RuntimeError for tensors of floats and, unless allowed, bools."""
    for t in tensors:
        if dtypes.is_floating(t.dtype) or (t.dtype.kind == "b" and not bools):
            raise RuntimeError(
                f"[{op}] is defined for integer tensors, got {t.dtype.name}: convert with .long()"
            )


def no_gradient(op: str, argument: str = "its inputs") -> Callable:
    """The rule of a function whose gradient nobody has defined: it raises NotImplementedError."""

    def rule(g: Any) -> Any:
        raise NotImplementedError(f"[{op}] has no gradient with respect to {argument}")

    return rule


def of_pairs(op: str, function: Callable, floating: bool = False) -> Callable:
    """A function of two Tensors of one dtype as one of Tensors and numbers that promote."""

    def promoted(input: Any, other: Any) -> Tensor:
        return function(*pair(op, input, other, floating))

    promoted.__doc__ = function.__doc__
    promoted.__name__ = promoted.__qualname__ = op
    return promoted
