"""Arguments as the primitives want them: dimensions non-negative, sizes in one tuple."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tapegrad.core import dtypes
from tapegrad.core.tensor import Tensor


def require_tensor(op: str, x: Any) -> None:
    """Raise TypeError for anything but a Tensor."""
    if not isinstance(x, Tensor):
        raise TypeError(f"[{op}] expects a Tensor, got {type(x).__name__}")


def positive(what: str, value: Any) -> int:
    """A positive integer, Python's or NumPy's. Raises ValueError, which begins with ``what``, for
    anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{what} must be a positive integer, got {value!r}")
    return int(value)


def refuse(op: str, **arguments: Any) -> None:
    """Raise NotImplementedError for PyTorch's arguments that have no effect here, where one is
    given: anything but None and False."""
    for name, value in arguments.items():
        if value is not None and value is not False:
            raise NotImplementedError(f"[{op}] {name} has no effect here: leave it out")


def check_nesting(op: str, data: Any, depth: int = 64) -> None:
    """Raise ValueError for lists, tuples and dicts nested deeper than arrays have dimensions: one
    that contains itself has no end."""
    if isinstance(data, dict):
        data = [*data.values()]
    if isinstance(data, (list, tuple)):
        if not depth:
            raise ValueError(f"[{op}] lists are nested too deep: does one contain itself?")
        for part in data:
            if isinstance(part, (list, tuple, dict)):
                check_nesting(op, part, depth - 1)


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors in a value: itself, or those in lists, tuples and the values of dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from tensors_in(part)
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from tensors_in(part)


def require_floating(op: str, x: Any) -> None:
    """Raise TypeError for anything but a Tensor, RuntimeError for integers and bools."""
    require_tensor(op, x)
    if not x.is_floating_point():
        raise RuntimeError(
            f"[{op}] needs a floating-point tensor, got {x.dtype.name}: convert with .float()"
        )


def as_floating(op: str, x: Any) -> Tensor:
    """A tensor of floats: integers and bools in the default float dtype. Raises TypeError for
    anything but a Tensor."""
    require_tensor(op, x)
    return x if x.is_floating_point() else x.to(dtypes.get_default_dtype())


def axes(op: str, x: Tensor, dim: Any) -> tuple[int, ...]:
    """``dim`` (None, an int, or several) as a tuple of non-negative ints.

    Raises IndexError for a dimension the tensor does not have, RuntimeError for one named twice.
    """
    require_tensor(op, x)
    ndim = x._array.ndim
    given = dim if isinstance(dim, (tuple, list)) else (dim,)
    if dim is None or not given:
        return tuple(range(ndim))
    result = distinct_axes(op, given, ndim)
    # A 0-d tensor is reduced over its (missing) dimension 0 as over none.
    return tuple(sorted(result)) if ndim else ()


def distinct_axes(op: str, dims: Any, ndim: int) -> tuple[int, ...]:
    """Dimensions as non-negative ints, in their order. Raises RuntimeError for one named twice."""
    result = tuple(axis(op, d, ndim) for d in dims)
    if len(set(result)) != len(result):
        raise RuntimeError(f"[{op}] dims {tuple(dims)} name a dimension twice")
    return result


def axis(op: str, dim: Any, ndim: int) -> int:
    """One dimension as a non-negative int; 0-d tensors accept 0 and -1, as in PyTorch."""
    try:
        d = dim.__index__()
    except (AttributeError, TypeError):
        raise TypeError(f"[{op}] dim must be an int, got {type(dim).__name__}") from None
    span = max(ndim, 1)
    if not -span <= d < span:
        raise IndexError(
            f"[{op}] dim {d} is out of range for a tensor of {ndim} dimensions: "
            f"expected {-span} to {span - 1}"
        )
    return d % span


def sizes(op: str, given: tuple) -> tuple[int, ...]:
    """``f(2, 3)`` and ``f((2, 3))`` alike."""
    if len(given) == 1 and isinstance(given[0], (tuple, list)):
        given = tuple(given[0])
    try:
        return tuple(n.__index__() for n in given)
    except (AttributeError, TypeError):
        raise TypeError(f"[{op}] sizes must be ints, got {given}") from None


def shape(op: str, given: tuple) -> tuple[int, ...]:
    """Sizes of a tensor to be made."""
    result = sizes(op, given)
    if all(0 <= n <= _MOST for n in result):
        return result
    if min(result) < 0:
        raise RuntimeError(f"[{op}] sizes must not be negative, got {result}")
    raise RuntimeError(f"[{op}] sizes {result} are larger than any memory")


# Elements of one dimension. Not far above it NumPy's counts wrap around, and arange is empty.
_MOST = 2**60


def same_dtype(op: str, a: Any, b: Any, names: tuple[str, str] | None = None) -> None:
    """Raise unless both are Tensors of one dtype. ``names`` are those of the arguments."""
    if isinstance(a, Tensor) and isinstance(b, Tensor) and a._array.dtype is b._array.dtype:
        return  # (the usual case, in a third of the time)
    for i, x in enumerate((a, b)):
        if not isinstance(x, Tensor):
            raise TypeError(
                f"[{op}] expects Tensors, got {type(x).__name__}"
                + (f" as {names[i]}: tapegrad.as_tensor() makes one" if names else "")
            )
    if a.dtype != b.dtype:
        first, second = a.dtype.name, b.dtype.name
        if names:
            first, second = f"{first} of {names[0]}", f"{second} of {names[1]}"
        raise RuntimeError(f"[{op}] dtypes {first} and {second} do not mix: convert one with .to()")


def same_device(op: str, x: Tensor, other: Tensor, name: str) -> None:
    """Raise RuntimeError unless ``other``, the argument ``name``, is on x's device."""
    if other._device is not x._device:
        raise RuntimeError(f"[{op}] the tensor is on {x._device}, the {name} on {other._device}")


def named_dtype(op: str, spec: Any) -> Any:
    """The dtype that ``spec`` names; raises TypeError in the name of ``op`` for anything else."""
    try:
        return dtypes.dtype(spec)
    except TypeError as error:
        raise TypeError(f"[{op}] {error}") from None
